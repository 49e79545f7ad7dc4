"""What a benchmark runs in: the real command `ingestor run`, a page server, a sink for the appends, and a real ledger.

Tables are made and preflighted on bqemulator and rejected records have a bucket, so the command is the one that people
run; only the appends go to the sink, because bqemulator takes some 11,000 rows a second.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from bench.pages import Pages
from bench.sink import Sink
from bench.tap import Tap
from bench.wire import ask
from ops.local.process import ROOT, Service, start_all
from ops.local.services import BigQueryEmulator, FirestoreEmulator, GcsServer

PROJECT, DATASET, TABLE, BUCKET = "bench-project", "bench", "flights", "bench-dead-letters"
PAGE_ROWS = 5_000
LOADER_VARIABLES = ("PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR")
"""All that a run inherits: nobody's configuration of another pipeline."""


class RunFailedError(RuntimeError):
    """A run that was measured did not end as complete; the message ends with its last lines."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: its summary, and the process as the kernel saw it.

    `peak_rss_bytes` is the largest resident size ever, 0 when the run was smaller than the process that measures it;
    `cpu_s` is user and system time of all its threads, the interpreter's start included. `sink` and `firestore` are the
    servers' counters of this run alone.
    """

    summary: Mapping[str, Any]
    peak_rss_bytes: int
    cpu_s: float
    sink: Mapping[str, int]
    firestore: Mapping[str, int]
    first_append_s: float = 0.0
    """From the process's start to its first rows at the sink."""

    @property
    def rows(self) -> int:
        """Rows committed."""
        return int(self.summary["rows_committed"])

    @property
    def seconds(self) -> float:
        """The run's own duration, from opening its lane to its last entry."""
        return float(self.summary["duration_s"])

    @property
    def rows_per_s(self) -> int:
        """Rows committed a second."""
        return round(self.rows / self.seconds)

    @property
    def flow_rows_per_s(self) -> int:
        """Rows a second from the first append to the last: without what each run costs once, at its start and end."""
        requests, rows = self.sink[f"{TABLE}.requests"], int(self.summary["rows_committed"])
        seconds = (self.sink[f"{TABLE}.last_at_ms"] - self.sink[f"{TABLE}.first_at_ms"]) / 1000
        return round(rows * (requests - 1) / requests / seconds)


@dataclass(frozen=True, slots=True)
class OtherWay:
    """What a baseline took for so many rows; `cpu_s` is user and system time of all its threads."""

    rows: int
    seconds: float
    cpu_s: float

    @property
    def rows_per_s(self) -> int:
        """Rows a second."""
        return round(self.rows / self.seconds)


