"""On every store: an index that was damaged is rebuilt equal to what was there, its digests kept."""

from typing import Any

from state.errors import VersionConflict
from state.journal import IndexDocument, Journal, Kind
from state.rebuild import rebuild
from state.verify import verify_pipeline
from tests.unit.state.histories import (
    PIPELINE,
    attempted,
    dead,
    digests,
    failed,
    operator,
    rejected,
    started,
    tell,
    writer,
)

KINDS: tuple[Kind, ...] = ("batches", "runs", "receipts")


def _history(journal: Journal) -> None:
    ledger = writer(journal)
    ledger.open()
    tell(ledger, [[started()], [attempted("b1"), attempted("b2", 1)], [dead("b1"), rejected("b2", 1), dead("b2")]])
    tell(ledger, [[failed()], [started("run-2")]])
    mine: dict[str, Any] = {"token": "t1", "actor": "ann"}
    ops = operator(journal)
    ops.open_receipt("r1", actor="ann", reason="all", selection={}, batch_ids=["b1"])
    ops.claim("b1", reason="1", receipt="r1", **mine)
    ops.succeeded("b1", rows=3, attempts=1, receipt="r1", **mine)
    ops.claim_records("b2", {1: digests("x")}, reason="3", **mine)


def _index(journal: Journal) -> dict[str, Any]:
    read = {kind: list(journal.read_index(kind, limit=99)) for kind in KINDS}
    whole = {kind: {each.key: dict(each.document) for each in found} for kind, found in read.items()}
    return {"documents": whole, "digests": {each.key: _digests(journal, each) for each in read["batches"]}}


def _digests(journal: Journal, each: IndexDocument) -> bytes | None:
    return (journal.read_batch(each.key) or {}).get("row_digests")


def test_a_damaged_index_is_rebuilt_equal_to_what_was_there(journal: Journal) -> None:
    _history(journal)
    before = _index(journal)
    for kind in KINDS:
        for each in journal.read_index(kind, limit=99):
            damage = {"status": "COMMITTED", "rows": 77, "error": "odd", "mood": "good", "expire_at_us": 5}
            gone = [name for name in ("last_actor", "trigger", "outcomes") if name in each.document]
            journal.mend(kind, each.key, damage, token=each.token, gone=gone)
    assert verify_pipeline(journal, PIPELINE) != []
    assert len(rebuild(journal, PIPELINE)) == 5
    after = _index(journal)
    # Firestore's lists read only the fields that batches have: what is strange in one is neither seen nor mended there.
    for batch in after["documents"]["batches"].values():
        batch.pop("mood", None)
    assert after == before
    assert rebuild(journal, PIPELINE) == []
    assert verify_pipeline(journal, PIPELINE) == []


def test_writers_beside_a_rebuild_lose_nothing(journal: Journal) -> None:
    _history(journal)
    other = operator(journal)
    (held,) = (each for each in journal.read_index("batches", limit=99) if each.key == "b2")
    other.claim("b2", token="t2", actor="eve", reason="r")  # noqa: S106 - a replayer's name
    try:
        journal.mend("batches", "b2", {"status": "DEAD_LETTERED"}, token=held.token)
    except VersionConflict:
        pass
    else:
        raise AssertionError("a document was changed that was not as it was read")
    rebuild(journal, PIPELINE)
    assert (journal.read_batch("b2") or {})["status"] == "REPLAYING"
