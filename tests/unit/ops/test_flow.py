"""The first page's verdict: the gravest thing first, in a sentence that can be acted on."""

from dataclasses import replace
from typing import Any

import pytest

from ops.flow import LATE_US, OTHER_RUNS, STOPPED_US, Health, health, judged, source_lanes, verdict
from ops.lane_now import lane_now
from ops.strip import TICK_US
from state.events import RunFailed, RunFinished
from state.fold import LaneState, Systemic
from state.memory import MemoryJournal
from tests.dead import INGEST_US, PIPELINE, Desk, batch_of, flight
from tests.unit.state.histories import operator

NOW_US = INGEST_US + 3600 * 10**6
SYSTEMIC = Systemic("PERMISSION_DENIED", "no", "f1", "r1", 3, 1)


def _run(status: str, ago_us: int) -> dict[str, Any]:
    return {"run_id": "r", "lane": "0", "status": status, "started_at_us": NOW_US - ago_us}


@pytest.mark.parametrize(
    ("state", "runs", "is_live", "expected"),
    [
        (LaneState(paused=True, systemic=SYSTEMIC), [_run("failed", 1)], False, ("warn", "paused")),
        (LaneState(systemic=SYSTEMIC), [_run("failed", 1)], False, ("bad", "takes no batch")),
        (LaneState(), [_run("failed", 1), _run("complete", 2)], False, ("bad", "last run failed")),
        (LaneState(), [_run("running", 1), _run("failed", 2)], True, ("bad", "last run failed")),
        (LaneState(), [], False, ("warn", "no run has started")),
        (LaneState(), [_run("complete", LATE_US)], False, ("good", "on schedule")),
        (LaneState(), [_run("complete", LATE_US + 1)], False, ("warn", "is late")),
        (LaneState(), [_run("complete", STOPPED_US + 1)], False, ("bad", "over an hour")),
        (LaneState(), [_run("running", 1), _run("complete", STOPPED_US + 1)], True, ("warn", "at work")),
        (LaneState(), [_run("running", 1), _run("complete", TICK_US)], True, ("good", "at work")),
        (LaneState(), [_run("partial", 1), _run("partial", LATE_US + 1)], False, ("warn", "is late")),
    ],
)
def test_the_gravest_thing_about_a_lane_is_said(
    state: LaneState,
    runs: list[dict[str, Any]],
    *,
    is_live: bool,
    expected: tuple[str, str],
) -> None:
    success = next((run for run in runs if run["status"] == "complete"), None)
    level, text = judged(state, runs, success, NOW_US, is_live=is_live)
    assert level == expected[0]
    assert expected[1] in text


def _health(desk: Desk, now_us: int = NOW_US, stale_s: float = 180.0) -> Health:
    return health(desk.journal, now_us, stale_s)


def test_dead_batches_and_open_records_turn_a_flowing_pipeline_yellow_and_are_counted() -> None:
    desk = Desk()
    lane = desk.lane(now_us=NOW_US - 300 * 10**6)
    lane.dead(batch_of([flight(1)], start="a"))
    lane.committed(batch_of([flight(1), flight(2, dep_time="early")], start="b"))
    lane.finish()
    found = _health(desk)
    assert found.level == "warn"
    assert found.text == "Data is flowing; 1 batch is set aside and 1 batch has rejected records."
    assert (found.dead, found.replaying, found.open_records) == (1, 0, 1)
    (line,) = found.lanes
    assert line.success_run == "run-1"
    assert line.lag_s == pytest.approx(299, abs=2)
    assert [cell.kind for cell in found.strip] == ["complete"]


def test_a_run_at_work_and_what_it_has_in_doubt_are_shown() -> None:
    desk = Desk()
    lane = desk.lane(now_us=NOW_US - 60 * 10**6)
    lane._attempt(batch_of([flight(1)], start="a"))
    (line,) = _health(desk).lanes
    assert line.live_run == "run-1"
    assert line.in_doubt == 1
    assert line.oldest_in_doubt_s == (NOW_US - INGEST_US) / 1e6


def test_what_a_run_left_in_doubt_is_told_from_the_snapshot_without_a_query_of_batches() -> None:
    desk = Desk()
    lane = desk.lane(now_us=NOW_US - 60 * 10**6)
    lane._attempt(batch_of([flight(1)], start="a"))
    lane.ledger.append([RunFailed(run_id="run-1", error="stopped")], run_id="run-1")
    desk.journal.list_batches = lambda *_, **__: pytest.fail("batches were asked for")  # type: ignore[method-assign]
    (line,) = _health(desk).lanes
    assert (line.in_doubt, line.live_run) == (1, "")
    assert line.oldest_in_doubt_s == pytest.approx((NOW_US - INGEST_US) / 1e6)


def test_a_run_that_said_nothing_for_the_stale_time_is_not_at_work() -> None:
    seconds = [0.0]
    desk = Desk(journal=MemoryJournal(now_s=lambda: seconds[0]))
    desk.lane()
    assert _health(desk).lanes[0].live_run == "run-1"
    seconds[0] = 181.0
    assert _health(desk).lanes[0].live_run == ""


