"""How a batch lies in Firestore: what has not happened to it is in no field, hence in no index, and yet is read."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from state.events import Event
from state.firestore import FirestoreJournal, client_for
from state.index import UNSET
from state.journal import BatchQuery
from state.memory import MemoryJournal
from tests.unit.state.commits import commit
from tests.unit.state.histories import attempted, committed, dead, operator, rejected, started, tell, writer

pytestmark = pytest.mark.firestore
HISTORY: list[list[Event]] = [
    [started()],
    [attempted("b1"), attempted("b2", 1), attempted("b3", 2)],
    [committed("b1"), dead("b2"), rejected("b3", 1), committed("b3", 2)],
]


@pytest.fixture
def client() -> Any:
    return client_for(f"test-{uuid.uuid4().hex[:20]}", "(default)")


@pytest.fixture
def journal(client: Any) -> Iterator[FirestoreJournal]:
    with closing(FirestoreJournal(client, "flights")) as opened:
        tell(_open(opened), HISTORY)
        yield opened


def _open(journal: Any) -> Any:
    ledger = writer(journal)
    ledger.open()
    return ledger


def _left_out(client: Any, batch_id: str) -> set[str]:
    stored = client.document(f"pipelines/flights/batches/{batch_id}").get().to_dict()
    assert stored["attempted_version"] == 2
    return {*UNSET} - {*stored}


def test_what_has_not_happened_to_a_batch_is_not_in_its_document(client: Any, journal: FirestoreJournal) -> None:
    assert {"dead_at_us", "fingerprint", "open_records", "replay_token"} <= _left_out(client, "b1")
    assert not {"dead_at_us", "fingerprint"} & _left_out(client, "b2")
    assert "open_records" not in _left_out(client, "b3")
    assert journal.count_open_records() == 1
    assert journal.count_batches(BatchQuery(by="dead_at_us")) == 1


def test_it_is_read_as_any_other_adapter_reads_it(journal: FirestoreJournal) -> None:
    memory = MemoryJournal()
    tell(_open(memory), HISTORY)
    for batch_id in ("b1", "b2", "b3"):
        assert journal.read_batch(batch_id) == memory.read_batch(batch_id)
    assert list(journal.list_batches()) == list(memory.list_batches())
    assert [each.document for each in journal.read_index("batches", limit=9)] == [
        each.document for each in memory.read_index("batches", limit=9)
    ]
    asked = BatchQuery(by="dead_at_us")
    assert list(journal.list_causes(asked)) == list(memory.list_causes(asked))


def test_an_operators_change_of_a_batch_leaves_out_no_more_than_was(client: Any, journal: FirestoreJournal) -> None:
    before = _left_out(client, "b2")
    operator(journal).discard("b2", actor="ann@example.com", reason="a test")
    assert _left_out(client, "b2") < before
    found = journal.read_batch("b2")
    assert found is not None
    assert (found["status"], found["last_actor"]) == ("DISCARDED", "ann@example.com")


def test_mending_puts_back_what_was_left_out(client: Any, journal: FirestoreJournal) -> None:
    document, read = client.document("pipelines/flights/batches/b1"), journal.read_batch("b1")
    document.update({"dead_at_us": 7, "fingerprint": "wrong"})
    (found,) = journal.read_index("batches", limit=1)
    assert found.document["dead_at_us"] == 7
    right = {**found.document, "dead_at_us": None, "fingerprint": None}
    journal.mend("batches", "b1", right, token=found.token)
    assert "dead_at_us" in _left_out(client, "b1")
    assert journal.read_batch("b1") == read


@pytest.mark.parametrize("under_token", [False, True])
def test_a_document_written_whole_again_loses_what_no_longer_happened(
    client: Any, journal: FirestoreJournal, *, under_token: bool
) -> None:
    found = journal.read_batch_for_update("b2")
    assert found is not None
    document, token = found
    again = {**document, "dead_at_us": None, "fingerprint": None}
    tokens = {"b2": token} if under_token else {}
    journal.commit(commit(4, batches={"b2": again}, batch_tokens=tokens))
    assert {"dead_at_us", "fingerprint"} <= _left_out(client, "b2")
    assert journal.read_batch("b2") == again


def test_a_part_of_a_document_is_stored_and_read_as_it_is_written(client: Any, journal: FirestoreJournal) -> None:
    part = {"batch_id": "b9", "fingerprint": None, "open_records": 0}
    journal.commit(commit(4, batches={"b9": part}))
    assert client.document("pipelines/flights/batches/b9").get().to_dict() == part
    assert journal.read_batch("b9") == part
