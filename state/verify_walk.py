"""A walk along one lane's journal: the chain, the fold of every entry, the snapshot, and what is missing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from state.aging import is_milestone
from state.codec import decode_entry, decode_state, encode_state, entry_hash, genesis
from state.errors import LedgerError
from state.events import OPS_LANE, Event, LaneRecovered
from state.fold import LaneState, Moment, fold
from state.index import IndexChanges, index_changes
from state.journal import Document, Entry, Journal, Kind, StoredEntry
from state.reading import moment_of, walk

_NOT_COMPARED = {"row_digests", "expire_at_us"}
_LANE_STAMPS = (
    ("attempted_version", "attempted_at_us"),
    ("settled_version", "settled_at_us"),
    ("finished_version", "finished_at_us"),
)
_OPS_STAMPS = (("ops_version", "ops_at_us"),)


NAMES: Mapping[Kind, str] = {"batches": "batch", "runs": "run", "receipts": "receipt"}
"""What one document of a kind is called."""
FIRST_FIELD: Mapping[Kind, str] = {
    "batches": "attempted_version",
    "runs": "started_version",
    "receipts": "opened_at_us",
}
"""The field that says that a document is told from its beginning."""

Documents = dict[str, dict[str, Any]]


def walked(journal: Journal, pipeline: str, lane: str, retention_us: int) -> "Walk":
    """Walk a lane from its first entry to its last."""
    walking = Walk(pipeline, lane, retention_us)
    walking.begin(journal)
    for stored in walk(journal, lane, 1):
        walking.take(stored)
    walking.end(journal)
    return walking


class Walk:
    """A lane as far as it was walked.

    `state` is None while there is nothing known to fold on. `since` is the version from which on no entry is missing
    (`since_at_us`: its time), `index` what the entries from there on say; of lane `ops` it is `told` that holds them,
    because they build on documents as they were. `now_us` is the server's clock, as the entries' ages give it.
    """

    def __init__(self, pipeline: str, lane: str, retention_us: int) -> None:
        self.pipeline, self.lane, self.retention_us = pipeline, lane, retention_us
        self.lines: list[str] = []
        self.snapshot: LaneState | None = None
        self.snapshot_names: frozenset[str] = frozenset()  # older code wrote fewer fields
        self.state: LaneState | None = LaneState()
        self.index = IndexChanges()
        self.told: list[tuple[Moment, Event]] = []
        self.previous: StoredEntry | None = None
        self.gaps: list[tuple[range, StoredEntry | None]] = []
        self.since, self.since_at_us, self.milestone, self.now_us = 1, 0, 0, 0

    def say(self, version: int, what: str) -> None:
        """Note what is wrong at a version."""
        self.lines.append(f"lane {self.lane} version {version}: {what}")

    def begin(self, journal: Journal) -> None:
        """Read the snapshot."""
        snapshot = journal.read_snapshot(self.lane)
        try:
            self.snapshot = decode_state(snapshot.document) if snapshot else None
            self.snapshot_names = frozenset(snapshot.document) if snapshot else frozenset()
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
            before = self._skip(range(last.version + 1 if last else 1, entry.version), entry)
            self.since_at_us = entry.at_us
        if before is not None and entry.prev_hash != before:
            self.say(entry.version, "it does not follow the entry before it")

    def _skip(self, missing: range, above: Entry) -> str | None:
        """Go on above missing entries: from the snapshot, if it is of the last of them. Return the hash of that one."""
        if not any(event["type"] == LaneRecovered.TYPE for event in above.events):  # a recovery leaps on purpose
            self.gaps.append((missing, self.previous))
        self.index, self.told, self.since = IndexChanges(), [], missing.stop
        covered = self.snapshot.version if self.snapshot else 0
        if covered < missing.stop - 1:
            self.say(missing.stop - 1, "missing, and no snapshot stands above it")
        self.state = self.snapshot if covered == missing.stop - 1 else None
        return self.state.head if self.state else None

    def _fold(self, entry: Entry) -> None:
        before, self.state = self.state, None
        try:
            events, at = decode_entry(entry), moment_of(entry)
            self._take_changes(before or LaneState(), events, at)
            self.state = fold(before, events, at, entry.hash) if before else None
        except LedgerError as error:
            self.say(entry.version, str(error))
            return
        self.milestone = entry.version if is_milestone(self.lane, entry.run_id, events) else self.milestone

    def _take_changes(self, before: LaneState, events: tuple[Event, ...], at: Moment) -> None:
        if self.lane == OPS_LANE:
            self.told += [(at, event) for event in events]
            return
        where = (self.pipeline, self.lane, before)
        self.index.merge(index_changes(*where, events, at, retention_us=self.retention_us))

    def _meet_snapshot(self, snapshot: LaneState, entry: Entry) -> None:
        names = (
            [n for n in differing(encode_state(self.state), encode_state(snapshot)) if n in self.snapshot_names]
            if self.state is not None
            else [name for name in ("head",) if snapshot.head != entry.hash]
        )
        if self.state is not None and snapshot.newest == self.state.newest[: len(snapshot.newest)]:
            names = [name for name in names if name != "newest"]  # of a lane that older code began it knows fewer
        if names:
            self.say(entry.version, f"the snapshot differs from the fold in {', '.join(names)}")
        self.state = self.state or snapshot

    def end(self, journal: Journal) -> None:
        """Check what lies above the last entry, and that the snapshot is the newest there should be."""
        last = self.previous.entry.version if self.previous else 0
        covered = self.snapshot.version if self.snapshot else 0
        if covered > last:
            self.gaps.append((range(last + 1, covered + 1), self.previous))
            self.index, self.told, self.since = IndexChanges(), [], covered + 1
            self.since_at_us = self.now_us
        elif covered != self.milestone and not self._was_replaced(journal, covered):
            self.say(self.milestone, f"it wrote a snapshot, but the lane's is of version {covered}")

    def _was_replaced(self, journal: Journal, covered: int) -> bool:
        """Tell whether a writer at work replaced the snapshot since the walk began."""
        snapshot = journal.read_snapshot(self.lane)
        return snapshot is not None and snapshot.version > covered and snapshot.version >= self.milestone

    def judge_gaps(self, documents: list[Document]) -> None:
        """Tell entries that aged out from entries that were removed."""
        stamps = _OPS_STAMPS if self.lane == OPS_LANE else _LANE_STAMPS
        young = {version for document in documents for version in self._young(document, stamps)}
        for missing, below in self.gaps:
            is_young = below is not None and below.age_s * 1e6 < self.retention_us
            if is_young or any(version in missing for version in young):
                self.say(missing.start, f"missing, up to version {missing.stop - 1}; too young to have aged out")

    def _young(self, document: Document, stamps: Sequence[tuple[str, str]]) -> Iterator[int]:
        """Yield the versions that a document names of entries that cannot have aged out."""
        if document.get("started_version"):
            yield document["started_version"]
        for version, at_us in stamps:
            if document.get(version) and document[at_us] + self.retention_us > self.now_us:
                yield document[version]


def compare(walk: Walk, kind: Kind, told: Mapping[str, Document], held: Mapping[str, Document]) -> list[str]:
    """Return a line for each field in which index documents differ from what the journal says.

    Of a document that began below `walk.since` only a part is known.
    """
    lines, first = [], FIRST_FIELD[kind]
    for key, document in told.items():
        where = f"lane {walk.lane} {NAMES[kind]} {key}"
        if key not in held:
            if (document.get("expire_at_us") or walk.now_us + 1) > walk.now_us:
                lines.append(f"{where}: the journal tells of it, the index does not hold it")
            continue
        known = held[key] if first in document else {name: held[key].get(name) for name in document}
        for name in differing(document, known):
            values = f"{held[key].get(name)!r}, the journal says {document.get(name)!r}"
            lines.append(f"{where}: {name} is {values}")
    since = walk.since_at_us + 1 if kind == "receipts" else walk.since
    strays = sorted(key for key in held.keys() - told.keys() if held[key].get(first, since) >= since)
    where = f"lane {walk.lane} {NAMES[kind]}"
    return lines + [f"{where} {key}: the index holds it, the journal does not tell of it" for key in strays]


def differing(told: Document, held: Document) -> list[str]:
    """Return the names of the fields in which documents differ, but for what no comparison is about."""
    names = (told.keys() | held.keys()) - _NOT_COMPARED
    return sorted(name for name in names if told.get(name) != held.get(name))
