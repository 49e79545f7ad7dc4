"""What the operators' writer builds on the port, on every adapter."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from state.errors import Refused
from state.events import OPS_LANE
from state.journal import BatchQuery, Journal
from state.verify import verify_lane, verify_pipeline
from tests.unit.state.commits import Flaky
from tests.unit.state.histories import (
    DAY_US,
    LANE,
    PIPELINE,
    T0_US,
    attempted,
    committed,
    dead,
    digests,
    failed,
    operator,
    rejected,
    rejected_by_bigquery,
    started,
    tell,
    writer,
)

Store = Callable[..., Journal]
WHY: dict[str, Any] = {"actor": "ann", "reason": "mended"}
ANSWER: dict[str, Any] = {"code": "NOT_FOUND", "error": "no table", "fingerprint": "f2"}


def outage(journal: Journal) -> None:
    """b1 and b2 dead, b2 with rejected records 1 and 4, b3 committed with rejected record 0."""
    ledger = writer(journal)
    ledger.open()
    tell(ledger, [[started()], [attempted(f"b{number}", number - 1) for number in (1, 2, 3)]])
    tell(ledger, [[dead("b1", kind="systemic")], [rejected("b2", 1), rejected_by_bigquery("b2", 4), dead("b2")]])
    tell(ledger, [[rejected("b3", 0), committed("b3", 2)], [failed()]])


def status_of(journal: Journal, batch_id: str) -> str:
    return str((journal.read_batch(batch_id) or {})["status"])


def test_a_dead_batch_is_claimed_replayed_stated_and_published(journal: Journal) -> None:
    outage(journal)
    ops = operator(journal)
    claimed = ops.claim("b1", token="t1", **WHY)  # noqa: S106 - a replayer's name
    assert (claimed.document["status"], claimed.document["replays"], claimed.indexes) == ("REPLAYING", 1, ())
    assert claimed.document["row_digests"] == digests(0, 1, 2)
    after = ops.succeeded("b1", token="t1", actor="ann", rows=3, attempts=1)  # noqa: S106 - likewise
    assert after == journal.read_batch("b1")
    assert (after["status"], after["last_answer"], after["expire_at_us"]) == ("COMMITTED", "OK", T0_US + 90 * DAY_US)
    owed = operator(journal).outbox()
    assert [(said.batch_id, said.status, said.rows, said.version) for said in owed] == [("b1", "COMMITTED", 3, 2)]
    ops.published(owed[-1].version)
    assert operator(journal).outbox() == ()
    assert verify_pipeline(journal, PIPELINE) == []


def test_rows_refused_at_a_replay_are_rejected_in_the_entry_that_commits_the_others(journal: Journal) -> None:
    outage(journal)
    ops = operator(journal)
    ops.claim("b2", token="t1", **WHY)  # noqa: S106 - a replayer's name
    done: dict[str, Any] = {"token": "t1", "actor": "ann", "rows": 1, "attempts": 2}
    refused = rejected_by_bigquery("b2", 2)
    after = ops.succeeded("b2", rejected=refused, **done)
    assert (after["status"], after["rows"], after["rejected_indexes"]) == ("COMMITTED", 1, [1, 2, 4])
    assert (after["open_records"], after["expire_at_us"]) == (3, None), "somebody has to look at them"
    (entry,) = journal.read_entries(OPS_LANE, 2, 9)
    assert [event["type"] for event in entry.entry.events] == ["records_rejected", "replay_succeeded"]
    assert ops.succeeded("b2", rejected=refused, **done) == after, "said twice, written once"
    assert len(journal.read_entries(OPS_LANE, 1, 9)) == 2
    assert verify_pipeline(journal, PIPELINE) == []


def test_what_is_open_again_never_ages_out(store: Store) -> None:
    journal = store()
    outage(journal)
    ops = operator(journal)
    assert ops.discard("b1", **WHY)["expire_at_us"] == T0_US + 90 * DAY_US
    assert ops.reopen("b1", **WHY)["expire_at_us"] is None
    assert (store().read_batch("b1") or {})["expire_at_us"] is None
    assert ops.discard("b2", **WHY)["expire_at_us"] is None, "its rejected records are open"
    assert ops.discard_records("b2", [1, 4], **WHY)["expire_at_us"] == T0_US + 90 * DAY_US
    assert verify_pipeline(journal, PIPELINE) == []


@pytest.mark.parametrize("faults", [["lost"], ["dropped"], ["late"], ["dropped", "late"]], ids="-".join)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_lost_answer_never_repeats_or_loses_a_replay(journal: Journal, faults: list[str], at: int) -> None:
    outage(journal)
    ops = operator(Flaky(journal, [*[""] * at, *faults]))
    for token in ("t1", "t2"):
        ops.claim("b1", token=token, **WHY)
        ops.failed("b1", token=token, actor="ann", **ANSWER)
    batch = journal.read_batch("b1") or {}
    assert (batch["status"], batch["replays"], batch["fingerprint"]) == ("DEAD_LETTERED", 2, "f2")
    assert len(journal.read_entries(OPS_LANE, 1, 99)) == 4
    assert verify_pipeline(journal, PIPELINE) == []


def test_of_operators_at_once_the_last_to_claim_ends_it_and_the_others_are_told(store: Store) -> None:
    journal = store()
    outage(journal)
    names = [f"op-{number}" for number in range(6)]

    def replay(name: str) -> str:
        ops = operator(journal)
        try:
            ops.claim("b1", token=name, actor=name, reason="all at once")
            ops.succeeded("b1", token=name, actor=name, rows=3, attempts=1)
        except Refused as refused:
            return str(refused)
        return ""

    with ThreadPoolExecutor(len(names)) as threads:
        told = list(threads.map(replay, names))
    assert told.count("") == 1
    assert all("taken over" in line or "is COMMITTED" in line for line in told if line)
    assert status_of(journal, "b1") == "COMMITTED"
    assert len(operator(journal).outbox()) == 1
    assert verify_pipeline(journal, PIPELINE) == []


def test_a_receipt_is_changed_with_the_answers_that_carry_it(journal: Journal) -> None:
    outage(journal)
    ops = operator(journal)
    ops.open_receipt("r1", selection={"status": "DEAD_LETTERED"}, batch_ids=["b2", "b1", "b3"], **WHY)
    for batch_id in ("b2", "b1"):
        ops.claim(batch_id, token="t1", receipt="r1", **WHY)  # noqa: S106 - a replayer's name
    ops.failed("b2", token="t1", receipt="r1", actor="ann", **ANSWER)  # noqa: S106 - likewise
    receipt = journal.read_receipt("r1") or {}
    assert (receipt["outcomes"], receipt["failures_in_row"], receipt["status"]) == ("F..", 1, "open")
    ops.succeeded("b1", token="t1", receipt="r1", actor="ann", rows=3, attempts=1)  # noqa: S106 - likewise
    with pytest.raises(Refused, match="b3 is COMMITTED"):
        ops.claim("b3", token="t1", receipt="r1", **WHY)  # noqa: S106 - likewise
    ops.close_receipt("r1", actor="ann", status="done")
    receipt = journal.read_receipt("r1") or {}
    assert (receipt["outcomes"], receipt["failures_in_row"], receipt["status"]) == ("FSK", 0, "done")
    assert receipt["expire_at_us"] == T0_US + 90 * DAY_US
    assert [listed["receipt"] for listed in journal.list_receipts()] == ["r1"]
    assert verify_pipeline(journal, PIPELINE) == []


def test_repaired_records_land_while_their_batch_stays_as_it_is(journal: Journal) -> None:
    outage(journal)
    ops, names = operator(journal), itertools.count()
    for batch_id, index in (("b3", 0), ("b2", 1)):
        before, token = status_of(journal, batch_id), f"t{next(names)}"
        repair = {index: digests("repaired")}
        assert ops.claim_records(batch_id, repair, token=token, **WHY).indexes == (index,)
        after = ops.records_landed(batch_id, repair, token=token, actor="ann")
        assert after["status"] == before
        assert after["repairs"] == {str(index): {"digest": digests("repaired").hex(), "state": "landed"}}
        assert ops.claim_records(batch_id, repair, token="t9", **WHY).indexes == ()  # noqa: S106 - likewise
        with pytest.raises(Refused, match="as a different repair"):
            ops.claim_records(batch_id, {index: digests("otherwise")}, token="t9", **WHY)  # noqa: S106 - likewise
    assert (journal.read_batch("b3") or {})["open_records"] == 0
    assert (journal.read_batch("b2") or {})["open_records"] == 1
    assert verify_pipeline(journal, PIPELINE) == []


def test_the_operators_find_dead_batches_by_what_failed(journal: Journal) -> None:
    outage(journal)
    found = journal.list_batches(BatchQuery(status="DEAD_LETTERED", fingerprint="f1", by="dead_at_us", since_us=T0_US))
    assert sorted(batch["batch_id"] for batch in found) == ["b1", "b2"]
    assert journal.list_batches(BatchQuery(status="DEAD_LETTERED", run="another")) == []


def test_each_entry_of_the_operators_replaces_their_snapshot(journal: Journal) -> None:
    outage(journal)
    ops = operator(journal)
    for version, token in enumerate(["t1", "t2", "t3"], start=1):
        ops.claim("b1", token=token, **WHY)
        snapshot = journal.read_snapshot(OPS_LANE)
        assert snapshot is not None
        assert snapshot.version == version
    assert verify_lane(journal, PIPELINE, LANE) == verify_lane(journal, PIPELINE, OPS_LANE) == []
