from collections.abc import Callable
from typing import Any

import pytest

from state import ops_writer
from state.errors import LedgerUnavailable, Refused, VersionConflict
from state.events import OPS_LANE
from state.fold import Moment
from state.memory import MemoryJournal
from state.ops import OpsLedger
from state.ops_index import CHANGED_BY_OPS, BatchEvent, Held, ops_changes
from state.receipts import MAX_BATCH_IDS, counts
from state.verify import verify_pipeline
from tests.unit.state.commits import Flaky
from tests.unit.state.histories import (
    PIPELINE,
    T0_US,
    Clock,
    attempted,
    committed,
    dead,
    digests,
    operator,
    rejected,
    replay,
    started,
    tell,
    writer,
)
from tests.unit.state.test_codec import EVENTS

WHY: dict[str, Any] = {"actor": "ann", "reason": "mended"}
MINE: dict[str, Any] = {"token": "t1", "actor": "ann"}
CLAIM: dict[str, Any] = {"token": "t1", **WHY}
ANSWER: dict[str, Any] = {"code": "NOT_FOUND", "error": "no table", "fingerprint": "f2"}


@pytest.fixture
def journal() -> MemoryJournal:
    """b1 and b2 dead, b2 with rejected record 1; b3 in doubt."""
    journal = MemoryJournal()
    ledger = writer(journal)
    ledger.open()
    tell(ledger, [[started()], [attempted(f"b{number}", number - 1) for number in (1, 2, 3)]])
    tell(ledger, [[dead("b1")], [rejected("b2", 1), dead("b2")]])
    return journal


def entries(journal: MemoryJournal) -> int:
    return len(journal.read_entries(OPS_LANE, 1, 999))


def batch_of(journal: MemoryJournal, batch_id: str = "b1") -> Any:
    return journal.read_batch(batch_id)


# Whose replay it is


def test_the_one_who_was_taken_over_is_refused_its_end(journal: MemoryJournal) -> None:
    ann, bob = operator(journal), operator(journal)
    ann.claim("b1", **CLAIM)
    bob.claim("b1", token="t2", actor="bob", reason="ann's laptop is off")  # noqa: S106 - a replayer's name
    with pytest.raises(Refused, match="taken over by bob"):
        ann.succeeded("b1", rows=3, attempts=1, **MINE)
    with pytest.raises(Refused, match="taken over by bob"):
        ann.failed("b1", **ANSWER, **MINE)
    assert batch_of(journal)["status"] == "REPLAYING"
    assert batch_of(journal)["replays"] == 1


def test_who_discards_in_the_middle_of_a_replay_wins(journal: MemoryJournal) -> None:
    ann = operator(journal)
    ann.claim("b1", **CLAIM)
    operator(journal).discard("b1", actor="bob", reason="wrong data")
    with pytest.raises(Refused, match="is DISCARDED since bob acted on it"):
        ann.succeeded("b1", rows=3, attempts=1, **MINE)
    assert [said.status for said in ann.outbox()] == ["DISCARDED"]


CALLS: dict[str, Callable[[OpsLedger], object]] = {
    "claim": lambda ops: ops.claim("b1", **CLAIM),
    "success": lambda ops: ops.succeeded("b1", rows=3, attempts=1, **MINE),
    "failure": lambda ops: ops.failed("b1", **ANSWER, **MINE),
    "landing": lambda ops: ops.records_landed("b2", {1: digests("x")}, **MINE),
    "receipt": lambda ops: ops.open_receipt("r1", selection={}, batch_ids=["b1"], **WHY),
    "stop": lambda ops: ops.close_receipt("r0", actor="ann", status="stopped"),
    "publication": lambda ops: ops.published(1),
}


