"""Fields of `MASK_FIELDS` are not shown on operators' pages, nor by the API: their values stay in the bucket.

A name hides the field of that name at any depth; a dotted path hides what stands there. Both hide a field by its name
in the .proto (`tail_num`) and in JSON (`tailNum`) alike, because a record may use either. A repair sends the mask back
for what it left alone, and the original's value is put in its place before it is encoded.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from ingestor.outcome import normalised

MASK = "•••"
ERRORS = frozenset({"error", "last answer", "last_answer", "answer"})
"""Names under which documents keep what BigQuery, the source or the ledger said: it may quote any value."""
HIDDEN = "(hidden)"
"""Stands for a reason that may quote a hidden value."""


def masked(value: Any, names: Sequence[str]) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value with every hidden field's replaced by `MASK`; null stays null."""
    return _masked(value, names, "")


def unmasked(value: Any, original: Any, names: Sequence[str]) -> Any:  # noqa: ANN401 - likewise
    """Return a repair with the original's value wherever a hidden field still holds the mask."""
    return _unmasked(value, original, names, "")


def hides(field: str | None, names: Sequence[str]) -> bool:
    """Whether a field, named by its path (`a.b[3].c`), is hidden, lies within what is, or holds what is."""
    path = _in_json(re.sub(r"\[\d*\]", "", field or ""))
    if not path:
        return False
    hidden = [_in_json(name) for name in names]
    return any(name in path.split(".") or _is_within(path, name) or _is_within(name, path) for name in hidden)


def reason_shown(reason: str, field: str | None, names: Sequence[str]) -> str:
    """Return a rejection's reason as it may be shown: not at all if its field is hidden, because it may quote it."""
    if hides(field, names):
        return HIDDEN
    return reason if field else error_shown(reason, names)


def error_shown(message: str, names: Sequence[str]) -> str:
    """Return an error that may quote any field's value as it may be shown: with hidden fields, without those values."""
    return normalised(message) if names else message


def errors_shown(value: Any, names: Sequence[str]) -> Any:  # noqa: ANN401 - any JSON value
    """Return a document with every error in it, at any depth, as it may be shown: texts under the names of `ERRORS`,
    and a `reason` that stands beside a `field` (a person's own reason stands beside none).
    """
    if not names:
        return value
    if isinstance(value, Mapping):
        return {name: _error_under(name, each, value, names) for name, each in value.items()}
    return [errors_shown(each, names) for each in value] if isinstance(value, list | tuple) else value


def _error_under(name: str, each: Any, document: Mapping[str, Any], names: Sequence[str]) -> Any:  # noqa: ANN401
    if isinstance(each, str):
        if name in ERRORS:
            return error_shown(each, names)
        return reason_shown(each, document["field"], names) if name == "reason" and "field" in document else each
    return errors_shown(each, names)


def _is_within(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}.")


def _is_hidden(name: str, path: str, names: Sequence[str]) -> bool:
    asked = {_in_json(name), _in_json(f"{path}{name}")}
    return any(_in_json(hidden) in asked for hidden in names)


def _in_json(path: str) -> str:
    """Return a name or dotted path as protobuf spells it in JSON; one that is spelt so stays."""
    return re.sub(r"_+([^._]?)", lambda found: found[1].upper(), path)


def _before(name: str, original: Mapping[str, Any]) -> str | None:
    """Return the original's name of a field, which a repair may spell the other way; None: it has none."""
    if name in original:
        return name
    return next((each for each in original if _in_json(each) == _in_json(name)), None)


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
            name: original[before]
            if (before := _before(name, original)) is not None and each == MASK and _is_hidden(name, path, names)
            else _unmasked(each, None if before is None else original[before], names, f"{path}{name}.")
            for name, each in value.items()
        }
    if isinstance(value, list) and isinstance(original, list):
        return [_unmasked(each, before, names, path) for each, before in zip_longest(value, original)][: len(value)]
    return value
