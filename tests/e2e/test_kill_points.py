"""Real processes at named points: killed at every one, stopped and woken as zombies, started twice, cut off between
apply and answer. Judged by SQL on the view against the source.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date

import pytest

from ingestor.bootstrap import open_journal
from ingestor.config import load
from ops.local.flights import records
from ops.local.proof import prove
from ops.local.services import DemoApi
from ops.local.storage_write_server import StorageWriteServer
from state.verify import verify_pipeline
from tests.conftest import BigQueryHosts
from tests.e2e.conftest import Done, Pipeline
from tests.e2e.dying import POINTS

DAYS = (date(2013, 1, 1), date(2013, 1, 4))
TELLING = ("batch_attempted:after", "append:before", "append:after", "batch_committed:after", "publish:before")
"""Where what is durable differs most from what is known; `make test-long` takes every point, each on a new ledger:
three deaths at one checkpoint are answered by another way to run.
"""
FLIGHTS = sum(1 for _ in records(*DAYS))


@pytest.fixture
def three_days(pipeline: Pipeline, demo_api: DemoApi) -> Pipeline:
    """Three days of flights in many small batches; the tables are there."""
    source = demo_api.source_url(*DAYS)
    made = pipeline.with_env(SOURCE_URL=source, SOURCE_PAGE_SIZE="700", BATCH_MAX_ROWS="60", MAX_IN_FLIGHT="2")
    made.apply_schema()
    return made


def start_dying(
    pipeline: Pipeline, point: str, *arguments: str, with_signal: str = "SIGKILL", aged: float = 0.0
) -> "subprocess.Popen[str]":
    """Start a run that stops itself when it comes to a point, for the second time where there are many batches."""
    many = point.startswith(("append", "batch_"))
    stop = [point, "2" if many else "1", with_signal, str(aged)]
    command = [sys.executable, "-m", "tests.e2e.dying", *stop, "--", "run", "--json", *arguments]
    return subprocess.Popen(command, env=dict(pipeline.env), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process: "subprocess.Popen[str]") -> Done:
    """Wait for a process."""
    with process:
        out, err = process.communicate(timeout=120)
    return Done(process.returncode, out, err)


def holds(pipeline: Pipeline) -> None:
    """Judge: the view is the source, value by value, and the history is whole."""
    proof = prove(pipeline.tables, "flights", *DAYS)
    assert proof.holds, proof.lines()
    assert proof.view == FLIGHTS
    journal = open_journal(load(pipeline.env))
    try:
        assert verify_pipeline(journal, load(pipeline.env).pipeline_id) == []
    finally:
        journal.close()


def killed_at(pipeline: Pipeline, point: str) -> None:
    """Kill a run at a point; a reader sees nothing then that is not in the source, and nothing twice."""
    assert ended(start_dying(pipeline, point, "--takeover")).code == -signal.SIGKILL, f"no run came to {point}"
    proof = prove(pipeline.tables, "flights", *DAYS)
    assert not proof.unexpected, f"after {point}: {proof.lines()}"


def made_good(pipeline: Pipeline) -> None:
    """One more run, that nobody kills, brings all."""
    done = pipeline.run("--takeover")
    assert (done.code, done.summary["status"], done.summary["balanced"]) == (0, "complete", True), done.err
    holds(pipeline)


@pytest.mark.long
@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_at_any_named_point_is_made_good_by_the_next(three_days: Pipeline, point: str) -> None:
    killed_at(three_days, point)
    made_good(three_days)


def test_runs_killed_at_the_most_telling_points_one_after_the_other_are_made_good_by_the_next(
    three_days: Pipeline,
) -> None:
    for point in TELLING:
        killed_at(three_days, point)
    made_good(three_days)


@pytest.mark.firestore
def test_a_zombie_that_wakes_after_it_was_found_stale_stops_at_its_next_ledger_write(
    three_days: Pipeline, on_firestore: Pipeline
) -> None:
    pipeline = three_days.with_env(**{name: on_firestore.env[name] for name in ("LEDGER", "FIRESTORE_EMULATOR_HOST")})
    with start_dying(pipeline, "append:before", with_signal="SIGSTOP") as zombie:
        wait_stopped(zombie)
        live = pipeline.run()
        assert live.summary["status"] == "skipped", "a run that was heard of just now is alive"
        successor = ended(start_dying(pipeline, "nowhere:at", aged=1000.0))  # the server's clock, 1000 s later
        assert (successor.code, successor.summary["status"]) == (0, "complete"), successor.err
        holds(pipeline)
        zombie.send_signal(signal.SIGCONT)
        out, err = zombie.communicate(timeout=120)
    summary = json.loads(out.splitlines()[-1])
    assert (zombie.returncode, summary["status"], summary["balanced"]) == (3, "failed", True), err
    assert "another run took over" in summary["error"]
    holds(pipeline)


def wait_stopped(process: "subprocess.Popen[str]") -> None:
    """Return once the process stopped itself."""
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), f"it ended instead: {status}"


@pytest.mark.parametrize("takeover", [pytest.param(False, marks=pytest.mark.long), True])
def test_two_runs_started_at_once_show_every_row_once(three_days: Pipeline, *, takeover: bool) -> None:
    arguments = ["--takeover"] if takeover else []
    both = [start_dying(three_days, "nowhere:at", *arguments) for _ in range(2)]
    done = [ended(process) for process in both]
    assert {run.summary["status"] for run in done} <= {"complete", "skipped", "failed"}
    assert all(run.summary["balanced"] for run in done)
    last = three_days.run("--takeover")
    assert (last.code, last.summary["status"]) == (0, "complete"), last.err
    holds(three_days)


@pytest.fixture
def cut_off(three_days: Pipeline, bigquery: BigQueryHosts) -> Iterator[Pipeline]:
    """The same, the connection to BigQuery ending again and again after rows were applied and before the answer."""
    with StorageWriteServer(forward=bigquery.grpc_host) as server:
        server.play(
            [
                {"on": {"request": number}, "do": {"end": "UNAVAILABLE", "when": "after"}, "times": 1}
                for number in (2, 5, 6, 11)
            ]
        )
        yield three_days.with_env(BIGQUERY_STORAGE_EMULATOR_HOST=server.host)


def test_a_connection_cut_between_apply_and_answer_doubles_rows_that_nobody_sees(cut_off: Pipeline) -> None:
    done = cut_off.run()
    assert (done.code, done.summary["status"], done.summary["balanced"]) == (0, "complete", True), done.err
    proof = prove(cut_off.tables, "flights", *DAYS)
    assert proof.raw > proof.source, "no row was sent twice: the connection was not cut after an apply"
    holds(cut_off)