@pytest.mark.parametrize("call", CALLS)
def test_the_same_call_again_after_silence_finds_out_that_it_was_written(journal: MemoryJournal, call: str) -> None:
    before = operator(journal)
    before.discard("b2", **WHY)
    before.open_receipt("r0", selection={}, batch_ids=["b2"], **WHY)
    if call in {"success", "failure"}:
        before.claim("b1", **CLAIM)
    if call == "landing":
        _claim_b2(before)
    ops = operator(Flaky(journal, ["late"]))
    CALLS[call](ops)
    count = entries(journal)
    CALLS[call](ops)
    CALLS[call](operator(journal))
    assert entries(journal) == count
    assert verify_pipeline(journal, PIPELINE) == []


def _claim_b2(ops: OpsLedger) -> None:
    ops.reopen("b2", **WHY)
    ops.claim_records("b2", {1: digests("x")}, **CLAIM)


def test_after_silence_to_the_end_nothing_is_assumed(journal: MemoryJournal) -> None:
    ops = operator(Flaky(journal, ["", *["dropped"] * 8]))
    ops.claim("b2", **CLAIM)
    with pytest.raises(LedgerUnavailable):
        ops.claim("b1", **CLAIM)
    operator(journal).discard("b1", **WHY)
    with pytest.raises(Refused, match="is DISCARDED"):
        ops.claim("b1", **CLAIM)


@pytest.mark.parametrize("batch_id", ["b3", "b9"])
def test_what_is_in_doubt_or_unknown_is_not_the_operators(journal: MemoryJournal, batch_id: str) -> None:
    for act in (lambda: operator(journal).claim(batch_id, **CLAIM), lambda: operator(journal).discard(batch_id, **WHY)):
        with pytest.raises(Refused, match=r"it is in doubt|is not known"):
            act()
    assert entries(journal) == 0


def test_a_batch_that_its_lane_changes_in_between_is_read_again(journal: MemoryJournal) -> None:
    """Only the token finds this: lane `ops` has no entry of it."""
    lane = writer(journal)
    lane.open()

    class Between(MemoryJournal):
        def read_batch_for_update(self, batch_id: str) -> Any:
            found = journal.read_batch_for_update(batch_id)
            if lane.state.unsettled and not entries(journal):
                assert found is not None
                return {**found[0], "status": "DEAD_LETTERED"}, self._after(found[1])
            return found

        def _after(self, token: Any) -> Any:
            lane.append([committed("b3")], run_id="run-1")
            return token

        def __getattribute__(self, name: str) -> Any:
            own = {"read_batch_for_update", "_after"}
            return object.__getattribute__(self, name) if name in own else getattr(journal, name)

    with pytest.raises(Refused, match="b3 is COMMITTED"):
        operator(Between()).claim("b3", **CLAIM)
    assert batch_of(journal, "b3")["status"] == "COMMITTED"


def test_racing_for_ever_ends_in_bounded_time(journal: MemoryJournal) -> None:
    clock = Clock()

    class Busy(Flaky):
        def commit(self, commit: Any) -> Any:
            raise VersionConflict(f"again {commit.lane}")

    with pytest.raises(LedgerUnavailable, match="others wrote 20 times in a row"):
        operator(Busy(journal, []), clock=clock).claim("b1", **CLAIM)
    assert sum(clock.slept_s) < 20


# Caps


def test_people_replay_a_batch_three_times_unless_forced_and_runs_as_often_as_they_probe(
    journal: MemoryJournal,
) -> None:
    ops, run = operator(journal), operator(journal, run_id="run-2")
    for token in ("t1", "t2", "t3"):
        ops.claim("b1", token=token, **WHY)
        ops.failed("b1", token=token, actor="ann", **ANSWER)
        run.claim("b1", token=f"run-{token}", actor="run", reason="probe")
        run.failed("b1", token=f"run-{token}", actor="run", **ANSWER)
    with pytest.raises(Refused, match="was replayed 3 times by people"):
        ops.claim("b1", token="t4", **WHY)  # noqa: S106 - a replayer's name
    with pytest.raises(Refused, match="needs a reason"):
        ops.claim("b1", token="t4", actor="ann", reason="", forced=True)  # noqa: S106 - likewise
    ops.claim("b1", token="t4", forced=True, **WHY)  # noqa: S106 - likewise
    batch = batch_of(journal)
    assert (batch["replays"], batch["last_answer"], batch["error_code"]) == (4, "NOT_FOUND: no table", "NOT_FOUND")


