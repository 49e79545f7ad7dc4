"""What the port says of index documents: merged, listed, and changed only as they were read."""

from collections.abc import Callable
from typing import Any

import pytest

from state.errors import VersionConflict
from state.journal import BatchQuery, Journal, Kind, page_key
from tests.unit.state.commits import commit
from tests.unit.state.histories import DAY_US, LANE, T0_US

Store = Callable[..., Journal]


def test_fields_are_merged_and_the_others_stay(journal: Journal) -> None:
    first = {"batch_id": "b1", "status": "ATTEMPTED", "end": {"cursor": "a", "taken": 1}, "row_digests": b"\x00" * 32}
    journal.commit(commit(1, batches={"b1": first}, runs={"r1": {"run_id": "r1", "status": "running"}}))
    second = {"status": "COMMITTED", "end": {"cursor": "b"}, "rejected_indexes": [1]}
    journal.commit(commit(2, batches={"b1": second}, runs={"r1": {"error": None}}))
    assert journal.read_batch("b1") == {**first, **second}
    assert list(journal.list_runs()) == [{"run_id": "r1", "status": "running", "error": None}]


def test_lists_leave_out_row_digests(journal: Journal) -> None:
    batch = {"batch_id": "b1", "attempted_at_us": 1}
    journal.commit(commit(batches={"b1": {**batch, "row_digests": b"1234"}}))
    assert [dict(listed) for listed in journal.list_batches()] == [batch]


def test_an_index_document_keeps_its_expiry_to_the_microsecond(journal: Journal) -> None:
    kept = {
        "b1": {"batch_id": "b1", "attempted_at_us": 2, "expire_at_us": T0_US + 1},
        "b2": {"batch_id": "b2", "attempted_at_us": 1},
    }
    journal.commit(
        commit(1, batches=kept, runs={"r1": {"run_id": "r1", "expire_at_us": T0_US + 7}}, expire_at_us=T0_US)
    )
    assert [batch.get("expire_at_us") for batch in journal.list_batches()] == [T0_US + 1, None]
    assert journal.list_runs()[0]["expire_at_us"] == T0_US + 7
    journal.commit(commit(2, batches={"b1": {"expire_at_us": None}}))
    assert (journal.read_batch("b1") or {})["expire_at_us"] is None


def _batch(number: int, status: str, lane: str, attempted_at_us: int, **fields: Any) -> dict[str, Any]:
    batch = {"batch_id": f"b{number}", "status": status, "lane": lane, "attempted_at_us": attempted_at_us}
    return {**batch, "attempted_run": f"r{attempted_at_us // 100}", "fingerprint": None, "dead_at_us": None, **fields}


DEAD = {"fingerprint": "f1", "dead_at_us": 500}
BATCHES = [
    _batch(0, "COMMITTED", "0", 100),
    _batch(1, "DEAD_LETTERED", "0", 200, **DEAD),
    _batch(2, "COMMITTED", "1", 200),
    _batch(3, "COMMITTED", "0", 50, **DEAD),
    _batch(4, "DEAD_LETTERED", "1", 300, fingerprint="f2", dead_at_us=400),
]


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({}, "b4 b2 b1 b0 b3"),
        ({"status": "COMMITTED"}, "b2 b0 b3"),
        ({"lane": "1"}, "b4 b2"),
        ({"run": "r2"}, "b2 b1"),
        ({"fingerprint": "f1"}, "b1 b3"),
        ({"status": "COMMITTED", "lane": "0"}, "b0 b3"),
        ({"status": "DEAD_LETTERED", "lane": "0", "run": "r2", "fingerprint": "f1"}, "b1"),
        ({"status": "DEAD_LETTERED", "lane": "0", "run": "r2", "fingerprint": "f2"}, ""),
        ({"since_us": 200}, "b4 b2 b1"),
        ({"until_us": 200}, "b0 b3"),
        ({"since_us": 100, "until_us": 300, "status": "COMMITTED"}, "b2 b0"),
        ({"by": "dead_at_us"}, "b3 b1 b4"),
        ({"by": "dead_at_us", "lane": "0", "since_us": 450}, "b3 b1"),
        ({"by": "dead_at_us", "until_us": 500}, "b4"),
        ({"status": "REPLAYING"}, ""),
    ],
    ids=str,
)
@pytest.mark.parametrize("page", [1, 2, 9])
def test_batches_are_listed_newest_first_filtered_and_in_pages(
    journal: Journal, asked: dict[str, Any], ids: str, page: int
) -> None:
    journal.commit(commit(batches={batch["batch_id"]: batch for batch in BATCHES}))
    query, found = BatchQuery(**asked), list[str]()
    while batches := journal.list_batches(query, limit=page):
        assert len(batches) <= page
        found += [batch["batch_id"] for batch in batches]
        query = query.following(batches[-1])
    assert found == ids.split()