class World:
    """Services on this machine for as long as the context lasts; `run` measures one run in them."""

    def __init__(self, *, firestore: bool) -> None:
        self._bigquery, self._gcs, self._sink, self._pages = BigQueryEmulator(), GcsServer(), Sink(), Pages()
        self._firestore = FirestoreEmulator() if firestore else None
        self._tap: Tap | None = None
        self._runs = 0
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self._folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
            services = [self._gcs, self._sink, self._pages, self._bigquery]
            services += [self._firestore] if self._firestore else []
            self._start(services, exits)
            if self._firestore:
                self._tap = Tap(self._firestore.host)
                self._start([self._tap], exits)
            self._bigquery.create_dataset(PROJECT, DATASET)
            self._gcs.create_bucket(BUCKET, PROJECT)
            subprocess.run([*_INGESTOR, "schema", "apply"], env=self._env(1, 0), check=True, capture_output=True)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @staticmethod
    def _start(services: list[Service], exits: ExitStack) -> None:
        start_all(services)
        for service in services:
            exits.callback(service.stop)

    @property
    def sink_host(self) -> str:
        """The Storage Write server that only acknowledges, host:port."""
        return self._sink.host

    def run(self, rows: int, *, page_ms: int, ack_ms: int, **settings: str) -> Measured:
        """Ingest so many flights with a ledger of their own.

        Args:
            rows: what the source holds.
            page_ms: latency of a page.
            ack_ms: latency of an acknowledgement.
            settings: of the run, as in its environment.

        Raises:
            RunFailedError: the run did not complete, or not every row of it was acknowledged by the sink.
        """
        self._runs += 1
        ask(self._sink.host, latency_ms=ack_ms, reset=True)
        if self._tap:
            ask(self._tap.host, reset=True)
        with (self._folder / f"run-{self._runs}.jsonl").open("w+b") as output:
            began_s = time.monotonic()
            code, usage = _run_to_end(self._env(rows, page_ms) | settings, output)
            output.seek(0)
            lines = output.read().splitlines()
        sink = ask(self._sink.host)
        summary = json.loads(lines[-1]) if code == 0 else {}
        if summary.get("rows_committed") != rows or sink.get(f"{TABLE}.rows") != rows:
            raise RunFailedError(f"the run ended with {code}: {b' '.join(lines[-3:]).decode()}")
        hidden = usage.ru_maxrss <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return Measured(
            summary,
            peak_rss_bytes=0 if hidden else usage.ru_maxrss * _RSS_UNIT_BYTES,
            cpu_s=usage.ru_utime + usage.ru_stime,
            sink=sink,
            firestore=ask(self._tap.host) if self._tap else {},
            first_append_s=sink[f"{TABLE}.first_at_ms"] / 1000 - began_s,
        )

    def other_way(self, way: str, rows: int, *, page_rows: int, page_ms: int, ack_ms: int) -> "OtherWay":
        """Do the same job with a baseline of `bench.baseline`.

        Raises:
            RunFailedError: it ended badly, or not every row came through.
        """
        ask(self._sink.host, latency_ms=ack_ms, reset=True)
        url = f"{self._pages.source_url(rows, page_ms)}&limit={page_rows}"
        python = PEERS if way == "peer" else Path(sys.executable)
        env = {**{name: os.environ[name] for name in LOADER_VARIABLES if name in os.environ}, "PYTHONPATH": _PROTOS}
        command = [str(python), "-m", "bench.baseline", way, url, self._sink.host]
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
        said = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
        if said.get("rows") != rows:
            raise RunFailedError(f"{way} ended with {done.returncode}: {done.stderr[-500:] or said}")
        return OtherWay(int(said["rows"]), float(said["seconds"]), float(said["cpu_s"]))

    def _env(self, rows: int, page_ms: int) -> dict[str, str]:
        return {
            **{name: os.environ[name] for name in LOADER_VARIABLES if name in os.environ},
            "GCP_PROJECT_ID": PROJECT,
            "BQ_DATASET_ID": DATASET,
            "BQ_TABLE_ID": TABLE,
            "PIPELINE_ID": f"bench-{self._runs}",
            "MESSAGE_TYPE": "flights.Flight",
            "SOURCE_URL": self._pages.source_url(rows, page_ms),
            "SOURCE_RECORDS_PATH": "flights",
            "SOURCE_PAGE_SIZE": str(PAGE_ROWS),
            "DEAD_LETTER_BUCKET": BUCKET,
            "AUTH": "none",
            "BIGQUERY_EMULATOR_HOST": self._bigquery.rest_host,
            "BIGQUERY_STORAGE_EMULATOR_HOST": self._sink.host,
            "STORAGE_EMULATOR_HOST": self._gcs.url,
            **self._ledger(),
        }

    def _ledger(self) -> dict[str, str]:
        if self._tap:
            return {"LEDGER": "firestore", "FIRESTORE_EMULATOR_HOST": self._tap.host}
        return {"LEDGER": f"sqlite:///{self._folder / f'ledger-{self._runs}.db'}"}


PEERS = ROOT / ".local" / "peers" / "bin" / "python"
"""The environment of other people's packages; `make bench` installs it."""
_PROTOS = str(ROOT / "proto")
_INGESTOR = (sys.executable, "-m", "ingestor")
_RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024
"""Of `ru_maxrss`; getrusage(2) of both systems."""


def _run_to_end(env: Mapping[str, str], output: IO[bytes]) -> tuple[int, Any]:
    """Run once; return its exit code and what the kernel says of that process alone.

    The kernel takes the parent's peak at the fork for the child's first, so this process must stay the smaller one.
    """
    process = subprocess.Popen([*_INGESTOR, "run", "--json"], env=dict(env), stdout=output, stderr=output, cwd=ROOT)
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        process.wait()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage
