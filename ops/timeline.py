"""What happened to a batch, from the journals, with a bounded number of reads; what operators did, from lane `ops`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from state.codec import decode_entry
from state.events import OPS_LANE, BatchesPublished
from state.journal import Document, Entry, Journal, StoredEntry

WINDOW = 100
"""Entries of lane `ops` looked through at once for one batch, the newest first."""
AUDIT_PAGE = 50
_HIDDEN = frozenset(
    {
        "batch_id",
        "token",
        "digests",
        "tail",
        "start",
        "end",
        "object",
        "generation",
        "batch_ids",
        "actor",
        "ingest_time_us",
    }
)
_CLOCKS_APART_US = 86_400 * 1_000_000
"""Entries carry their writers' wall clocks, which may differ; a search by time goes back so much further."""


@dataclass(frozen=True, slots=True)
class Step:
    """One event: when, where in which journal, who (a run or a person), what, and its details for people."""

    at_us: int
    lane: str
    version: int
    who: str
    event: str
    batch_id: str
    details: Mapping[str, Any]

    @property
    def is_person(self) -> bool:
        """Whether a person did it."""
        return self.lane == OPS_LANE or self.event in {"paused", "resumed", "checkpoint_set"}


@dataclass(frozen=True, slots=True)
class Timeline:
    """The steps found, oldest first. `before` continues the search among older operators' entries, None when done."""

    steps: tuple[Step, ...]
    before: int | None


@dataclass(frozen=True, slots=True)
class Audit:
    """A page of operators' actions of one lane, newest first. `before` leads to older ones, None on the last page."""

    steps: tuple[Step, ...]
    before: int | None


def timeline(journal: Journal, batch: Document, before: int | None = None) -> Timeline:
    """Return what the journals say of a batch. What has aged out is not told.

    Reads the batch's own three entries, and `WINDOW` of lane `ops` that end with its last one (or with the one
    before `before`).
    """
    lane, steps = str(batch["lane"]), list[Step]()
    versions = {batch.get("attempted_version"), batch.get("settled_version"), batch.get("dead_version")}
    for version in sorted(version for version in versions if version):
        if (stored := journal.read_entry(lane, version)) is not None:
            steps += _of_entry(lane, stored.entry, batch["batch_id"])
    last = batch.get("ops_version")
    if not last:
        return Timeline(tuple(steps), None)
    end = min(before - 1, last) if before else last
    found = journal.read_entries(OPS_LANE, max(1, end - WINDOW + 1), WINDOW)
    window = [stored.entry for stored in found if stored.entry.version <= end]
    for entry in window:
        steps += _of_entry(OPS_LANE, entry, batch["batch_id"])
    since_us = (batch.get("settled_at_us") or 0) - _CLOCKS_APART_US
    is_done = not window or window[0].version == 1 or window[0].at_us < since_us
    return Timeline(tuple(steps), None if is_done else window[0].version)


def audit(journal: Journal, lane: str = OPS_LANE, before: int | None = None) -> Audit:
    """Return a page of what people did on a lane: on `ops` to batches, on a source lane to its runs."""
    found = journal.list_entries_of_people(lane, before=before, limit=AUDIT_PAGE)
    return Audit(tuple(_of_people(lane, found)), found[-1].entry.version if len(found) == AUDIT_PAGE else None)


def _of_people(lane: str, found: Sequence[StoredEntry]) -> Iterator[Step]:
    for stored in found:
        for event in decode_entry(stored.entry)[::-1]:
            if not isinstance(event, BatchesPublished):
                yield _step(lane, stored.entry, event)


def _of_entry(lane: str, entry: Entry, batch_id: str) -> Iterator[Step]:
    for event in decode_entry(entry):
        if getattr(event, "batch_id", None) == batch_id:
            yield _step(lane, entry, event)


def _step(lane: str, entry: Entry, event: Any) -> Step:  # noqa: ANN401 - any event
    who = getattr(event, "actor", "") or entry.run_id or _actor(entry)
    batch_id = getattr(event, "batch_id", "")
    return Step(entry.at_us, lane, entry.version, who, event.TYPE, batch_id, dict(_details(event)))


def _actor(entry: Entry) -> str:
    """Who a person's entry is by: rejected records share the entry of the replay that met them, which names them."""
    return next((str(event["actor"]) for event in entry.events if event.get("actor")), "")


def _details(event: Any) -> Iterable[tuple[str, Any]]:  # noqa: ANN401 - likewise
    """Yield the event's fields for people: no digests, no tokens, no positions."""
    for name in (field.name for field in fields(event)):
        value = getattr(event, name)
        if name == "batch_ids" and value:
            yield "batches", len(value)
        elif name == "indexes" and value:
            yield "records", len(value) if len(value) > 5 else ", ".join(map(str, value))  # noqa: PLR2004 - a line's worth
        elif name not in _HIDDEN and value not in ("", 0, (), {}, None, False):
            text = ", ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, Mapping) else value
            yield name.replace("_", " "), text
