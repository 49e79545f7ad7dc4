"""Partitions of a source: a lane each, in processes that know nothing of each other but the ledger."""

import json
import subprocess
from datetime import date

import pytest

from ops.local.proof import prove
from ops.local.services import DemoApi
from tests.e2e.conftest import Pipeline

PARTITIONS = 8
DAYS = (date(2013, 1, 1), date(2013, 1, 4))


@pytest.mark.firestore
def test_eight_processes_on_one_ledger_bring_the_whole_source_once(on_firestore: Pipeline, demo_api: DemoApi) -> None:
    on_firestore.apply_schema()
    shared = on_firestore.with_env(
        SOURCE_URL=demo_api.source_url(*DAYS, partitions=PARTITIONS),
        SOURCE_PARTITIONS=str(PARTITIONS),
        SOURCE_PAGE_SIZE="100",
        BATCH_MAX_ROWS="100",
    )
    last = str(PARTITIONS - 1)
    tasks = [shared.with_env(CLOUD_RUN_TASK_INDEX=str(number)) for number in range(PARTITIONS - 1)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [task.start("run", "--json", **pipes) for task in tasks]
    started.append(shared.start("run", "--json", "--partition", last, **pipes))
    ended = [(*process.communicate(timeout=300), process.returncode) for process in started]
    assert [code for _, _, code in ended] == [0] * PARTITIONS, [err for _, err, _ in ended]
    summaries = [json.loads(out.splitlines()[-1]) for out, _, _ in ended]
    assert sorted(summary["lane"] for summary in summaries) == [str(number) for number in range(PARTITIONS)]
    proof = prove(on_firestore.tables, "flights", *DAYS)
    assert proof.holds, proof.lines()
    assert sum(summary["rows_committed"] for summary in summaries) == proof.source == proof.view
    assert shared.here("ledger", "verify").code == 0
    status = json.loads(shared.here("status", "--json").out)
    lanes = {lane["lane"]: lane for lane in status["lanes"]}
    assert sorted(lanes) == [str(number) for number in range(PARTITIONS)]
    assert all(lane["checkpoint"] and lane["lag_s"] is not None and lane["in_doubt"] == 0 for lane in lanes.values())


@pytest.mark.parametrize(
    ("partition", "index", "line"),
    [("2", None, "partition 2 of 2: they are numbered from 0"), (None, "5", "partition 5 of 2: they are numbered")],
)
def test_a_partition_that_there_is_not_is_refused(
    pipeline: Pipeline, demo_api: DemoApi, partition: str | None, index: str | None, line: str
) -> None:
    shared = pipeline.with_env(
        SOURCE_URL=demo_api.source_url(partitions=2), SOURCE_PARTITIONS="2", CLOUD_RUN_TASK_INDEX=index
    )
    done = shared.here("run", *(("--partition", partition) if partition else ()))
    assert done.code == 64
    assert line in done.err
