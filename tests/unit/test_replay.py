"""One dead batch sent again, on a journal in memory and a table that answers as it is told."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from ingestor.append import Ended
from ingestor.errors import AppendError, DeadLetterError
from ingestor.lognames import LogName
from ingestor.outcome import Action, Outcome, RowError, answered, ended
from ingestor.replay import Replayed, Replayer
from ingestor.replay_one import NOT_LOADED, NOT_STORED, Pace
from ingestor.replay_rows import decoded
from state.errors import Refused
from state.memory import MemoryJournal
from state.verify import verify_lane
from tests.dead import APPENDED, DENIED, Desk, batch_of, flight

BAD = {"flight": "no number"}
LOST = Ended(ended(14, "draining"), ("1",))
TOKEN = "dead-replayer"  # noqa: S105 - names a claim
THREE = [flight(1), flight(2), flight(3)]


def desk_with(*records: dict[str, Any], kind: str = "batch", start: str = "c") -> tuple[Desk, str]:
    desk = Desk()
    return desk, desk.lane().dead(batch_of(records or THREE, start=start), kind=kind)


def replay(desk: Desk, batch_id: str, **changed: Any) -> Replayed:
    return desk.replayer().replay(batch_id, **{"actor": "ann", "reason": "mended", **changed})


def test_a_replay_sends_the_stored_bytes_and_publishes_the_batch() -> None:
    desk, batch_id = desk_with()
    done = replay(desk, batch_id)
    assert done == Replayed(batch_id, "COMMITTED", rows=3, attempts=1, action=Action.APPENDED, version=2)
    assert done.ok
    assert tuple(desk.table.rows) == batch_of(THREE).rows
    assert [(s.batch_id, s.status, s.rows) for s in desk.statements] == [(batch_id, "COMMITTED", 3)]
    assert desk.ops().outbox() == ()
    batch: Any = desk.journal.read_batch(batch_id)
    assert (batch["status"], batch["last_actor"], batch["last_reason"]) == ("COMMITTED", "ann", "mended")
    assert verify_lane(desk.journal, "flights", "ops", retention_days=90) == []


def test_rows_go_out_under_the_schema_that_travelled_with_them() -> None:
    desk, batch_id = desk_with()
    replay(desk, batch_id)
    assert [schema.name for schema in desk.table.schemas] == ["flights_Flight"]
    assert {field.name for field in desk.table.schemas[0].field} >= {"flight", "_ingest_batch_id"}


def test_records_journaled_as_rejected_are_left_out() -> None:
    desk, batch_id = desk_with(flight(1), BAD, flight(3))
    assert replay(desk, batch_id).rows == 2
    assert tuple(desk.table.rows) == batch_of([flight(1), BAD, flight(3)]).rows


def test_rows_refused_before_are_left_out_although_the_object_holds_them() -> None:
    desk, batch_id = desk_with()
    document = desk.journal._batches[batch_id]
    document["rejected_indexes"] = [1]
    assert replay(desk, batch_id).rows == 2
    rows = batch_of(THREE).rows
    assert tuple(desk.table.rows) == (rows[0], rows[2])


def test_a_batch_of_rejected_records_only_is_committed_without_a_request() -> None:
    desk, batch_id = desk_with(BAD)
    assert replay(desk, batch_id).status == "COMMITTED"
    assert desk.table.requests == []


def test_replaying_twice_sends_nothing_twice() -> None:
    desk, batch_id = desk_with()
    replay(desk, batch_id)
    again = replay(desk, batch_id)
    assert again.already
    assert again.ok
    assert len(desk.table.rows) == 3
    assert len(desk.statements) == 1


def test_an_answer_that_names_no_row_of_the_request_fails_the_batch_back_whole() -> None:
    desk, batch_id = desk_with(flight(1), BAD, flight(3))
    desk.table.replies = [answered(3, "errors of rows", row_errors=(RowError(9, 1, "nonsense"),))]
    done = replay(desk, batch_id)
    assert (done.status, done.rows, done.ok) == ("DEAD_LETTERED", 0, False)
    batch: Any = desk.journal.read_batch(batch_id)
    assert (batch["error_code"], batch["error"]) == ("INVALID_ARGUMENT", "errors of rows")
    assert done.action is Action.BATCH_FAILURE
    assert desk.statements == []
    assert desk.table.rows == []


@pytest.mark.parametrize(
    ("replies", "status", "requests"),
    [
        ([answered(10, "busy")], "COMMITTED", 2),
        ([LOST], "COMMITTED", 2),
        ([answered(8, "quota")], "COMMITTED", 2),
        ([answered(10, "busy")] * 3, "DEAD_LETTERED", 3),
        ([LOST] * 3, "DEAD_LETTERED", 3),
        ([answered(3, "nonsense")], "DEAD_LETTERED", 1),
        ([DENIED], "DEAD_LETTERED", 1),
        ([answered(16, "expired")], "COMMITTED", 2),
        ([answered(16, "expired")] * 2, "DEAD_LETTERED", 2),
        ([answered(9, "state")] * 2, "COMMITTED", 3),
    ],
)
def test_answers_are_taken_as_the_outcome_table_says(replies: list[Any], status: str, requests: int) -> None:
    desk, batch_id = desk_with()
    desk.table.replies = list(replies)
    assert replay(desk, batch_id).status == status
    assert len(desk.table.requests) == requests


def test_a_table_unknown_to_the_append_path_is_waited_for_while_it_exists() -> None:
    desk, batch_id = desk_with()
    desk.table.replies = [answered(5, "not found", storage_error=1)] * 10
    assert replay(desk, batch_id).status == "COMMITTED"
    assert len(desk.table.requests) == 11


def test_waiting_for_a_table_ends() -> None:
    desk, batch_id = desk_with()
    desk.table.otherwise = answered(5, "not found", storage_error=1)
    assert replay(desk, batch_id).status == "DEAD_LETTERED"
    assert 600 < desk.seconds < 640


def test_a_table_that_is_gone_is_not_waited_for() -> None:
    desk, batch_id = desk_with()
    desk.live, desk.table.otherwise = None, answered(5, "not found", storage_error=1)
    done = replay(desk, batch_id)
    assert (done.status, done.action) == ("DEAD_LETTERED", Action.SYSTEMIC)
    assert "the table does not exist" in done.error
    assert len(desk.table.requests) == 1


def test_a_request_that_is_too_large_is_halved_until_it_fits() -> None:
    desk, batch_id = desk_with()

    def small(rows: Sequence[bytes]) -> Outcome:
        return APPENDED if len(rows) == 1 else answered(3, "AppendRows request too large: 5 limit 4")

    desk.table.replies = [small] * 9
    assert replay(desk, batch_id).status == "COMMITTED"
    assert tuple(desk.table.rows) == batch_of(THREE).rows


def test_a_row_that_is_too_large_for_a_request_is_rejected_alone() -> None:
    desk, batch_id = desk_with()
    second = batch_of(THREE).rows[1]

    def small(rows: Sequence[bytes]) -> Outcome:
        return answered(3, "AppendRows request too large: 5 limit 4") if second in rows else APPENDED

    desk.table.replies = [small] * 9
    done = replay(desk, batch_id)
    assert (done.status, done.rows, done.rejected) == ("COMMITTED", 2, 1)
    (open_record,) = desk.replayer().records(batch_id)
    assert open_record.record.index == 1
    assert "cannot be sent alone" in open_record.record.rejection.reason


def test_a_request_without_an_answer_is_cut_and_sent_again() -> None:
    desk, batch_id = desk_with()
    desk.table.replies = [lambda _: None]
    append = desk.appender(answer_timeout_s=0.01, monotonic=(n / 250 for n in range(10_000)).__next__).append
    done = desk.replayer(append).replay(batch_id, actor="ann", reason="")
    assert done.status == "COMMITTED"
    assert desk.table.requests == [3, 3]


def test_requests_stay_under_the_limit_and_keep_the_rows_order() -> None:
    desk, batch_id = desk_with(*[flight(n) for n in range(50)])
    append = desk.appender(request_bytes=300).append
    assert desk.replayer(append).replay(batch_id, actor="ann", reason="").rows == 50
    assert len(desk.table.requests) > 10
    assert tuple(desk.table.rows) == batch_of([flight(n) for n in range(50)]).rows


def test_a_refusal_of_a_later_request_names_the_row_and_only_that_request_is_sent_again() -> None:
    desk, batch = Desk(), batch_of([flight(n) for n in range(50)])
    desk.table.replies = [APPENDED, answered(3, "errors", row_errors=(RowError(1, 1, "too long"),))]
    done = desk.appender(request_bytes=400).append(batch.rows, desk.ports().message()[1])
    refused = desk.table.requests[0] + 1
    assert done.refused == {refused: "too long"}
    assert (done.landed, done.unknown, done.outcome.code) == (True, False, "INVALID_ARGUMENT")
    assert tuple(desk.table.rows) == batch.rows[:refused] + batch.rows[refused + 1 :]


@pytest.mark.parametrize(("lost", "unknown"), [(LOST, True), (answered(10, "busy"), False)])
def test_a_row_refused_after_a_lost_answer_may_be_there(lost: Any, unknown: bool) -> None:  # noqa: FBT001 - a case
    desk, batch = Desk(), batch_of(THREE)
    desk.table.replies = [lost, answered(3, "errors", row_errors=(RowError(1, 1, "too long"),))]
    done = desk.appender().append(batch.rows, desk.ports().message()[1])
    assert (done.landed, done.refused, done.unknown) == (True, {1: "too long"}, unknown)


def test_what_fails_after_a_part_landed_says_that_something_is_written() -> None:
    desk, batch = Desk(), batch_of([flight(n) for n in range(50)])
    desk.table.replies = [APPENDED, DENIED]
    done = desk.appender(request_bytes=400).append(batch.rows, desk.ports().message()[1])
    assert (done.action, done.outcome.code, done.unknown) == (Action.SYSTEMIC, "PERMISSION_DENIED", True)


# Rows that BigQuery refuses.


def refusing(*numbers: int, named: int = 99) -> Any:
    """A table that refuses these flights, of which an answer names only the first few."""

    def reply(rows: Sequence[bytes]) -> Outcome:
        read = decoded(Desk().ports().message()[1], rows)
        wrong = [at for at, row in enumerate(read) if row["flight"] in numbers][:named]
        errors = tuple(RowError(at, 1, f"flight {read[at]['flight']} is refused") for at in wrong)
        return answered(3, "errors", row_errors=errors) if errors else APPENDED

    return reply


def sent(desk: Desk) -> list[tuple[int, int]]:
    """Flight and row index of what is in the table."""
    rows = decoded(desk.ports().message()[1], desk.table.rows)
    return [(row["flight"], int(row["_ingest_row_index"])) for row in rows]


@pytest.mark.parametrize("named", [1, 2, 99])
def test_refused_rows_become_rejected_records_and_the_others_are_committed_under_the_same_id(named: int) -> None:
    desk, batch_id = desk_with(flight(1), BAD, flight(3), flight(4), flight(5))
    desk.table.replies = [refusing(3, 5, named=named)] * 9
    done = replay(desk, batch_id)
    assert (done.ok, done.rows, done.rejected) == (True, 2, 2)
    assert sent(desk) == [(1, 0), (4, 3)]
    assert [(s.batch_id, s.status, s.rows) for s in desk.statements] == [(batch_id, "COMMITTED", 2)]
    batch: Any = desk.journal.read_batch(batch_id)
    assert (batch["rows"], batch["rejected"], batch["rejected_indexes"]) == (2, 3, [1, 2, 4])
    assert (batch["open_records"], batch.get("expire_at_us")) == (3, None)
    records = desk.replayer().records(batch_id)
    assert [(each.record.index, each.record.record, each.record.rejection.stage, each.state) for each in records] == [
        (1, BAD, "encode", "open"),
        (2, flight(3), "append", "open"),
        (4, flight(5), "append", "open"),
    ]
    assert records[1].record.rejection.reason == "flight 3 is refused"
    assert verify_lane(desk.journal, "flights", "ops", retention_days=90) == []
    assert verify_lane(desk.journal, "flights", "0", retention_days=90) == []


def test_the_entry_that_commits_the_others_holds_the_rejection_first() -> None:
    desk, batch_id = desk_with()
    desk.table.replies = [refusing(2)] * 2
    replay(desk, batch_id)
    entries = [[e["type"] for e in each.entry.events] for each in desk.journal.read_entries("ops", 1, 10)]
    assert ["records_rejected", "replay_succeeded"] in entries
    (name,) = desk.stores.records
    assert name == f"flights/records/2026/02/02/{batch_id}.jsonl"


def test_a_record_rejected_by_a_replay_is_repaired_like_any_other() -> None:
    desk, batch_id = desk_with()
    desk.table.replies = [refusing(2)] * 2
    replay(desk, batch_id)
    lines = json.dumps({"row_index": 1, "record": flight(7)}).encode()
    assert desk.replayer().replay_records(batch_id, lines, actor="ann").ok
    assert sent(desk) == [(1, 0), (3, 2), (7, 1)]
    batch: Any = desk.journal.read_batch(batch_id)
    assert (batch["open_records"], batch["rows"]) == (0, 2)


def test_a_record_repaired_before_the_replay_stays_repaired_when_more_are_refused() -> None:
    desk, batch_id = desk_with(flight(1), BAD, flight(3))
    lines = json.dumps({"row_index": 1, "record": flight(7)}).encode()
    assert desk.replayer().replay_records(batch_id, lines, actor="ann").ok
    desk.table.replies = [refusing(3)] * 2
    assert replay(desk, batch_id).rejected == 1
    batch: Any = desk.journal.read_batch(batch_id)
    assert (batch["rejected"], batch["open_records"]) == (2, 1)
    assert [each.state for each in desk.replayer().records(batch_id)] == ["landed", "open"]
    assert verify_lane(desk.journal, "flights", "0", retention_days=90) == []


def test_a_batch_of_which_every_row_is_refused_is_committed_without_rows_as_in_a_run() -> None:
    desk, batch_id = desk_with(flight(1), flight(2))
    desk.table.replies = [refusing(1, 2)] * 2
    done = replay(desk, batch_id)
    assert (done.status, done.rows, done.rejected, desk.table.rows) == ("COMMITTED", 0, 2, [])


def test_rows_refused_by_a_replay_that_then_fails_stay_with_their_batch() -> None:
    desk, batch_id = desk_with()
    desk.table.replies = [refusing(2), DENIED]
    done = replay(desk, batch_id)
    assert (done.status, done.rejected, done.code) == ("DEAD_LETTERED", 0, "PERMISSION_DENIED")
    batch: Any = desk.journal.read_batch(batch_id)
    assert (batch["rejected_indexes"], desk.stores.records) == ([], {})


def test_a_bucket_that_takes_no_records_keeps_the_batch_dead_until_it_does() -> None:
    desk, batch_id = desk_with()
    desk.table.otherwise = APPENDED
    desk.table.replies = [refusing(2)] * 9
    desk.stores.refusing = DeadLetterError("the bucket does not answer")
    done = replay(desk, batch_id)
    assert (done.status, done.code, done.error) == ("DEAD_LETTERED", NOT_STORED, "the bucket does not answer")
    assert [name for name, _ in desk.logged[1:]] == [LogName.DEADLETTER_FAILED, LogName.REPLAY_FAILED]
    assert desk.statements == []
    desk.stores.refusing = None
    assert replay(desk, batch_id).ok
    assert set(sent(desk)) == {(1, 0), (3, 2)}


def test_another_replay_that_meets_other_refusals_keeps_both_sets_and_the_ledger_names_its_own() -> None:
    desk, batch_id = desk_with()
    desk.table.replies = [refusing(2)] * 2

    class Killed(BaseException):
        pass

    def die(_: object) -> None:
        raise Killed

    real = desk.journal.commit
    desk.stores.store = _then(desk.stores.store, lambda: setattr(desk.journal, "commit", die))  # type: ignore[method-assign]
    with pytest.raises(Killed):
        replay(desk, batch_id)
    setattr(desk.journal, "commit", real)  # noqa: B010 - one instance only
    desk.table.replies = [refusing(3)] * 2
    del desk.stores.store  # the class's own again
    assert replay(desk, batch_id).ok
    assert len(desk.stores.records) == 2
    assert [each.record.index for each in desk.replayer().records(batch_id)] == [2]


def _then(call: Any, after: Any) -> Any:
    def both(*args: Any) -> Any:
        done = call(*args)
        after()
        return done

    return both


def test_a_row_that_today_s_message_cannot_give_is_kept_as_it_was_sent_and_is_not_replayable_as_it_is() -> None:
    desk, batch_id = desk_with()
    desk.table.replies = [refusing(2)] * 2
    Replayer(replace(desk.ports(), unencode=lambda _: None)).replay(batch_id, actor="ann", reason="")
    (kept,) = desk.replayer().records(batch_id)
    assert kept.record.record[0]["flight"] == 2
    assert "as it was sent" in kept.record.rejection.reason
    (line,) = desk.replayer().replay_records(batch_id, actor="ann").lines
    assert (line.state, line.reason) == ("failed", "the record is an array, not an object")


def test_a_refused_row_is_logged_by_number_and_never_by_value() -> None:
    desk, batch_id = desk_with()
    desk.table.replies = [refusing(2)] * 2
    replay(desk, batch_id)
    assert [name for name, _ in desk.logged] == [
        LogName.REPLAY_STARTED, LogName.RECORD_REJECTED, LogName.REPLAY_SUCCEEDED,
    ]  # fmt: skip
    assert desk.logged[1][1] == {"batch_id": batch_id, "rows_rejected": 1, "stage": "append"}
    assert "is refused" not in str(desk.logged)


def test_a_replay_with_a_refused_row_is_planned_with_what_the_table_requires() -> None:
    desk, batch_id = desk_with()
    assert desk.live is not None
    columns = tuple(replace(c, mode="REQUIRED") if c.name == "tailnum" else c for c in desk.live.columns)
    desk.live = replace(desk.live, columns=columns)
    (plan,) = desk.replayer().plan([batch_id], actor="ann").batches
    assert (plan.refused_by, len(plan.rejects)) == ((), 1)
    assert "column tailnum: table has it REQUIRED, 3 of 3 rows have no value" in plan.rejects[0]


def test_keep_alive_is_called_between_requests_and_in_pauses() -> None:
    desk, beats = Desk(), list[float]()
    desk.table.replies = [answered(8, "quota")] * 2
    desk.appender(request_bytes=400).append(
        batch_of([flight(n) for n in range(50)]).rows, desk.ports().message()[1], lambda: beats.append(desk.seconds)
    )
    assert len(beats) > len(desk.table.requests)
    assert max(desk.slept) <= 5.0


def test_a_dead_replayer_is_taken_over() -> None:
    desk, batch_id = desk_with()
    desk.ops().claim(batch_id, token=TOKEN, actor="bob", reason="")
    assert desk.status(batch_id) == "REPLAYING"
    assert replay(desk, batch_id).ok


def test_a_replay_that_was_taken_over_stops_and_harms_nothing() -> None:
    desk, batch_id = desk_with()
    other = list[Replayed]()

    def meanwhile(_: Sequence[bytes]) -> Outcome:
        other.append(replay(desk, batch_id, actor="bob"))
        return APPENDED

    desk.table.replies = [meanwhile]
    mine = replay(desk, batch_id)
    assert other[0].ok
    assert mine.already
    assert mine.ok
    assert set(desk.table.rows) == set(batch_of(THREE).rows)
    assert len(desk.statements) == 1
    assert verify_lane(desk.journal, "flights", "ops", retention_days=90) == []


def test_a_batch_discarded_during_its_replay_stays_discarded() -> None:
    desk, batch_id = desk_with()

    def meanwhile(_: Sequence[bytes]) -> Outcome:
        desk.replayer().discard(batch_id, actor="bob", reason="wrong")
        return APPENDED

    desk.table.replies = [meanwhile]
    done = replay(desk, batch_id)
    assert (done.status, done.ok, done.code) == ("DISCARDED", False, "REFUSED")
    assert [s.status for s in desk.statements] == ["DISCARDED"]


def test_an_envelope_that_cannot_be_read_fails_the_batch_back() -> None:
    desk, batch_id = desk_with()
    desk.stores.failing = DeadLetterError("gone")
    done = replay(desk, batch_id)
    assert (done.status, done.code, done.error) == ("DEAD_LETTERED", NOT_LOADED, "gone")
    assert desk.table.requests == []


def test_what_an_earlier_command_left_unpublished_is_published_first() -> None:
    desk, first = desk_with()
    second = desk.lane(lane="1").dead(batch_of(THREE, start="d", lane="1"))
    ops = desk.ops()
    ops.claim(first, token=TOKEN, actor="ann", reason="")
    ops.succeeded(first, token=TOKEN, actor="ann", rows=3, attempts=1)
    desk.publish_fails = True
    with pytest.raises(AppendError):
        replay(desk, second)
    desk.publish_fails = False
    desk.table.otherwise = DENIED
    assert not replay(desk, second).ok
    assert [s.batch_id for s in desk.statements] == [first]


def test_a_replay_whose_statement_is_not_taken_says_so() -> None:
    desk, batch_id = desk_with()

    def meanwhile(_: Sequence[bytes]) -> Outcome:
        desk.publish_fails = True
        return APPENDED

    desk.table.replies = [meanwhile]
    done = replay(desk, batch_id)
    assert (done.status, done.ok) == ("COMMITTED", False)
    desk.publish_fails = False
    assert replay(desk, batch_id).ok
    assert len(desk.statements) == 1


def test_people_may_replay_three_times_and_then_only_with_force_and_a_reason() -> None:
    desk, batch_id = desk_with()
    desk.table.otherwise = answered(3, "nonsense")
    for _ in range(3):
        assert replay(desk, batch_id).status == "DEAD_LETTERED"
    with pytest.raises(Refused, match="was replayed 3 times by people"):
        replay(desk, batch_id)
    with pytest.raises(Refused, match="needs a reason"):
        replay(desk, batch_id, forced=True, reason="")
    desk.table.otherwise = APPENDED
    assert replay(desk, batch_id, forced=True, reason="mended by hand").ok


def test_logs_name_who_and_what_but_no_value() -> None:
    desk, batch_id = desk_with()
    desk.table.otherwise = answered(3, "Cannot convert 'canary'")
    replay(desk, batch_id)
    assert [name for name, _ in desk.logged] == [LogName.REPLAY_STARTED, LogName.REPLAY_FAILED]
    assert all(fields["actor"] == "ann" and fields["batch_id"] == batch_id for _, fields in desk.logged)
    assert "canary" not in str(desk.logged)


def test_a_replayer_killed_between_any_two_writes_is_made_good_by_the_next() -> None:
    class Killed(BaseException):
        pass

    for writes in range(1, 9):
        desk, batch_id = desk_with()
        left = [writes]

        def die(left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Killed

        _kill_after(desk, die)
        with suppress(Killed):
            replay(desk, batch_id)
        _kill_after(desk, lambda: None)
        assert replay(desk, batch_id).ok
        assert set(desk.table.rows) == set(batch_of(THREE).rows)
        assert {(s.batch_id, s.status) for s in desk.statements} == {(batch_id, "COMMITTED")}
        assert desk.ops().outbox() == ()
        assert verify_lane(desk.journal, "flights", "ops", retention_days=90) == []


def _kill_after(desk: Desk, die: Any) -> None:
    """Call `die` before and after each effect: commit, append, publication."""
    real: Any = MemoryJournal.commit

    def commit(commit: Any) -> Any:
        die()
        done = real(desk.journal, commit)
        die()
        return done

    def reply(rows: Sequence[bytes]) -> Outcome:
        die()
        desk.table.rows.extend(rows)
        die()
        return APPENDED

    setattr(desk.journal, "commit", commit)  # noqa: B010 - one instance only
    desk.table.replies = [reply]


def test_replays_are_spread_evenly() -> None:
    desk = Desk()
    pace = Pace(2.0, lambda: desk.seconds, desk.sleep)
    for _ in range(5):
        pace.wait()
    assert desk.slept == [0.5] * 4
    desk.seconds += 10
    pace.wait()
    assert len(desk.slept) == 4


def test_a_replay_named_by_a_token_is_not_sent_again_once_it_ended() -> None:
    desk, batch_id = desk_with()
    desk.table.replies = [answered(3, "nonsense")]
    first = desk.replayer().replay(batch_id, actor="ann", reason="r", token="t" * 32)
    again = desk.replayer().replay(batch_id, actor="ann", reason="r", token="t" * 32)
    assert (first.already, again.already, len(desk.table.requests)) == (False, True, 1)
    assert (again.status, again.code, again.error, again.version) == (
        first.status,
        first.code,
        first.error,
        first.version,
    )
    other = desk.replayer().replay(batch_id, actor="ann", reason="r", token="u" * 32)
    assert (other.ok, len(desk.table.requests)) == (True, 2)
