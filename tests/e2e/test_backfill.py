"""A backfill as a person starts it: a range on its own lane, gone on with, beside the lane that follows the source."""

from typing import Any

import pytest

from ops.local.services import DemoApi
from tests.conftest import PROJECT
from tests.e2e.conftest import Pipeline

RANGE = ("--from", "1000", "--to", "2500", "--lane", "again")


@pytest.fixture
def offsets(pipeline: Pipeline, demo_api: DemoApi) -> Pipeline:
    """January's flights by offset, in small pages and batches."""
    url = demo_api.source_url().replace("/flights?", "/offsets/flights?")
    return pipeline.with_env(
        SOURCE_URL=url,
        SOURCE_PAGINATION="offset",
        SOURCE_CURSOR_PARAM="offset",
        SOURCE_PAGE_SIZE="400",
        BATCH_MAX_ROWS="300",
        DEDUP_KEY="time_hour,carrier,flight",
    )


def _apply(pipeline: Pipeline) -> None:
    done = pipeline.here("schema", "apply")
    assert done.code == 0, done.err


def _backfill(pipeline: Pipeline, *arguments: str) -> dict[str, Any]:
    done = pipeline.here("backfill", "--json", *arguments)
    assert done.code == 0, done.err
    assert done.summary["balanced"]
    return done.summary


def test_a_backfill_reads_its_range_goes_on_and_is_refused_another(offsets: Pipeline, demo_api: DemoApi) -> None:
    _apply(offsets)
    demo_api.admin(visible=1_800)
    first = _backfill(offsets, *RANGE)
    assert (first["lane"], first["rows_committed"], first["status"]) == ("again", 800, "complete")
    demo_api.admin(visible=4_000)
    assert _backfill(offsets, *RANGE)["rows_committed"] == 700
    again = _backfill(offsets, *RANGE)
    assert (again["rows_committed"], again["status"]) == (0, "complete")
    assert offsets.count("flights_dedup") == 1_500
    other = offsets.here("backfill", "--from", "1000", "--to", "2600", "--lane", "again")
    assert other.code == 2
    assert "lane again is that of the range from '1000' to '2500'" in other.err
    assert offsets.here("backfill", "--from", "9", "--to", "9", "--lane", "b").code == 2
    assert offsets.here("backfill", "--from", "1", "--to", "9", "--lane", "0").code == 64
    assert "backfill from 1000 to 2500" in offsets.here("status").out
    assert offsets.here("ledger", "verify").code == 0


def test_a_backfill_over_what_was_read_is_twice_in_the_dedup_view_and_once_in_the_latest(
    offsets: Pipeline, demo_api: DemoApi
) -> None:
    _apply(offsets)
    demo_api.admin(visible=1_200)
    assert offsets.run_here().summary["rows_committed"] == 1_200
    assert _backfill(offsets, "--from", "200", "--to", "700", "--lane", "again")["rows_committed"] == 500
    assert offsets.count("flights_dedup") == 1_700
    view = f"`{PROJECT}.{offsets.tables.dataset}.flights_dedup`"
    keys = offsets.tables.query(f"SELECT DISTINCT time_hour, carrier, flight FROM {view}")  # noqa: S608 - ours
    assert offsets.count("flights_latest") == len(keys) <= 1_200
    assert offsets.run_here().summary["rows_committed"] == 0
    assert offsets.here("reconcile").code == 0
