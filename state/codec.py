"""Events, entries and snapshots as plain documents, and the hash that chains entries. Pure.

What is stored once must be readable for ever: a stored event is its stable `type` and its plain fields, an entry says
the schema version it was written under, and an old version is lifted to today's, one step at a time, by `UPCASTS`.
Golden files of every event hold the encoding in place; a change that moves their hashes needs a new schema version.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from types import MappingProxyType
from typing import Any, get_args

from state.errors import CorruptHistory, UnknownEvent
from state.events import Event, Position
from state.fold import LaneState, Statement, Systemic
from state.journal import Document, Entry

SCHEMA_VERSION = 1

UPCASTS: Mapping[int, Callable[[Document], Document]] = MappingProxyType({})
"""From a schema version to the step that turns one of its event documents into one of the next version."""

EVENT_TYPES: Mapping[str, type[Event]] = {kind.TYPE: kind for kind in get_args(Event)}

_BYTES = "$bytes"
"""The only key of a mapping that stands for bytes in canonical JSON; stored keys never begin with its first letter."""


def canonical(value: object) -> bytes:
    """Return the one JSON text of a plain value: sorted keys, no spaces, UTF-8, bytes as `{"$bytes": base64}`.

    Raises:
        TypeError: something in it is not plain (floats are not: they do not hash alike everywhere).
        ValueError: a key begins with `$`, or a text holds a lone surrogate, which no store takes.
    """
    return json.dumps(_tagged(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def from_canonical(text: bytes | str) -> Any:  # noqa: ANN401 - JSON
    """Return the plain value whose canonical JSON this is."""
    return json.loads(text, object_hook=_untagged)


def encode_event(event: Event) -> dict[str, Any]:
    """Return the event as a document: its stable type and its fields, later ones only when they say something."""
    said = {field.name: getattr(event, field.name) for field in fields(event)}
    silent = {
        field.name for field in fields(event) if field.metadata.get("later") and said[field.name] == field.default
    }
    return {"type": event.TYPE, **{name: _plain(value) for name, value in said.items() if name not in silent}}


def decode_event(document: Document, schema_version: int = SCHEMA_VERSION) -> Event:
    """Return the event that a document of this schema version says.

    Raises:
        UnknownEvent: newer code wrote it: a schema version, a type or a field that this code does not know.
        CorruptHistory: a field is missing.
    """
    if not 1 <= schema_version <= SCHEMA_VERSION:
        raise UnknownEvent(f"schema version {schema_version}, this code knows {SCHEMA_VERSION}; {_NEWER}")
    for version in range(schema_version, SCHEMA_VERSION):
        document = UPCASTS[version](document)
    kind = EVENT_TYPES.get(document.get("type", ""))
    if kind is None:
        raise UnknownEvent(f"event type {document.get('type')!r} is not known; {_NEWER}")
    types = {field.name: field.type for field in fields(kind)}
    if unknown := sorted(document.keys() - types.keys() - {"type"}):
        raise UnknownEvent(f"{kind.TYPE} carries {', '.join(unknown)}, not known; {_NEWER}")
    try:
        values = {name: _typed(document[name], types[name]) for name in types if name in document}
        return kind(**values)
    except TypeError as error:
        raise CorruptHistory(f"{kind.TYPE} is not whole ({error}); run `ingestor ledger verify`") from error


_NEWER = "newer code wrote it: deploy that version again"


def decode_entry(entry: Entry) -> tuple[Event, ...]:
    """Return an entry's events, in order. Raises as `decode_event` does."""
    return tuple(decode_event(document, entry.schema_version) for document in entry.events)


def genesis(pipeline: str, lane: str) -> str:
    """Return the `prev_hash` of a lane's first entry, so that no entry fits another lane's chain."""
    return hashlib.sha256(f"{pipeline}/{lane}".encode()).hexdigest()


def entry_hash(entry: Entry) -> str:
    """Return the hex SHA-256 over the canonical JSON of everything in the entry but its hash."""
    document = entry_document(entry)
    del document["hash"]
    return hashlib.sha256(canonical(document)).hexdigest()


