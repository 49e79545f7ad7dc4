"""Times as people write them: RFC 3339 (UTC unless it says otherwise), or how long ago: 90m, 6h, 2d, 1w. Pure."""

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"([0-9]{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(text: str, now: datetime) -> int:
    """Return the time in microseconds since 1970; what lies before 1970 is 0.

    Raises:
        ValueError: it is no time; the message says how to write one.
    """
    if ago := _AGO.fullmatch(text):
        try:
            at = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        except OverflowError:
            raise ValueError(f"{text!a} ago is before time began; write a later one") from None
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text!a} is no time; write 2026-02-01T06:00:00Z, or 6h for six hours ago") from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0, (at - _EPOCH) // timedelta(microseconds=1))
