"""The one place that writes a lane.

Every append is one compare-and-set: an entry is created at the version after the last one this writer knows. Whoever
loses the race gets `VersionConflict` and must fold again before it decides anything; so a paused or cut-off writer can
come back at any time and harm nothing. A lost answer is no different from a slow one: the entry at that version is
read back and its nonce tells whose it is. What this cannot promise: that an append which ended in `LedgerUnavailable`
is not written later; the next open tells.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from state.aging import LEAP, aged_out_message, is_milestone, may_have_lost, never_expires
from state.codec import decode_state, encode_state, seal
from state.errors import LedgerUnavailable, OutcomeUnknown, Refused, VersionConflict
from state.events import OPS_LANE, Event, LaneRecovered
from state.fold import LaneState, Moment, fold
from state.index import IndexChanges, index_changes
from state.journal import Commit, Document, Entry, Journal, Token
from state.ops_index import Held, ops_changes
from state.reading import follow, moment_of, walk

BUDGET_S = 15.0
"""After this long in doubt about one commit it is not written again; with the last call under way, about 30 s."""
_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 4.0, 5.0)
_DAY_US = 86_400 * 1_000_000
_NO_DIGESTS: Mapping[str, bytes] = MappingProxyType({})
_NO_TOKENS: Mapping[str, Token] = MappingProxyType({})
_NOTHING_HELD = Held()


@dataclass(frozen=True, slots=True)
class Opened:
    """A lane as it was found.

    `run_age_s` is the age of the newest entry a run wrote, by the server's clock: None when no run ever wrote,
    infinite when that entry has aged out. `entries_read` does not grow with the lane's age. `is_aged_out`: its last run
    never finished and entries of it may be gone, so that nobody knows what it did; `state` is then the snapshot.
    """

    state: LaneState
    run_age_s: float | None
    entries_read: int
    is_aged_out: bool = False

    def is_live(self, stale_s: float) -> bool:
        """Tell whether a run holds the lane: neither finished nor failed, and heard of within `stale_s` seconds."""
        return self.state.run_open and self.run_age_s is not None and self.run_age_s < stale_s


@dataclass(frozen=True, slots=True)
class Landed:
    """An entry is durable at `version` and `state` is the lane's with it. `writes` counts the documents written,
    `batches` are the fields that it changed of each.
    """

    version: int
    state: LaneState
    writes: int
    batches: Mapping[str, Document] = field(default_factory=dict)


class LaneLedger:
    """The writer of one lane. Used by one thread at a time, and opened before it appends.

    `now_us` is the wall clock in microseconds (labels, and the budget of one append), `nonce` returns a new random
    text each time, `sleep` waits so many seconds. Entries and settled index documents may age out after
    `retention_days`.
    """

    def __init__(  # noqa: PLR0913 - clock, randomness and sleep are passed in
        self,
        journal: Journal,
        pipeline: str,
        lane: str,
        *,
        now_us: Callable[[], int],
        nonce: Callable[[], str],
        sleep: Callable[[float], None],
        retention_days: int,
    ) -> None:
        self._journal = journal
        self._pipeline = pipeline
        self._lane = lane
        self._now_us = now_us
        self._nonce = nonce
        self._sleep = sleep
        self._retention_us = retention_days * _DAY_US
        self._state: LaneState | None = None
        self._token: Token | None = None
        self._is_token_known = True
        self._is_aged_out = False

    @property
    def state(self) -> LaneState:
        """The lane's state as this writer knows it."""
        if self._state is None:
            raise RuntimeError("the lane is not open")
        return self._state

    def open(self) -> Opened:
        """Read the snapshot and the entries from its version on, check their chain and fold them.

        Raises:
            CorruptHistory: an entry is missing or altered, or cannot follow the state before it.
            UnknownEvent: newer code wrote to the lane.
            LedgerUnavailable: the store could not be read in bounded time.
        """
        found, token = self._read()
        self._state, self._is_aged_out = found.state, found.is_aged_out
        self._token, self._is_token_known = token, True
        return found

    def look(self) -> Opened:
        """Read as `open` does and forget it: what this writer writes next still follows what it knew before."""
        return self._read()[0]

    def _read(self) -> tuple[Opened, Token | None]:
        snapshot = self._journal.read_snapshot(self._lane)
        state = decode_state(snapshot.document) if snapshot else LaneState()
        run_age_s, count, is_aged_out = None, 0, False
        for stored in walk(self._journal, self._lane, max(state.version, 1)):
            count += 1
            if stored.entry.run_id:
                run_age_s = stored.age_s
            if may_have_lost(state, stored, self._retention_us):
                is_aged_out = True
                break
            state = follow(self._pipeline, self._lane, state, stored.entry)
        if run_age_s is None and state.run_version:
            newest = self._journal.read_entry(self._lane, state.run_version)
            run_age_s = newest.age_s if newest else math.inf
            count += 1 if newest else 0
        return Opened(state, run_age_s, count, is_aged_out), snapshot.token if snapshot else None

    def refold(self) -> Opened:
        """Open again, after a conflict: what was decided on the old state must be decided anew. Raises as `open`."""
        return self.open()

    def append(
        self,
        events: Sequence[Event],
        *,
        run_id: str,
        digests: Mapping[str, bytes] = _NO_DIGESTS,
        held: Held = _NOTHING_HELD,
        tokens: Mapping[str, Token] = _NO_TOKENS,
    ) -> Landed:
        """Write the events as one entry, atomically with the index documents it changes.

        `run_id` is empty when a person writes. `digests` maps a batch id attempted here to its packed row digests.
        On lane `ops` only: `held` are the documents that the events change, read since the lane was opened, and
        `tokens` those of these batches.

        Raises:
            VersionConflict: somebody else wrote; nothing of this was written. Refold.
            LedgerUnavailable: it may or may not have been written, or may yet be.
            Refused: the lane is aged out; only a recovery may be written.
            CorruptHistory: the events cannot follow the lane's state; nothing was written.
            TypeError, ValueError: an event holds what cannot be stored; nothing was written.
        """
        if self._is_aged_out:
            raise Refused(aged_out_message(self._lane))
        return self._append(self._seal(events, run_id, self.state.version + 1), events, digests, held, tokens)

    def recover(self, event: LaneRecovered, *, above: int, held: Held = _NOTHING_HELD) -> Landed:
        """Let an aged-out lane go on: supersede these batches in one entry that stands far above version `above` and
        whatever is left of the journal. `held` are those of the batches that have rejected records. Raises as `append`
        does.
        """
        newest = max((s.entry.version for s in walk(self._journal, self._lane, self.state.version + 1)), default=0)
        version = max(above, newest, self.state.version) + LEAP
        landed = self._append(self._seal([event], "", version), [event], _NO_DIGESTS, held, _NO_TOKENS)
        self._is_aged_out = False
        return landed

    def _append(
        self,
        entry: Entry,
        events: Sequence[Event],
        digests: Mapping[str, bytes],
        held: Held,
        tokens: Mapping[str, Token],
    ) -> Landed:
        after = fold(self.state, events, moment_of(entry), entry.hash)
        changes = self._changes(events, moment_of(entry), held)
        for batch_id, packed in digests.items():
            changes.batches[batch_id]["row_digests"] = packed
        commit = replace(self._commit(after, events, entry, changes), batch_tokens=tokens, held=held.batches)
        writes = self._land(commit)
        self._state = after
        return Landed(entry.version, after, writes, commit.batches)

    def _seal(self, events: Sequence[Event], run_id: str, version: int) -> Entry:
        if not events:
            raise ValueError("an entry holds at least one event")
        return seal(
            pipeline=self._pipeline,
            lane=self._lane,
            version=version,
            nonce=self._nonce(),
            at_us=self._now_us(),
            run_id=run_id,
            events=events,
            prev_hash=self.state.head,
        )

    def _changes(self, events: Sequence[Event], moment: Moment, held: Held) -> IndexChanges:
        if self._lane == OPS_LANE:
            return ops_changes(held, events, moment, retention_us=self._retention_us)
        where = (self._pipeline, self._lane, self.state)
        return index_changes(*where, events, moment, retention_us=self._retention_us)

    def _commit(
        self,
        after: LaneState,
        events: Sequence[Event],
        entry: Entry,
        changes: IndexChanges,
    ) -> Commit:
        has_snapshot = is_milestone(self._lane, entry.run_id, events)
        return Commit(
            lane=self._lane,
            entry=entry,
            batches=changes.batches,
            runs=changes.runs,
            receipts=changes.receipts,
            snapshot=encode_state(after) if has_snapshot else None,
            snapshot_token=self._current_token() if has_snapshot else None,
            expire_at_us=None if never_expires(events) else entry.at_us + self._retention_us,
        )

    def _current_token(self) -> Token | None:
        """Return the lane document's token, read again when a lost answer took it with it."""
        if not self._is_token_known:
            snapshot = self._journal.read_snapshot(self._lane)
            if snapshot is None or snapshot.version > self.state.version:
                raise VersionConflict(f"lane {self._lane}: somebody else replaced its snapshot; open it again")
            self._token, self._is_token_known = snapshot.token, True
        return self._token

    def _land(self, commit: Commit) -> int:
        """Write until it is known to be there, or somebody else's is, or the budget is spent. Return the writes."""
        started_us = self._now_us()
        for pause_s in _PAUSES_S:
            try:
                committed = self._journal.commit(commit)
            except VersionConflict:
                if not self._has_landed(commit):
                    raise  # no entry at this version: the snapshot or a batch is not the one its token names
            except OutcomeUnknown:
                if not self._has_landed(commit):
                    if (self._now_us() - started_us) / 1e6 + pause_s > BUDGET_S:
                        break
                    self._sleep(pause_s)
                    continue
            else:
                if commit.snapshot is not None:
                    self._token = committed.snapshot_token
                return committed.writes
            self._is_token_known = self._is_token_known and commit.snapshot is None
            return commit.writes
        message = f"lane {self._lane}: no answer to the commit of version {commit.entry.version} within {BUDGET_S:g} s"
        raise LedgerUnavailable(f"{message}; check that the ledger's store is reachable, then run again")

    def _has_landed(self, commit: Commit) -> bool:
        found = self._journal.read_entry(self._lane, commit.entry.version)
        if found is not None and found.entry.nonce != commit.entry.nonce:
            raise VersionConflict(f"lane {self._lane}: version {commit.entry.version} was written by somebody else")
        return found is not None
