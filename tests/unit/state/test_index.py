from typing import Any

import pytest

from state.errors import CorruptHistory
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
    dead,
    discarded,
    failed,
    finished,
    heartbeat,
    paused,
    published,
    receipt_opened,
    rejected,
    rejected_by_bigquery,
    replay,
    resumed,
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
        "error_code": None,
        "storage_error": 0,
        "error": None,
        "fingerprint": None,
        "dead_kind": None,
        "dead_object": None,
        "dead_generation": None,
        "dead_version": None,
        "dead_at_us": None,
        "replays": 0,
        "replay_token": None,
        "last_actor": None,
        "last_reason": None,
        "last_answer": None,
        "ops_version": None,
        "ops_at_us": None,
        "rejections": [],
        "rejected_indexes": [],
        "repairs": {},
        "discarded_indexes": [],
        "open_records": 0,
    }


SETTLED = {"settled_version": 2, "settled_run": "run-1", "settled_at_us": T0_US + 2}
EXPIRING = {"expire_at_us": T0_US + 2 + RETENTION_US}
PLACE = "flights/records/2026/11/23/b1"
ENCODE = {"stage": "encode", "indexes": [2, 0], "object": f"{PLACE}.jsonl", "generation": 7}
APPEND = {"stage": "append", "indexes": [5], "object": f"{PLACE}.ab12.jsonl", "generation": 8}
OPEN = {"rejected": 2, "rejected_indexes": [0, 2], "rejections": [ENCODE], "open_records": 2}
BOTH = {"rejected": 3, "rejected_indexes": [0, 2, 5], "rejections": [ENCODE, APPEND], "open_records": 3}
DEAD = {
    "status": "DEAD_LETTERED",
    "attempts": 2,
    "error_code": "INVALID_ARGUMENT",
    "storage_error": 7,
    "error": "field carrier is missing",
    "fingerprint": "f1",
    "dead_kind": "batch",
    "dead_object": "flights/batches/2026/11/23/b1.binpb",
    "dead_generation": 9,
    "dead_version": 2,
    "dead_at_us": T0_US + 2,
    **SETTLED,
}
COMMITTED = {"status": "COMMITTED", "attempts": 1, "latency_ms": 20, **SETTLED}


@pytest.mark.parametrize(
    ("outcome", "fields"),
    [
        ([committed("b1")], {**COMMITTED, "rows": 3, **EXPIRING}),
        ([rejected("b1", 2, 0), committed("b1", 1)], {**COMMITTED, "rows": 1, **OPEN}),
        ([committed("b1", 1), rejected("b1", 2, 0)], {**COMMITTED, "rows": 1, **OPEN}),
        (
            [rejected("b1", 2, 0), rejected_by_bigquery("b1", 5), committed("b1", 1)],
            {**COMMITTED, "rows": 1, **BOTH},
        ),
        ([superseded("b1")], {"status": "SUPERSEDED", **SETTLED, **EXPIRING}),
        ([dead("b1")], DEAD),
        ([rejected("b1", 2, 0), rejected_by_bigquery("b1", 5), dead("b1")], {**DEAD, **BOTH}),
    ],
    ids=[
        "committed",
        "with rejected records",
        "in the other order",
        "at two stages",
        "superseded",
        "dead",
        "dead, with rejected records",
    ],
)
def test_an_outcome_changes_only_what_it_says(outcome: list[Event], fields: dict[str, Any]) -> None:
    attempt = indexed([attempted("b1")]).batches["b1"]
    assert indexed([attempted("b1")], outcome).batches["b1"] == {**attempt, **fields}


@pytest.mark.parametrize("event", [replay("b1"), discarded("b1"), receipt_opened("r1", "b1")])
def test_a_source_lane_says_nothing_of_the_operators(event: Event) -> None:
    with pytest.raises(CorruptHistory, match="stands on lane 0; only lane ops may say so"):
        indexed([attempted("b1")], [event])


def test_a_list_of_batches_reads_every_field_there_is() -> None:
    batches = indexed([attempted("b1")], [rejected("b1", 1), committed("b1")]).batches
    assert {*batches["b1"], "expire_at_us", "recovered"} == set(BATCH_FIELDS)


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


def test_heartbeats_publications_and_pauses_write_no_index_document() -> None:
    assert indexed([heartbeat(), published(0), paused(), resumed()]) == IndexChanges()