def test_the_worst_lane_is_the_pipeline_s_verdict_and_is_named() -> None:
    desk = Desk()
    for lane, now_us in (("0", NOW_US - 10**8), ("1", NOW_US - 2 * STOPPED_US)):
        desk.lane(lane=lane, run_id=f"run-{lane}", now_us=now_us).finish()
    found = _health(desk)
    assert (found.level, found.text) == ("bad", "Lane 1: no complete run for over an hour.")
    assert found.strip_lane == "0"
    assert health(desk.journal, NOW_US, 180.0, "1").strip_lane == "1"
    assert health(desk.journal, NOW_US, 180.0, "nope").strip_lane == "0"


def test_a_batch_whose_replay_is_at_work_or_died_still_waits_for_a_person() -> None:
    desk = Desk()
    lane = desk.lane(now_us=NOW_US - 300 * 10**6)
    first, _ = (lane.dead(batch_of([flight(number)], start=f"p{number}")) for number in range(2))
    lane.finish()
    claim: dict[str, Any] = {"token": "t", "actor": "ann", "reason": "test"}
    operator(desk.journal).claim(first, **claim)
    found = _health(desk)
    assert (found.dead, found.replaying) == (1, 1)
    assert found.text == "Data is flowing; 2 batches are set aside."


def test_of_a_run_that_wrote_more_than_a_page_reads_the_index_tells_what_is_in_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lane_now, "__defaults__", (2,))
    desk = Desk()
    lane = desk.lane(now_us=NOW_US - 60 * 10**6)
    for number in range(3):
        lane._attempt(batch_of([flight(number)], start=f"p{number}"))
    (line,) = _health(desk).lanes
    assert (line.live_run, line.in_doubt) == ("run-1", 3)
    assert line.oldest_in_doubt_s == pytest.approx(58, abs=1)


def test_a_run_that_ended_while_the_page_was_made_is_not_at_work() -> None:
    desk = Desk()
    lane = desk.lane(now_us=NOW_US - 60 * 10**6)
    journal: Any = desk.journal
    snapshot = journal.read_snapshot("0")
    lane.finish()
    journal._snapshots["0"] = snapshot
    assert _health(desk).lanes[0].live_run == ""


def test_both_parts_of_the_first_page_say_the_same_of_a_lane_that_stopped_completing() -> None:
    desk = Desk()
    for number in range(9):
        lane = desk.lane(run_id=f"run-{number}", now_us=NOW_US - (9 - number) * TICK_US)
        status = "partial" if number else "complete"
        lane._append([RunFinished(run_id=lane.run_id, status=status)])
    whole, part = _health(desk), health(desk.journal, NOW_US, 180.0, cells=0)
    assert (part.level, part.text, part.lanes) == (whole.level, whole.text, whole.lanes)
    assert whole.text == "No complete run for over an hour."


def test_the_part_that_is_asked_for_again_and_again_has_no_strip_and_reads_no_skips() -> None:
    desk = Desk()
    for number in range(OTHER_RUNS + 2):
        desk.lane(run_id=f"run-{number}", now_us=NOW_US - (40 - number) * 10**6).finish()

    def refuse(**_: object) -> None:
        raise AssertionError("skips are not shown")

    journal: Any = desk.journal
    journal.list_skips = refuse
    found = health(journal, NOW_US, 180.0, cells=0)
    assert (found.level, found.strip, len(found.runs)) == ("good", (), OTHER_RUNS)


def test_partitions_come_in_the_order_of_their_numbers_and_ops_is_no_source_lane() -> None:
    desk = Desk()
    for lane in ("10", "9", "a backfill"):
        desk.lane(lane=lane, run_id=f"run-{lane}")
    dead = desk.lane(lane="0", run_id="run-x").dead(batch_of([flight(1)]))
    desk.replayer().discard(dead, actor="ann", reason="test")
    assert source_lanes(desk.journal) == ["0", "9", "10", "a backfill"]


def test_a_pipeline_that_never_ran_says_so() -> None:
    found = _health(Desk())
    assert (found.level, found.text, found.strip) == ("warn", "No run has started yet.", ())
    assert verdict((), 0, 0) == ("warn", "No run has started yet.")


def test_more_lanes_than_are_shown_are_told() -> None:
    desk = Desk()
    for number in range(23):
        desk.lane(lane=str(number), run_id=f"run-{number}", now_us=NOW_US)
    found = _health(desk)
    assert (len(found.lanes), found.more_lanes) == (20, 3)
    assert health(desk.journal, NOW_US, 180.0, "22").strip_lane == "22"


def test_the_pause_s_reason_is_told() -> None:
    state = replace(LaneState(), paused=True, pause_reason="moving the table")
    assert judged(state, [], None, NOW_US, is_live=False)[0] == "warn"
    assert PIPELINE == "flights"
