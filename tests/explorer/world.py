"""The world outside the processes: source, table, ledger table, bucket, journal and clocks, all in memory."""

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from ingestor.ddl import OPERATORS_LANE
from ingestor.descriptor import METADATA_FIELDS
from ingestor.encode import Rejection
from ingestor.outcome import Outcome, RowError, answered
from ingestor.pages import Page
from state.fold import Statement
from state.journal import BatchQuery, Document
from state.memory import MemoryJournal
from tests.explorer.faults import Fault
from tests.kept import Kept

PIPELINE, LANE = "pipeline", "0"
WALL_US = 1_700_000_000_000_000
DAY_S = 86_400
FIRST = [
    [{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}, {"n": 5, "bad": 1}],
    [{"n": 6}, {"n": 7}, {"n": 8, "refused": 1}, {"n": 9, "poison": 1}, {"n": 10}],
]
"""Two pages; in batches of three: two that cross nothing, one over the page's end with a record that is no row, one
with a row that is refused by itself and one because of which the rest is refused whole, and one record more.
"""
TEXTS = 50_000
"""Digests that are kept."""
MORE = [{"n": 11}, {"n": 12}]
"""What the last page holds besides, once the source has grown."""
CHANGED = (2, 7, 10)
"""Records that the source rewrites."""

Row = tuple[str, int, int, str]
"""Batch id, row index, ingest time, the record."""
Unseen = Callable[["World", Fault | None], None]
"""A change that no process sees, only readers of the table: it depends on the fault at its effect, if there was one."""
UNSEEN = frozenset({"rows", "late", "too_early", "statements"})
"""What no process reads: such changes are all that happens to it."""


def encode(record: object) -> bytes | Rejection:
    """Encode a record as its JSON; one that is `bad` is no row."""
    if isinstance(record, dict) and "bad" not in record:
        return json.dumps(record, sort_keys=True).encode()
    return Rejection("the record is bad", "bad")


@cache
def parsed(row: bytes) -> Row:
    """Return what the table keeps of a row on the wire: its JSON, then the metadata columns."""
    end = row.index(b"}") + 1
    at, found = end, dict[int, Any]()
    while at < len(row):
        tag, at = _varint(row, at)
        number, at = _varint(row, at)
        if tag & 7 == _LENGTH_DELIMITED:
            found[tag >> 3], at = row[at : at + number].decode(), at + number
        else:
            found[tag >> 3] = number
    batch_id, index, time_us = (found[METADATA_FIELDS[f"_ingest_{name}"]] for name in ("batch_id", "row_index", "time"))
    return batch_id, index, time_us, row[:end].decode()


_LENGTH_DELIMITED = 2


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        value, shift, at = value | (data[at] & 0x7F) << shift, shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


def _nothing(world: "World", fault: Fault | None) -> None:
    del world, fault


