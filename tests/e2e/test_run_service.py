"""`POST /run` under gunicorn as the container has it, on the local stack."""

import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ops.local.process import free_port
from ops.local.storage_write_server import StorageWriteServer
from state.sqlite import SqliteJournal
from tests.conftest import BigQueryHosts
from tests.e2e.conftest import Pipeline

TRIGGERS = 50
FLIGHTS = 200
GUNICORN = ("--config", "python:ops.gunicorn_settings")
"""The settings of the image."""
TRACE = "0123456789abcdef0123456789abcdef"


@dataclass
class Answered:
    """What the service answered."""

    status: int
    body: dict[str, Any]


@dataclass
class Source:
    """An API of one page that it keeps back until it is let go."""

    gate: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    requests: int = 0
    url: str = ""

    @contextmanager
    def serving(self) -> Iterator["Source"]:
        source = self
        flights = [{"year": 2013, "month": 1, "day": 1 + n % 28, "flight": n} for n in range(FLIGHTS)]
        page = json.dumps({"flights": flights}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                source.requests += 1
                source.asked.set()
                source.gate.wait(120)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}/flights"
        try:
            yield self
        finally:
            self.gate.set()
            server.shutdown()
            server.server_close()


@dataclass
class Service:
    """gunicorn with the run service."""

    process: "subprocess.Popen[str]"
    url: str
    log: Path

    def get(self, path: str) -> Answered:
        return self._send(urllib.request.Request(self.url + path))  # noqa: S310 - loopback

    def trigger(self, number: int = 0) -> Answered:
        headers = {
            "X-CloudScheduler-JobName": "ingest",
            "X-CloudScheduler-ScheduleTime": "2026-02-02T00:10:00Z",
            "X-Cloud-Trace-Context": f"{TRACE}/{number};o=1",
        }
        return self._send(urllib.request.Request(f"{self.url}/run", b"", headers, method="POST"))  # noqa: S310 - loopback

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def _send(self, asked: urllib.request.Request) -> Answered:
        try:
            with urllib.request.urlopen(asked, timeout=150) as response:  # noqa: S310 - loopback
                return Answered(response.status, json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                return Answered(error.code, json.load(error))


@contextmanager
def served(pipeline: Pipeline, log: Path) -> Iterator[Service]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "ingestor.web:create_app()", *GUNICORN, "--bind", f"127.0.0.1:{port}"]
    with log.open("w") as out:
        process = subprocess.Popen(command, env={**pipeline.env, "AUTH": "none"}, stdout=out, stderr=out, text=True)
        service = Service(process, f"http://127.0.0.1:{port}", log)
        try:
            _wait_until_up(service)
            yield service
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait_until_up(service: Service) -> None:
    pause = threading.Event()
    for _ in range(600):
        assert service.process.poll() is None, service.log.read_text()
        try:
            assert service.get("/health") == Answered(200, {"status": "ok"})
        except urllib.error.URLError:
            pause.wait(0.1)
        else:
            return
    raise AssertionError(service.log.read_text())


@pytest.fixture
def source() -> Iterator[Source]:
    with Source().serving() as serving:
        yield serving


@pytest.fixture
def service(pipeline: Pipeline, source: Source, tmp_path: Path) -> Iterator[Service]:
    with served(pipeline.with_env(SOURCE_URL=source.url), tmp_path / "service.log") as serving:
        yield serving


def runs(pipeline: Pipeline) -> list[dict[str, Any]]:
    journal = SqliteJournal(pipeline.env["LEDGER"].removeprefix("sqlite:///"), "flights")
    try:
        return [dict(run) for run in journal.list_runs()]
    finally:
        journal.close()


