"""One dead batch sent again, on a journal in memory and a table that answers as it is told."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from ingestor.append import Ended
from ingestor.errors import AppendError, DeadLetterError
from ingestor.lognames import LogName
from ingestor.outcome import Action, Outcome, RowError, answered, ended
from ingestor.replay import Replayed
from ingestor.replay_one import NOT_LOADED, Pace
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


def test_a_row_error_fails_the_whole_batch_back_with_the_row_named() -> None:
    desk, batch_id = desk_with(flight(1), BAD, flight(3))
    refusal = answered(3, "errors", row_errors=(RowError(1, 1, "field tailnum too long"),))
    desk.table.replies = [refusal]
    done = replay(desk, batch_id)
    assert (done.status, done.rows, done.ok) == ("DEAD_LETTERED", 0, False)
    assert "row 2: field tailnum too long" in done.error
    batch: Any = desk.journal.read_batch(batch_id)
    assert (batch["status"], batch["error_code"]) == ("DEAD_LETTERED", "INVALID_ARGUMENT")
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


def test_a_single_row_that_is_too_large_fails_the_batch() -> None:
    desk, batch_id = desk_with(flight(1))
    desk.table.otherwise = answered(3, "AppendRows request too large: 5 limit 4")
    assert replay(desk, batch_id).action is Action.BATCH_FAILURE


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


def test_a_refusal_of_a_later_request_names_the_row_and_says_that_something_is_written() -> None:
    desk, batch = Desk(), batch_of([flight(n) for n in range(50)])
    desk.table.replies = [APPENDED, answered(3, "errors", row_errors=(RowError(1, 1, "too long"),))]
    done = desk.appender(request_bytes=400).append(batch.rows, desk.ports().message()[1])
    assert done.refused == {desk.table.requests[0] + 1: "too long"}
    assert done.unknown


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