def test_a_page_follows_the_last_whatever_came_or_went_in_between(journal: Journal) -> None:
    journal.commit(commit(1, batches={batch["batch_id"]: batch for batch in BATCHES}))
    first = journal.list_batches(limit=2)
    newer = {"b9": _batch(9, "ATTEMPTED", "0", 400), "b2": {"status": "DISCARDED", "dead_at_us": 900}}
    journal.commit(commit(2, batches=newer))
    query = BatchQuery().following(first[-1])
    assert [batch["batch_id"] for batch in journal.list_batches(query)] == ["b1", "b0", "b3"]


@pytest.mark.parametrize("after", ["b1", "x~b1", "~b1", "5~", ""])
def test_a_page_that_is_none_is_refused(journal: Journal, after: str) -> None:
    with pytest.raises(ValueError, match="start again from the first page"):
        journal.list_batches(BatchQuery(after=after))
    with pytest.raises(ValueError, match="start again from the first page"):
        journal.list_receipts(after=after)


# A batch's token


def _changed(store: Store, batch_id: str = "b1") -> tuple[Journal, object]:
    """Return a journal with a batch that was changed since its token, which is returned too, was read."""
    journal = store()
    journal.commit(commit(1, batches={batch_id: {"batch_id": batch_id, "status": "DEAD_LETTERED"}}))
    found = store().read_batch_for_update(batch_id)
    assert found is not None
    assert found[0] == {"batch_id": batch_id, "status": "DEAD_LETTERED"}
    store().commit(commit(2, batches={batch_id: {"status": "REPLAYING"}}))
    return journal, found[1]


def test_a_batch_is_only_changed_under_the_token_of_its_last_change(store: Store) -> None:
    journal, token = _changed(store)
    late = commit(
        3,
        batches={"b1": {"status": "DISCARDED"}, "b2": {"batch_id": "b2"}},
        batch_tokens={"b1": token},
        receipts={"r1": {"receipt": "r1"}},
        snapshot={"version": 3},
    )
    with pytest.raises(VersionConflict):
        journal.commit(late)
    assert journal.read_entry(LANE, 3) is None
    assert (journal.read_batch("b1") or {})["status"] == "REPLAYING"
    assert journal.read_batch("b2") is None
    assert journal.read_receipt("r1") is None
    assert journal.read_snapshot(LANE) is None


def test_the_token_of_the_last_change_permits_one_more(store: Store) -> None:
    journal, _ = _changed(store)
    found = journal.read_batch_for_update("b1")
    assert found is not None
    journal.commit(commit(3, batches={"b1": {"status": "DISCARDED"}}, batch_tokens={"b1": found[1]}))
    assert journal.read_batch("b1") == {"batch_id": "b1", "status": "DISCARDED"}
    with pytest.raises(VersionConflict):
        journal.commit(commit(4, batches={"b1": {"status": "DEAD_LETTERED"}}, batch_tokens={"b1": found[1]}))


def test_a_change_to_the_same_values_makes_a_token_old_too(store: Store) -> None:
    journal, _ = _changed(store)
    found = journal.read_batch_for_update("b1")
    assert found is not None
    journal.commit(commit(3, batches={"b1": {"status": "REPLAYING", "replay_token": "another"}}))
    with pytest.raises(VersionConflict):
        journal.commit(commit(4, batches={"b1": {"status": "DISCARDED"}}, batch_tokens={"b1": found[1]}))


