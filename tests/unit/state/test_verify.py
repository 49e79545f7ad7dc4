"""Each thing that can be wrong is made wrong in a memory journal, white-box, and must be named."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from state.journal import Snapshot
from state.memory import MemoryJournal
from state.verify import verify_lane
from tests.unit.state.histories import (
    DAY_US,
    LANE,
    PIPELINE,
    Clock,
    attempted,
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
