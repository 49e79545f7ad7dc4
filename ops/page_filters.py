"""The filters of a page, which live in its address: read from it, and written back into every link and form.

What a person filtered stays filtered after each action, on each further page and in a bookmark; a filter that is no
filter is said, never ignored: a list that silently showed more would be acted on as if it were what was asked for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args
from urllib.parse import urlencode

import click

from ingestor.cli_replay import Since
from ingestor.replay import Selection
from state.journal import BatchQuery, Time
from state.transitions import Status

STATUSES: tuple[str, ...] = get_args(Status)
WAS_DEAD = frozenset({"DEAD_LETTERED", "REPLAYING", "DISCARDED"})
"""Statuses that are listed by when the batch was set aside."""
REPLAYABLE = frozenset({"DEAD_LETTERED", "REPLAYING"})
_FIELDS = ("status", "lane", "run", "fingerprint", "since", "until")
_LOCAL_PATH = re.compile(r"/(?![/\\])[^\x00-\x20\\]*")


@dataclass(frozen=True, slots=True)
class Filters:
    """What a person asked for, as text. `problem` says what of it is no filter; then nothing is listed."""

    status: str = ""
    lane: str = ""
    run: str = ""
    fingerprint: str = ""
    since: str = ""
    until: str = ""
    problem: str = ""

    @property
    def by(self) -> Time:
        """The time that the list goes by."""
        return "dead_at_us" if self.status in WAS_DEAD else "attempted_at_us"

    @property
    def given(self) -> dict[str, str]:
        """The filters that are set."""
        return {name: value for name in _FIELDS if (value := getattr(self, name))}

    @property
    def is_replayable(self) -> bool:
        """Whether all that it finds may be replayed, by one bulk replay that takes the same filter."""
        return self.status in REPLAYABLE and not self.run and not self.until and not self.problem

    def query(self, page: str = "") -> BatchQuery:
        """Return the query of the page that a `page_key` leads to."""
        return BatchQuery(
            status=self.status or None,
            lane=self.lane or None,
            run=self.run or None,
            fingerprint=self.fingerprint or None,
            since_us=instant(self.since),
            until_us=instant(self.until),
            by=self.by,
            after=page or None,
        )

    def selection(self, limit: int | None = None) -> Selection:
        """Return the same as a bulk replay selects."""
        return Selection(
            status=self.status,
            since_us=instant(self.since),
            lane=self.lane or None,
            fingerprint=self.fingerprint or None,
            limit=limit,
        )

    def url(self, path: str, **more: str) -> str:
        """Return the address of a page with these filters."""
        asked = urlencode({**self.given, **{name: value for name, value in more.items() if value}})
        return f"{path}?{asked}" if asked else path


def read(arguments: Mapping[str, str], default_status: str = "") -> Filters:
    """Return the filters of an address or a form."""
    values = {name: arguments.get(name, "").strip() for name in _FIELDS}
    values["status"] = (values["status"] or default_status).upper()
    return Filters(**values, problem=_problem(values))


def instant(text: str) -> int | None:
    """Return microseconds since 1970 of a time such as 2026-02-01T06:00 or 6h (ago); None of an empty text.

    Raises:
        ValueError: it is no time; the message says what would be.
    """
    if not text:
        return None
    try:
        return Since().convert(text, None, None)
    except (click.UsageError, OverflowError) as error:
        raise ValueError(str(getattr(error, "message", "")) or f"{text!r} is no time") from error


def local_path(text: str, default: str) -> str:
    """Return a place on this site to go back to; whatever could lead elsewhere is replaced by the default."""
    return text if _LOCAL_PATH.fullmatch(text) else default


def _problem(values: Mapping[str, str]) -> str:
    if values["status"] and values["status"] not in STATUSES:
        return f"{values['status']!r} is no status; choose {', '.join(STATUSES)}"
    for name in ("since", "until"):
        try:
            instant(values[name])
        except ValueError as error:
            return f"{name}: {error}"
    return ""