def test_a_token_for_a_batch_that_is_not_there_is_a_conflict(store: Store) -> None:
    journal, token = _changed(store)
    with pytest.raises(VersionConflict):
        journal.commit(commit(3, batches={"b9": {"status": "DISCARDED"}}, batch_tokens={"b9": token}))
    assert journal.read_batch("b9") is None


def test_a_token_changes_whole_fields_as_a_merge_does(journal: Journal) -> None:
    before = {"batch_id": "b1", "repairs": {"1": {"state": "claimed"}, "2": {"state": "claimed"}}, "row_digests": b"1"}
    journal.commit(commit(1, batches={"b1": before}))
    found = journal.read_batch_for_update("b1")
    assert found is not None
    assert found[0] == before
    change = {"repairs": {"1": {"state": "landed"}}, "expire_at_us": T0_US}
    journal.commit(commit(2, batches={"b1": change}, batch_tokens={"b1": found[1]}))
    assert journal.read_batch("b1") == {**before, **change}


def test_a_batch_never_written_has_no_token(journal: Journal) -> None:
    assert journal.read_batch_for_update("b1") is None


def test_a_token_of_a_batch_that_the_commit_leaves_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="does not change: b1"):
        commit(batch_tokens={"b1": 1})


# Receipts


def _receipt(number: int, opened_at_us: int) -> dict[str, Any]:
    ids = {"batch_ids": ["b1", "b2"], "outcomes": "..", "filter": {"status": "DEAD_LETTERED"}}
    return {"receipt": f"r{number}", "opened_at_us": opened_at_us, **ids}


def test_a_receipt_is_read_whole_and_merged(journal: Journal) -> None:
    assert journal.read_receipt("r1") is None
    assert journal.commit(commit(1, receipts={"r1": _receipt(1, 5)})).writes == 2
    journal.commit(commit(2, receipts={"r1": {"outcomes": "S.", "expire_at_us": None}}))
    assert journal.read_receipt("r1") == {**_receipt(1, 5), "outcomes": "S.", "expire_at_us": None}


def test_receipts_are_listed_newest_first_without_their_batch_ids_in_pages(journal: Journal) -> None:
    receipts = [_receipt(1, 20), _receipt(2, 10), _receipt(3, 30), _receipt(4, 20)]
    journal.commit(commit(receipts={receipt["receipt"]: receipt for receipt in receipts}))
    listed = journal.list_receipts(limit=2)
    assert [dict(receipt) for receipt in listed] == [
        {name: value for name, value in receipts[at].items() if name != "batch_ids"} for at in (2, 3)
    ]
    after = page_key(listed[-1]["opened_at_us"], listed[-1]["receipt"])
    assert [receipt["receipt"] for receipt in journal.list_receipts(after=after)] == ["r1", "r2"]


# Runs and skips


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({}, "r3 r2 r1"),
        ({"limit": 2}, "r3 r2"),
        ({"limit": 2, "before": "r2"}, "r1"),
        ({"before": "r1"}, ""),
        ({"lane": "0"}, "r3 r1"),
        ({"lane": "0", "limit": 1}, "r3"),
        ({"lane": "0", "before": "r3"}, "r1"),
        ({"status": "complete"}, "r2 r1"),
        ({"lane": "0", "status": "complete"}, "r1"),
        ({"lane": "2"}, ""),
    ],
    ids=str,
)
def test_runs_are_listed_newest_first_filtered_and_in_pages(journal: Journal, asked: dict[str, Any], ids: str) -> None:
    runs = {
        "r2": {"run_id": "r2", "lane": "1", "status": "complete"},
        "r1": {"run_id": "r1", "lane": "0", "status": "complete"},
        "r3": {"run_id": "r3", "lane": "0", "status": "failed"},
    }
    journal.commit(commit(runs=runs))
    assert [run["run_id"] for run in journal.list_runs(**asked)] == ids.split()
    assert journal.read_run("r2") == runs["r2"]
    assert journal.read_run("r9") is None


