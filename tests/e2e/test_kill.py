"""SIGKILL at any instant of a run: the next one makes it good. Judged by the view against the source.

`make test-long` sets INGESTOR_KILLS to a larger number; the figures of the last such run stand in `docs/proof.md`.
"""

import os
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from ingestor.bootstrap import open_journal
from ingestor.config import load
from ops.local.flights import JANUARY
from ops.local.proof import COLUMNS, prove
from state.verify import verify_pipeline
from tests.conftest import PROJECT
from tests.e2e.conftest import Pipeline

KILLS = int(os.environ.get("INGESTOR_KILLS", "20"))
SEED = int(os.environ.get("INGESTOR_SEED", "20130101"))
REPORT = os.environ.get("INGESTOR_KILL_REPORT", "")
"""File that gets a line of figures from each group, to be committed to `docs/proof.md`."""
GROUPS = 2
"""The kills are dealt to this many tests, so that they can share the machine's processors."""
FLIGHTS = 27_004


def kill_at(pipeline: Pipeline, seconds: float) -> bool:
    """Start a run and kill it after so many seconds from its first log line; tell whether it was still alive."""
    process = pipeline.start("run", "--json", "--takeover", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)
        alive = process.poll() is None
        process.kill()
    return alive


def seconds_of(pipeline: Pipeline) -> float:
    """Run to the end; return the seconds from the first log line, as `kill_at` counts them, to the last."""
    process = pipeline.start("run", "--json", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        began_s = last_s = time.monotonic()
        for _ in process.stdout:
            last_s = time.monotonic()
    assert process.returncode == 0
    return last_s - began_s


def differences(pipeline: Pipeline, found: str, wanted: str) -> list[dict[str, Any]]:
    """Return the rows that the view of one table shows more or less often than that of the other, nulls included."""
    names, columns = f"{PROJECT}.{pipeline.tables.dataset}", ", ".join(COLUMNS)
    each = (f"SELECT {columns}, {n} AS n FROM `{names}.{table}_dedup`" for table, n in ((found, 1), (wanted, -1)))  # noqa: S608 - names of ours
    sql = f"SELECT {columns}, SUM(n) AS n FROM ({' UNION ALL '.join(each)}) GROUP BY {columns} HAVING SUM(n) <> 0"  # noqa: S608 - likewise
    return pipeline.tables.query(sql)


@pytest.mark.firestore
@pytest.mark.timeout(max(900, 60 * KILLS))  # ten kills and their repairs take a minute or two, more on a busy machine
@pytest.mark.parametrize("group", range(GROUPS))
def test_a_run_killed_at_a_random_instant_is_made_good_by_the_next(on_firestore: Pipeline, group: int) -> None:
    chance = random.Random(SEED + group)  # noqa: S311 - a seeded choice of instants
    on_firestore.apply_schema()
    longest_s = seconds_of(on_firestore.with_env(BATCH_MAX_ROWS="1500"))
    whole = prove(on_firestore.tables, "flights", *JANUARY)
    assert whole.holds, whole.lines()
    assert whole.view == FLIGHTS
    killed = 0
    for number in range(group, KILLS, GROUPS):
        table = f"flights{number}"
        pipeline = on_firestore.with_env(
            BQ_TABLE_ID=table, PIPELINE_ID=f"{on_firestore.env['PIPELINE_ID']}-{number}", BATCH_MAX_ROWS="1500"
        )
        pipeline.apply_schema()
        instant_s = chance.uniform(0, longest_s)
        alive = kill_at(pipeline, instant_s)
        killed += alive
        longest_s = longest_s if alive else min(longest_s, instant_s)  # the first run is slower: the emulators are new
        done = pipeline.run("--takeover")
        story = f"seed {SEED}, kill {number} after {instant_s:.3f} s: {done.err}"
        assert done.code == 0, story
        assert done.summary["balanced"], story
        # Against the run that nobody killed, which was held against the source row by row: that costs seconds a time.
        assert differences(pipeline, table, "flights")[:3] == [], story
        assert pipeline.count(f"{table}_dedup") == FLIGHTS, story
        journal = open_journal(load(pipeline.env))
        assert verify_pipeline(journal, pipeline.env["PIPELINE_ID"]) == [], story
        journal.close()
    verified = pipeline.ingestor("ledger", "verify")
    assert verified.code == 0, verified.err
    assert killed > KILLS // GROUPS // 2, "too few runs were alive when their kill came"
    if REPORT:
        runs = len(range(group, KILLS, GROUPS))
        with Path(REPORT).open("a", encoding="utf-8") as report:
            report.write(
                f"seed {SEED}: {runs} kills, {killed} while alive; lost 0, doubled 0, unexpected 0, recovered {runs}\n"
            )
