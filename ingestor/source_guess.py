"""What one response of an unknown API says about itself: where its records are and how it pages. Pure guesses."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ingestor.decode import value_at
from ingestor.marks import KINDS, key, mark_text
from ingestor.pages import JsonValue
from ingestor.paging_links import next_link

_DEEPEST = 4
_CURSORS = ("nextcursor", "nextpagetoken", "nexttoken", "continuationtoken", "endcursor", "cursor", "nextpage", "next")
_COUNTED = frozenset({"offset", "total", "totalcount", "skip"})
_MARKS = ("updated", "modified", "changed", "created", "timestamp", "time", "date", "ts", "id")
_FEWEST = 2
"""Records that show an order."""


@dataclass(frozen=True, slots=True)
class Guess:
    """Settings by their variables, each with what speaks for it."""

    settings: Mapping[str, str]
    because: Mapping[str, str]


def records_path(value: JsonValue) -> str | None:
    """Return the dotted path of the longest array of objects, the empty path for the response itself; None: none."""
    found = [(len(array), -path.count("."), path) for path, array in _arrays(value, "", 0)]
    return max(found)[2] if found else None


def guess(value: JsonValue, headers: Mapping[str, str], path: str) -> Guess:
    """Return how the response seems to page; `path` is where its records are."""
    records = value_at(value, path)
    if next_link(headers.get("Link", "")) is not None:
        return Guess({"SOURCE_PAGINATION": "header_link"}, {"SOURCE_PAGINATION": 'a Link header with rel="next"'})
    scalars = [(name, found) for name, found in _scalars(value, "", 0) if name != path]
    for wanted in _CURSORS:
        for name, found in scalars:
            if _plain(name) == wanted and found not in {None, ""} and not isinstance(found, bool):
                return _following(name, found)
    if any(_plain(name) in _COUNTED for name, _ in scalars):
        because = "the response counts and names no next page: check that `offset` is the parameter's name"
        return Guess({"SOURCE_PAGINATION": "offset", "SOURCE_CURSOR_PARAM": "offset"}, {"SOURCE_PAGINATION": because})
    field = _rising_field(records if isinstance(records, list) else [])
    if field is not None:
        because = f"the records rise by {field}: check that `since` is the parameter that means `{field} >=`"
        settings = {
            "SOURCE_PAGINATION": "high_water_mark",
            "SOURCE_CURSOR_PARAM": "since",
            "SOURCE_CURSOR_FIELD": field,
        }
        return Guess(settings, {"SOURCE_PAGINATION": because})
    return Guess({"SOURCE_PAGINATION": "none"}, {"SOURCE_PAGINATION": "nothing leads to another page"})


def _following(name: str, found: JsonValue) -> Guess:
    if isinstance(found, str) and (urlsplit(found).scheme in {"http", "https"} or found.startswith(("/", "?"))):
        return Guess({"SOURCE_PAGINATION": "next_link", "SOURCE_NEXT_PATH": name}, {"SOURCE_NEXT_PATH": "it is a link"})
    last = name.rpartition(".")[2]
    param = last.removeprefix("next_").removeprefix("next")
    param = param[:1].lower() + param[1:] or "cursor"
    settings = {"SOURCE_PAGINATION": "next_cursor", "SOURCE_NEXT_PATH": name, "SOURCE_CURSOR_PARAM": param}
    return Guess(settings, {"SOURCE_CURSOR_PARAM": f"by the name {last}: check it in the API's documentation"})


def _rising_field(records: list[Any]) -> str | None:
    objects = [record for record in records if isinstance(record, dict)]
    if len(objects) < _FEWEST:
        return None
    names = [name for word in _MARKS for name in objects[0] if word in _plain(name).replace("update", "updated")]
    return next((name for name in names if "." not in name and _rises([o.get(name) for o in objects])), None)


def _rises(values: list[JsonValue]) -> bool:
    texts = [mark_text(value) for value in values]
    if None in texts or len(set(texts)) < _FEWEST:
        return False
    for kind in KINDS[:2]:
        keys = [found for text in texts if text is not None and (found := key(text, kind)) is not None]
        if len(keys) == len(texts):
            return keys == sorted(keys)
    return False


def _arrays(value: JsonValue, path: str, depth: int) -> Iterator[tuple[str, list[Any]]]:
    if isinstance(value, list):
        if any(isinstance(element, dict) for element in value):
            yield path, value
    elif isinstance(value, dict) and depth < _DEEPEST:
        for name, member in value.items():
            if "." not in name:
                yield from _arrays(member, f"{path}.{name}" if path else name, depth + 1)


def _scalars(value: JsonValue, path: str, depth: int) -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, dict) and depth < _DEEPEST:
        for name, member in value.items():
            if "." not in name:
                yield from _scalars(member, f"{path}.{name}" if path else name, depth + 1)
    elif not isinstance(value, dict | list):
        yield path, value


def _plain(name: str) -> str:
    return name.rpartition(".")[2].lower().replace("_", "").replace("-", "").replace("@", "")