def test_nothing_more_is_claimed_while_too_much_is_owed(
    journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops_writer, "MAX_OWED", 1)
    ops, other = operator(journal), operator(journal)
    ops.discard("b1", **WHY)
    for act in (lambda: ops.claim("b2", **CLAIM), lambda: ops.discard("b2", **WHY)):
        with pytest.raises(Refused, match="publish them first"):
            act()
    other.published(other.outbox()[-1].version)
    ops.claim("b2", **CLAIM)


# Records


def test_a_replayer_releases_only_its_own_claims(journal: MemoryJournal) -> None:
    ann, bob = operator(journal), operator(journal)
    ann.claim_records("b2", {1: digests("x")}, **CLAIM)
    bob.claim_records("b2", {1: digests("x")}, token="t2", **WHY)  # noqa: S106 - a replayer's name
    ann.records_failed("b2", [1], **ANSWER, **MINE)
    with pytest.raises(Refused, match="is being replayed as a different repair"):
        ann.claim_records("b2", {1: digests("y")}, token="t3", **WHY)  # noqa: S106 - likewise
    bob.records_failed("b2", [1], token="t2", actor="bob", **ANSWER)  # noqa: S106 - likewise
    ann.claim_records("b2", {1: digests("y")}, token="t3", **WHY)  # noqa: S106 - likewise
    batch = batch_of(journal, "b2")
    assert (batch["status"], batch["open_records"], batch["error_code"]) == ("DEAD_LETTERED", 1, "INVALID_ARGUMENT")


def test_records_of_a_superseded_batch_are_refused() -> None:
    journal = MemoryJournal()
    ledger = writer(journal)
    ledger.open()
    tell(ledger, [[started()], [attempted("b1")]])
    journal._batches["b1"].update(status="SUPERSEDED", rejected_indexes=[0])
    with pytest.raises(Refused, match="is SUPERSEDED; the source no longer yields it"):
        operator(journal).claim_records("b1", {0: digests("x")}, **CLAIM)


def test_a_discarded_record_is_closed_and_takes_no_repair(journal: MemoryJournal) -> None:
    ops = operator(journal)
    assert ops.discard_records("b2", [1], **WHY)["open_records"] == 0
    with pytest.raises(Refused, match="has record 1 discarded"):
        ops.claim_records("b2", {1: digests("x")}, **CLAIM)
    with pytest.raises(Refused, match="needs a reason"):
        ops.discard_records("b2", [1], actor="ann", reason="")


# Receipts


def opened(journal: MemoryJournal, *batch_ids: str) -> OpsLedger:
    ops = operator(journal)
    ops.open_receipt("r1", selection={"lane": "0"}, batch_ids=batch_ids or ("b1", "b2"), **WHY)
    return ops


def fail(ops: OpsLedger, batch_id: str, token: str) -> None:
    ops.claim(batch_id, token=token, receipt="r1", **WHY)
    ops.failed(batch_id, token=token, actor="ann", receipt="r1", **ANSWER)


def test_a_stopped_receipt_takes_no_claims_until_it_is_let_go_on(journal: MemoryJournal) -> None:
    ops = opened(journal)
    operator(journal).close_receipt("r1", actor="bob", status="stopped")
    with pytest.raises(Refused, match="receipt r1 was stopped by bob"):
        ops.claim("b1", receipt="r1", **CLAIM)
    ops.resume_receipt("r1", **WHY)
    ops.claim("b1", receipt="r1", **CLAIM)
    receipt = journal.read_receipt("r1") or {}
    assert (receipt["outcomes"], receipt["batch_ids"], receipt["actor"]) == ("..", ["b1", "b2"], "ann")


