"""Proof that a lane's history is whole: the chain, the fold of every entry, the snapshot and the index.

Nothing is changed here. Entries older than the retention may be missing, but for those that start a run; a missing
entry is found out when the one below it is too young for that, or when an index document that is names it.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from state.codec import decode_entry, decode_state, encode_state, entry_hash, genesis
from state.errors import LedgerError
from state.fold import LaneState, fold
from state.index import IndexChanges, index_changes
from state.journal import Document, Entry, Journal, StoredEntry
from state.ledger import is_milestone, moment_of, walk

_DAY_US = 86_400 * 1_000_000
_PAGE_DOCUMENTS = 300
_NOT_COMPARED = {"row_digests", "expire_at_us"}
_FIRST_VERSION = {"batch": "attempted_version", "run": "started_version"}
_STAMPS = (("attempted_version", "attempted_at_us"), ("settled_version", "settled_at_us"))
_RUN_STAMPS = (("finished_version", "finished_at_us"),)


def verify_lane(journal: Journal, pipeline: str, lane: str, *, retention_days: int = 90) -> list[str]:
    """Return one line for each thing wrong with a lane: its journal, its snapshot, its part of the index.

    Reads the whole lane and each of its batches' documents; a run at work meanwhile may show as a difference.

    Raises:
        LedgerUnavailable: the store could not be read in bounded time.
    """
    walked = _Walk(pipeline, lane, retention_days * _DAY_US)
    walked.begin(journal)
    for stored in walk(journal, lane, 1):
        walked.take(stored)
    walked.end()
    batches, runs = _batches(journal, lane), _runs(journal, lane)
    walked.compare("batch", walked.index.batches, batches)
    walked.compare("run", walked.index.runs, runs)
    walked.judge_gaps([*batches.values(), *runs.values()])
    for batch_id in batches:
        if (journal.read_batch(batch_id) or {}).get("row_digests") is None:
            walked.lines.append(f"lane {lane} batch {batch_id}: it has no row digests")
    return walked.lines


class _Walk:
    """A lane as far as it was walked.

    `state` is None while there is nothing known to fold on. `since` is the version from which on no entry is missing,
    `index` what the entries from there on say. `now_us` is the server's clock, as the entries' ages give it.
    """

    def __init__(self, pipeline: str, lane: str, retention_us: int) -> None:
        self.pipeline, self.lane, self.retention_us = pipeline, lane, retention_us
        self.lines: list[str] = []
        self.snapshot: LaneState | None = None
        self.state: LaneState | None = LaneState()
        self.index = IndexChanges()
        self.previous: StoredEntry | None = None
        self.gaps: list[tuple[range, StoredEntry | None]] = []
        self.since, self.milestone, self.now_us = 1, 0, 0

    def say(self, version: int, what: str) -> None:
        self.lines.append(f"lane {self.lane} version {version}: {what}")

    def begin(self, journal: Journal) -> None:
        """Read the snapshot."""
        snapshot = journal.read_snapshot(self.lane)
        try:
            self.snapshot = decode_state(snapshot.document) if snapshot else None
        except LedgerError as error:
            self.lines.append(f"lane {self.lane} snapshot: {error}")

    def take(self, stored: StoredEntry) -> None:
        """Check the next entry that exists."""
        entry = stored.entry
        self._place(entry)
        if entry_hash(entry) != entry.hash:
            self.say(entry.version, "its hash is not that of its content")
        self._fold(entry)
        if self.snapshot is not None and self.snapshot.version == entry.version:
            self._meet_snapshot(self.snapshot, entry)
        self.now_us = max(self.now_us, entry.at_us + int(stored.age_s * 1e6))
        self.previous = stored

    def _place(self, entry: Entry) -> None:
        last = self.previous.entry if self.previous else None
        if entry.version == (last.version if last else 0) + 1:
            before: str | None = last.hash if last else genesis(self.pipeline, self.lane)
        else:
            before = self._skip(range(last.version + 1 if last else 1, entry.version))
        if before is not None and entry.prev_hash != before:
            self.say(entry.version, "it does not follow the entry before it")

    def _skip(self, missing: range) -> str | None:
        """Go on above missing entries: from the snapshot, if it is of the last of them. Return the hash of that one."""
        self.gaps.append((missing, self.previous))
        self.index, self.since = IndexChanges(), missing.stop
        covered = self.snapshot.version if self.snapshot else 0
        if covered < missing.stop - 1:
            self.say(missing.stop - 1, "missing, and no snapshot stands above it")
        self.state = self.snapshot if covered == missing.stop - 1 else None
        return self.state.head if self.state else None

    def _fold(self, entry: Entry) -> None:
        before, self.state = self.state, None
        try:
            events, at = decode_entry(entry), moment_of(entry)
            changes = index_changes(
                self.pipeline, self.lane, before or LaneState(), events, at, retention_us=self.retention_us
            )
            self.state = fold(before, events, at, entry.hash) if before else None
        except LedgerError as error:
            self.say(entry.version, str(error))
            return
        self.index.merge(changes)
        self.milestone = entry.version if is_milestone(events) else self.milestone

    def _meet_snapshot(self, snapshot: LaneState, entry: Entry) -> None:
        names = (
            _differing(encode_state(self.state), encode_state(snapshot))
            if self.state is not None
            else [name for name in ("head",) if snapshot.head != entry.hash]
        )
        if names:
            self.say(entry.version, f"the snapshot differs from the fold in {', '.join(names)}")
        self.state = self.state or snapshot

    def end(self) -> None:
        """Check what lies above the last entry, and that the snapshot is the newest there should be."""
        last = self.previous.entry.version if self.previous else 0
        covered = self.snapshot.version if self.snapshot else 0
        if covered > last:
            self.gaps.append((range(last + 1, covered + 1), self.previous))
            self.index, self.since = IndexChanges(), covered + 1
        elif covered != self.milestone:
            self.say(self.milestone, f"it wrote a snapshot, but the lane's is of version {covered}")

    def compare(self, kind: str, told: Mapping[str, Document], held: Mapping[str, Document]) -> None:
        """Compare index documents with what the journal says; of one that began below `since` only a part is known."""
        for key, document in told.items():
            where = f"lane {self.lane} {kind} {key}"
            if key not in held:
                if document.get("expire_at_us", self.now_us + 1) > self.now_us:
                    self.lines.append(f"{where}: the journal tells of it, the index does not hold it")
                continue
            whole = _FIRST_VERSION[kind] in document
            names = _differing(document, held[key] if whole else {name: held[key].get(name) for name in document})
            for name in names:
                values = f"{held[key].get(name)!r}, the journal says {document.get(name)!r}"
                self.lines.append(f"{where}: {name} is {values}")
        for key in held.keys() - told.keys():
            if held[key].get(_FIRST_VERSION[kind], self.since) >= self.since:
                self.lines.append(f"lane {self.lane} {kind} {key}: the index holds it, the journal does not tell of it")

    def judge_gaps(self, documents: list[Document]) -> None:
        """Tell entries that aged out from entries that were removed."""
        young = {version for document in documents for version in self._young(document)}
        for missing, below in self.gaps:
            is_young = below is not None and below.age_s * 1e6 < self.retention_us
            if is_young or any(version in missing for version in young):
                self.say(missing.start, f"missing, up to version {missing.stop - 1}; too young to have aged out")

    def _young(self, document: Document) -> Iterator[int]:
        """Yield the versions that a document names of entries that cannot have aged out."""
        if document.get("started_version"):
            yield document["started_version"]
        for version, at_us in chain(_STAMPS, _RUN_STAMPS):
            if document.get(version) and document[at_us] + self.retention_us > self.now_us:
                yield document[version]


def _differing(told: Document, held: Document) -> list[str]:
    names = (told.keys() | held.keys()) - _NOT_COMPARED
    return sorted(name for name in names if told.get(name) != held.get(name))


def _batches(journal: Journal, lane: str) -> dict[str, Document]:
    found: dict[str, Document] = {}
    after: str | None = None
    while page := journal.list_batches(lane=lane, limit=_PAGE_DOCUMENTS, after=after):
        found.update({batch["batch_id"]: batch for batch in page})
        after = page[-1]["batch_id"]
    return found


def _runs(journal: Journal, lane: str) -> dict[str, Document]:
    found: dict[str, Any] = {}
    before: str | None = None
    while page := journal.list_runs(limit=_PAGE_DOCUMENTS, before=before):
        found.update({run["run_id"]: run for run in page if run.get("lane") == lane})
        before = page[-1]["run_id"]
    return found
