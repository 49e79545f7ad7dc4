"""A pipeline of its own for each test: dataset, bucket, ledger, and the command `ingestor` as a process."""

import io
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ingestor import schema
from ingestor.cli import cli, exit_code
from ingestor.messages import descriptor_of, message_class
from ingestor.tables import Tables
from ops.local.services import DemoApi
from tests.conftest import PROJECT, BigQueryHosts


@contextmanager
def _signals_as_they_were() -> Iterator[None]:
    """Take back what a run does with signals."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class Done:
    """A process that ended."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """The run summary, the last line of `--json`."""
        parsed: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return parsed

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one name."""
        lines = [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == name]


@dataclass(frozen=True)
class Pipeline:
    """The environment of one pipeline, and its commands."""

    tables: Tables
    env: Mapping[str, str]
    log_dir: Path = field(default=Path())

    def with_env(self, **changed: str | None) -> "Pipeline":
        """Return the same pipeline told otherwise; None unsets."""
        env = {**self.env, **{k: v for k, v in changed.items() if v is not None}}
        return replace(self, env={k: v for k, v in env.items() if changed.get(k, "") is not None})

    def start(self, *arguments: str, **popen: Any) -> "subprocess.Popen[str]":
        """Start `ingestor` with these arguments."""
        command = [sys.executable, "-m", "ingestor", *arguments]
        return subprocess.Popen(command, env=dict(self.env), text=True, **popen)

    def ingestor(self, *arguments: str, timeout: float = 120) -> Done:
        """Run `ingestor` to its end."""
        process = self.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with process:
            out, err = process.communicate(timeout=timeout)
        return Done(process.returncode, out, err)

    def here(self, *arguments: str) -> Done:
        """The same in this process, which saves its start: a second of a processor. Signals are not for this."""
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        environment = mock.patch.dict(os.environ, dict(self.env), clear=True)
        with environment, redirect_stdout(out), redirect_stderr(err), _signals_as_they_were():
            code = exit_code(lambda: cli.main([*arguments], standalone_mode=False))
        told, complained = (stream.buffer.getvalue().decode() for stream in (out, err))
        return Done(code, told, complained)

    def run(self, *arguments: str) -> Done:
        """Run once, with the summary."""
        return self.ingestor("run", "--json", *arguments)

    def run_here(self, *arguments: str) -> Done:
        """Run once in this process: for what a run does, where how it starts and ends is not the point."""
        return self.here("run", "--json", *arguments)

    def apply_schema(self) -> None:
        """Create table, ledger table and view, as `schema apply` does."""
        schema.apply(self.tables, self.env["BQ_TABLE_ID"], descriptor_of(message_class(self.env["MESSAGE_TYPE"])))

    def count(self, relation: str) -> int:
        """Return the rows of a table or view of the dataset."""
        return int(self.tables.query(f"SELECT COUNT(*) AS n FROM `{PROJECT}.{self.tables.dataset}.{relation}`")[0]["n"])  # noqa: S608 - a name of ours


@pytest.fixture
def pipeline(  # noqa: PLR0913, PLR0917 - one fixture for each service
    bigquery: BigQueryHosts, dataset: str, bucket: str, gcs_url: str, demo_api: DemoApi, tmp_path: Path
) -> "Any":
    """January's flights on a SQLite ledger; tables are not created yet."""
    env = {
        "PATH": "",
        "GCP_PROJECT_ID": PROJECT,
        "BQ_DATASET_ID": dataset,
        "BQ_TABLE_ID": "flights",
        "MESSAGE_TYPE": "flights.Flight",
        "SOURCE_URL": demo_api.source_url(),
        "SOURCE_RECORDS_PATH": "flights",
        "SOURCE_PAGE_SIZE": "5000",
        "DEAD_LETTER_BUCKET": bucket,
        "LEDGER": f"sqlite:///{tmp_path / 'ledger.db'}",
        "BIGQUERY_EMULATOR_HOST": bigquery.rest_host,
        "BIGQUERY_STORAGE_EMULATOR_HOST": bigquery.grpc_host,
        "STORAGE_EMULATOR_HOST": gcs_url,
    }
    with Tables(PROJECT, dataset, bigquery.rest_host) as tables:
        yield Pipeline(tables, env, tmp_path)


@pytest.fixture
def on_firestore(pipeline: Pipeline, firestore_host: str) -> Pipeline:
    """The same on the Firestore emulator, under a pipeline id of its own."""
    return pipeline.with_env(
        LEDGER="firestore", FIRESTORE_EMULATOR_HOST=firestore_host, PIPELINE_ID=f"p{uuid.uuid4().hex[:12]}"
    )