def test_three_failures_in_a_row_stop_a_receipt(journal: MemoryJournal) -> None:
    ids = ["b1", "b2", "b4", "b5"]
    for batch_id in ids[2:]:
        journal._batches[batch_id] = {**batch_of(journal), "batch_id": batch_id}
        journal._revisions[batch_id] = 1
    ops = opened(journal, *ids)
    for batch_id in ids[:3]:
        fail(ops, batch_id, f"t-{batch_id}")
    with pytest.raises(Refused, match="met 3 failures in a row"):
        ops.claim("b5", receipt="r1", **CLAIM)
    ops.resume_receipt("r1", **WHY)
    ops.claim("b5", receipt="r1", **CLAIM)
    assert counts(journal.read_receipt("r1") or {}) == {"pending": 1, "succeeded": 0, "failed": 3, "skipped": 0}


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda ops: ops.claim("b3", receipt="r1", **CLAIM), "nothing left to do with batch b3"),
        (lambda ops: ops.claim("b1", receipt="r9", **CLAIM), "receipt r9 is not known"),
        (lambda ops: ops.close_receipt("r9", actor="ann", status="done"), "receipt r9 is not known"),
        (lambda ops: ops.open_receipt("r1", selection={}, batch_ids=["b2"], **WHY), "is about other batches"),
        (lambda ops: ops.open_receipt("r2", selection={}, batch_ids=[], **WHY), "is about 0 batches"),
        (
            lambda ops: ops.open_receipt("r2", selection={}, batch_ids=map(str, range(MAX_BATCH_IDS + 1)), **WHY),
            f"is about {MAX_BATCH_IDS + 1} batches",
        ),
    ],
)
def test_a_receipt_is_refused_what_it_is_not_about(
    journal: MemoryJournal, act: Callable[[OpsLedger], object], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        act(opened(journal))


def test_a_batch_tried_once_is_not_tried_again_under_its_receipt(journal: MemoryJournal) -> None:
    ops = opened(journal)
    fail(ops, "b1", "t1")
    with pytest.raises(Refused, match="nothing left to do with batch b1"):
        ops.claim("b1", receipt="r1", **CLAIM)


def test_a_receipt_that_is_done_stays_done(journal: MemoryJournal) -> None:
    ops = opened(journal)
    ops.close_receipt("r1", actor="ann", status="done")
    ops.close_receipt("r1", actor="ann", status="done")
    with pytest.raises(Refused, match="is done"):
        ops.close_receipt("r1", actor="ann", status="stopped")
    with pytest.raises(Refused, match="is done"):
        ops.resume_receipt("r1", **WHY)
    with pytest.raises(ValueError, match="cannot end as"):
        ops.close_receipt("r1", actor="ann", status="forgotten")


# The index


def test_what_landed_stays_landed_whoever_claims_it_again() -> None:
    landed = {"1": {"digest": digests(1).hex(), "state": "landed"}}
    held = Held({"b1": {"rejected_indexes": [1, 2], "repairs": landed}})
    changes = ops_changes(held, [replay("b1", "t1", 1, 2)], Moment(1, "", T0_US), retention_us=1)
    claimed = {"digest": digests(2).hex(), "state": "claimed", "token": "t1"}
    assert changes.batches["b1"]["repairs"] == {**landed, "2": claimed}
    assert changes.batches["b1"]["open_records"] == 1


def test_every_field_that_operators_change_is_named_as_such() -> None:
    changed: set[str] = set()
    for event in (event for event in EVENTS if isinstance(event, BatchEvent)):
        changed |= ops_changes(Held({"b1": {}}), [event], Moment(1, "", T0_US), retention_us=1).batches["b1"].keys()
    assert changed | {"attempted_version"} == CHANGED_BY_OPS
