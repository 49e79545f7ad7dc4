"""SIGKILL at any instant of a run: the next one makes it good. Judged by the view against the source.

`make test-long` sets INGESTOR_KILLS to a larger number; the figures of the last such run stand in `docs/proof.md`.
"""

import os
import random
import signal
import subprocess
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
FLIGHTS = 2_699


def kill_at(pipeline: Pipeline, lines: int, seconds: float) -> bool:
    """Start a run and kill it so many seconds after so many log lines; tell whether its summary had not come yet."""
    process = pipeline.start("run", "--json", "--takeover", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        time.sleep(seconds)
        process.kill()
        alive = not any('"batches_attempted"' in line for line in (*said, *process.stdout))
    assert process.returncode in {0, -signal.SIGKILL}, f"it ended by itself with {process.returncode}"
    return alive


def lines_of(pipeline: Pipeline) -> int:
    """Run to the end; return how many lines it logs before its summary."""
    done = pipeline.run()
    assert done.code == 0
    return len(done.out.splitlines()) - 1


def differences(pipeline: Pipeline, found: str, wanted: str) -> list[dict[str, Any]]:
    """Return the rows that the view of one table shows more or less often than that of the other, nulls included."""
    names, columns = f"{PROJECT}.{pipeline.tables.dataset}", ", ".join(COLUMNS)
    each = (f"SELECT {columns}, {n} AS n FROM `{names}.{table}_dedup`" for table, n in ((found, 1), (wanted, -1)))  # noqa: S608 - names of ours
    sql = f"SELECT {columns}, SUM(n) AS n FROM ({' UNION ALL '.join(each)}) GROUP BY {columns} HAVING SUM(n) <> 0"  # noqa: S608 - likewise
    return pipeline.tables.query(sql)


LONGEST_AFTER_S = 0.1
"""A kill comes at most so long after the log line that it waits for: longer than most effects take."""


def instant(number: int, lines: int) -> tuple[int, float]:
    """Return after which log line of a run, and how many seconds after it, the kill of this number comes."""
    chance = random.Random(SEED * 100_000 + number)  # noqa: S311 - a seeded choice
    return chance.randint(1, lines), chance.uniform(0, LONGEST_AFTER_S)


def killed_and_made_good(whole: Pipeline, number: int, lines: int) -> bool:
    """Kill a run into a table of its own, run again, and judge; tell whether the kill met a living run."""
    table = f"flights{number}"
    with Tables(PROJECT, whole.tables.dataset, whole.env["BIGQUERY_EMULATOR_HOST"]) as tables:
        named = {"BQ_TABLE_ID": table, "PIPELINE_ID": f"{whole.env['PIPELINE_ID']}-{number}"}
        pipeline = replace(whole.with_env(**named), tables=tables)
        pipeline.apply_schema()
        line, after_s = instant(number, lines)
        alive = kill_at(pipeline, line, after_s)
        done = pipeline.run("--takeover")
        story = f"seed {SEED}, kill {number} {after_s:.3f} s after line {line} of {lines}: {done.err}"
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
    lines = lines_of(whole)
    assert lines > FLIGHTS // 150, "a line for each batch says where in the run a kill comes"
    proof = prove(whole.tables, "flights", *DAYS)
    assert proof.holds, proof.lines()
    assert proof.view == FLIGHTS
    with ThreadPoolExecutor(AT_ONCE) as pool:
        alive = sum(pool.map(lambda number: killed_and_made_good(whole, number, lines), range(KILLS)))
    last = whole.with_env(BQ_TABLE_ID=f"flights{KILLS - 1}", PIPELINE_ID=f"{whole.env['PIPELINE_ID']}-{KILLS - 1}")
    verified = last.ingestor("ledger", "verify")
    assert verified.code == 0, verified.err
    assert alive > KILLS // 2, "too few runs were alive when their kill came"
    if REPORT:
        what = f"seed {SEED}: {KILLS} kills over {FLIGHTS} rows, {alive} while alive"
        told = f"{what}; lost 0, doubled 0, unexpected 0, recovered {KILLS}\n"
        Path(REPORT).write_text(told, encoding="utf-8")
