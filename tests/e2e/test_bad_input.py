"""What a user or the world gets wrong: one line that says what, where and what to do; the right code; nothing lost."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ops.local.process import free_port
from ops.local.services import DemoApi, request_json
from tests.conftest import PROJECT
from tests.e2e.conftest import Done, Pipeline

FLIGHTS = 5_000


def refused(done: Done, code: int, *words: str) -> None:
    """One line on stderr that holds the words, and the exit code."""
    assert done.code == code, (done.code, done.err)
    assert len(done.err.strip().splitlines()) == 1, done.err
    for word in words:
        assert word in done.err
    assert "Traceback" not in done.out + done.err


@pytest.fixture
def small(pipeline: Pipeline, demo_api: DemoApi) -> Pipeline:
    """The first 5,000 flights, in pages of 1,000."""
    demo_api.admin(visible=FLIGHTS)
    return pipeline.with_env(SOURCE_PAGE_SIZE="1000", BATCH_MAX_ROWS="1000")


def closed_port() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"GCP_PROJECT_ID": None}, ("GCP_PROJECT_ID", "missing")),
        ({"MESSAGE_TYPE": "flights.Fligth"}, ("flights.Fligth", "flights.Flight", "make proto")),
        ({"BATCH_MAX_ROWS": "many"}, ("BATCH_MAX_ROWS", "many")),
        ({"SOURCE_PAGINATION": "high_water_mark"}, ("SOURCE_CURSOR_FIELD", "missing")),
    ],
)
def test_a_configuration_that_describes_no_run_is_refused(
    small: Pipeline, changed: Mapping[str, str | None], words: tuple[str, ...]
) -> None:
    small.apply_schema()
    refused(small.with_env(**changed).run_here(), 2, *words)


def test_every_problem_of_the_configuration_is_reported_at_once(small: Pipeline) -> None:
    done = small.with_env(GCP_PROJECT_ID=None, DEAD_LETTER_BUCKET=None, MAX_IN_FLIGHT="0").run_here()
    assert done.code == 2
    for name in ("GCP_PROJECT_ID", "DEAD_LETTER_BUCKET", "MAX_IN_FLIGHT"):
        assert name in done.err


def test_a_ledger_that_cannot_be_opened_is_told_in_the_summary_too(small: Pipeline, tmp_path: Path) -> None:
    done = small.with_env(LEDGER=f"sqlite:///{tmp_path}").run_here()
    refused(done, 3, str(tmp_path))
    assert (done.summary["status"], done.summary["run_id"], done.summary["lane"]) == ("failed", None, "0")
    assert f"ingestor: {done.summary['error']}" == done.err.strip()


def test_a_command_that_is_used_wrongly_ends_with_64(small: Pipeline) -> None:
    for arguments in (["run", "--nonsense"], ["nonsense"], ["run", "--partition", "7"]):
        refused(small.here(*arguments), 64)


def test_a_missing_table_is_found_before_anything_is_read(small: Pipeline, demo_api: DemoApi) -> None:
    refused(small.run_here(), 2, "flights", "ingestor schema apply")
    assert demo_api.counters()["counters"].get("requests", 0) == 0


def test_a_table_that_does_not_fit_is_refused_with_the_difference(small: Pipeline) -> None:
    schema = {"fields": [{"name": "year", "type": "STRING"}]}
    table = {"tableReference": {"projectId": PROJECT, "datasetId": small.tables.dataset, "tableId": "flights"}}
    url = f"http://{small.env['BIGQUERY_EMULATOR_HOST']}/bigquery/v2/projects/{PROJECT}"
    request_json("POST", f"{url}/datasets/{small.tables.dataset}/tables", {**table, "schema": schema})
    done = small.run_here()
    assert done.code == 2
    assert "year" in done.err
    assert "STRING" in done.err
    (logged,) = done.events("schema.mismatch")
    assert logged["severity"] == "ERROR"
    assert "column year: table has STRING" in logged["error"]


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ({"not_found": -1}, ("404", "SOURCE_URL")),
        ({"html": -1}, ("HTML", "SOURCE_URL")),
        ({"records_absent": -1}, ("flights", "SOURCE_RECORDS_PATH")),
    ],
)
def test_a_source_that_misbehaves_stops_the_run_and_the_next_one_loses_nothing(
    small: Pipeline, demo_api: DemoApi, switches: dict[str, Any], words: tuple[str, ...]
) -> None:
    small.apply_schema()
    demo_api.admin(**switches)
    refused(small.with_env(SOURCE_MAX_ATTEMPTS="2").run_here(), 3, *words)
    demo_api.admin(**dict.fromkeys(switches, 0))
    assert small.run_here().summary["status"] == "complete"
    assert small.count("flights_dedup") == FLIGHTS


@pytest.mark.parametrize("switches", [{"unavailable": 2}, {"too_many_requests": 2}, {"cut_off": 2}])
def test_a_source_that_stumbles_is_asked_again(small: Pipeline, demo_api: DemoApi, switches: dict[str, Any]) -> None:
    small.apply_schema()
    demo_api.admin(**switches)
    done = small.run_here()
    assert (done.code, done.summary["rows_committed"]) == (0, FLIGHTS)
    assert len(done.events("page.retried")) == 2


def test_a_source_that_asks_for_more_patience_than_the_run_has_ends_it_partial(
    small: Pipeline, demo_api: DemoApi
) -> None:
    small.apply_schema()
    demo_api.admin(too_many_requests=-1, retry_after="3600")
    done = small.run_here()
    assert (done.code, done.summary["status"], done.summary["balanced"]) == (0, "partial", True)
    demo_api.admin(too_many_requests=0)
    assert small.run_here().summary["status"] == "complete"
    assert small.count("flights_dedup") == FLIGHTS


def test_a_cursor_that_repeats_for_ever_stops_the_run_and_loses_nothing(small: Pipeline, demo_api: DemoApi) -> None:
    small.apply_schema()
    demo_api.admin(repeat_cursor=-1)
    refused(small.run_here(), 3, "names itself", "SOURCE_NEXT_PATH")
    demo_api.admin(repeat_cursor=0)
    assert small.run_here().summary["status"] == "complete"
    # The source gave its first page under two cursors before it was caught, so those flights came twice, as two ranges.
    key = "carrier, flight, month, day, sched_dep_time, origin"
    name = f"{PROJECT}.{small.tables.dataset}.flights_dedup"
    assert len(small.tables.query(f"SELECT DISTINCT {key} FROM `{name}`")) == FLIGHTS  # noqa: S608 - names of ours


def test_a_missing_bucket_is_found_before_anything_is_read(small: Pipeline, demo_api: DemoApi) -> None:
    small.apply_schema()
    done = small.with_env(DEAD_LETTER_BUCKET="nobodys-bucket").run_here()
    refused(done, 3, "nobodys-bucket", "DEAD_LETTER_BUCKET")
    assert len(done.events("deadletter.failed")) == 1
    assert demo_api.counters()["counters"].get("requests", 0) == 0


def test_an_unreachable_firestore_is_told_within_30_seconds(small: Pipeline) -> None:
    started = time.monotonic()
    done = small.with_env(LEDGER="firestore", FIRESTORE_EMULATOR_HOST=closed_port()).run_here()
    assert time.monotonic() - started < 30
    refused(done, 3, "Firestore", "FIRESTORE_EMULATOR_HOST")


def test_unreachable_metadata_ends_the_run_before_anything_is_read(small: Pipeline, demo_api: DemoApi) -> None:
    small.apply_schema()
    started = time.monotonic()
    refused(small.with_env(BIGQUERY_EMULATOR_HOST=closed_port()).run_here(), 3, "BigQuery")
    assert time.monotonic() - started < 40
    assert demo_api.counters()["counters"].get("requests", 0) == 0


def test_while_bigquery_cannot_be_reached_one_run_sets_aside_and_the_first_run_after_it_heals(
    small: Pipeline, demo_api: DemoApi
) -> None:
    small.apply_schema()
    away = small.with_env(BIGQUERY_STORAGE_EMULATOR_HOST=closed_port(), APPEND_MAX_ATTEMPTS="2")
    first = away.run_here()
    refused(first, 3, "takes no batch", "set aside")
    assert first.summary["rows_dead_lettered"] > 0
    assert first.summary["balanced"]
    fetched = demo_api.counters()["counters"]["requests"]
    refused(away.run_here(), 3, "still takes no batch", "nothing was read")
    assert demo_api.counters()["counters"]["requests"] == fetched
    assert small.count("flights_dedup") == 0
    back = small.run_here().summary
    assert (back["status"], back["rows_replayed"]) == ("complete", first.summary["rows_dead_lettered"])
    assert small.count("flights_dedup") == FLIGHTS
    assert small.here("ledger", "verify").code == 0