@dataclass
class World:
    """Everything that outlives a process."""

    pages: list[list[dict[str, Any]]] = field(default_factory=lambda: copy.deepcopy(FIRST))
    changes: int = 0
    rows: list[Row] = field(default_factory=list)
    late: list[Sequence[bytes]] = field(default_factory=list)
    """Requests that land after everything else."""
    too_early: list[str] = field(default_factory=list)
    """Batches of which rows came before their intent was durable."""
    refuses: tuple[str, ...] = ('"refused"',)
    """A row that holds one of these words is refused by itself."""
    mended: bool = False
    """Whether the table takes the poison by now."""
    statements: list[tuple[str, Statement]] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0
    wall_s: float = 0.0
    looks: int = 0
    """How often somebody looked at a clock: a leap in between two looks may be anywhere in between."""
    log: list[tuple[int | None, Fault | None, Unseen]] = field(default_factory=list)
    """What no process saw, in order, with the number and the fault of the effect that it depends on."""
    journal: MemoryJournal = field(init=False)

    def __post_init__(self) -> None:
        self.journal = Kept(now_s=self.monotonic)

    def copied(self) -> "World":
        """Return a world of its own that is equal to this one."""
        other = replace(
            self,
            rows=list(self.rows),
            late=list(self.late),
            too_early=list(self.too_early),
            statements=list(self.statements),
            objects=dict(self.objects),
            log=list(self.log),
        )
        for name, kept in vars(self.journal).items():
            if isinstance(kept, dict):  # documents are replaced, never changed; only the entries lie one deeper
                deeper = name == "_entries"
                setattr(other.journal, name, {k: dict(v) for k, v in kept.items()} if deeper else dict(kept))
        return other

    def now_us(self) -> int:
        """Return the wall clock's microseconds."""
        return WALL_US + round((self.monotonic() + self.wall_s) * 1e6)

    def monotonic(self) -> float:
        """Return the monotonic clock's seconds."""
        self.looks += 1
        return self.seconds

    def jump(self) -> None:
        """Let time leap forward and the wall clock back."""
        self.seconds += 1000.0
        self.wall_s -= DAY_S

    def page(self, cursor: str | None) -> Page:
        """Return a page of the source as it is now; its cursor is its number."""
        number = int(cursor or 0)
        following = str(number + 1) if number + 1 < len(self.pages) else None
        return Page(cursor, following, [dict(record) for record in self.pages[number]])

    def grow(self) -> None:
        """Let the source have more on its last page."""
        self.pages = [*self.pages[:-1], [*self.pages[-1], *MORE]]

    def change_source(self) -> None:
        """Let the source rewrite some records."""
        self.changes += 1
        changed = [[{**r, "v": self.changes} if r["n"] in CHANGED else r for r in page] for page in self.pages]
        self.pages = changed

    def change(self, change: Unseen, number: int | None = None, fault: Fault | None = None) -> None:
        """Change what no process sees, at the effect of that number with that fault."""
        self.log.append((number, fault, change))
        change(self, fault)

    def beside(self, before: "World", faults: Mapping[int, Fault]) -> "World":
        """Return this world as it is when the unseen was as in `before`, and these faults met what no process saw."""
        other = self.copied()
        other.log = []
        for name in UNSEEN:
            setattr(other, name, list(getattr(before, name)))
        for number, fault, change in self.log:
            other.change(change, number, fault if number is None else faults.get(number, fault))
        return other

    def append(self, rows: Sequence[bytes]) -> Outcome:
        """Write rows into the table, or say why not: nothing is written unless all of it is."""
        outcome, land = self._landing(rows)
        self.change(land)
        return outcome

    def took(self, row: bytes) -> bool:
        """Tell whether the table took this row before, or will."""
        batch_id, index, *_ = parsed(row)
        return (batch_id, index) in {found[:2] for found in self.rows} or any(row in rows for rows in self.late)

    def lose(self, number: int | None, fault: Fault, rows: Sequence[bytes]) -> None:
        """Take rows whose answer is lost: they were not written, or they were, or they come late."""
        _, land = self._landing(rows)

        def lose(world: World, fault: Fault | None) -> None:
            if fault is Fault.ERROR_AFTER:
                land(world, None)
            elif fault is Fault.LATE:
                world.late.append(tuple(rows))

        self.change(lose, number, fault)

    def _landing(self, rows: Sequence[bytes]) -> tuple[Outcome, Unseen]:
        """Return what BigQuery says of rows, and how they land."""
        landed = [parsed(row) for row in rows]
        refused = [at for at, row in enumerate(landed) if any(word in row[3] for word in self.refuses)]
        if refused:
            errors = tuple(RowError(at, 1, "this row is refused") for at in refused)
            return answered(3, "row errors", row_errors=errors), _nothing
        if not self.mended and any('"poison"' in row[3] for row in landed):
            return answered(3, "Cannot convert 'x' in row 17"), _nothing
        early = [batch_id for batch_id in {row[0] for row in landed} if self.journal.read_batch(batch_id) is None]

        def land(world: World, _: Fault | None) -> None:
            world.rows += landed
            world.too_early += early

        return answered(0), land

    def land_late(self) -> None:
        """Let every append that is still under way land."""
        for rows in self.late:
            self.append(rows)
        self.late = []

    def expire(self, lane: str) -> None:
        """Let everything of a lane's journal expire that may."""
        entries = self.journal._entries[lane]
        kept = {"run_started", "paused", "resumed", "checkpoint_set"}
        for version in [v for v, (entry, _) in entries.items() if not kept & {e["type"] for e in entry.events}]:
            del entries[version]

    def committed(self) -> frozenset[str]:
        """Return the batches that the view shows: the rule of `ingestor.ddl`, in Python."""
        newest: dict[str, tuple[bool, int, str]] = {}
        for lane, said in self.statements:
            rank = (lane == OPERATORS_LANE, said.version, said.status)
            newest[said.batch_id] = max(newest.get(said.batch_id, rank), rank)
        return frozenset(batch_id for batch_id, (_, _, status) in newest.items() if status == "COMMITTED")

    def shown(self) -> dict[tuple[str, int, int], str]:
        """Return the rows of the dedup view, by batch, index and ingest time."""
        committed = self.committed()
        return {(b, i, t): record for b, i, t, record in self.rows if b in committed}

    def visible(self) -> Counter[str]:
        """Return the records that a reader of the dedup view sees."""
        return Counter(self.shown().values())

    def batches(self, status: str | None = None) -> list[Document]:
        """Return the ledger's index."""
        return list(self.journal.list_batches(BatchQuery(status=status), limit=1000))

    def events(self, lane: str) -> Iterator[Document]:
        """Yield what the journal says of a lane."""
        for stored in self.journal.read_entries(lane, 1, 10_000):
            yield from stored.entry.events

    def fingerprint(self) -> tuple[bytes, bytes]:
        """Return what two worlds share only when every process would find them equal, and then what is theirs only when
        every reader of the table and every law would.

        Both are digests, of everything that a world holds: a field that is added here or in the journal is in one of
        them at once. Left out are the seconds (each part of the story begins at its own), what tellings note beside
        the world, and the order of what nobody reads in order.
        """
        left_out = {"journal", "seconds", "looks", "log", "objects"}
        outside = {name: value for name, value in vars(self).items() if name not in left_out | UNSEEN}
        held = {name: kept for name, kept in vars(self.journal).items() if isinstance(kept, dict)} | {"": self.objects}
        seen = [repr(outside)]
        for name, documents in held.items():
            seen.append(name)
            for key, document in sorted(documents.items()):
                each = sorted(document.items()) if name == "_entries" else [(key, document)]
                seen += [part for number, one in each for part in (repr((key, number)), _text(one))]
        unseen = sorted(self.rows), self.late, sorted(self.too_early), sorted(map(repr, self.statements))
        return _digest("\n".join(seen)), _digest(repr(unseen))


_texts: dict[int, tuple[object, str]] = {}
"""Digests of what worlds hold, by where it lies in memory: it is replaced, never changed, and shared by many worlds."""


def _text(kept: object) -> str:
    known = _texts.get(id(kept))
    if known is None or known[0] is not kept:
        if len(_texts) > TEXTS:
            _texts.clear()
        known = _texts[id(kept)] = kept, _digest(repr(kept)).hex()
    return known[1]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
