"""A record that ends the process that handles it: at decoding, encoding or sending, by processes that really end."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ingestor.bootstrap import open_journal
from ingestor.config import load
from ingestor.deadletters import RejectedRecords, storage_client
from state.fold import STALLED_RUNS
from state.verify import verify_pipeline
from tests.conftest import PROJECT
from tests.e2e.conftest import Pipeline
from tests.live import flight

DEADLY = Path(__file__).parent / "deadly"
GUILTY = {"encode": 5, "decode": 7, "send": 8}
"""Flights whose records end the process that does this to them, once DEADLY says how."""


class Api(ThreadingHTTPServer):
    """Pages of flights; the cursor of a page is its number."""

    pages: list[list[dict[str, Any]]]


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        """Answer with a page."""
        number = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
        following = str(number + 1) if number + 1 < len(self.server.pages) else None
        body = json.dumps({"flights": self.server.pages[number], "next_cursor": following}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base has it
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[Api]:
    """Two pages of five flights; the second, which is the last, holds the guilty ones."""
    server = Api(("127.0.0.1", 0), _Handler)
    tailnums = {number: f"DEADLY-{where}" for where, number in GUILTY.items()}
    server.pages = [[flight(number, tailnums.get(number, "N1")) for number in range(at, at + 5)] for at in (0, 5)]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def deadly(pipeline: Pipeline, api: Api) -> Pipeline:
    """A pipeline whose processes end on the guilty records, once DEADLY says where and how."""
    source = f"http://127.0.0.1:{api.server_address[1]}/"
    found = pipeline.with_env(SOURCE_URL=source, BATCH_MAX_ROWS="2", PYTHONPATH=f"{DEADLY}", FUSE_RATIO="1")
    found.apply_schema()
    return found


def die(pipeline: Pipeline, times: int = STALLED_RUNS) -> None:
    """Run so often; each run must end without a word."""
    for _ in range(times):
        done = pipeline.run("--takeover")
        assert done.code not in {0, 2, 3, 4}, (done.code, done.out, done.err)


def flights(pipeline: Pipeline) -> list[int]:
    """Return what a reader sees."""
    view = f"{PROJECT}.{pipeline.tables.dataset}.flights_dedup"
    return sorted(int(row["flight"]) for row in pipeline.tables.query(f"SELECT flight FROM `{view}`"))  # noqa: S608 - a name of ours


def rejected(pipeline: Pipeline) -> list[tuple[str, Any]]:
    """Return reason and original of each rejected record."""
    config = load(pipeline.env)
    journal = open_journal(config)
    client = storage_client(config.gcp_project_id, config.storage_emulator_host)
    store = RejectedRecords(client, config.dead_letter_bucket, config.pipeline_id, "0", "reader")
    try:
        return [
            (record.rejection.reason, record.record)
            for batch in journal.list_batches()
            for rejection in batch["rejections"]
            for record in store.read(rejection["object"], rejection["generation"])
        ]
    finally:
        journal.close()


def verified(pipeline: Pipeline) -> list[str]:
    """Return what is wrong with the ledger."""
    config = load(pipeline.env)
    journal = open_journal(config)
    try:
        return verify_pipeline(journal, config.pipeline_id)
    finally:
        journal.close()


def made_good(pipeline: Pipeline, *guilty: str) -> dict[str, str]:
    """Run to the end: all but the guilty are visible, each of them is set aside; return why, by what they end on."""
    done = pipeline.run("--takeover")
    assert done.code == 0, (done.out, done.err)
    assert (done.summary["status"], done.summary["balanced"]) == ("complete", True)
    assert (done.summary["rows_rejected"], done.summary["rows_in_doubt"]) == (len(guilty), 0)
    assert flights(pipeline) == [n for n in range(10) if n not in {GUILTY[where] for where in guilty}]
    reasons = [reason for reason, _ in rejected(pipeline)]
    found = {where: reason for where in guilty for reason in reasons if f"process that {where}s it" in reason}
    assert len(reasons) == len(guilty)
    assert set(found) == set(guilty), reasons
    return found


def test_records_that_end_the_process_are_rejected_alone_and_kills_by_chance_reject_nothing(deadly: Pipeline) -> None:
    pipeline = deadly.with_env(DEADLY="decode:kill,encode:abort,send:abort")
    die(pipeline)
    done = deadly.with_env(DEADLY="child:kill").run("--takeover")
    assert (done.code, "no record is to blame" in done.err) == (3, True), (done.out, done.err)
    assert rejected(deadly) == []
    reasons = made_good(pipeline, "decode", "encode", "send")
    assert "SIGKILL" in reasons["decode"]
    assert "SIGABRT" in reasons["encode"]
    assert "SIGABRT" in reasons["send"]
    again = pipeline.run()  # it reads the last page again, with the record that cannot be decoded
    assert (again.code, again.summary["status"], again.summary["rows_committed"]) == (0, "complete", 0), again.err
    assert again.summary["rows_rejected"] == 0
    assert verified(pipeline) == []


@pytest.mark.long
@pytest.mark.parametrize("how", ["abort", "kill", "memory"])
@pytest.mark.parametrize("where", ["decode", "encode", "send"])
def test_a_record_that_ends_the_process_is_rejected_alone(deadly: Pipeline, where: str, how: str) -> None:
    pipeline = deadly.with_env(DEADLY=f"{where}:{how}")
    die(pipeline)
    reason = made_good(pipeline, where)[where]
    assert {"abort": "SIGABRT", "kill": "SIGKILL", "memory": "out of memory"}[how] in reason
