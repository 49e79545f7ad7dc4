"""Commits by hand, and a journal that meets faults: shared by the tests of the port."""

from collections.abc import Sequence
from typing import Any

from state.codec import seal
from state.errors import OutcomeUnknown
from state.events import Event
from state.journal import Commit, Committed, Entry, Journal
from tests.unit.state.histories import LANE, PIPELINE, T0_US, heartbeat


def entry(
    version: int, nonce: str = "n", events: Sequence[Event] = (), lane: str = LANE, run_id: str = "run-1"
) -> Entry:
    return seal(
        pipeline=PIPELINE,
        lane=lane,
        version=version,
        nonce=nonce,
        at_us=T0_US,
        run_id=run_id,
        events=events or [heartbeat()],
        prev_hash="",
    )


def commit(version: int = 1, nonce: str = "n", *, lane: str = LANE, run_id: str = "run-1", **fields: Any) -> Commit:
    return Commit(lane=lane, entry=entry(version, nonce, lane=lane, run_id=run_id), **fields)


class Flaky:
    """A journal whose next commits meet a fault: `lost` is applied without an answer, `dropped` is not applied, `late`
    is applied after the writer looked, `raced` is not applied and another writer takes its version.
    """

    def __init__(self, journal: Journal, faults: Sequence[str]) -> None:
        self._journal = journal
        self._faults = list(faults)
        self._late: list[Commit] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def commit(self, commit: Commit) -> Committed:
        while self._late:
            self._journal.commit(self._late.pop())
        fault = self._faults.pop(0) if self._faults else ""
        if fault == "lost":
            self._journal.commit(commit)
        elif fault == "late":
            self._late.append(commit)
        elif fault == "raced":
            self._journal.commit(Commit(lane=commit.lane, entry=entry(commit.entry.version, "somebody else's")))
        if fault:
            raise OutcomeUnknown(fault)
        return self._journal.commit(commit)