# The index, as it is rebuilt


DOCUMENT = {"batch_id": "b1", "status": "ATTEMPTED", "end": {"cursor": "a"}, "expire_at_us": T0_US, "error": "odd"}
KINDS: tuple[Kind, ...] = ("batches", "runs", "receipts")


def _written(journal: Journal, kind: Kind, *keys: str) -> None:
    extra = {"row_digests": b"1234"} if kind == "batches" else {}
    changed: dict[str, Any] = {kind: {key: {**DOCUMENT, **extra} for key in keys}}
    journal.commit(commit(**changed))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("page", [1, 2, 9])
def test_index_documents_are_read_in_order_of_their_keys_without_row_digests(
    journal: Journal, kind: Kind, page: int
) -> None:
    _written(journal, kind, "k2", "k1", "k3")
    found, after = list[str](), None
    while read := journal.read_index(kind, limit=page, after=after):
        assert len(read) <= page
        assert [dict(each.document) for each in read] == [DOCUMENT] * len(read)
        after = read[-1].key
        found += [each.key for each in read]
    assert found == ["k1", "k2", "k3"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_is_mended_whole_fields_at_once_and_keeps_its_digests(journal: Journal, kind: Kind) -> None:
    _written(journal, kind, "k1")
    held = journal.read_index(kind, limit=1)[0]
    journal.mend(kind, "k1", {"end": {"taken": 1}, "expire_at_us": None}, token=held.token, gone=["error"])
    (mended,) = journal.read_index(kind, limit=2)
    expected = {**DOCUMENT, "end": {"taken": 1}, "expire_at_us": None}
    assert dict(mended.document) == {name: value for name, value in expected.items() if name != "error"}
    if kind == "batches":
        assert (journal.read_batch("k1") or {})["row_digests"] == b"1234"


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_is_only_mended_as_it_was_read(store: Store, kind: Kind) -> None:
    journal = store()
    _written(journal, kind, "k1")
    token = journal.read_index(kind, limit=1)[0].token
    changed: dict[str, Any] = {kind: {"k1": {"status": "COMMITTED"}}}
    store().commit(commit(2, **changed))
    for stale in (token, None):
        with pytest.raises(VersionConflict):
            journal.mend(kind, "k1", {"status": "FORGED"}, token=stale)
    assert journal.read_index(kind, limit=1)[0].document["status"] == "COMMITTED"


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_that_is_not_there_is_made_once_and_not_changed(store: Store, kind: Kind) -> None:
    journal = store()
    journal.mend(kind, "k1", DOCUMENT, token=None)
    with pytest.raises(VersionConflict):
        store().mend(kind, "k1", DOCUMENT, token=None)
    (made,) = journal.read_index(kind, limit=2)
    assert dict(made.document) == DOCUMENT
    with pytest.raises(VersionConflict):
        journal.mend(kind, "k2", DOCUMENT, token=made.token)
    assert len(journal.read_index(kind, limit=2)) == 1


def test_a_mended_batch_makes_the_tokens_of_operators_old(journal: Journal) -> None:
    _written(journal, "batches", "b1")
    found = journal.read_batch_for_update("b1")
    assert found is not None
    journal.mend("batches", "b1", {"status": "DEAD_LETTERED"}, token=journal.read_index("batches", limit=1)[0].token)
    with pytest.raises(VersionConflict):
        journal.commit(commit(2, batches={"b1": {"status": "REPLAYING"}}, batch_tokens={"b1": found[1]}))


def test_the_same_skip_twice_changes_nothing(store: Store) -> None:
    for journal in (store(), store()):
        journal.create_skip("tick-1", {"run_id": "r1", "at_us": T0_US}, T0_US + DAY_US)


def test_closing_twice_is_closing_once(store: Store) -> None:
    journal = store()
    journal.read_entry(LANE, 1)
    journal.close()
    journal.close()
