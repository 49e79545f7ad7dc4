"""How pages say times, numbers and sizes. Pure; registered as Jinja filters, which all return plain text."""

from datetime import UTC, datetime
from typing import Any

import orjson

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_KILO = 1000
NONE = "—"
"""What stands for nothing."""


def stamp(at_us: int | None) -> str:
    """Return a time, UTC to the second; a dash for none."""
    return NONE if not at_us else f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M:%S}"


def iso(at_us: int | None) -> str:
    """Return a time as a machine reads it."""
    return "" if not at_us else datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="seconds")


def span(seconds: float | None) -> str:
    """Return a duration to about two digits: 0.4 s, 12 s, 3 min, 5 h, 2 days; a dash for none."""
    if seconds is None:
        return NONE
    if seconds < 10:  # noqa: PLR2004 - two digits
        return f"{max(seconds, 0.0):.1f} s"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.0f} h" if seconds < 2 * _DAY else f"{seconds / _DAY:.0f} days"


def number(value: float | None) -> str:
    """Return a number with its thousands apart; a dash for none."""
    return NONE if value is None else f"{value:,}"


def size(value: float | None) -> str:
    """Return bytes in the unit that fits."""
    if value is None:
        return NONE
    for unit in ("bytes", "kB", "MB"):
        if value < _KILO:
            return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
        value /= _KILO
    return f"{value:,.1f} GB"


def words(name: str) -> str:
    """Return a name of the code as people read it: `DEAD_LETTERED` is dead-lettered, `run_started` run started."""
    text = name.lower()
    return "dead-lettered" if text == "dead_lettered" else text.replace("_", " ")


def pretty(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return JSON over several lines."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=_plain).decode()


def cell(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return a decoded value for a table."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value, default=_plain).decode()


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


FILTERS = {each.__name__: each for each in (stamp, iso, span, number, size, words, pretty, cell)}
