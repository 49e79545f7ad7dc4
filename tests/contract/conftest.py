"""Every adapter of the journal's port, each test on a store of its own."""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from state.firestore import FirestoreJournal, client_for
from state.journal import Journal
from state.memory import MemoryJournal
from state.sqlite import SqliteJournal

PIPELINE = "flights"
Store = Callable[..., Journal]
"""Opens another adapter on the test's store, as another process would; `pipeline` names another pipeline in it."""


def _memory(_: Path) -> Store:
    journals: dict[str, MemoryJournal] = {}
    return lambda pipeline=PIPELINE: journals.setdefault(pipeline, MemoryJournal())


def _sqlite(folder: Path) -> Store:
    return lambda pipeline=PIPELINE: SqliteJournal(folder / "made on first use" / "ledger.db", pipeline)


def _firestore(_: Path) -> Store:
    if "FIRESTORE_EMULATOR_HOST" not in os.environ:
        message = "FIRESTORE_EMULATOR_HOST is not set: start the Firestore emulator (Java 11+ and the gcloud CLI)"
        if os.environ.get("REQUIRE_EMULATORS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    project = f"test-{uuid.uuid4().hex[:20]}"
    return lambda pipeline=PIPELINE: FirestoreJournal(client_for(project, "(default)"), pipeline)


_STORES = {"memory": _memory, "sqlite": _sqlite, "firestore": _firestore}


@pytest.fixture(params=["memory", "sqlite", pytest.param("firestore", marks=pytest.mark.firestore)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    open_journal = _STORES[request.param](tmp_path)
    with contextlib.ExitStack() as stack:

        def opened(pipeline: str = PIPELINE) -> Journal:
            journal = open_journal(pipeline)
            stack.callback(journal.close)
            return journal

        yield opened


@pytest.fixture
def journal(store: Store) -> Journal:
    return store()
