"""Fields of `MASK_FIELDS` are not shown on operators' pages, nor by the API: their values stay in the bucket.

A name hides the field of that name at any depth; a dotted path hides what stands there. A repair sends the mask back
for what it left alone, and the original's value is put in its place before it is encoded.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

MASK = "•••"


def masked(value: Any, names: Sequence[str]) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value with every hidden field's replaced by `MASK`; null stays null."""
    return _masked(value, names, "")


def unmasked(value: Any, original: Any, names: Sequence[str]) -> Any:  # noqa: ANN401 - likewise
    """Return a repair with the original's value wherever a hidden field still holds the mask."""
    return _unmasked(value, original, names, "")


def hides(field: str | None, names: Sequence[str]) -> bool:
    """Whether a field, named by its path (`a.b[3].c`), is hidden, lies within what is, or holds what is."""
    path = re.sub(r"\[\d*\]", "", field or "")
    if not path:
        return False
    return any(name in path.split(".") or _is_within(path, name) or _is_within(name, path) for name in names)


def _is_within(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}.")


def _is_hidden(name: str, path: str, names: Sequence[str]) -> bool:
    return name in names or f"{path}{name}" in names


def _masked(value: Any, names: Sequence[str], path: str) -> Any:  # noqa: ANN401 - likewise
    if isinstance(value, Mapping):
        return {
            name: (None if each is None else MASK)
            if _is_hidden(name, path, names)
            else _masked(each, names, f"{path}{name}.")
            for name, each in value.items()
        }
    return [_masked(each, names, path) for each in value] if isinstance(value, list | tuple) else value


def _unmasked(value: Any, original: Any, names: Sequence[str], path: str) -> Any:  # noqa: ANN401 - likewise
    if isinstance(value, dict) and isinstance(original, Mapping):
        return {
            name: original[name]
            if each == MASK and name in original and _is_hidden(name, path, names)
            else _unmasked(each, original.get(name), names, f"{path}{name}.")
            for name, each in value.items()
        }
    if isinstance(value, list) and isinstance(original, list):
        return [_unmasked(each, before, names, path) for each, before in zip_longest(value, original)][: len(value)]
    return value
