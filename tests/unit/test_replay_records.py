"""Rejected records repaired and sent, on a journal in memory and a table that answers as it is told."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from ingestor.append import Ended
from ingestor.batch import metadata_prefix
from ingestor.outcome import Outcome, RowError, answered, ended
from ingestor.repair import Line, Repaired
from ingestor.replay_rows import decoded, with_index
from state.errors import Refused
from state.verify import verify_lane
from tests.dead import DENIED, INGEST_US, Desk, batch_of, flight

BAD = {"flight": "no number"}


def desk_with(*records: dict[str, Any], committed: bool = True) -> tuple[Desk, str]:
    desk = Desk()
    run, batch = desk.lane(), batch_of(records)
    return desk, run.committed(batch) if committed else run.dead(batch)


def repair(desk: Desk, batch_id: str, *lines: Any, **changed: Any) -> Repaired:
    text = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    return desk.replayer().replay_records(batch_id, text, **{"actor": "ann", "reason": "mended", **changed})


def good(index: int, number: int = 7) -> dict[str, Any]:
    return {"row_index": index, "record": flight(number)}


def rows(desk: Desk) -> list[tuple[int, int, str]]:
    """What is in the table: flight, row index, ingest time."""
    schema = desk.ports().message()[1]
    found = decoded(schema, desk.table.rows)
    return [(row["flight"], int(row["_ingest_row_index"]), row["_ingest_time"]) for row in found]


def open_records(desk: Desk, batch_id: str) -> int:
    batch: Any = desk.journal.read_batch(batch_id)
    return int(batch["open_records"])


def test_a_repaired_record_becomes_the_row_it_should_have_been() -> None:
    desk, batch_id = desk_with(flight(1), BAD, BAD)
    done = repair(desk, batch_id, good(1))
    assert done == Repaired(batch_id, (Line(1, 1, "landed"),), 1, version=2)
    assert rows(desk) == [(7, 1, str(INGEST_US))]
    assert decoded(desk.ports().message()[1], desk.table.rows)[0]["_ingest_batch_id"] == batch_id
    assert open_records(desk, batch_id) == 1
    assert [each.state for each in desk.replayer().records(batch_id)] == ["landed", "open"]
    assert verify_lane(desk.journal, "flights", "ops", retention_days=90) == []


@pytest.mark.parametrize("index", [0, 1, 127, 128, 16_383, 16_384, 39_999])
def test_the_index_on_the_wire_is_the_record_s(index: int) -> None:
    schema = Desk().ports().message()[1]
    row = with_index(metadata_prefix("b" * 32, INGEST_US), b"", index)
    assert int(decoded(schema, [row])[0]["_ingest_row_index"]) == index


def test_a_line_that_still_fails_says_where_and_why_and_the_others_land() -> None:
    desk, batch_id = desk_with(BAD, BAD, BAD, flight(1))
    done = repair(desk, batch_id, good(0), b"", b"{nonsense", {"row_index": 1, "record": BAD}, {"record": 1}, good(9))
    assert [(line.number, line.index, line.state, line.field) for line in done.lines] == [
        (1, 0, "landed", None),
        (3, -1, "failed", None),
        (4, 1, "failed", "flight"),
        (5, -1, "failed", None),
        (6, 9, "failed", "row_index"),
    ]
    assert [line.reason for line in done.lines[1::2]] == ["is no JSON", "has no row_index"]
    assert not done.ok
    assert len(rows(desk)) == 1


def test_two_lines_for_one_record_are_not_both_sent() -> None:
    desk, batch_id = desk_with(BAD)
    done = repair(desk, batch_id, good(0, 7), good(0, 8))
    assert [line.state for line in done.lines] == ["landed", "failed"]
    assert [row[0] for row in rows(desk)] == [7]


def test_the_same_repair_again_sends_nothing() -> None:
    desk, batch_id = desk_with(BAD)
    repair(desk, batch_id, good(0))
    assert repair(desk, batch_id, good(0)).lines == (Line(1, 0, "already"),)
    assert len(rows(desk)) == 1


def test_a_second_different_repair_is_refused() -> None:
    desk, batch_id = desk_with(BAD)
    repair(desk, batch_id, good(0, 7))
    for dry_run in (True, False):
        with pytest.raises(Refused, match="as a different repair"):
            repair(desk, batch_id, good(0, 8), dry_run=dry_run)
    assert [row[0] for row in rows(desk)] == [7]


def test_a_row_that_landed_after_all_is_refused_before_anything_is_sent() -> None:
    desk, batch_id = desk_with(BAD, BAD)
    desk.answers = [[{"row_index": 1}]]
    with pytest.raises(Refused, match="row 1 of 1 landed after all"):
        repair(desk, batch_id, good(0), good(1))
    assert desk.table.requests == []
    assert desk.queries == [
        "SELECT DISTINCT `_ingest_row_index` AS row_index FROM `p.d.flights` "  # noqa: S608, ISC004 - the expected text
        f"WHERE `_ingest_time` = TIMESTAMP_MICROS({INGEST_US}) "
        f"AND `_ingest_batch_id` = '{batch_id}' AND `_ingest_row_index` IN (0, 1) ORDER BY row_index"
    ]
    assert open_records(desk, batch_id) == 2


def test_a_record_refused_by_bigquery_may_be_repaired_otherwise_and_the_rest_lands() -> None:
    desk, batch_id = desk_with(BAD, BAD, BAD)
    desk.table.replies = [answered(3, "errors", row_errors=(RowError(1, 1, "too long"),))]
    done = repair(desk, batch_id, good(0, 1), good(1, 2), good(2, 3))
    assert [(line.state, line.reason) for line in done.lines] == [
        ("landed", ""),
        ("failed", "too long"),
        ("landed", ""),
    ]
    assert repair(desk, batch_id, good(1, 4)).ok
    assert sorted(row[:2] for row in rows(desk)) == [(1, 0), (3, 2), (4, 1)]
    assert open_records(desk, batch_id) == 0


@pytest.mark.parametrize(
    ("replies", "may_change"),
    [([DENIED], True), ([Ended(ended(7, "denied"), ())], False), ([Ended(ended(14, "gone"), ())] * 3, False)],
)
def test_only_what_surely_did_not_land_may_be_repaired_otherwise(
    replies: list[Any],
    may_change: bool,  # noqa: FBT001 - a case
) -> None:
    desk, batch_id = desk_with(BAD)
    desk.table.replies = list(replies)
    assert not repair(desk, batch_id, good(0, 7)).ok
    if may_change:
        assert repair(desk, batch_id, good(0, 8)).ok
        return
    with pytest.raises(Refused, match="as a different repair"):
        repair(desk, batch_id, good(0, 8))
    assert repair(desk, batch_id, good(0, 7)).ok


def test_a_lost_answer_hides_nothing_when_the_next_round_is_refused_row_by_row() -> None:
    desk, batch_id = desk_with(BAD, BAD)

    def lost(sent: Sequence[bytes]) -> Ended:
        desk.table.rows.extend(sent)
        return Ended(ended(14, "gone"), ())

    refusal = answered(3, "errors", row_errors=(RowError(0, 1, "too long"),))
    desk.table.replies = [lost, refusal]
    done = repair(desk, batch_id, good(0, 7), good(1, 8))
    assert [line.state for line in done.lines] == ["failed", "landed"]
    assert "in doubt" in done.lines[0].reason
    with pytest.raises(Refused, match="as a different repair"):
        repair(desk, batch_id, good(0, 9))


def test_without_lines_the_open_records_are_sent_as_they_lie_in_the_bucket() -> None:
    desk, batch_id = desk_with(BAD, BAD)
    (name,) = desk.stores.records
    first, second = desk.stores.records[name]
    desk.stores.records[name] = (type(first)(0, flight(5), first.rejection), second)
    done = desk.replayer().replay_records(batch_id, actor="ann")
    assert [(line.index, line.state) for line in done.lines] == [(0, "landed"), (1, "failed")]


def test_a_dry_run_says_what_would_happen_and_changes_nothing() -> None:
    desk, batch_id = desk_with(BAD, BAD)
    done = repair(desk, batch_id, good(0), {"row_index": 1, "record": BAD}, dry_run=True)
    assert [line.state for line in done.lines] == ["planned", "failed"]
    assert (desk.table.requests, open_records(desk, batch_id)) == ([], 2)


def test_records_of_a_dead_batch_wait_for_their_batch_and_are_not_overwritten_by_its_replay() -> None:
    desk, batch_id = desk_with(flight(1), BAD, committed=False)
    assert repair(desk, batch_id, good(1, 9)).ok
    assert desk.status(batch_id) == "DEAD_LETTERED"
    assert desk.replayer().replay(batch_id, actor="ann", reason="").rows == 1
    assert sorted(row[:2] for row in rows(desk)) == [(1, 0), (9, 1)]


def test_records_of_a_superseded_batch_are_refused() -> None:
    desk, batch_id = desk_with(BAD)
    desk.journal._batches[batch_id]["status"] = "SUPERSEDED"
    for dry_run in (True, False):
        with pytest.raises(Refused, match="the source no longer yields it"):
            repair(desk, batch_id, good(0), dry_run=dry_run)
    assert desk.table.requests == []


def test_records_are_counted_until_each_is_replayed_or_discarded() -> None:
    desk, batch_id = desk_with(BAD, BAD, BAD)
    repair(desk, batch_id, good(0))
    assert desk.replayer().discard_records(batch_id, [1], actor="ann", reason="no such flight")["open_records"] == 1
    with pytest.raises(Refused, match="replayed already"):
        desk.replayer().discard_records(batch_id, [0], actor="ann", reason="r")
    with pytest.raises(Refused, match="discarded"):
        repair(desk, batch_id, good(1))
    assert [each.state for each in desk.replayer().records(batch_id)] == ["landed", "discarded", "open"]


def test_a_repair_killed_before_its_end_is_made_good_by_the_same_repair() -> None:
    class Killed(BaseException):
        pass

    desk, batch_id = desk_with(BAD)

    def applied_then_killed(sent: Sequence[bytes]) -> Outcome:
        desk.table.rows.extend(sent)
        raise Killed

    desk.table.replies = [applied_then_killed]
    with pytest.raises(Killed):
        repair(desk, batch_id, good(0))
    desk.answers = [[{"row_index": 0}]]
    assert repair(desk, batch_id, good(0)).lines == (Line(1, 0, "landed"),)
    assert len(set(rows(desk))) == 1
    assert open_records(desk, batch_id) == 0


def test_no_value_of_a_record_is_logged() -> None:
    desk, batch_id = desk_with(BAD)
    desk.table.otherwise = answered(3, "errors", row_errors=(RowError(0, 1, "bad value 'canary'"),))
    repair(desk, batch_id, good(0))
    assert len(desk.logged) == 2
    assert "canary" not in str(desk.logged)


def test_what_a_lost_answer_leaves_in_doubt_stays_so_through_later_rounds() -> None:
    desk, batch_id = desk_with(BAD, BAD)
    refusal = answered(3, "errors", row_errors=(RowError(0, 1, "too long"),))
    desk.table.replies = [Ended(ended(14, "gone"), ()), refusal, refusal]
    assert [line.state for line in repair(desk, batch_id, good(0, 7), good(1, 8)).lines] == ["failed", "failed"]
    with pytest.raises(Refused, match="as a different repair"):
        repair(desk, batch_id, good(1, 9))
