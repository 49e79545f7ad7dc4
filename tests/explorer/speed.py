"""`dataclasses.replace`, the same and some times faster: an exploration spends a third of its time in it."""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
Slots = tuple[tuple[str, Callable[[Any], Any], Callable[[Any, Any], None]], ...]
_slots: dict[type, Slots | None] = {}


def replace(value: T, /, **changes: Any) -> T:
    """Return the frozen value with these fields changed, its other slots copied."""
    kind = type(value)
    if kind not in _slots:
        _slots[kind] = _slots_of(kind)
    slots = _slots[kind]
    if slots is None or not changes.keys() <= kind.__dataclass_fields__.keys():  # type: ignore[attr-defined]
        return dataclasses.replace(value, **changes)  # type: ignore[type-var]
    copied = object.__new__(kind)
    for name, get, put in slots:
        put(copied, changes[name] if name in changes else get(value))
    return copied


def install() -> None:
    """Let the code under exploration use it, in this process."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("ingestor.", "state.")) and getattr(module, "replace", None) is dataclasses.replace:
            module.replace = replace  # type: ignore[attr-defined]


def _slots_of(kind: type) -> Slots | None:
    """Return how each field is read and written; None when only `dataclasses.replace` does it right."""
    fields = dataclasses.fields(kind)
    plain = hasattr(kind, "__slots__") and not hasattr(kind, "__post_init__") and all(field.init for field in fields)
    slots = [(field.name, getattr(kind, field.name)) for field in fields] if plain else []
    return tuple((name, slot.__get__, slot.__set__) for name, slot in slots) if plain else None
