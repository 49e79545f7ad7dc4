"""The run service's door, and what it makes of a request, without a run."""

import gc
import io
import json
import os
import sys
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ingestor.bootstrap import open_journal, open_ledger
from ingestor.callers import Callers
from ingestor.certificates import Certificates
from ingestor.errors import ConfigurationError
from ingestor.lean import TURN_S, YOUNG_OBJECTS
from ingestor.logs import configure
from ingestor.run import Result, Run
from ingestor.triggers import LONGEST_LABEL, trace, trigger
from ingestor.web import create_app
from state.events import Paused
from tests.tokens import AUDIENCE, INVOKER, OPERATOR, Issuer
from tests.unit.ops.apps import BASE, config

NO_SUCH_PARTITION = "/run?partition=7"
"""Answers 400 to whoever is let in, and runs nothing."""


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer().serving() as serving:
        yield serving


def app_with(log: io.StringIO, **settings: str) -> Flask:
    configured = config(**settings)
    return create_app(configured, log=configure("ingestor", "flights", stream=log), signals=False)


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def client(issuer: Issuer, log: io.StringIO) -> FlaskClient:
    settings = {"AUTH": "oidc", "AUTH_AUDIENCE": AUDIENCE, "AUTH_INVOKERS": INVOKER, "AUTH_OPERATORS": OPERATOR}
    return app_with(log, **settings, AUTH_CERTS_URL=issuer.certs_url).test_client()


def refused(log: io.StringIO) -> list[str]:
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line["code"] for line in lines if line["event"] == "auth.refused"]


def test_an_invoker_is_let_in_and_nobody_else(client: FlaskClient, issuer: Issuer, log: io.StringIO) -> None:
    assert client.post(NO_SUCH_PARTITION, headers=issuer.bearer(INVOKER)).status_code == 400
    assert client.post(NO_SUCH_PARTITION, headers=issuer.bearer(OPERATOR)).status_code == 403
    assert client.post(NO_SUCH_PARTITION).status_code == 401
    assert client.get("/nowhere").status_code == 401
    assert refused(log) == ["not_invoker", "no_token", "no_token"]


@pytest.mark.parametrize("partition", ["1", "-1", "x", "", "٣", "1e3", "99999999999999999999", "0x0", "'; DROP"])
def test_a_partition_that_does_not_exist_is_refused_in_words(
    client: FlaskClient, issuer: Issuer, partition: str
) -> None:
    answer = client.post("/run", query_string={"partition": partition}, headers=issuer.bearer(INVOKER))
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert "of 1: they are numbered from 0" in answer.get_json()["detail"]


@pytest.fixture
def paused(tmp_path: Path) -> dict[str, str]:
    """Settings of a source of three partitions, lane 2 paused: a run of it reaches nothing and is skipped."""
    settings = {
        "LEDGER": f"sqlite:///{tmp_path / 'ledger.db'}",
        "SOURCE_URL": "http://127.0.0.1:1/{partition}",
        "SOURCE_PARTITIONS": "3",
        **dict.fromkeys(("STORAGE_EMULATOR_HOST", "BIGQUERY_STORAGE_EMULATOR_HOST"), "127.0.0.1:1"),
    }
    journal = open_journal(config(**settings))
    lane = open_ledger(config(**settings), journal, "2")
    lane.open()
    lane.append([Paused(actor="me", reason="a test")], run_id="me")
    journal.close()
    return settings


def test_a_partition_is_run_on_the_lane_of_its_number(log: io.StringIO, paused: dict[str, str]) -> None:
    answer = app_with(log, **paused).test_client().post("/run?partition=2")
    summary = answer.get_json()
    assert (answer.status_code, summary["status"], summary["lane"]) == (200, "skipped", "2")


def test_the_service_tunes_its_process_for_runs(log: io.StringIO, paused: dict[str, str]) -> None:
    before = sys.getswitchinterval()
    try:
        app_with(log, **paused).test_client().post("/run?partition=2")
        assert sys.getswitchinterval() == pytest.approx(TURN_S)
    finally:
        sys.setswitchinterval(before)


