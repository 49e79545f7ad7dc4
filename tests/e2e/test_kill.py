"""SIGKILL at any instant of a run: the next one makes it good. Judged by the view against the source.

`make test-long` sets INGESTOR_KILLS to a larger number; the figures of the last such run stand in `docs/proof.md`.
"""

import os
import random
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ingestor.bootstrap import open_journal
from ingestor.config import load
from ingestor.tables import Tables
from ops.local.flights import records
from ops.local.proof import COLUMNS, prove
from ops.local.services import DemoApi
from state.verify import verify_pipeline
from tests.conftest import PROJECT
from tests.e2e.conftest import Pipeline

KILLS = int(os.environ.get("INGESTOR_KILLS", "20"))
SEED = int(os.environ.get("INGESTOR_SEED", "20130101"))
REPORT = os.environ.get("INGESTOR_KILL_REPORT", "")
"""File that gets a line of figures, to be committed to `docs/proof.md`."""
AT_ONCE = 2
"""Kills under way at the same time, for the machine's processors."""
DAYS = (date(2013, 1, 1), date(2013, 1, 4))
FLIGHTS = len(records(*DAYS))


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


_NEAR_THE_END = 0.9


class Instants:
    """Seconds after which runs are killed: at random, as long as a run may take."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._lock = threading.Lock()

    def draw(self, number: int) -> float:
        """Return one."""
        return random.Random(SEED * 100_000 + number).uniform(0, self._longest_s)  # noqa: S311 - a seeded choice

    def met(self, seconds: float, *, alive: bool) -> None:
        """Follow what a run takes beside others: less than this if it had ended, more if it lived at the very end."""
        with self._lock:
            if not alive:
                self._longest_s = min(self._longest_s, seconds)
            elif seconds > _NEAR_THE_END * self._longest_s:
                self._longest_s /= _NEAR_THE_END


def killed_and_made_good(whole: Pipeline, number: int, instants: Instants) -> bool:
    """Kill a run into a table of its own, run again, and judge; tell whether the kill met a living run."""
    table = f"flights{number}"
    with Tables(PROJECT, whole.tables.dataset, whole.env["BIGQUERY_EMULATOR_HOST"]) as tables:
        named = {"BQ_TABLE_ID": table, "PIPELINE_ID": f"{whole.env['PIPELINE_ID']}-{number}"}
        pipeline = replace(whole.with_env(**named), tables=tables)
        pipeline.apply_schema()
        instant_s = instants.draw(number)
        alive = kill_at(pipeline, instant_s)
        instants.met(instant_s, alive=alive)
        done = pipeline.run("--takeover")
        story = f"seed {SEED}, kill {number} after {instant_s:.3f} s: {done.err}"
        assert done.code == 0, story
        assert done.summary["balanced"], story
        # Against the run that nobody killed, which was held against the source row by row: that costs seconds a time.
        assert differences(pipeline, table, "flights")[:3] == [], story
        assert pipeline.count(f"{table}_dedup") == FLIGHTS, story
    with closing(open_journal(load(pipeline.env))) as journal:
        assert verify_pipeline(journal, pipeline.env["PIPELINE_ID"]) == [], story
    return alive


@pytest.mark.firestore
@pytest.mark.timeout(max(900, 60 * KILLS))  # twenty and their repairs take a minute
def test_runs_killed_at_random_instants_are_each_made_good_by_the_next(
    on_firestore: Pipeline, demo_api: DemoApi
) -> None:
    whole = on_firestore.with_env(SOURCE_URL=demo_api.source_url(*DAYS), SOURCE_PAGE_SIZE="500", BATCH_MAX_ROWS="150")
    whole.apply_schema()
    instants = Instants(seconds_of(whole))
    proof = prove(whole.tables, "flights", *DAYS)
    assert proof.holds, proof.lines()
    assert proof.view == FLIGHTS
    with ThreadPoolExecutor(AT_ONCE) as pool:
        alive = sum(pool.map(lambda number: killed_and_made_good(whole, number, instants), range(KILLS)))
    last = whole.with_env(BQ_TABLE_ID=f"flights{KILLS - 1}", PIPELINE_ID=f"{whole.env['PIPELINE_ID']}-{KILLS - 1}")
    verified = last.ingestor("ledger", "verify")
    assert verified.code == 0, verified.err
    assert alive > KILLS // 2, "too few runs were alive when their kill came"
    if REPORT:
        told = f"seed {SEED}: {KILLS} kills, {alive} while alive; lost 0, doubled 0, unexpected 0, recovered {KILLS}\n"
        Path(REPORT).write_text(told, encoding="utf-8")
