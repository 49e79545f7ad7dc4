"""The whole local stack: everything the ingestor talks to, on this machine, with no cloud account."""

import shlex
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Self

from ops.local.flights import JANUARY
from ops.local.process import LOCAL, Service, ServiceError, start_all
from ops.local.services import BigQueryEmulator, DemoApi, FirestoreEmulator, GcsServer

PROJECT, DATASET, TABLE, BUCKET = "demo-project", "demo", "flights", "demo-dead-letters"
ENV_FILE = LOCAL / "env.sh"


class LocalStack:
    """Starts all services at once and creates dataset and bucket; the tables are left to `ingestor schema apply`.

    Everything is empty at the start and gone at the end. `env` holds the ingestor's configuration for the flights
    from `start` to the day before `end`. `notice` says what is replaced and what to install, None when nothing is.

    The ledger is in the Firestore emulator when `firestore` is True, in a SQLite file when it is False, and by default
    in whichever can be had.
    """

    def __init__(
        self,
        *,
        start: date = JANUARY[0],
        end: date = JANUARY[1],
        firestore: bool | None = None,
    ) -> None:
        self.bigquery, self.gcs, self.demo_api = BigQueryEmulator(), GcsServer(), DemoApi()
        why = FirestoreEmulator.available() if firestore is not False else None
        if firestore and why:
            raise ServiceError(why)
        self.firestore = None if why or firestore is False else FirestoreEmulator()
        self.notice = f"The ledger is a SQLite file, because {why}" if why else None
        self._range = (start, end)
        self._exits = ExitStack()

    @property
    def services(self) -> list[Service]:
        """Return the services of this stack, the quickest first."""
        return [self.gcs, self.demo_api, *([self.firestore] if self.firestore else []), self.bigquery]

    @property
    def ledger_file(self) -> Path:
        """Where the ledger is when it is not in Firestore; named by a port, so that two stacks have two."""
        return LOCAL / f"ledger-{self.bigquery.ports[0]}.db"

    @property
    def env(self) -> dict[str, str]:
        """Return the ingestor's configuration."""
        return {
            "GCP_PROJECT_ID": PROJECT,
            "BQ_DATASET_ID": DATASET,
            "BQ_TABLE_ID": TABLE,
            "MESSAGE_TYPE": "flights.Flight",
            "SOURCE_URL": self.demo_api.source_url(*self._range),
            "SOURCE_RECORDS_PATH": "flights",
            "DEAD_LETTER_BUCKET": BUCKET,
            "AUTH": "none",
            "BIGQUERY_EMULATOR_HOST": self.bigquery.rest_host,
            "BIGQUERY_STORAGE_EMULATOR_HOST": self.bigquery.grpc_host,
            "STORAGE_EMULATOR_HOST": self.gcs.url,
            **self._ledger(),
        }

    def start(self, each: Callable[[Service, float], None] | None = None) -> Self:
        """Start everything; `each` hears of a service that is ready and the seconds since the start.

        Raises:
            ServiceError: a service does not come up; what had started is stopped.
        """
        if why := self.bigquery.available():
            raise ServiceError(why)
        start_all(self.services, each)
        for suffix in ("", "-wal", "-shm"):  # of a stack that is gone, and its table with it
            self.ledger_file.with_name(self.ledger_file.name + suffix).unlink(missing_ok=True)
        for service in self.services:
            self._exits.callback(service.stop)
        with ExitStack() as on_failure:
            on_failure.callback(self.stop)
            self.bigquery.create_dataset(PROJECT, DATASET)
            self.gcs.create_bucket(BUCKET, PROJECT)
            on_failure.pop_all()
        return self

    def stop(self) -> None:
        """Stop everything."""
        self._exits.close()

    def write_env(self, path: Path = ENV_FILE) -> Path:
        """Write `env` as a shell file to be sourced, and return its path."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in self.env.items()))
        return path

    def _ledger(self) -> dict[str, str]:
        if self.firestore:
            return {"LEDGER": "firestore", "FIRESTORE_EMULATOR_HOST": self.firestore.host}
        return {"LEDGER": f"sqlite:///{self.ledger_file}"}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
