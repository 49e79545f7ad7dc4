"""One record to one row, or to a rejection with its reason. Pure, and the reference for every faster encoder.

Two steps: annotated fields are converted to what BigQuery's wire format wants (TIMESTAMP: int64 microseconds), then
`json_format.ParseDict(ignore_unknown_fields=True)` maps the record onto the message. Serialization is deterministic, so
the same record is always the same bytes.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from ingestor.messages import descriptor_of, field_options
from ingestor.timestamps import to_microseconds

MAX_ROW_BYTES = 18_000_000
"""A larger row fits no AppendRows request: those must stay under 20 MB, metadata and framing included."""

Convert = Callable[[Any], Any]
_FAILED_FIELD = re.compile(r"Failed to parse (\S+) field|at \w+\.(\S+?)[.,]?$")


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
    """Encodes records of one message type. Holds no state between records."""

    def __init__(self, message_class: type[Message]) -> None:
        """Plan the conversions of `message_class`'s annotated fields."""
        self._message_class = message_class
        self._plan = _conversions(descriptor_of(message_class), "")
        self._required = _required(descriptor_of(message_class))

    def encode(self, record: object) -> bytes | Rejection:
        """Return the serialized row, or why there is none. Never raises for anything a JSON decoder can yield."""
        if not isinstance(record, dict):
            return Rejection(f"the record is {_json_type(record)}, not an object")
        try:
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


def _conversions(descriptor: Descriptor, path: str, above: tuple[str, ...] = ()) -> dict[str, tuple[str, Convert]]:
    """Map each key under which ParseDict finds an annotated field to the field's path and its conversion."""
    plan: dict[str, tuple[str, Convert]] = {}
    if descriptor.full_name in above:
        return plan  # a recursive message is refused as a table; it cannot be planned either
    for field in descriptor.fields:
        field_path = f"{path}{field.name}"
        convert = _conversion(field, field_path, (*above, descriptor.full_name))
        if convert is not None:
            plan[field.name] = plan[field.json_name] = (field_path, convert)
    return plan


def _conversion(field: FieldDescriptor, path: str, above: tuple[str, ...]) -> Convert | None:
    if field_options(field).type_override.upper() == "TIMESTAMP" and field.message_type is None:
        return _each(_timestamp(path)) if field.is_repeated else _timestamp(path)
    if field.message_type is None or field.message_type.GetOptions().map_entry:
        return None
    inner = _conversions(field.message_type, f"{path}.", above)
    if not inner:
        return None
    return _each(_nested(inner)) if field.is_repeated else _nested(inner)


@dataclass(frozen=True, slots=True)
class _Required:
    """What must be there below a message: fields of its own, and of the messages in its fields."""

    names: tuple[str, ...] = ()
    inner: tuple[tuple[FieldDescriptor, "_Required"], ...] = ()


def _required(descriptor: Descriptor, above: tuple[str, ...] = ()) -> _Required:
    """Plan the check of fields annotated `require`: BigQuery would refuse a whole request for one that is missing."""
    if descriptor.full_name in above:
        return _Required()
    names = tuple(f.name for f in descriptor.fields if field_options(f).require and f.has_presence)
    inner = [
        (f, _required(f.message_type, (*above, descriptor.full_name)))
        for f in descriptor.fields
        if f.message_type is not None and not f.message_type.GetOptions().map_entry
    ]
    return _Required(names, tuple((f, plan) for f, plan in inner if plan != _Required()))


def _missing(message: Message, plan: _Required, path: str = "") -> Iterator[str]:
    """Yield the paths of required fields that are not there."""
    for name in plan.names:
        if not message.HasField(name):
            yield f"{path}{name}"
    for field, inner in plan.inner:
        if field.is_repeated:
            below = list(getattr(message, field.name))
        else:
            below = [getattr(message, field.name)] if message.HasField(field.name) else []
        for item in below:
            yield from _missing(item, inner, f"{path}{field.name}.")


def _timestamp(path: str) -> Convert:
    def convert(value: object) -> object:
        if value is None:
            return None
        try:
            return to_microseconds(value)
        except ValueError as error:
            raise _NotConvertible(path, str(error)) from None

    return convert


def _nested(plan: Mapping[str, tuple[str, Convert]]) -> Convert:
    return lambda value: _convert(value, plan) if isinstance(value, dict) else value


def _each(convert: Convert) -> Convert:
    return lambda value: [convert(item) for item in value] if isinstance(value, list) else value


def _convert(record: dict[str, Any], plan: Mapping[str, tuple[str, Convert]]) -> dict[str, Any]:
    """Return the record with its annotated fields converted; the record itself stays as the source sent it."""
    changed = {key: convert(record[key]) for key, (_, convert) in plan.items() if key in record}
    return {**record, **changed} if changed else record


def _rejection(error: Exception) -> Rejection:
    text = str(error) or type(error).__name__
    if isinstance(error, RecursionError):
        text = "the record is nested too deeply"
    found = _FAILED_FIELD.search(text)
    return Rejection(text, next((group for group in found.groups() if group), None) if found else None)


def _json_type(value: object) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "text", list: "an array"}
    return names.get(type(value), type(value).__name__)
