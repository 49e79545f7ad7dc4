"""Rows that BigQuery refuses, and a source that turns bad: what is set aside can be read back, and the fuse stops the
rest. The run is a process; the scripted server stands between it and the BigQuery emulator, whose view judges.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from ingestor.loop import FUSE_RECORDS
from ops.local.flights import JANUARY, records
from ops.local.proof import COLUMNS, prove
from ops.local.services import DemoApi
from ops.local.storage_write_server import StorageWriteServer
from state.verify import verify_pipeline
from tests.conftest import PROJECT, BigQueryHosts
from tests.e2e.conftest import Done, Pipeline
from tests.live import LivePipeline

FLIGHTS = 5_000
BAD_FROM, BATCH_ROWS, IN_FLIGHT, FUSE_CONSECUTIVE = 10_000, 500, 2, 5
PROMISED = FUSE_CONSECUTIVE + 1 + 2 * IN_FLIGHT + 2
"""Batches that a bad source may leave: the refused ones that blow the fuse (more than FUSE_CONSECUTIVE in a row), and
what the run holds at that moment, at most twice its window and two."""


@pytest.fixture
def server(bigquery: BigQueryHosts) -> Iterator[StorageWriteServer]:
    """The scripted server in front of the emulator."""
    with StorageWriteServer(forward=bigquery.grpc_host) as server:
        yield server


def behind(server: StorageWriteServer, pipeline: Pipeline, **changed: str) -> Pipeline:
    """The same pipeline, appending through the server."""
    return pipeline.with_env(BIGQUERY_STORAGE_EMULATOR_HOST=server.host, **changed)


@pytest.fixture
def look(server: StorageWriteServer) -> Iterator[Any]:
    """Opens a pipeline's ledger and bucket to look at."""
    opened: list[LivePipeline] = []

    def open_for(pipeline: Pipeline) -> LivePipeline:
        opened.append(LivePipeline(pipeline.env, pipeline.tables, server, []))
        return opened[-1]

    yield open_for
    for each in opened:
        each.close()


