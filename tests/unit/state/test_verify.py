"""Each thing that can be wrong is made wrong in a memory journal, white-box, and must be named."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from state.errors import CorruptHistory
from state.events import OPS_LANE
from state.journal import Snapshot
from state.memory import MemoryJournal
from state.ops_index import Held
from state.verify import verify_lane, verify_pipeline
from tests.unit.state.histories import (
    DAY_US,
    LANE,
    PIPELINE,
    Clock,
    attempted,
    dead,
    digests,
    discarded,
    failed,
    finished,
    operator,
    rejected,
    started,
    superseded,
    tell,
    whole_run,
    writer,
)

# Versions 1 to 5 are run 0 with batches 0 and 1, versions 6 to 10 run 1 with batches 2 and 3, 11 to 13 one at work.


def history(clock: Clock, *, pause_us: int = 0) -> MemoryJournal:
    journal = MemoryJournal(now_s=clock.read_s)
    ledger = writer(journal, clock=clock)
    ledger.open()
    for number in range(2):
        tell(ledger, whole_run(number), f"run-{number:04d}")
        clock.now_us += pause_us
    tell(ledger, [[started("run-0002")], [attempted("00000004", 4)], [superseded("00000004")]], "run-0002")
    return journal


def _alter(journal: MemoryJournal, version: int, **changes: Any) -> None:
    entry, created = journal._entries[LANE][version]
    journal._entries[LANE][version] = (dataclasses.replace(entry, **changes), created)


def _remove(journal: MemoryJournal, *versions: int) -> None:
    for version in versions:
        del journal._entries[LANE][version]


def _alter_snapshot(journal: MemoryJournal, **changes: Any) -> None:
    held = journal._snapshots[LANE]
    journal._snapshots[LANE] = Snapshot(held.version, {**held.document, **changes}, held.token)


def _roll_back(journal: MemoryJournal) -> None:
    old = MemoryJournal()
    ledger = writer(old)
    ledger.open()
    tell(ledger, whole_run(0), "run-0000")
    journal._snapshots[LANE] = old._snapshots[LANE]


def test_an_untouched_lane_is_clean() -> None:
    assert verify_lane(history(Clock()), PIPELINE, LANE) == []


def test_a_lane_that_never_was_is_clean() -> None:
    assert verify_lane(MemoryJournal(), PIPELINE, LANE) == []


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (lambda j: _alter(j, 3, nonce="forged"), "lane 0 version 3: its hash is not that of its content"),
        (lambda j: _alter(j, 3, hash="0" * 64), "lane 0 version 4: it does not follow the entry before it"),
        (lambda j: _remove(j, 3), "lane 0 version 3: missing, up to version 3; too young to have aged out"),
        (lambda j: _remove(j, 1, 2), "lane 0 version 1: missing, up to version 2; too young to have aged out"),
        (lambda j: _remove(j, 11, 12, 13), "lane 0 version 11: missing, up to version 11; too young"),
        (lambda j: _remove(j, 12), "lane 0 version 12: missing, up to version 12; too young to have aged out"),
        (lambda j: _alter_snapshot(j, epoch=7), "lane 0 version 11: the snapshot differs from the fold in epoch"),
        (lambda j: _alter_snapshot(j, mood="good"), "lane 0 snapshot: snapshot of schema version 1 is not known"),
        (lambda j: j._snapshots.clear(), "lane 0 version 11: it wrote a snapshot, but the lane's is of version 0"),
        (_roll_back, "lane 0 version 11: it wrote a snapshot, but the lane's is of version 5"),
        (
            lambda j: j._batches["00000001"].update(status="ATTEMPTED"),
            "lane 0 batch 00000001: status is 'ATTEMPTED', the journal says 'COMMITTED'",
        ),
        (
            lambda j: j._batches["00000001"].update(mood="good"),
            "lane 0 batch 00000001: mood is 'good', the journal says None",
        ),
        (lambda j: j._batches["00000003"].pop("row_digests"), "lane 0 batch 00000003: it has no row digests"),
        (lambda j: j._batches.pop("00000003"), "lane 0 batch 00000003: the journal tells of it, the index does not"),
        (
            lambda j: j._batches.update({"f" * 8: {**j._batches["00000003"], "batch_id": "f" * 8}}),
            "lane 0 batch ffffffff: the index holds it, the journal does not tell of it",
        ),
        (lambda j: j._runs["run-0001"].update(records=4), "lane 0 run run-0001: records is 4, the journal says 3"),
        (lambda j: j._runs.pop("run-0001"), "lane 0 run run-0001: the journal tells of it, the index does not"),
    ],
)
def test_what_is_wrong_is_named(harm: Callable[[MemoryJournal], object], line: str) -> None:
    journal = history(Clock())
    harm(journal)
    assert any(found.startswith(line) for found in verify_lane(journal, PIPELINE, LANE))


def test_one_altered_entry_is_one_line() -> None:
    journal = history(Clock())
    _alter(journal, 3, nonce="forged")
    assert len(verify_lane(journal, PIPELINE, LANE)) == 1


# The operators' lane. Versions 1 to 7 of it: a receipt, b1 claimed and failed, b1 claimed and replayed, b2's record
# claimed and landed.


def operated(clock: Clock | None = None) -> MemoryJournal:
    clock = clock or Clock()
    journal = MemoryJournal(now_s=clock.read_s)
    ledger = writer(journal, clock=clock)
    ledger.open()
    tell(ledger, [[started()], [attempted("b1"), attempted("b2", 1)], [dead("b1"), rejected("b2", 1), dead("b2")]])
    tell(ledger, [[failed()]])
    mine: dict[str, Any] = {"token": "t1", "actor": "ann"}
    ops = operator(journal, clock=clock)
    ops.open_receipt("r1", actor="ann", reason="all", selection={}, batch_ids=["b1"])
    ops.claim("b1", reason="1", receipt="r1", **mine)
    ops.failed("b1", code="c", error="e", fingerprint="f", receipt="r1", **mine)
    ops.claim("b1", reason="2", **mine)
    ops.succeeded("b1", rows=3, attempts=1, **mine)
    ops.claim_records("b2", {1: digests("x")}, reason="3", **mine)
    ops.records_landed("b2", {1: digests("x")}, **mine)
    return journal


def _alter_ops(journal: MemoryJournal, version: int, **changes: Any) -> None:
    entry, created = journal._entries[OPS_LANE][version]
    journal._entries[OPS_LANE][version] = (dataclasses.replace(entry, **changes), created)


def test_an_untouched_pipeline_is_clean() -> None:
    journal = operated()
    assert verify_pipeline(journal, PIPELINE) == []
    assert verify_lane(journal, PIPELINE, LANE) == []
    assert verify_lane(journal, PIPELINE, OPS_LANE) == []
    assert verify_pipeline(MemoryJournal(), PIPELINE) == []


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (lambda j: _alter_ops(j, 3, nonce="forged"), "lane ops version 3: its hash is not that of its content"),
        (lambda j: j._entries[OPS_LANE].pop(3), "lane ops version 3: missing, up to version 3; too young"),
        (lambda j: j._entries[OPS_LANE].pop(7), "lane ops version 7: missing, up to version 7; too young"),
        (
            lambda j: j._snapshots.pop(OPS_LANE),
            "lane ops version 7: it wrote a snapshot, but the lane's is of version 0",
        ),
        (lambda j: j._batches["b1"].update(status="DEAD_LETTERED"), "lane 0 batch b1: status is 'DEAD_LETTERED', the"),
        (lambda j: j._batches["b1"].update(replays=1), "lane 0 batch b1: replays is 1, the journal says 2"),
        (lambda j: j._batches["b2"].update(open_records=1), "lane 0 batch b2: open_records is 1, the journal says 0"),
        (
            lambda j: j._batches["b2"].update(expire_at_us=9),
            "lane 0 batch b2: it would age out while something is left",
        ),
        (lambda j: j._batches.pop("b1"), "lane 0 batch b1: the journal tells of it, the index does not hold it"),
        (
            lambda j: j._receipts["r1"].update(outcomes="S"),
            "lane ops receipt r1: outcomes is 'S', the journal says 'F'",
        ),
        (lambda j: j._receipts.pop("r1"), "lane ops receipt r1: the journal tells of it, the index does not hold it"),
        (
            lambda j: j._receipts.update({"r2": {**j._receipts["r1"], "receipt": "r2"}}),
            "lane ops receipt r2: the index holds it, the journal does not tell of it",
        ),
        (lambda j: j._batches["b1"].update(lane="7"), "batch b1: it is of lane 7, which is none"),
    ],
)
def test_what_is_wrong_with_the_operators_lane_is_named(harm: Callable[[MemoryJournal], object], line: str) -> None:
    journal = operated()
    harm(journal)
    found = verify_pipeline(journal, PIPELINE)
    assert any(each.startswith(line) for each in found), found


def test_an_operators_entry_that_cannot_follow_is_named() -> None:
    journal = operated()
    ledger = writer(journal, OPS_LANE)
    ledger.open()
    batch = journal.read_batch("b1") or {}
    ledger.append([discarded("b1")], run_id="", held=Held({"b1": batch}))
    lines = verify_lane(journal, PIPELINE, LANE)
    assert len(lines) == 1
    assert lines[0].startswith("lane ops version 8: batch_discarded, but batch b1 is COMMITTED since ann acted on it")


@pytest.mark.parametrize("lane", [LANE, OPS_LANE])
def test_an_event_of_the_other_kind_of_lane_is_written_nowhere(lane: str) -> None:
    journal = operated()
    ledger = writer(journal, lane)
    ledger.open()
    with pytest.raises(CorruptHistory, match="may say so"):
        ledger.append([discarded("b1") if lane == LANE else started("run-2")], run_id="")
    assert verify_pipeline(journal, PIPELINE) == []


@pytest.mark.parametrize("aged", [range(1, 5), range(1, 8), (2, 3)], ids=str)
@pytest.mark.parametrize("keeps_lane", [True, False])
def test_what_aged_out_of_the_operators_lane_is_no_difference(aged: range, *, keeps_lane: bool) -> None:
    clock = Clock()
    journal = operated(clock)
    clock.now_us += 91 * DAY_US
    ledger = writer(journal, clock=clock)
    ledger.open()
    tell(ledger, [[started("run-2")], [attempted("b3", 2)], [dead("b3")], [finished("run-2")]], "run-2")
    operator(journal, clock=clock).claim("b3", token="t3", actor="ann", reason="r")  # noqa: S106 - a replayer's name
    for version in aged:
        del journal._entries[OPS_LANE][version]
    if not keeps_lane:
        for version in (2, 3, 4):
            del journal._entries[LANE][version]
    assert verify_pipeline(journal, PIPELINE) == []


AGED = {"everything before the last run": range(1, 11), "all but what starts a run": (2, 3, 4, 5, 7, 8, 9, 10)}


@pytest.mark.parametrize("aged", AGED.values(), ids=AGED.keys())
@pytest.mark.parametrize("keeps_index", [True, False])
def test_what_aged_out_is_no_difference(aged: tuple[int, ...], *, keeps_index: bool) -> None:
    clock = Clock()
    journal = history(clock, pause_us=91 * DAY_US)
    _remove(journal, *aged)
    if not keeps_index:
        for batch_id in ("00000000", "00000002", "00000003"):  # 1 has an open rejected record
            del journal._batches[batch_id]
    if 1 in aged:
        journal._runs = {run_id: run for run_id, run in journal._runs.items() if run_id == "run-0002"}
    assert verify_lane(journal, PIPELINE, LANE) == []
    assert writer(journal).open().state.version == 13


def test_a_removed_entry_that_starts_a_run_is_found_while_the_index_knows_the_run() -> None:
    clock = Clock()
    journal = history(clock, pause_us=91 * DAY_US)
    _remove(journal, 1, 2)
    lines = verify_lane(journal, PIPELINE, LANE)
    assert lines == ["lane 0 version 1: missing, up to version 2; too young to have aged out"]


def test_missing_entries_that_no_snapshot_covers_are_found_however_old() -> None:
    clock = Clock()
    journal = history(clock)
    _remove(journal, 12)
    clock.now_us += 200 * DAY_US
    assert "lane 0 version 12: missing, and no snapshot stands above it" in verify_lane(journal, PIPELINE, LANE)
