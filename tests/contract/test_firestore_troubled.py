"""Batches with trouble have a collection of their own in Firestore, written with them and never apart from them."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.newest import listed
from state.errors import VersionConflict
from state.events import Event
from state.firestore import FirestoreJournal, client_for
from state.journal import BatchQuery, page_key
from state.ops_index import Held
from state.rebuild import rebuild
from state.verify import verify_pipeline
from tests.unit.state.commits import commit
from tests.unit.state.histories import (
    PIPELINE,
    Clock,
    attempted,
    committed,
    dead,
    failed,
    landed,
    operator,
    recovered,
    rejected,
    started,
    tell,
    writer,
)

pytestmark = pytest.mark.firestore
ATTEMPTS: list[Event] = [attempted(f"b{number}", number) for number in range(5)]
HISTORY: list[list[Event]] = [[started()], ATTEMPTS, [committed("b0")], [dead("b1")], [rejected("b2", 1)]]
HISTORY[-1] += [committed("b2", 2), rejected("b3", 0, 2), dead("b3"), dead("b4")]
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=1)
DEAD = BatchQuery(status="DEAD_LETTERED", by="dead_at_us")
BY: dict[str, Any] = {"actor": "ann", "reason": "test"}
FIRST: dict[str, Any] = {"token": "t1"}
SECOND: dict[str, Any] = {"token": "t2"}


@pytest.fixture
def client() -> Any:
    return client_for(f"test-{uuid.uuid4().hex[:20]}", "(default)")


@pytest.fixture
def journal(client: Any) -> Iterator[FirestoreJournal]:
    with closing(FirestoreJournal(client, PIPELINE)) as opened:
        ledger = writer(opened)
        ledger.open()
        tell(ledger, HISTORY)
        tell(ledger, [[failed()]])
        yield opened


def _troubled(client: Any) -> dict[str, Any]:
    found = client.collection(f"pipelines/{PIPELINE}/troubled").stream()
    return {each.id: each.to_dict() for each in found}


def _batch(client: Any, batch_id: str) -> Any:
    return client.document(f"pipelines/{PIPELINE}/batches/{batch_id}")


def test_only_batches_with_trouble_are_kept_apart_and_without_what_is_empty(
    client: Any, journal: FirestoreJournal
) -> None:
    found = _troubled(client)
    assert sorted(found) == ["b1", "b2", "b3", "b4"]
    assert found["b2"] == {"batch_id": "b2", "lane": "0", "status": "COMMITTED", "open_records": 1}
    assert found["b1"]["waiting"] == 1
    assert "open_records" not in found["b1"]
    assert found["b1"]["error"] == "field carrier is missing"
    assert found["b3"]["open_records"] == 2
    assert verify_pipeline(journal, PIPELINE) == []


def test_a_dead_letter_costs_one_write_more_and_the_run_is_told_of_it(client: Any) -> None:
    with closing(FirestoreJournal(client, "other")) as journal:
        ledger = writer(journal, pipeline="other")
        ledger.open()
        counted = [landed(ledger, events).writes for events in HISTORY]
    assert counted == [3, 6, 2, 3, 7]


def test_a_commit_that_is_refused_leaves_nothing_there(client: Any, journal: FirestoreJournal) -> None:
    with pytest.raises(VersionConflict):
        journal.commit(commit(3, "another", batches={"b7": {"batch_id": "b7", "dead_at_us": 5}}))
    assert "b7" not in _troubled(client)


def test_what_operators_do_to_a_batch_is_done_to_both_in_one_commit(client: Any, journal: FirestoreJournal) -> None:
    ops = operator(journal)
    seen = []
    for act in (
        lambda: ops.claim("b1", **FIRST, **BY),
        lambda: ops.failed("b1", **FIRST, actor="ann", code="NOT_FOUND", error="no table", fingerprint="f2"),
        lambda: ops.discard("b1", **BY),
        lambda: ops.reopen("b1", **BY),
        lambda: ops.claim("b1", **SECOND, **BY),
        lambda: ops.succeeded("b1", **SECOND, actor="ann", rows=3, attempts=1),
    ):
        act()
        kept = _troubled(client)["b1"]
        seen.append((kept["status"], kept.get("waiting"), kept["fingerprint"], "expire_at" in kept))
        assert verify_pipeline(journal, PIPELINE) == []
    assert seen == [
        ("REPLAYING", 2, "f1", False),
        ("DEAD_LETTERED", 1, "f2", False),
        ("DISCARDED", None, "f2", True),
        ("DEAD_LETTERED", 1, "f2", False),
        ("REPLAYING", 2, "f2", False),
        ("COMMITTED", None, "f2", True),
    ]
    ops.discard_records("b2", [1], **BY)
    assert "open_records" not in _troubled(client)["b2"]
    assert [batch["batch_id"] for batch in journal.list_open_records()] == ["b3"]
    assert verify_pipeline(journal, PIPELINE) == []


def test_a_batch_that_its_lane_recovers_ages_out_of_both(client: Any, journal: FirestoreJournal) -> None:
    ledger = writer(journal, clock=Clock())
    ledger.open()
    held = Held({"b2": journal.read_batch("b2") or {}})
    ledger.recover(recovered("b2"), above=20, held=held)
    assert (_troubled(client)["b2"]["status"], "expire_at" in _troubled(client)["b2"]) == ("SUPERSEDED", True)


def test_a_page_is_full_where_batches_aged_out_before_what_was_kept_of_them(
    client: Any, journal: FirestoreJournal
) -> None:
    assert [batch["batch_id"] for batch in journal.list_batches(DEAD)] == ["b4", "b3", "b1"]
    _batch(client, "b4").delete()
    assert [batch["batch_id"] for batch in journal.list_batches(DEAD, limit=2)] == ["b3", "b1"]
    assert [batch["batch_id"] for batch in journal.list_batches(DEAD, limit=1)] == ["b3"]
    _batch(client, "b3").delete()
    assert [batch["batch_id"] for batch in journal.list_open_records(limit=1)] == ["b2"]
    _batch(client, "b1").delete()
    assert list(journal.list_batches(DEAD, limit=2)) == []


def test_the_next_page_begins_where_this_one_ended_whatever_changed_in_between(
    client: Any, journal: FirestoreJournal
) -> None:
    _batch(client, "b3").update({"open_records": 0})  # as if a record was repaired between the two reads
    (first,) = journal.list_open_records(limit=1)
    assert (first["batch_id"], first["open_records"]) == ("b3", 2)
    following = journal.list_open_records(after=page_key(first["open_records"], first["batch_id"]))
    assert [batch["batch_id"] for batch in following] == ["b2"]


@pytest.mark.parametrize("first", [True, False], ids=["written by older code", "one is gone"])
def test_what_was_never_kept_apart_is_told_and_made_by_a_rebuild(
    client: Any, journal: FirestoreJournal, *, first: bool
) -> None:
    before = _troubled(client)
    gone = sorted(before) if first else ["b3"]
    for key in gone:
        client.document(f"pipelines/{PIPELINE}/troubled/{key}").delete()
    text = "the lists of dead batches and open records say something else of it"
    assert verify_pipeline(journal, PIPELINE) == [f"batch {key}: {text}" for key in gone]
    text = "how the lists of dead batches and open records hold it"
    assert rebuild(journal, PIPELINE) == [f"batch {key}: {text}" for key in gone]
    assert _troubled(client) == before
    assert verify_pipeline(journal, PIPELINE) == rebuild(journal, PIPELINE) == []


def test_a_batch_made_anew_without_trouble_is_not_kept_apart(client: Any, journal: FirestoreJournal) -> None:
    before = _troubled(client)
    for key in ("b0", "b2"):
        _batch(client, key).delete()
    assert rebuild(journal, PIPELINE) == ["batch b0: made anew", "batch b2: made anew"]
    assert _troubled(client) == before


def test_what_was_not_kept_is_kept_whole_once_somebody_acts_on_the_batch(
    client: Any, journal: FirestoreJournal
) -> None:
    before = _troubled(client)["b1"]
    ops = operator(journal)
    ops.discard("b1", **BY)
    client.document(f"pipelines/{PIPELINE}/troubled/b1").delete()  # it may age out before its batch does
    ops.reopen("b1", **BY)
    assert _troubled(client)["b1"] == before
    assert "b1" in [batch["batch_id"] for batch in journal.list_batches(DEAD)]


@pytest.mark.parametrize("lane", ["..", "__x__", "a/b", "nowhere"])
def test_a_lane_that_is_none_has_no_batches(journal: FirestoreJournal, lane: str) -> None:
    assert list(listed(journal, BatchQuery(lane=lane), 51)) == []


@pytest.mark.parametrize(
    ("key", "harm"),
    [
        ("b1", {"status": "DISCARDED"}),
        ("b1", {"waiting": 2}),
        ("b4", {"fingerprint": "f9"}),
        ("b3", {"open_records": 7}),
        ("b0", {"dead_at_us": 5, "status": "DEAD_LETTERED"}),
        ("b0", {"open_records": 3}),
        ("b0", {"waiting": 1}),
    ],
    ids=str,
)
def test_what_is_kept_otherwise_than_the_document_says_is_told_and_mended(
    client: Any, journal: FirestoreJournal, key: str, harm: dict[str, Any]
) -> None:
    before, batch = _troubled(client), journal.read_batch(key)
    client.document(f"pipelines/{PIPELINE}/troubled/{key}").set(harm, merge=True)
    assert [line.split(":")[0] for line in verify_pipeline(journal, PIPELINE)] == [f"batch {key}"]
    assert [line.split(":")[0] for line in rebuild(journal, PIPELINE)] == [f"batch {key}"]
    emptied = {"b0": {"batch_id": "b0", "expire_at": LONG_AGO}} if key == "b0" else {}
    assert _troubled(client) == {**emptied, **before}, "nothing is deleted, it ages out"
    assert journal.read_batch(key) == batch
    assert verify_pipeline(journal, PIPELINE) == []


def test_what_ages_out_may_be_gone_before_its_batch(client: Any, journal: FirestoreJournal) -> None:
    operator(journal).discard("b1", **BY)
    client.document(f"pipelines/{PIPELINE}/troubled/b1").delete()
    assert verify_pipeline(journal, PIPELINE) == []


def test_documents_come_in_the_order_asked_whatever_order_firestore_sends_them_in(
    client: Any, journal: FirestoreJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordinary = client.get_all
    monkeypatch.setattr(client, "get_all", lambda *asked, **how: [*ordinary(*asked, **how)][::-1])
    assert [batch["batch_id"] for batch in journal.read_batches(["b3", "b1", "b9", "b2"])] == ["b3", "b1", "b2"]
    assert [stored.entry.version for stored in journal.read_versions("0", [3, 1, 2])] == [3, 1, 2]


def test_what_is_kept_of_a_batch_that_is_gone_is_told_unless_it_ages_out(
    client: Any, journal: FirestoreJournal
) -> None:
    ghost = client.document(f"pipelines/{PIPELINE}/troubled/b9")
    ghost.set({"batch_id": "b9", "dead_at_us": 5})
    assert [line.split(":")[0] for line in verify_pipeline(journal, PIPELINE)] == ["batch b9"]
    ghost.update({"expire_at": ghost.get().update_time})
    assert verify_pipeline(journal, PIPELINE) == []
