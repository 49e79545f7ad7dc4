"""One record to one row, or to a rejection with its reason. Pure, and the reference for every faster encoder.

Two steps: each value whose column wants it otherwise is converted (`ingestor.convert`), then
`json_format.ParseDict(ignore_unknown_fields=True)` maps the record onto the message as it is on the wire
(`ingestor.wire`). Serialization is deterministic, so the same record is always the same bytes.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from ingestor.binding import binding, dropped, is_map, record_of
from ingestor.convert import Convert, json_type
from ingestor.descriptor import walk
from ingestor.messages import descriptor_of, field_options
from ingestor.unknown import UnknownFields
from ingestor.wire import wire_class

MAX_ROW_BYTES = 18_000_000
"""A larger row fits no AppendRows request: those must stay under 20 MB, metadata and framing included."""

_FAILED_FIELD = re.compile(r"Failed to parse (\S+) field|at \w+\.(\S+?)[.,]?$")
_NULL_ELEMENT = {"JSON": "null"}
"""What a null in a list is, by type; for all other types BigQuery's lists have no nulls and the record is rejected."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a record is no row. `field` is the path of the offending field where it is known. The reason may quote the
    value: it belongs into the dead-letter bucket and never into a log.
    """

    reason: str
    field: str | None = None
    stage: Literal["encode", "append"] = "encode"


class _NotConvertible(Exception):  # noqa: N818 - a jump out of the conversion, never seen outside
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason


class Encoder:
    """Encodes records of one message type. Between records it only remembers which unknown fields it met.

    Attributes:
        unknown_fields: how often a record had a field that the message lacks, by dotted path; at most 101 entries.
        unknown: where they are counted.
    """

    def __init__(self, message_class: type[Message]) -> None:
        """Plan the conversions of the message's fields.

        Raises:
            SchemaMismatch: the message can't be a table.
        """
        message = descriptor_of(message_class)
        for _ in walk(message):
            pass  # refuses what can't be a table, before anything below walks without end
        self._message_class = wire_class(message)
        self._plan = _conversions(message, "")
        self._required = _required(descriptor_of(self._message_class))
        self.unknown = UnknownFields(message)
        self.unknown_fields: Mapping[str, int] = self.unknown.counts

    def encode(self, record: object) -> bytes | Rejection:
        """Return the serialized row, or why there is none. Never raises for anything a JSON decoder can yield."""
        if not isinstance(record, dict):
            return Rejection(f"the record is {json_type(record)}, not an object")
        try:
            self.unknown.count(record)
            converted = _convert(record, self._plan) if self._plan else record
            message = self._message_class()
            json_format.ParseDict(converted, message, ignore_unknown_fields=True)
            missing = next(_missing(message, self._required), None)
            if missing is not None:
                return Rejection(f"{missing} is required and has no value", missing)
            row: bytes = message.SerializeToString(deterministic=True)
        except _NotConvertible as error:
            return Rejection(str(error), error.field)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - ParseDict leaks what its parts raise; one record never stops a batch
            return _rejection(error)
        if len(row) > MAX_ROW_BYTES:
            return Rejection(f"the row has {len(row)} bytes, more than a request can hold ({MAX_ROW_BYTES})")
        return row


_Plan = Mapping[str, Callable[[Any], Any]]
"""What is done to the values of a level, by each key under which ParseDict finds the field."""


def _conversions(message: Descriptor, path: str) -> _Plan:
    plan: dict[str, Convert] = {}
    for field in message.fields:
        convert = None if dropped(field) else _of_field(field, f"{path}{field.name}")
        if convert is not None:
            plan[field.name] = plan[field.json_name] = convert
    return plan


def _of_field(field: FieldDescriptor, path: str) -> Convert | None:
    """The conversion of a field's value, whatever is below it and however often it is repeated; None for none."""
    inner = record_of(field)
    if inner is not None and is_map(field):
        below = _of_field(inner.fields_by_name["value"], path)
        return None if below is None else _each_of_map(below)
    one = _of_record(inner, path) if inner is not None else _of_value(field, path)
    singular = not field.is_repeated or is_map(field)
    return one if one is None or singular else _each(one, _NULL_ELEMENT.get(binding(field).type))


def _of_record(message: Descriptor, path: str) -> Convert | None:
    plan = _conversions(message, f"{path}.")
    return (lambda value: _convert(value, plan) if isinstance(value, dict) else value) if plan else None


def _of_value(field: FieldDescriptor, path: str) -> Convert | None:
    convert = binding(field).convert
    if convert is None:
        return None

    def named(value: object) -> object:
        if value is None:
            return None
        try:
            return convert(value)
        except (ValueError, OverflowError) as error:
            raise _NotConvertible(path, str(error)) from None

    return named


def _each(convert: Convert, null: str | None) -> Convert:
    def each(value: object) -> object:
        if not isinstance(value, list):
            return value
        return [null if item is None else convert(item) for item in value]

    return each


def _each_of_map(convert: Convert) -> Convert:
    return lambda value: {key: convert(item) for key, item in value.items()} if isinstance(value, dict) else value


def _convert(record: dict[str, Any], plan: _Plan) -> dict[str, Any]:
    """Return the record with its values converted; the record itself stays as the source sent it."""
    changed = {key: convert(record[key]) for key, convert in plan.items() if key in record}
    return {**record, **changed} if changed else record


@dataclass(frozen=True, slots=True)
class _Required:
    """What must be there below a message: fields of its own, and of the messages in its fields."""

    names: tuple[str, ...] = ()
    inner: tuple[tuple[FieldDescriptor, "_Required"], ...] = ()


def _required(message: Descriptor) -> _Required:
    """Plan the check of required fields: BigQuery would refuse a whole request for one that is missing."""
    names = tuple(f.name for f in message.fields if f.has_presence and (field_options(f).require or f.is_required))
    plans = [(field, _required(below)) for field in message.fields if (below := _below(field)) is not None]
    return _Required(names, tuple((field, plan) for field, plan in plans if plan != _Required()))


def _below(field: FieldDescriptor) -> Descriptor | None:
    """The message of a field of the wire, that of the values for a map."""
    inner = field.message_type
    return inner.fields_by_name["value"].message_type if inner is not None and is_map(field) else inner


def _missing(message: Message, plan: _Required, path: str = "") -> Iterator[str]:
    """Yield the paths of required fields that are not there."""
    for name in plan.names:
        if not message.HasField(name):
            yield f"{path}{name}"
    for field, inner in plan.inner:
        for item in _present(message, field):
            yield from _missing(item, inner, f"{path}{field.name}.")


def _present(message: Message, field: FieldDescriptor) -> list[Message]:
    value: Any = getattr(message, field.name)
    if is_map(field):
        return list(value.values())
    if field.is_repeated:
        return list(value)
    return [value] if message.HasField(field.name) else []


def _rejection(error: Exception) -> Rejection:
    text = str(error) or type(error).__name__
    if isinstance(error, RecursionError):
        text = "the record is nested too deeply"
    found = _FAILED_FIELD.search(text)
    return Rejection(text, next((group for group in found.groups() if group), None) if found else None)
