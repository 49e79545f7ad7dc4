"""Fields that records have and the message lacks, counted by path: a new field upstream is seen the day it appears.

A field that the message names with the option `ignore` is known. Text and lists where the message has a RECORD are left
to the encoder, which rejects them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from google.protobuf.descriptor import Descriptor

from ingestor.binding import is_map, record_of

MAX_NAMES = 100
"""So many names are told apart; a source that makes up names can't fill the memory."""
MAX_NAME = 200
"""Characters kept of a name."""
OTHERS = "(others)"
"""Under this the fields beyond `MAX_NAMES` are counted together."""


@dataclass(slots=True)
class _Known:
    """The keys of one level, and the levels below it: key, whether it is a map, level."""

    path: str
    keys: frozenset[str]
    below: list[tuple[str, bool, "_Known"]] = field(default_factory=list)


class UnknownFields:
    """Counts what records have beyond the message."""

    def __init__(self, message: Descriptor) -> None:
        self._known = _known(message, "")
        self._counts: Counter[str] = Counter()
        self.counts: Mapping[str, int] = MappingProxyType(self._counts)

    def count(self, record: dict[str, Any]) -> None:
        """Count the record's unknown fields, those of its nested records too."""
        self._count(record, self._known)

    def _count(self, record: dict[str, Any], known: _Known) -> None:
        if not record.keys() <= known.keys:
            self._note(known.path, record.keys() - known.keys)
        for key, mapped, inner in known.below:
            value = record.get(key)
            if value is None:
                continue
            for each in _records(value, mapped=mapped):
                if isinstance(each, dict):
                    self._count(each, inner)

    def _note(self, path: str, names: set[str]) -> None:
        for name in sorted(names):
            shown = f"{path}{name}"[:MAX_NAME]
            known = shown in self._counts or len(self._counts) < MAX_NAMES
            self._counts[shown if known else OTHERS] += 1


def _records(value: object, *, mapped: bool) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values() if mapped else (value,)
    return value if isinstance(value, list) else ()


def _known(message: Descriptor, path: str) -> _Known:
    known = _Known(path, frozenset(key for each in message.fields for key in (each.name, each.json_name)))
    for member in message.fields:
        inner = record_of(member)
        mapped = is_map(member)
        if inner is not None and mapped:
            inner = record_of(inner.fields_by_name["value"])
        if inner is not None:
            level = _known(inner, f"{path}{member.name}.")
            known.below += [(key, mapped, level) for key in sorted({member.name, member.json_name})]
    return known
