"""What the demo's API does wrong when it is told to."""

from dataclasses import dataclass, field
from typing import Any

ALWAYS = -1


@dataclass
class Switches:
    """What the API does wrong. A count says how many of the next requests are hit, -1 = all; the first set one wins."""

    latency_ms: int = 0
    unavailable: int = 0  # 503 with Retry-After
    too_many_requests: int = 0  # 429 with Retry-After
    retry_after: str = "0"  # seconds or an HTTP date; empty leaves the header out
    not_found: int = 0  # 404
    html: int = 0  # 200 with a page of HTML
    cut_off: int = 0  # the connection ends half-way through the body
    records_absent: int = 0  # the answer has no `flights`
    repeat_cursor: int = 0  # next_cursor is the cursor of the request itself
    visible: int | None = None  # only the first so many flights exist yet
    require: dict[str, str] = field(default_factory=dict)  # headers without which a request is answered 401
    poison: dict[str, dict[str, Any]] = field(default_factory=dict)  # record number in the range -> {field: value}


MISBEHAVIOURS = (
    "unavailable",
    "too_many_requests",
    "not_found",
    "html",
    "cut_off",
    "records_absent",
    "repeat_cursor",
)