def seven_that_are_unique(source: list[dict[str, Any]]) -> list[int]:
    """Flight numbers that occur once, spread over the batch, its first and last such among them."""
    counts = Counter(record["flight"] for record in source)
    once = [record["flight"] for record in source if counts[record["flight"]] == 1]
    return [once[at * (len(once) - 1) // 6] for at in range(7)]


def seven_bad_rows_of_5000(
    pipeline: Pipeline, server: StorageWriteServer, demo_api: DemoApi, seen: LivePipeline
) -> None:
    source = records(*JANUARY)[:FLIGHTS]
    bad = seven_that_are_unique(source)
    places = [at for at, record in enumerate(source) if record["flight"] in bad]
    pipeline.apply_schema()
    demo_api.admin(visible=FLIGHTS)
    refuse = {"answer": "INVALID_ARGUMENT", "row_errors": "matching", "message": "the arrival is before the departure"}
    server.play([{"on": {"stream": "*/tables/flights/*", "contains": {"flight": bad}}, "do": refuse}])

    done = pipeline.run_here()
    summary = done.summary
    assert (done.code, summary["status"], summary["balanced"]) == (0, "complete", True)
    assert (summary["rows_committed"], summary["rows_rejected"], summary["records"]) == (4_993, 7, 5_000)
    assert (summary["batches_committed"], summary["batches_dead_lettered"]) == (1, 0)

    rejected = [record for _, record in seen.rejected()]
    assert [(r.index, r.record) for r in rejected] == [(at, source[at]) for at in places]
    assert {(r.rejection.stage, r.rejection.reason) for r in rejected} == {("append", refuse["message"])}
    (batch,) = seen.batches()
    assert (batch["status"], batch["open_records"], batch["rejected_indexes"]) == ("COMMITTED", 7, places)

    assert_shown(pipeline, source, [at for at in range(FLIGHTS) if at not in places])
    assert "before the departure" not in done.out, "reasons may quote values"
    assert verify_pipeline(seen.journal, seen.pipeline_id) == []

    server.play([])
    for _ in range(2):  # the second time shows nothing twice
        mended = pipeline.here("records", "replay", batch["batch_id"], "--reason", "BigQuery takes them now")
        assert mended.code == 0, mended.err
        assert_shown(pipeline, source, list(range(FLIGHTS)))
    (batch,) = seen.batches()
    assert batch["open_records"] == 0
    assert verify_pipeline(seen.journal, seen.pipeline_id) == []


def assert_shown(pipeline: Pipeline, source: list[dict[str, Any]], places: list[int]) -> None:
    """The view shows the flights of these places, each once and under its own row index."""
    name = f"{PROJECT}.{pipeline.tables.dataset}.flights_dedup"
    rows = pipeline.tables.query(f"SELECT _ingest_row_index AS at, flight, carrier FROM `{name}` ORDER BY at")  # noqa: S608 - names of ours
    assert [row["at"] for row in rows] == places
    shown = [(row["flight"], row["carrier"]) for row in rows]
    assert shown == [(source[at]["flight"], source[at]["carrier"]) for at in places]


def test_seven_bad_rows_of_5000_are_set_aside_with_their_originals_and_the_rest_is_visible(
    pipeline: Pipeline, server: StorageWriteServer, demo_api: DemoApi, look: Any
) -> None:
    proxied = behind(server, pipeline)
    seven_bad_rows_of_5000(proxied, server, demo_api, look(proxied))


@pytest.mark.firestore
def test_seven_bad_rows_of_5000_on_firestore(
    on_firestore: Pipeline, server: StorageWriteServer, demo_api: DemoApi, look: Any
) -> None:
    proxied = behind(server, on_firestore)
    seven_bad_rows_of_5000(proxied, server, demo_api, look(proxied))


def fused(done: Done) -> dict[str, Any]:
    """The run stopped because of the fuse: exit code, one line, one log event, balanced books."""
    assert (done.code, done.summary["status"], done.summary["balanced"]) == (3, "failed", True)
    assert len(done.events("fuse.blown")) == 1
    assert len(done.err.strip().splitlines()) == 1
    assert "the fuse blew" in done.err
    return done.summary


def tight(pipeline: Pipeline, server: StorageWriteServer, **changed: str) -> Pipeline:
    # A page a batch: the part of a page that was taken before is known by digest, and a mended page is other records.
    sizes = {"SOURCE_PAGE_SIZE": str(BATCH_ROWS), "BATCH_MAX_ROWS": str(BATCH_ROWS), "MAX_IN_FLIGHT": str(IN_FLIGHT)}
    return behind(server, pipeline, **sizes, FUSE_CONSECUTIVE=str(FUSE_CONSECUTIVE), **changed)


def test_batches_refused_from_record_10000_on_blow_the_fuse_and_the_next_run_goes_on(
    pipeline: Pipeline, server: StorageWriteServer, look: Any
) -> None:
    proxied = tight(pipeline, server, FUSE_RATIO="1")
    proxied.apply_schema()
    good = BAD_FROM // BATCH_ROWS
    on = {"from": good + 1, "per": "stream", "stream": "*/tables/flights/*"}
    server.play([{"on": on, "do": {"answer": "INVALID_ARGUMENT", "message": "no such airport"}}])
    summary = fused(proxied.run_here())
    seen = look(proxied)
    dead = seen.batches("DEAD_LETTERED")
    assert FUSE_CONSECUTIVE < len(dead) <= PROMISED
    assert (summary["batches_dead_lettered"], summary["rows_committed"]) == (len(dead), BAD_FROM)
    assert {(d["dead_kind"], d["error_code"]) for d in dead} == {("batch", "INVALID_ARGUMENT")}

    server.play([])
    mended = proxied.run_here().summary
    assert (mended["status"], mended["balanced"]) == ("complete", True)
    proof = prove(proxied.tables, "flights", *JANUARY)
    aside = Counter(tuple(getattr(row, c) if row.HasField(c) else None for c in COLUMNS if c != "time_hour")
                    for document in dead for row in seen.dead_rows(document))  # fmt: skip
    assert not proof.unexpected
    assert Counter(row[:-1] for row in proof.missing) == aside
    assert verify_pipeline(seen.journal, seen.pipeline_id) == []


def test_records_that_are_none_from_10000_on_blow_the_fuse_and_the_next_run_goes_on(
    pipeline: Pipeline, server: StorageWriteServer, demo_api: DemoApi, look: Any
) -> None:
    proxied = tight(pipeline, server, FUSE_RATIO="0.05")
    proxied.apply_schema()
    demo_api.admin(poison={str(number): {"dep_time": "soon"} for number in range(BAD_FROM, 27_004)})
    summary = fused(proxied.run_here())
    assert summary["rows_rejected"] // BATCH_ROWS <= PROMISED
    assert BAD_FROM > FUSE_RECORDS

    demo_api.admin(poison={})
    mended = proxied.run_here().summary
    assert (mended["status"], mended["balanced"]) == ("complete", True)
    proof = prove(proxied.tables, "flights", *JANUARY)
    rejected = [record.record for _, record in look(proxied).rejected()]
    assert {r["dep_time"] for r in rejected} == {"soon"}
    assert not proof.unexpected
    assert len(rejected) == len(proof.missing) == summary["rows_rejected"]
    assert digest(r["flight"] for r in rejected) == digest(row[COLUMNS.index("flight")] for row in proof.missing)


def digest(numbers: Any) -> str:
    """One word for many numbers in any order: a difference of thousands would not fit a terminal."""
    return hashlib.sha256(repr(sorted(numbers)).encode()).hexdigest()