def test_the_service_gives_back_what_a_run_leaves_in_cycles(
    log: io.StringIO, paused: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[weakref.ref[Run]] = []
    ordinary = Run.execute

    def execute(self: Run) -> Result:
        self.itself = self  # type: ignore[attr-defined] # as clients and their sessions hold each other
        left.append(weakref.ref(self))
        return ordinary(self)

    monkeypatch.setattr(Run, "execute", execute)
    client = app_with(log, **paused).test_client()
    gc.disable()
    try:
        assert client.post("/run?partition=2").get_json()["status"] == "skipped"
        assert [reference() for reference in left] == [None]
    finally:
        gc.enable()


def test_the_command_tunes_its_process_for_runs(paused: dict[str, str]) -> None:
    said = "print(gc.get_threshold()[0], round(sys.getswitchinterval(), 6))"
    code = f"import atexit, gc, sys; atexit.register(lambda: {said}); from ingestor.cli import main; main()"
    env = {**os.environ, **BASE, **paused}
    command = [sys.executable, "-c", code, "run", "--quiet", "--partition", "2"]
    done = run(command, env=env, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == f"{YOUNG_OBJECTS} {TURN_S}"


def test_health_is_for_everybody_and_tells_nothing(client: FlaskClient) -> None:
    answer = client.get("/health")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})


def test_what_is_missing_is_named_only_to_invokers(
    client: FlaskClient, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestor.readiness.missing", lambda *_: ["table flights doesn't exist"])
    answer = client.get("/ready")
    assert (answer.status_code, answer.get_json()) == (503, {"ready": False})
    told = client.get("/ready", headers=issuer.bearer(INVOKER))
    assert told.get_json() == {"ready": False, "missing": ["table flights doesn't exist"]}


def test_a_page_of_another_site_cannot_start_a_run_on_a_laptop(log: io.StringIO) -> None:
    client = app_with(log).test_client()
    assert client.post(NO_SUCH_PARTITION).status_code == 400
    assert client.post(NO_SUCH_PARTITION, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post(NO_SUCH_PARTITION, headers={"Origin": "https://evil.example.com"}).status_code == 403
    assert client.post(NO_SUCH_PARTITION, headers={"Host": "evil.example.com"}).status_code == 403


def test_no_answer_is_kept_by_anybody(client: FlaskClient) -> None:
    assert client.get("/nowhere").headers["Cache-Control"] == "no-store"
    assert client.get("/nowhere").headers["WWW-Authenticate"] == "Bearer"


def test_a_fault_answers_500_without_saying_anything_of_itself(log: io.StringIO) -> None:
    class Broken(Callers):
        def caller(self, _: object) -> Any:
            raise RuntimeError("a secret")

    configured = config()
    app = create_app(
        configured,
        callers=Broken(configured, Certificates("")),
        log=configure("ingestor", "flights", stream=log),
        signals=False,
    )
    answer = app.test_client().get("/ready")
    assert answer.status_code == 500
    assert "secret" not in answer.text + log.getvalue()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"AUTH": "none", "K_SERVICE": "ingestor"}, "AUTH: must not be none on Cloud Run"),
        ({"AUTH": "platform"}, "AUTH: platform trusts Cloud Run's check"),
        ({"AUTH": "oidc"}, "AUTH_AUDIENCE: is missing"),
        ({"AUTH": "iap"}, "AUTH_AUDIENCE: is missing"),
        (
            {"AUTH": "oidc", "AUTH_AUDIENCE": "a", "AUTH_CERTS_URL": "http://keys.example.com/"},
            "AUTH_CERTS_URL: should be https",
        ),
    ],
)
def test_a_service_whose_door_would_stand_open_does_not_start(settings: Mapping[str, str], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        create_app(config(**settings), signals=False)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "http ann@example.com"),
        ({"X-CloudScheduler": "true"}, "scheduler"),
        (
            {"X-CloudScheduler-JobName": "ingest", "X-CloudScheduler-ScheduleTime": "2026-02-02T00:10:00Z"},
            "scheduler ingest 2026-02-02T00:10:00Z",
        ),
        ({"X-CloudScheduler-JobName": "a\r\nX-Evil: 1\x00\x1b[31m"}, "scheduler a X-Evil: 1 [31m"),
        ({"X-CloudScheduler-JobName": "j" * 10_000}, ("scheduler " + "j" * 10_000)[:LONGEST_LABEL]),
    ],
)
def test_the_trigger_is_a_label_of_one_printable_line(headers: Mapping[str, str], expected: str) -> None:
    assert trigger(headers.get, "ann@example.com") == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Cloud-Trace-Context": f"{'A' * 32}/1;o=1"}, "a" * 32),
        ({"X-Cloud-Trace-Context": "a" * 32}, "a" * 32),
        ({"traceparent": f"00-{'b' * 32}-{'c' * 16}-01"}, "b" * 32),
        ({"X-Cloud-Trace-Context": "../../x"}, None),
        ({"X-Cloud-Trace-Context": f"{'a' * 31}/1"}, None),
        ({}, None),
    ],
)
def test_the_trace_is_taken_only_in_its_own_form(headers: Mapping[str, str], expected: str | None) -> None:
    assert trace(headers.get, "p") == (expected and f"projects/p/traces/{expected}")