def test_fifty_triggers_at_once_are_one_run_and_forty_nine_skips(
    service: Service, source: Source, pipeline: Pipeline
) -> None:
    unready = service.get("/ready")
    assert (unready.status, unready.body["ready"]) == (503, False)
    assert "doesn't exist" in " ".join(unready.body["missing"])
    pipeline.apply_schema()
    assert service.get("/ready") == Answered(200, {"ready": True, "missing": []})
    with ThreadPoolExecutor(TRIGGERS) as pool:
        answers = []
        for done in as_completed([pool.submit(service.trigger, number) for number in range(TRIGGERS)]):
            answers.append(done.result())
            if len(answers) == TRIGGERS - 1:
                source.gate.set()
    assert Counter((each.status, each.body["status"]) for each in answers) == {
        (200, "skipped"): TRIGGERS - 1,
        (200, "complete"): 1,
    }
    summary = answers[-1].body
    assert (summary["rows_committed"], summary["balanced"], summary["lane"]) == (FLIGHTS, True, "0")
    assert pipeline.count("flights_dedup") == FLIGHTS
    (run,) = runs(pipeline)
    assert run["trigger"] == "scheduler ingest 2026-02-02T00:10:00Z"
    (finished,) = service.events("run.finished")
    assert finished["logging.googleapis.com/trace"] == f"projects/{pipeline.env['GCP_PROJECT_ID']}/traces/{TRACE}"
    assert len(service.events("run.skipped")) == TRIGGERS - 1


def test_on_sigterm_the_run_ends_as_partial_and_is_answered(
    service: Service, source: Source, pipeline: Pipeline
) -> None:
    pipeline.apply_schema()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(service.trigger)
        assert source.asked.wait(60)
        service.process.send_signal(signal.SIGTERM)
        answer = asked.result(timeout=60)
    assert (answer.status, answer.body["status"], answer.body["balanced"]) == (200, "partial", True)
    assert service.process.wait(timeout=60) == 0
    assert [run["status"] for run in runs(pipeline)] == ["partial"]


def test_a_run_that_cannot_open_the_ledger_or_finds_no_table_answers_500_with_a_summary(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    with served(pipeline, tmp_path / "first.log") as service:
        answer = service.trigger()
    assert (answer.status, answer.body["status"]) == (500, "failed")
    assert "doesn't exist" in answer.body["error"]
    broken = tmp_path / "folder.db"
    broken.mkdir()
    with served(pipeline.with_env(LEDGER=f"sqlite:///{broken}"), tmp_path / "second.log") as service:
        answer = service.trigger()
    assert (answer.status, answer.body["status"], answer.body["run_id"]) == (500, "failed", None)
    assert "ledger file" in answer.body["error"]


@pytest.mark.parametrize("runs", [3, pytest.param(20, marks=pytest.mark.long)])
def test_an_outage_is_500_all_along_and_200_once_it_is_over(
    pipeline: Pipeline, source: Source, bigquery: BigQueryHosts, tmp_path: Path, runs: int
) -> None:
    source.gate.set()
    with StorageWriteServer(forward=bigquery.grpc_host) as server:
        proxied = pipeline.with_env(
            SOURCE_URL=source.url,
            BIGQUERY_STORAGE_EMULATOR_HOST=server.host,
            BATCH_MAX_ROWS="50",
            APPEND_MAX_ATTEMPTS="2",
        )
        proxied.apply_schema()
        server.play([{"do": {"end": "PERMISSION_DENIED", "message": "Permission 'TABLES_UPDATE_DATA' denied"}}])
        with served(proxied, tmp_path / "service.log") as service:
            answers = [service.trigger()]
            fetched = source.requests
            answers += [service.trigger() for _ in range(runs - 1)]
            assert {(each.status, each.body["status"], each.body["balanced"]) for each in answers} == {
                (500, "failed", True)
            }
            assert source.requests == fetched
            server.play([])
            healed = service.trigger()
    assert (healed.status, healed.body["status"], healed.body["balanced"]) == (200, "complete", True)
    assert pipeline.count("flights_dedup") == FLIGHTS
