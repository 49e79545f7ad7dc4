from typing import Any

import pytest

from state.events import Event
from state.fold import LaneState, Moment, fold
from state.index import BATCH_FIELDS, IndexChanges, index_changes
from tests.unit.state.histories import (
    DAY_US,
    LANE,
    PIPELINE,
    T0_US,
    attempted,
    committed,
    failed,
    finished,
    heartbeat,
    published,
    rejected,
    started,
    superseded,
)

RETENTION_US = 90 * DAY_US


def indexed(*entries: list[Event], run_id: str = "run-1") -> IndexChanges:
    state, index = LaneState(), IndexChanges()
    for version, events in enumerate(entries, start=1):
        moment = Moment(version, run_id, T0_US + version)
        index.merge(index_changes(PIPELINE, LANE, state, events, moment, retention_us=RETENTION_US))
        state = fold(state, events, moment, "h")
    return index


def test_an_attempted_batch_is_indexed_with_its_span_and_never_expires() -> None:
    assert indexed([started()], [attempted("b1")]).batches["b1"] == {
        "batch_id": "b1",
        "pipeline": PIPELINE,
        "lane": LANE,
        "status": "ATTEMPTED",
        "epoch": 0,
        "start": {"cursor": None, "taken": 0},
        "end": {"cursor": "page-1", "taken": 0},
        "rows": 3,
        "rejected": 0,
        "bytes": 300,
        "ingest_time_us": T0_US,
        "attempted_version": 2,
        "attempted_run": "run-1",
        "attempted_at_us": T0_US + 2,
        "settled_version": None,
        "settled_run": None,
        "settled_at_us": None,
        "attempts": 0,
        "latency_ms": None,
        "rejected_indexes": [],
        "rejected_object": None,
        "open_records": 0,
    }


SETTLED = {"settled_version": 2, "settled_run": "run-1", "settled_at_us": T0_US + 2}
EXPIRING = {"expire_at_us": T0_US + 2 + RETENTION_US}
OPEN = {
    "rejected": 2,
    "rejected_indexes": [0, 2],
    "rejected_object": "flights/records/2026/11/23/b1.jsonl",
    "open_records": 2,
}
COMMITTED = {"status": "COMMITTED", "attempts": 1, "latency_ms": 20, **SETTLED}


@pytest.mark.parametrize(
    ("outcome", "fields"),
    [
        ([committed("b1")], {**COMMITTED, "rows": 3, **EXPIRING}),
        ([rejected("b1", 2, 0), committed("b1", 1)], {**COMMITTED, "rows": 1, **OPEN}),
        ([committed("b1", 1), rejected("b1", 2, 0)], {**COMMITTED, "rows": 1, **OPEN}),
        ([rejected("b1", 2), rejected("b1", 0), committed("b1", 1)], {**COMMITTED, "rows": 1, **OPEN}),
        ([superseded("b1")], {"status": "SUPERSEDED", **SETTLED, **EXPIRING}),
    ],
    ids=["committed", "with rejected records", "in the other order", "at two stages", "superseded"],
)
def test_an_outcome_changes_only_what_it_says(outcome: list[Event], fields: dict[str, Any]) -> None:
    attempt = indexed([attempted("b1")]).batches["b1"]
    assert indexed([attempted("b1")], outcome).batches["b1"] == {**attempt, **fields}


def test_a_list_of_batches_reads_every_field_there_is() -> None:
    batches = indexed([attempted("b1")], [rejected("b1", 1), committed("b1")]).batches
    assert {*batches["b1"], "expire_at_us"} == set(BATCH_FIELDS)


@pytest.mark.parametrize(
    ("end", "fields"),
    [
        (finished(), {"status": "complete", "error": None, "records": 3, "balanced": True, "checkpoint": None}),
        (failed(), {"status": "failed", "error": "source: HTTP 404; check SOURCE_URL", "records": 0}),
    ],
    ids=["finished", "failed"],
)
def test_a_run_is_indexed_from_its_start_to_its_end(end: Event, fields: dict[str, Any]) -> None:
    running = indexed([started()]).runs["run-1"]
    assert running == {
        "run_id": "run-1",
        "lane": LANE,
        "status": "running",
        "trigger": "cli",
        "takeover": False,
        "code_version": "1.0",
        "partitions": 1,
        "started_at_us": T0_US + 1,
        "started_version": 1,
        "finished_at_us": None,
        "finished_version": None,
        "error": None,
    }
    ended = {"finished_at_us": T0_US + 2, "finished_version": 2, **EXPIRING}
    assert indexed([started()], [end]).runs["run-1"] == {**running, **fields, **ended}


def test_a_run_that_was_taken_over_is_failed() -> None:
    runs = indexed([started()], [started("run-2", takeover=True)]).runs
    assert runs["run-1"]["status"] == "failed"
    assert runs["run-1"]["error"] == "ended without a word; run run-2 took the lane over"
    assert runs["run-1"]["expire_at_us"] == T0_US + 2 + RETENTION_US
    assert runs["run-2"]["status"] == "running"


def test_a_run_that_ended_is_left_alone_by_the_next() -> None:
    one = indexed([started()], [finished()])
    assert indexed([started()], [finished()], [started("run-2")]).runs["run-1"] == one.runs["run-1"]


def test_heartbeats_and_publications_write_no_index_document() -> None:
    assert indexed([heartbeat(), published(0)]) == IndexChanges()
