"""What a person wants to see of batches: a line each, one in full with its history, failures grouped."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ingestor.cli_replay import stamp
from ingestor.envelope import UnreadableEnvelope, descriptor_of
from ingestor.errors import DeadLetterError
from ingestor.outcome import normalised, storage_error_name
from ingestor.replay_one import loaded
from ingestor.replay_ports import ReplayPorts
from ingestor.replay_probe import listed
from ingestor.replay_rows import decoded, rows_to_send
from state.codec import decode_entry
from state.events import OPS_LANE
from state.journal import BatchQuery, Document, Journal
from state.reading import walk

BATCH_COLUMNS = ("batch_id", "status", "lane", "rows", "rejected", "open", "set aside", "replays", "why")
FAILURE_COLUMNS = ("fingerprint", "class", "code", "batches", "rows", "first seen", "last seen", "message")
_SHOWN_WHY = 80
_DAY_US = 86_400 * 1_000_000
_CLOCKS_APART_US = _DAY_US
"""Entries carry their writers' wall clocks, which may differ; a search by time starts so much earlier."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One event of a batch's history."""

    at_us: int
    lane: str
    version: int
    run_id: str
    event: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ShownBatch:
    """A batch in full. `stored` says of the dead letter what its envelope tells; `problem` why it cannot be read."""

    batch: Mapping[str, Any]
    history: tuple[Happened, ...]
    stored: Mapping[str, Any] | None = None
    rows: tuple[Mapping[str, Any], ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Dead batches that failed alike. `kind` is `batch` or `systemic`, as they were first set aside."""

    fingerprint: str
    kind: str
    code: str
    storage_error: str
    message: str
    batches: int
    rows: int
    first_seen_us: int
    last_seen_us: int


def batch_cells(batch: Document) -> list[str]:
    """Return a batch as a line of `BATCH_COLUMNS`."""
    why = f"{batch['error_code']}: {normalised(batch.get('error') or '')}" if batch.get("error_code") else ""
    numbers = (batch["rows"], batch["rejected"], batch.get("open_records", 0))
    dead = (stamp(batch.get("dead_at_us")), str(batch.get("replays") or ""))
    return [batch["batch_id"], batch["status"], batch["lane"], *map(str, numbers), *dead, why[:_SHOWN_WHY]]


def failure_cells(group: FailureGroup) -> list[str]:
    """Return a group as a line of `FAILURE_COLUMNS`."""
    code = f"{group.code} {group.storage_error}".strip()
    seen = (stamp(group.first_seen_us), stamp(group.last_seen_us))
    return [group.fingerprint, group.kind, code, str(group.batches), str(group.rows), *seen, group.message]


def failures(journal: Journal, query: BatchQuery) -> list[FailureGroup]:
    """Return the dead batches of a query, grouped by fingerprint, the most frequent first."""
    groups: dict[str, FailureGroup] = {}
    for batch in listed(journal, query):
        key, at_us = batch.get("fingerprint") or "", batch["dead_at_us"]
        before = groups.get(key)
        groups[key] = _group(key, batch) if before is None else _joined(before, batch["rows"], at_us)
    return sorted(groups.values(), key=lambda group: (-group.batches, group.fingerprint))


def shown(ports: ReplayPorts, batch: Document, rows: int) -> ShownBatch:
    """Return a batch in full, with the first `rows` rows of its dead letter decoded by the descriptor it carries."""
    plain = {name: value for name, value in batch.items() if name != "row_digests"}
    found = ShownBatch(plain, tuple(history(ports.journal, batch)))
    if not batch.get("dead_object"):
        return found
    try:
        envelope = loaded(ports, batch)
        sent = list(rows_to_send(envelope, batch.get("rejected_indexes", ())).values())[:rows]
        stored = {
            "object": batch["dead_object"],
            "message_type": envelope.message_type,
            "schema_fingerprint": envelope.schema_fingerprint,
            "code_version": envelope.code_version,
            "rows": len(envelope.row_indexes),
            "source_url": envelope.source_request.url.decode("utf-8", "replace"),
        }
        return replace(found, stored=stored, rows=tuple(decoded(descriptor_of(envelope), sent)))
    except (DeadLetterError, UnreadableEnvelope) as error:
        return replace(found, problem=str(error))


def history(journal: Journal, batch: Document) -> Iterator[Happened]:
    """Yield what the journals say of a batch, in order; what has aged out is not told."""
    lane = str(batch["lane"])
    versions = {batch.get("attempted_version"), batch.get("settled_version"), batch.get("dead_version")}
    for version in sorted(version for version in versions if version):
        if (stored := journal.read_entry(lane, version)) is not None:
            yield from _of_entry(lane, stored.entry, batch["batch_id"])
    last = batch.get("ops_version")
    if last:
        first = _first_since(journal, last, (batch.get("settled_at_us") or 0) - _CLOCKS_APART_US)
        for stored in walk(journal, OPS_LANE, first):
            if stored.entry.version > last:
                return
            yield from _of_entry(OPS_LANE, stored.entry, batch["batch_id"])


def _of_entry(lane: str, entry: Any, batch_id: str) -> Iterator[Happened]:  # noqa: ANN401 - `state.journal.Entry`
    for event in decode_entry(entry):
        if getattr(event, "batch_id", None) == batch_id:
            yield Happened(entry.at_us, lane, entry.version, entry.run_id, event.TYPE, _details(event))


def _details(event: Any) -> dict[str, Any]:  # noqa: ANN401 - any event
    """The event's fields for people: no digests, no tokens, no positions."""
    hidden = {"batch_id", "token", "digests", "tail", "start", "end", "object", "generation"}
    fields = {name: getattr(event, name) for name in event.__dataclass_fields__ if name not in hidden}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items() if value}


def _first_since(journal: Journal, last: int, at_us: int) -> int:
    """Return the first version of lane `ops` that is not older, by bisection; aged-out entries count as older."""
    low, high = 1, last
    while low < high:
        middle = (low + high) // 2
        stored = journal.read_entry(OPS_LANE, middle)
        if stored is None or stored.entry.at_us < at_us:
            low = middle + 1
        else:
            high = middle
    return low


def _group(fingerprint: str, batch: Document) -> FailureGroup:
    return FailureGroup(
        fingerprint=fingerprint,
        kind=batch.get("dead_kind") or "",
        code=batch.get("error_code") or "",
        storage_error=storage_error_name(batch.get("storage_error") or 0),
        message=normalised(batch.get("error") or ""),
        batches=1,
        rows=batch["rows"],
        first_seen_us=batch["dead_at_us"],
        last_seen_us=batch["dead_at_us"],
    )


def _joined(group: FailureGroup, rows: int, at_us: int) -> FailureGroup:
    first, last = min(group.first_seen_us, at_us), max(group.last_seen_us, at_us)
    return replace(group, batches=group.batches + 1, rows=group.rows + rows, first_seen_us=first, last_seen_us=last)


def table_of(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return the columns and cells of decoded rows: the place first, what no row has left out."""
    names = list(dict.fromkeys(name for row in rows for name in row if not name.startswith("_ingest_")))
    cells = [
        [str(row.get("_ingest_row_index", 0)), *("" if name not in row else str(row[name]) for name in names)]
        for row in rows
    ]
    return ["row", *names], cells
