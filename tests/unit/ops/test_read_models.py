"""What pages read: failures by cause, what happened to a batch, what people did, charts; each with bounded reads."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from ingestor.outcome import answered
from ops import charts
from ops.failure_groups import groups, newest
from ops.timeline import AUDIT_PAGE, WINDOW, audit, timeline
from state.events import Paused
from state.journal import Document
from tests.dead import DENIED, INGEST_US, Desk, batch_of, flight


def _dead(desk: Desk, count: int, **how: Any) -> list[str]:
    lane = desk.lane(run_id=f"run-{count}-{len(desk.stores.batches)}", lane=how.pop("lane", "0"))
    first = len(desk.stores.batches)
    return [lane.dead(batch_of([flight(n)], start=f"p{first + n}", lane=lane.lane), **how) for n in range(count)]


# Failures


def test_dead_batches_are_grouped_by_cause_the_most_frequent_first() -> None:
    desk = Desk()
    _dead(desk, 2, outcome=DENIED, kind="systemic")
    many = _dead(desk, 3, lane="1")
    found = groups(desk.journal)
    assert [(group.batches, group.kind, group.code) for group in found.items] == [
        (3, "batch", "INVALID_ARGUMENT"),
        (2, "systemic", "PERMISSION_DENIED"),
    ]
    assert found.items[0].message == "Cannot convert <value> in row <n>"
    assert found.items[0].example == many[-1]
    assert found.after == ""


@pytest.mark.parametrize("looked_at", [1, 2, 3, 5, 9])
def test_failures_come_in_pages_of_batches_that_leave_none_out_and_say_of_how_many(looked_at: int) -> None:
    desk = Desk()
    lane = desk.lane()
    for number, word in enumerate(["one", "two", "one", "three", "one"]):
        lane.dead(batch_of([flight(number)], start=f"p{number}"), answered(3, f"no field {word} here"))
    seen, after, looked = Counter[str](), "", 0
    while True:
        found = groups(desk.journal, after=after, looked_at=looked_at)
        seen.update({group.message: group.batches for group in found.items})
        looked += found.of_newest
        assert found.total == 5
        assert found.of_newest == (0 if looked_at > 5 else sum(group.batches for group in found.items))
        after = found.after
        if not after:
            break
    assert sorted(seen.values()) == [1, 1, 3]
    assert looked == (0 if looked_at > 5 else 5)
    with pytest.raises(ValueError, match="start again from the first page"):
        groups(desk.journal, after="nonsense")


def test_what_was_replayed_or_discarded_is_in_no_group() -> None:
    desk = Desk()
    first, second = _dead(desk, 2)
    desk.replayer().discard(first, actor="ann", reason="test")
    desk.replayer().replay(second, actor="ann", reason="test")
    assert groups(desk.journal).items == ()


class _Asked:
    """A journal that notes which questions it was asked, and of how much."""

    def __init__(self, journal: Any) -> None:
        self._journal, self.asked = journal, list[tuple[str, int | None]]()

    def __getattr__(self, name: str) -> Any:
        def noted(*arguments: Any, **more: Any) -> Any:
            self.asked.append((name, more.get("limit")))
            return getattr(self._journal, name)(*arguments, **more)

        return noted


@pytest.mark.parametrize(
    ("looked_at", "counts", "of_newest"),
    [(2, [2], 2), (4, [3, 1], 4), (5, [3, 2], 5), (6, [3, 2], 0)],
    ids=["the newest cause only", "some of an older one", "exactly all", "fewer than asked for"],
)
def test_the_first_page_names_causes_with_one_question_of_a_stated_bound(
    looked_at: int, counts: list[int], of_newest: int
) -> None:
    desk = Desk()
    lane = desk.lane()
    for number in range(2):
        lane.dead(batch_of([flight(number)], start=f"p{number}"), DENIED, kind="systemic")
    many = [lane.dead(batch_of([flight(number)], start=f"p{number}")) for number in range(2, 5)]
    journal: Any = _Asked(desk.journal)
    found = newest(journal, limit=5, looked_at=looked_at)
    assert journal.asked == [("list_causes", looked_at)]
    assert [group.batches for group in found.items] == counts
    assert found.of_newest == of_newest
    assert found.items[0] == replace(groups(desk.journal).items[0], batches=counts[0])
    assert found.items[0].example == many[-1]


# What happened to a batch


def _batch(desk: Desk, batch_id: str) -> Document:
    found = desk.journal.read_batch(batch_id)
    assert found is not None
    return found


def test_a_timeline_tells_attempt_failure_replay_and_who() -> None:
    desk = Desk()
    (dead,) = _dead(desk, 1)
    desk.replayer().replay(dead, actor="ann@example.com", reason="mended")
    found = timeline(desk.journal, _batch(desk, dead))
    assert [(step.event, step.who) for step in found.steps] == [
        ("batch_attempted", "run-1-0"),
        ("batch_dead_lettered", "run-1-0"),
        ("replay_started", "ann@example.com"),
        ("replay_succeeded", "ann@example.com"),
    ]
    assert found.before is None
    details = found.steps[1].details
    assert details["attempts"] == 2
    assert details["code"] == "INVALID_ARGUMENT"
    assert found.steps[2].details == {"reason": "mended"}


def test_records_of_a_batch_are_told_by_number() -> None:
    desk = Desk()
    lane = desk.lane()
    batch_id = lane.committed(batch_of([flight(1), *(flight(n, dep_time="early") for n in range(8))], start="a"))
    desk.replayer().discard_records(batch_id, [1, 2], actor="ann", reason="test")
    steps = timeline(desk.journal, _batch(desk, batch_id)).steps
    assert [step.event for step in steps] == [
        "batch_attempted",
        "records_rejected",
        "batch_committed",
        "record_discarded",
    ]
    assert (steps[1].details["records"], steps[3].details["records"]) == (8, "1, 2")


def test_a_long_operators_journal_is_searched_a_window_at_a_time_and_nothing_is_lost() -> None:
    desk = Desk()
    (dead,) = _dead(desk, 1)
    replayer = desk.replayer()
    for _ in range(WINDOW):
        replayer.discard(dead, actor="ann", reason="test")
        replayer.reopen(dead, actor="ann", reason="test")
    batch = _batch(desk, dead)
    reads = list[int]()
    read_entries = desk.journal.read_entries
    desk.journal.read_entries = lambda *asked: reads.append(asked[2]) or read_entries(*asked)  # type: ignore[method-assign, func-returns-value]
    seen, before = set[int](), None
    while True:
        found = timeline(desk.journal, batch, before)
        seen |= {step.version for step in found.steps if step.lane == "ops"}
        before = found.before
        if before is None:
            break
    acted = {step.version for step in _every_action(desk)}
    assert seen == acted
    assert set(reads) == {WINDOW}


def _every_action(desk: Desk) -> list[Any]:
    steps, before = list[Any](), None
    while True:
        found = audit(desk.journal, before=before)
        steps += found.steps
        before = found.before
        if before is None:
            return steps


# What people did


def test_an_audit_is_newest_first_in_pages_without_publications_and_runs() -> None:
    desk = Desk()
    batches = _dead(desk, AUDIT_PAGE)
    replayer = desk.replayer()
    for batch_id in batches:
        replayer.discard(batch_id, actor="ann", reason="test")
    desk.ops("run-9").claim(_dead(desk, 1)[0], token="t" * 32, actor="run", reason="probe")
    steps = _every_action(desk)
    assert [step.batch_id for step in steps] == batches[::-1]
    assert {(step.event, step.who) for step in steps} == {("batch_discarded", "ann")}
    assert len(audit(desk.journal).steps) < len(steps)


def test_a_pause_of_a_lane_is_in_its_audit() -> None:
    desk = Desk()
    lane = desk.lane()
    lane.ledger.append([Paused(actor="ann", reason="moving")], run_id="")
    (step,) = audit(desk.journal, "0").steps
    assert (step.event, step.who, step.details, step.is_person) == ("paused", "ann", {"reason": "moving"}, True)


# Charts


def _run(number: int, **fields: Any) -> dict[str, Any]:
    started_us = INGEST_US + number * 10**6
    started = {"run_id": f"r{number}", "status": "complete", "started_at_us": started_us}
    return {**started, "finished_at_us": started_us + 2_500_000, **fields}


def test_charts_draw_ended_runs_oldest_first_scaled_to_the_highest() -> None:
    rows, seconds = charts.charts(
        [_run(3, finished_at_us=None), _run(2, rows_committed=50), _run(1, rows_committed=200)]
    )
    assert [(bar.run_id, bar.text) for bar in rows.bars] == [("r1", "200 rows"), ("r2", "50 rows")]
    assert rows.bars[0].height == charts.HEIGHT
    assert rows.bars[1].height == charts.HEIGHT / 4
    assert all(
        bar.x >= 0 and bar.x + bar.width <= charts.WIDTH and bar.y + bar.height == charts.HEIGHT for bar in rows.bars
    )
    assert seconds.bars[0].text == "2.5 s"
    assert charts.as_json(rows)["values"] == [200.0, 50.0]


@pytest.mark.parametrize("runs", [[], [_run(1, rows_committed=0)], [_run(1)]])
def test_charts_of_nothing_divide_by_nothing(runs: list[dict[str, Any]]) -> None:
    assert charts.charts(runs)[0].top == 1.0