def seal(  # noqa: PLR0913 - the fields of an entry
    *,
    pipeline: str,
    lane: str,
    version: int,
    nonce: str,
    at_us: int,
    run_id: str,
    events: Iterable[Event],
    prev_hash: str,
) -> Entry:
    """Return the entry that holds these events. An empty `prev_hash` (`LaneState.head`) means the lane's first.

    Raises:
        TypeError, ValueError: an event holds what cannot be stored (see `canonical`).
    """
    open_entry = Entry(
        version=version,
        nonce=nonce,
        schema_version=SCHEMA_VERSION,
        at_us=at_us,
        run_id=run_id,
        events=tuple(encode_event(event) for event in events),
        prev_hash=prev_hash or genesis(pipeline, lane),
        hash="",
    )
    return replace(open_entry, hash=entry_hash(open_entry))


def entry_document(entry: Entry) -> dict[str, Any]:
    """Return an entry as it is stored."""
    document = {field.name: getattr(entry, field.name) for field in fields(entry)}
    return {**document, "events": [dict(event) for event in entry.events]}


def entry_from_document(document: Document) -> Entry:
    """Return the entry that a stored document holds; what an adapter added to it is left out.

    Raises:
        CorruptHistory: a field is missing.
    """
    try:
        values = {field.name: document[field.name] for field in fields(Entry)}
    except KeyError as error:
        version = document.get("version", "of no version")
        raise CorruptHistory(f"entry {version} has no {error}; run `ingestor ledger verify`") from error
    return Entry(**{**values, "events": tuple(values["events"])})


def encode_state(state: LaneState) -> dict[str, Any]:
    """Return the folded state as a snapshot document, every field of it."""
    return {
        "schema_version": SCHEMA_VERSION,
        **{field.name: getattr(state, field.name) for field in fields(state)},
        "checkpoint": _plain(state.checkpoint),
        "unsettled": [encode_event(batch) for batch in state.unsettled],
        "outbox": [asdict(statement) for statement in state.outbox],
        "systemic": asdict(state.systemic) if state.systemic else None,
        "newest": list(state.newest),
    }


_LATER = (
    "systemic",
    "paused",
    "pause_reason",
    "deaths",
    "partitions",
    "range_from",
    "range_to",
    "range_partition",
    "newest",
)
"""Fields that the first snapshots do not have: nothing of the kind was known then."""


def decode_state(document: Document) -> LaneState:
    """Return the folded state that a snapshot document holds.

    Raises:
        UnknownEvent: newer code wrote it.
        CorruptHistory: a field is missing.
    """
    version = document.get("schema_version", 0)
    names = {field.name for field in fields(LaneState)}
    if version > SCHEMA_VERSION or document.keys() - names - {"schema_version"}:
        raise UnknownEvent(f"snapshot of schema version {version} is not known; {_NEWER}")
    try:
        values = {name: document[name] for name in names if name in document or name not in _LATER}
        values["checkpoint"] = _typed(values["checkpoint"], Position)
        values["unsettled"] = tuple(decode_event(batch, version) for batch in values["unsettled"])
        values["outbox"] = tuple(Statement(**statement) for statement in values["outbox"])
        values["systemic"] = Systemic(**document["systemic"]) if document.get("systemic") else None
        values["newest"] = tuple(values.get("newest", ()))
        return LaneState(**values)
    except (KeyError, TypeError) as error:
        raise CorruptHistory(f"snapshot is not whole ({error}); run `ingestor ledger verify`") from error


def _plain(value: object) -> object:
    match value:
        case Position():
            return {"cursor": value.cursor, "taken": value.taken}
        case tuple():
            return list(value)
        case Mapping():
            return dict(value)
        case _:
            return value


def _typed(value: object, kind: object) -> Any:  # noqa: ANN401 - a field's value
    if kind is Position and isinstance(value, Mapping):
        return Position(**value)
    return tuple(value) if isinstance(value, list) else value


def _tagged(value: object) -> object:
    match value:
        case None | bool() | int() | str():
            return value
        case bytes():
            return {_BYTES: base64.b64encode(value).decode()}
        case Mapping():
            return {_key(key): _tagged(item) for key, item in value.items()}
        case Sequence():
            return [_tagged(item) for item in value]
        case _:
            raise TypeError(f"{type(value).__name__} cannot be stored in the ledger")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{type(key).__name__} cannot be a key in the ledger")
    if key.startswith(_BYTES[0]):
        raise ValueError(f"key {key!r} cannot be stored in the ledger: it begins with {_BYTES[0]}")
    return key


def _untagged(document: dict[str, Any]) -> dict[str, Any] | bytes:
    return base64.b64decode(document[_BYTES], validate=True) if document.keys() == {_BYTES} else document
