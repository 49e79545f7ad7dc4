"""A run's own replays: is a systemic failure over, and if so, the rest of what it left behind.

One batch is enough to know: only a systemic answer, or no answer, means that no batch would be taken; a batch refused
for itself means that the table takes appends again. These replays are written as actor `run` and count towards no cap.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from ingestor.errors import AppendError
from ingestor.outcome import Action, normalised
from ingestor.replay_append import KeepAlive
from ingestor.replay_one import NOT_LOADED, Asked, BatchReplay, Replayed
from ingestor.replay_ports import ReplayPorts
from state.errors import Refused
from state.journal import BatchQuery, Document, Journal
from state.ops_index import RUN_ACTOR

MAX_CANDIDATES = 5
"""Batches a probe tries when some cannot be read from the bucket, or are gone to somebody else."""
PUBLISH_EVERY = 20
"""Batches after which what landed is made visible, beside the end."""
PAGE = 200
_STATUSES = ("DEAD_LETTERED", "REPLAYING")


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe found.

    Attributes:
        healed: the run may read: the table takes appends, or nothing is left to ask it with.
        none_left: there was nothing to ask it with.
        text: the last answer, in one line without values of records.
        rows: rows that the probe committed.
        batch_id: the batch it asked with; empty for none.
    """

    healed: bool
    none_left: bool
    text: str
    rows: int = 0
    batch_id: str = ""


@dataclass(frozen=True, slots=True)
class Healed:
    """What became of the batches that a systemic failure left. `failing` is the answer it stopped at; empty: none."""

    batches: int = 0
    rows: int = 0
    refused: int = 0
    failing: str = ""


class Healing:
    """Probes and heals for one run at a time."""

    def __init__(self, ports: ReplayPorts, one: BatchReplay) -> None:
        self._ports, self._one = ports, one

    def probe(self, run_id: str, lane: str | None, keep_alive: KeepAlive) -> Probed:
        """Replay one batch that was dead-lettered as systemic. Raises `LedgerError`."""
        ops = self._ports.open_ops(run_id)
        try:
            self._one.publish(ops)
        except AppendError as error:
            return Probed(healed=False, none_left=False, text=normalised(str(error)))
        unread = ""
        for batch in islice(candidates(self._ports.journal, lane), MAX_CANDIDATES):
            keep_alive()
            try:
                replayed = self._one.replay(ops, batch["batch_id"], _asked(run_id), keep_alive)
            except Refused:
                continue
            if replayed.code != NOT_LOADED:
                return _probed(self._one.published(ops, replayed))
            unread = replayed.error
        return Probed(healed=True, none_left=True, text=normalised(unread) or "nothing is left to probe with")

    def heal(
        self, run_id: str, lane: str | None, on_progress: Callable[[Replayed], None], keep_alive: KeepAlive
    ) -> Healed:
        """Replay what is left of systemic failures; stop when one answers so again. Raises `LedgerError`."""
        ops, healed = self._ports.open_ops(run_id), Healed()
        for number, batch in enumerate(list(candidates(self._ports.journal, lane)), 1):
            keep_alive()
            try:
                if number % PUBLISH_EVERY == 0:
                    self._one.publish(ops)
                replayed = self._one.replay(ops, batch["batch_id"], _asked(run_id), keep_alive)
            except Refused:
                continue
            except AppendError as error:
                return replace(healed, failing=normalised(str(error)))
            on_progress(replayed)
            healed = _with(healed, replayed)
            if healed.failing:
                break
        try:
            self._one.publish(ops)
        except AppendError as error:
            return replace(healed, failing=healed.failing or normalised(str(error)))
        return healed


def candidates(journal: Journal, lane: str | None) -> Iterator[Document]:
    """Yield the batches that a systemic failure left, newest first, those under replay after the others."""
    for status in _STATUSES:
        query = BatchQuery(status=status, lane=lane, by="dead_at_us")
        for batch in listed(journal, query):
            if batch.get("dead_kind") == "systemic":
                yield batch


def listed(journal: Journal, query: BatchQuery) -> Iterator[Document]:
    """Yield all batches of a query, page by page."""
    while True:
        page = journal.list_batches(query, limit=PAGE)
        yield from page
        if len(page) < PAGE:
            return
        query = query.following(page[-1])


def _asked(run_id: str) -> Asked:
    return Asked(RUN_ACTOR, f"run {run_id} looks whether the failure is over")


def _probed(replayed: Replayed) -> Probed:
    answer = f"{replayed.code}: {normalised(replayed.error)}" if replayed.error else "OK"
    failing = replayed.action is Action.SYSTEMIC or (replayed.status == "COMMITTED" and bool(replayed.error))
    return Probed(not failing, none_left=False, text=answer, rows=replayed.rows, batch_id=replayed.batch_id)


def _with(healed: Healed, replayed: Replayed) -> Healed:
    if replayed.action is Action.SYSTEMIC:
        return replace(healed, failing=f"{replayed.code}: {normalised(replayed.error)}")
    if replayed.ok:
        return replace(healed, batches=healed.batches + (not replayed.already), rows=healed.rows + replayed.rows)
    return replace(healed, refused=healed.refused + 1)
