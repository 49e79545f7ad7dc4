"""From a row back to a record that encodes to it: what a person reads and repairs when the source's own is not kept.

A dead batch keeps rows only. Found again is one record that today's encoder turns into the same bytes, not the source's
spelling: a time comes back as RFC 3339 text, an enum as its label, what the message ignores not at all. Pure.
"""

import base64
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from ingestor.batch import Encode
from ingestor.binding import binding, is_map, record_of
from ingestor.messages import descriptor_of
from ingestor.pages import JsonValue
from ingestor.wire import wire_class

Unencode = Callable[[bytes], JsonValue]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def unencoder(message: type[Message], encode: Encode) -> Unencode:
    """Return the function from a row, without metadata columns, to a record that `encode` makes this row of; to None
    where there is no such record, as when the message has changed since.
    """
    own = descriptor_of(message)
    wire = wire_class(own)

    def unencode(row: bytes) -> JsonValue:
        try:
            record = _record(wire.FromString(row), own)
        except (DecodeError, ValueError, OverflowError):  # bytes of another message, times beyond what can be written
            return None
        return record if encode(record) == row else None

    return unencode


def _record(message: Message, own: Descriptor) -> dict[str, Any]:
    """The message's fields under the names of the user's own, of which it may be the form on the wire."""
    fields = [(own.fields_by_number[field.number], value) for field, value in message.ListFields()]
    return {field.name: _field(field, value) for field, value in fields}


def _field(field: FieldDescriptor, value: Any) -> Any:  # noqa: ANN401 - what protobuf and JSON hold
    if is_map(field) and isinstance(value, Mapping):
        entry: Any = field.message_type
        inner = entry.fields_by_name["value"]
        return {str(key).lower() if isinstance(key, bool) else str(key): _one(inner, value[key]) for key in value}
    if field.is_repeated and not isinstance(value, str | bytes):
        return [_one(field, each) for each in value]
    return _one(field, value)


def _one(field: FieldDescriptor, value: Any) -> Any:  # noqa: ANN401 - likewise
    inner = record_of(field)
    if inner is not None:
        return _record(value, inner)
    bound = binding(field)
    kind = bound.type
    if kind == "JSON":
        return next(
            (each for each in (json.loads(value), value) if bound.convert and bound.convert(each) == value), value
        )
    if kind.startswith("RANGE"):
        return {end.name: _value(kind[6:-1], limit) for end, limit in value.ListFields()}
    if field.enum_type is not None:
        label = field.enum_type.values_by_number.get(value)
        return label.name if label is not None else value
    return _value(kind, value)


def _value(kind: str, value: Any) -> Any:  # noqa: ANN401 - likewise
    """One value as the encoder takes it for a column of this type."""
    match value:
        case int() if kind == "TIMESTAMP":
            return (_EPOCH + timedelta(microseconds=value)).isoformat().replace("+00:00", "Z")
        case int() if kind == "DATE":
            return (date(1970, 1, 1) + timedelta(days=value)).isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case float() if not math.isfinite(value):
            return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
        case _:
            return value
