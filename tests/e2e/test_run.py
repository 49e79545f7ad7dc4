"""The run as a user runs it: a process, on real servers."""

import json
import signal
import subprocess
import time
from datetime import date

import pytest

from ops.local.flights import JANUARY
from ops.local.proof import prove
from ops.local.services import DemoApi
from tests.conftest import PROJECT
from tests.e2e.conftest import Done, Pipeline

FLIGHTS = 27_004
THREE_DAYS = (date(2013, 1, 1), date(2013, 1, 4))


@pytest.fixture
def three_days(pipeline: Pipeline, demo_api: DemoApi) -> Pipeline:
    """Three days' flights in pages and batches of 100."""
    source = demo_api.source_url(*THREE_DAYS)
    return pipeline.with_env(SOURCE_URL=source, SOURCE_PAGE_SIZE="100", BATCH_MAX_ROWS="100")


def test_every_flight_of_january_is_in_the_view_with_its_exact_values(pipeline: Pipeline) -> None:
    pipeline.apply_schema()
    done = pipeline.run()
    assert (done.code, done.err) == (0, "")
    summary = done.summary
    assert (summary["status"], summary["rows_committed"], summary["balanced"]) == ("complete", FLIGHTS, True)
    proof = prove(pipeline.tables, "flights", *JANUARY)
    assert proof.holds, proof.lines()
    assert (proof.view, proof.raw) == (FLIGHTS, FLIGHTS)
    assert proof.nulls > 0


@pytest.mark.firestore
def test_a_second_run_finds_nothing_new(on_firestore: Pipeline, demo_api: DemoApi) -> None:
    on_firestore.apply_schema()
    demo_api.admin(visible=7_001)
    assert on_firestore.run().summary["rows_committed"] == 7_001
    again = on_firestore.run().summary
    assert (again["status"], again["rows_committed"], again["balanced"]) == ("complete", 0, True)
    assert on_firestore.count("flights") == 7_001
    assert on_firestore.ingestor("ledger", "verify").code == 0


def test_new_records_on_the_last_page_are_taken_and_the_known_ones_are_not(
    pipeline: Pipeline, demo_api: DemoApi
) -> None:
    pipeline.apply_schema()
    demo_api.admin(visible=7_001)
    assert pipeline.run().summary["rows_committed"] == 7_001
    demo_api.admin(visible=9_500)
    summary = pipeline.run().summary
    assert (summary["rows_committed"], summary["rows_known"]) == (2_499, 2_001)
    assert pipeline.count("flights_dedup") == 9_500


def test_a_record_that_does_not_parse_is_set_aside_with_its_reason_and_stops_nothing(
    pipeline: Pipeline, demo_api: DemoApi
) -> None:
    pipeline.apply_schema()
    spoiled = {"7": {"dep_time": "early"}, "2999": {"time_hour": "yesterday"}}
    demo_api.admin(visible=3_000, poison={**spoiled, "8": {"gate": "B4"}, "9": {"gate": None}})
    done = pipeline.with_env(BATCH_MAX_ROWS="1000").run()
    summary = done.summary
    assert (summary["status"], summary["rows_committed"], summary["rows_rejected"]) == ("complete", 2_998, 2)
    assert summary["balanced"]
    assert summary["unknown_fields"] == {"gate": 2}
    assert pipeline.count("flights_dedup") == 2_998
    assert "early" not in done.out
    assert "yesterday" not in done.out
    rows = pipeline.tables.query(
        f"SELECT MAX(_ingest_row_index) AS top FROM `{PROJECT}.{pipeline.tables.dataset}.flights`"  # noqa: S608 - ours
    )
    assert rows[0]["top"] == 999


def wait_for_runs(pipeline: Pipeline, runs: int) -> None:
    """Wait until the ledger knows so many."""
    while len(json.loads(pipeline.here("runs", "list", "--json").out)["items"]) < runs:
        time.sleep(0.05)


def test_a_run_that_finds_a_live_one_is_skipped_and_takeover_stops_the_other(
    three_days: Pipeline, demo_api: DemoApi
) -> None:
    three_days.apply_schema()
    demo_api.admin(latency_ms=2_000)  # 27 pages: neither of the two is over before the latency is gone
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with three_days.start("run", "--json", **pipes) as slow:
        wait_for_runs(three_days, 1)
        skipped = three_days.run()
        assert (skipped.code, skipped.summary["status"]) == (0, "skipped")
        with three_days.start("run", "--json", "--takeover", **pipes) as taken:
            wait_for_runs(three_days, 2)
            demo_api.admin(latency_ms=0)
            out, err = taken.communicate(timeout=120)
        assert (taken.returncode, Done(0, out, err).summary["status"]) == (0, "complete")
        slow.communicate(timeout=120)
        assert slow.returncode == 3
    proof = prove(three_days.tables, "flights", *THREE_DAYS)
    assert proof.holds, proof.lines()


def test_sigterm_ends_a_run_as_partial_in_time_and_the_next_goes_on(three_days: Pipeline, demo_api: DemoApi) -> None:
    three_days.apply_schema()
    demo_api.admin(latency_ms=300)
    process = three_days.start("run", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if "batch.committed" in line:
                break
        asked_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        took_s = time.monotonic() - asked_at
    assert (process.returncode, err) == (0, "")
    assert '"status": "partial"' in out
    assert took_s < 8
    demo_api.admin(latency_ms=0)
    assert three_days.run().summary["status"] == "complete"
    proof = prove(three_days.tables, "flights", *THREE_DAYS)
    assert proof.holds, proof.lines()
