"""Random operators race on one batch and its records; whatever they do, the ledger stays one history."""

import contextlib
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from state.errors import OutcomeUnknown, Refused, VersionConflict
from state.events import OPS_LANE
from state.journal import Commit, Committed
from state.memory import MemoryJournal
from state.ops import OpsLedger
from state.verify import verify_lane, verify_pipeline
from tests.unit.state.histories import (
    LANE,
    PIPELINE,
    attempted,
    dead,
    digests,
    failed,
    operator,
    published,
    rejected,
    rejected_by_bigquery,
    started,
    tell,
    writer,
)

BATCHES = ("b1", "b2")
WORDS = (
    "claim",
    "force",
    "succeed",
    "refuse",
    "fail",
    "discard",
    "reopen",
    "repair",
    "other",
    "land",
    "release",
    "close",
    "publish",
)
Step = tuple[int, str, str, str]
steps = st.tuples(
    st.integers(0, 2),
    st.sampled_from(WORDS),
    st.sampled_from(BATCHES),
    st.sampled_from(["", "lost", "dropped", "late", "raced"]),
)


class Network:
    """A journal whose next commit meets a fault; before a `raced` one a rival acts, between its read and its write."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal, self.fault = journal, ""
        self.rival: Callable[[], object] = lambda: None
        self._late: list[Commit] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def commit(self, commit: Commit) -> Committed:
        fault, self.fault = self.fault, ""
        for late in self._late:
            with contextlib.suppress(VersionConflict):
                self._journal.commit(late)
        self._late = []
        if fault == "dropped":
            raise OutcomeUnknown(fault)
        if fault == "late":
            self._late.append(commit)
            raise OutcomeUnknown(fault)
        if fault == "raced":
            self.rival()
        committed = self._journal.commit(commit)
        if fault == "lost":
            raise OutcomeUnknown(fault)
        return committed


class Operator:
    """One of several, each with a writer, tokens and a memory of its own."""

    def __init__(self, name: str, journal: MemoryJournal, tokens: "itertools.count[int]") -> None:
        self.name, self.network, self._tokens = name, Network(journal), tokens
        self.ledger: OpsLedger = operator(self.network)
        self.token = dict.fromkeys(BATCHES, "none")

    def _new_token(self, batch_id: str) -> str:
        self.token[batch_id] = f"{self.name}-{next(self._tokens)}"
        return self.token[batch_id]

    def do(self, word: str, batch_id: str, fault: str) -> bool:
        """Try it; tell whether it was allowed. Exceptions other than a refusal fail the test."""
        self.network.fault = fault
        who: dict[str, Any] = {"actor": self.name}
        why, ledger = {**who, "reason": "r"}, self.ledger
        mine = {"token": self.token[batch_id], **who}
        answer = {"code": "c", "error": "e", "fingerprint": "f"}
        refused = rejected_by_bigquery(batch_id, 0)
        actions: dict[str, Callable[[], object]] = {
            "claim": lambda: ledger.claim(batch_id, token=self._new_token(batch_id), **why),
            "force": lambda: ledger.claim(batch_id, token=self._new_token(batch_id), forced=True, **why),
            "succeed": lambda: ledger.succeeded(batch_id, rows=2, attempts=1, receipt="r1", **mine),
            "refuse": lambda: ledger.succeeded(batch_id, rows=1, attempts=1, receipt="r1", rejected=refused, **mine),
            "fail": lambda: ledger.failed(batch_id, receipt="r1", **answer, **mine),
            "discard": lambda: ledger.discard(batch_id, **why),
            "reopen": lambda: ledger.reopen(batch_id, **why),
            "repair": lambda: ledger.claim_records(batch_id, {1: digests("x")}, token=self.token[batch_id], **why),
            "other": lambda: ledger.claim_records(batch_id, {1: digests("y")}, token=self.token[batch_id], **why),
            "land": lambda: ledger.records_landed(batch_id, {1: digests("x")}, **mine),
            "release": lambda: ledger.records_failed(batch_id, [1], **answer, **mine),
            "close": lambda: ledger.discard_records(batch_id, [1], **why),
            "publish": lambda: ledger.published(ledger.outbox()[-1].version if ledger.outbox() else 0),
        }
        try:
            actions[word]()
        except Refused:
            return False
        return True


def _act(people: Sequence[Operator], history: Sequence[Step]) -> None:
    """Each does its step in turn; what a rival does in the middle of one is the step that comes next, done early."""
    following = [*history[1:], (0, "publish", "b1", "")]
    for (person, word, batch_id, fault), (other, rivals_word, rivals_batch, _) in zip(history, following, strict=False):
        rival = people[other if other != person else (person + 1) % len(people)]
        people[person].network.rival = partial(rival.do, rivals_word, rivals_batch, "")
        people[person].do(word, batch_id, fault)


def _dead_batches(journal: MemoryJournal) -> None:
    ledger = writer(journal)
    ledger.open()
    tell(ledger, [[started()], [attempted("b1"), attempted("b2", 1)]])
    tell(ledger, [[rejected("b1", 1), dead("b1"), rejected("b2", 1), dead("b2")], [published(0), failed()]])
    operator(journal).open_receipt("r1", actor="zoe", reason="all", selection={}, batch_ids=BATCHES)


def _statements(journal: MemoryJournal) -> dict[str, str]:
    """What the view believes of each batch: the last statement that was ever owed."""
    said: dict[str, str] = {}
    for stored in journal.read_entries(OPS_LANE, 1, 9999):
        for event in stored.entry.events:
            status = {"replay_succeeded": "COMMITTED", "batch_discarded": "DISCARDED"}.get(event["type"])
            if status:
                said[event["batch_id"]] = status
    return said


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.lists(steps, max_size=30))
def test_racing_operators_leave_one_history_and_the_view_agrees_with_it(
    history: Sequence[Step],
) -> None:
    journal, tokens = MemoryJournal(), itertools.count()
    _dead_batches(journal)
    people = [Operator(name, journal, tokens) for name in ("ann", "bob", "cem")]
    _act(people, history)
    assert verify_lane(journal, PIPELINE, LANE) == verify_lane(journal, PIPELINE, OPS_LANE) == []
    assert verify_pipeline(journal, PIPELINE) == []
    said = _statements(journal)
    for batch_id in BATCHES:
        status = (journal.read_batch(batch_id) or {})["status"]
        assert (said.get(batch_id) == "COMMITTED") == (status == "COMMITTED")
        assert status != "DISCARDED" or said[batch_id] == "DISCARDED"


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(steps, max_size=20))
def test_whatever_happened_a_dead_replayer_can_be_taken_over_and_the_batch_ends(
    history: Sequence[Step],
) -> None:
    journal, tokens = MemoryJournal(), itertools.count()
    _dead_batches(journal)
    people = [Operator(name, journal, tokens) for name in ("ann", "bob", "cem")]
    _act(people, history)
    last = Operator("dan", journal, tokens)
    status = (journal.read_batch("b1") or {})["status"]
    if status == "DISCARDED":
        assert last.do("reopen", "b1", "")
    if status != "COMMITTED":
        assert last.do("force", "b1", "late")
        assert not any(person.do("succeed", "b1", "") for person in people)
        assert last.do("succeed", "b1", "lost")
    assert (journal.read_batch("b1") or {})["status"] == "COMMITTED"


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(steps.filter(lambda step: step[1] in {"repair", "other", "land", "release", "close"}), max_size=20))
def test_of_two_different_repairs_of_one_record_only_one_ever_lands(
    history: Sequence[Step],
) -> None:
    journal, tokens = MemoryJournal(), itertools.count()
    _dead_batches(journal)
    people = [Operator(name, journal, tokens) for name in ("ann", "bob", "cem")]
    for person in people:
        person.token = dict.fromkeys(BATCHES, person.name)
    _act(people, history)
    for batch_id in BATCHES:
        batch = journal.read_batch(batch_id) or {}
        repair = batch["repairs"].get("1")
        is_landed = repair is not None and repair["state"] == "landed"
        assert batch["status"] == "DEAD_LETTERED"
        assert not is_landed or repair["digest"] == digests("x").hex()
        assert not (is_landed and 1 in batch["discarded_indexes"])
        assert batch["open_records"] == (0 if is_landed or 1 in batch["discarded_indexes"] else 1)
