"""The whole way of a dead batch on the real stack: BigQuery, Firestore and bucket emulators behind the service as it is
put together for real. The other tests of pages have everything in memory; this one shows that the pages reach what
readers query.
"""

import io
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from ingestor.config import load
from ingestor.logs import configure
from ingestor.tables import Tables
from ops.service import Service
from ops.web import create_app
from tests.conftest import PROJECT, BigQueryHosts
from tests.dead import PIPELINE, batch_of, flight
from tests.e2e.test_replay import Replays, dead_letter
from tests.ui.conftest import Opened
from tests.ui.site import serving
from tests.unit.ops.apps import BASE


@pytest.fixture
def stack(bigquery: BigQueryHosts, dataset: str, bucket: str, gcs_url: str, firestore_host: str) -> Iterator[Replays]:
    """A pipeline with its tables, on a Firestore database of its own."""
    env = {
        **BASE,
        "GCP_PROJECT_ID": PROJECT,
        "BQ_DATASET_ID": dataset,
        "PIPELINE_ID": PIPELINE,
        "DEAD_LETTER_BUCKET": bucket,
        "MASK_FIELDS": "tailnum",
        "LEDGER": "firestore",
        "FIRESTORE_DATABASE": f"d{uuid.uuid4().hex[:12]}",
        "FIRESTORE_EMULATOR_HOST": firestore_host,
        "BIGQUERY_EMULATOR_HOST": bigquery.rest_host,
        "BIGQUERY_STORAGE_EMULATOR_HOST": bigquery.grpc_host,
        "STORAGE_EMULATOR_HOST": gcs_url,
    }
    with Tables(PROJECT, dataset, bigquery.rest_host) as tables:
        pipeline = Replays(tables, env, Path())
        pipeline.apply_schema()
        yield pipeline


@pytest.mark.firestore
def test_from_the_list_to_a_batch_to_its_plan_to_a_replay_that_readers_see(
    stack: Replays, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [
        batch_of([flight(number, tailnum="N1SECRET"), flight(number + 1)], start=f"c{number}") for number in (1, 11)
    ]
    first, second = dead_letter(stack, monkeypatch, *batches)
    service = Service(load(stack.env), configure("ingestor", PIPELINE, stream=io.StringIO()))
    with serving(create_app(service=service)) as url:
        assert stack.visible() == []
        page = opened(f"{url}/batches?status=DEAD_LETTERED")
        expect(page.get_by_text("2 batches in all")).to_be_visible()
        page.get_by_role("link", name=first[:12]).click()
        expect(page.get_by_role("cell", name="•••").first).to_be_visible()
        page.get_by_role("link", name="Plan a replay").click()
        expect(page.get_by_text("sent; what BigQuery thinks of the values shows then")).to_be_visible()
        page.get_by_label("Reason").fill("the column is wider now")
        page.get_by_role("button", name="Replay this batch").click()
        expect(page.get_by_text("Replayed: its rows are in the view.")).to_be_visible()
        assert stack.visible() == [1, 2]
        page.get_by_role("link", name="Back").click()
        expect(page.get_by_text("1 batch in all")).to_be_visible()
        expect(page.get_by_role("link", name=second[:12])).to_be_visible()
    service.close()
