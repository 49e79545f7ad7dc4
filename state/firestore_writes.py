"""Writes of documents as Firestore's API takes them, made on its raw messages.

The client's `create` and `set` make the same writes out of wrappers, several for each field: a commit of two attempts
and two outcomes took 1.3 ms of CPU that way and takes 0.4 ms here (2026-11-26, 5,000 rows a batch).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from state.journal import Document


def created(path: str, fields: Document) -> Any:  # noqa: ANN401 - the client has no types
    """Return the write that makes a document and fails where it exists.

    Values are those of `state.journal.Document` and times of whole microseconds; the client takes a few types more.

    Args:
        path: the document's full name.
        fields: plain values and times, by names without dots.
    """
    write, raw = _update(path, fields)
    raw.current_document.exists = False
    return write


def merged(path: str, fields: Document, gone: Iterable[str]) -> Any:  # noqa: ANN401 - likewise
    """Return the write that sets these fields of a document, takes those `gone` out and leaves the others."""
    write, raw = _update(path, fields)
    raw.update_mask.field_paths.extend(sorted([*fields, *gone]))
    return write


def _update(path: str, fields: Document) -> tuple[Any, Any]:
    """Return the client's write, which it sends, and the raw message inside it, which is changed."""
    from google.cloud.firestore_v1.types import Write  # noqa: PLC0415 - see state.firestore.client_for

    write = Write()
    raw = Write.pb(write)
    raw.update.name = path
    _fill(raw.update.fields, fields)
    return write, raw


def _fill(into: Any, fields: Mapping[str, Any]) -> None:  # noqa: ANN401 - likewise
    for name, value in fields.items():
        _put(into[name], value)


def _put(into: Any, value: Any) -> None:  # noqa: ANN401, C901 - one a type
    match value:
        case None:
            into.null_value = 0  # the only value of google.protobuf.NullValue
        case bool():
            into.boolean_value = value
        case int():
            into.integer_value = value
        case float():
            into.double_value = value
        case str():
            into.string_value = value
        case bytes():
            into.bytes_value = value
        case datetime():
            into.timestamp_value.FromDatetime(value)
        case Mapping():
            into.map_value.SetInParent()
            _fill(into.map_value.fields, value)
        case list() | tuple():
            into.array_value.SetInParent()
            for each in value:
                _put(into.array_value.values.add(), each)
        case _:
            raise TypeError(f"a document holds no {type(value).__name__}")
