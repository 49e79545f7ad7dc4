"""A credential stands in Secret Manager and on the requests to the source, and nowhere else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestor.bucket import storage_client
from ops.local.process import free_port
from ops.local.secret_manager import SecretManager
from ops.local.services import DemoApi
from tests.e2e.conftest import Pipeline

CANARY = "canary-7c1f0e93b2"
SECRET = "projects/p/secrets/source"  # noqa: S105 - a name
FLIGHTS = 2_000


@pytest.fixture
def secrets() -> Iterator[SecretManager]:
    with SecretManager() as server:
        server.put(SECRET, CANARY + "\n")
        yield server


def everything_written(pipeline: Pipeline, tmp_path: Path) -> Iterator[bytes]:
    """Yield the ledger's files and the bucket's objects with their names and metadata."""
    for path in tmp_path.rglob("*"):
        if path.is_file():
            yield path.read_bytes()
    client = storage_client(pipeline.env["GCP_PROJECT_ID"], pipeline.env["STORAGE_EMULATOR_HOST"])
    for blob in client.list_blobs(pipeline.env["DEAD_LETTER_BUCKET"]):
        yield f"{blob.name} {blob.metadata}".encode() + bytes(blob.download_as_bytes())


@pytest.mark.parametrize("auth", ["header:X-Api-Key", pytest.param("bearer", marks=pytest.mark.long)])
def test_a_credential_is_in_no_log_ledger_bucket_error_or_dead_letter(
    auth: str, pipeline: Pipeline, demo_api: DemoApi, secrets: SecretManager, tmp_path: Path
) -> None:
    name, value = ("Authorization", f"Bearer {CANARY}") if auth == "bearer" else ("X-Api-Key", CANARY)
    demo_api.admin(visible=FLIGHTS, poison={"3": {"year": "never"}}, require={name: value})
    open_ = pipeline.with_env(
        SOURCE_PAGE_SIZE="500",
        BATCH_MAX_ROWS="500",
        SOURCE_AUTH=auth,
        SOURCE_SECRET=f"{SECRET}/versions/latest",
        SECRET_MANAGER_EMULATOR_HOST=secrets.host,
        LOG_LEVEL="DEBUG",
    )
    open_.apply_schema()
    away = open_.with_env(BIGQUERY_STORAGE_EMULATOR_HOST=f"127.0.0.1:{free_port()}", APPEND_MAX_ATTEMPTS="2")
    said = [away.run()]  # as a process of its own: what any library says is heard too
    assert said[0].summary["rows_dead_lettered"] > 0
    said.append(open_.run_here())
    assert said[1].summary["status"] == "complete"
    assert open_.count("flights_dedup") == FLIGHTS - 1
    demo_api.admin(require={name: "another one"})
    said.append(open_.run_here())
    assert said[2].code == 3
    assert "HTTP 401" in said[2].err
    said.append(open_.with_env(SOURCE_AUTH="basic").run_here())
    assert "USER:PASSWORD" in said[3].err
    said += [
        open_.here("status", "--json"),
        open_.here("batches", "list", "--json"),
        open_.here("runs", "list"),
    ]
    written = list(everything_written(open_, tmp_path))
    assert len(written) > 1
    assert any(b"never" in each for each in written)
    for text in [*written, *((done.out + done.err).encode() for done in said)]:
        assert CANARY.encode() not in text
