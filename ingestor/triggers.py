"""What a request says of itself for the record: who triggered the run, and the trace of its log lines. Pure.

Both are labels. Cloud Scheduler delivers at least once, repeats with the same schedule time and may send the next
tick's on a forced run, so nothing is decided by them; correctness comes from the journal.
"""

import re
from collections.abc import Callable

HTTP = "http"
LONGEST_LABEL = 200
_UNPRINTABLE = re.compile(r"[^ -~]+")
_CLOUD_TRACE = re.compile(r"([0-9a-fA-F]{32})(/.*)?")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")

Header = Callable[[str], str | None]
"""Finds a header by its name, in any case."""


def trigger(header: Header, caller: str) -> str:
    """Return the run's label: `scheduler JOB SCHEDULE_TIME`, or `http CALLER`; one printable line."""
    if header("X-CloudScheduler") is None and header("X-CloudScheduler-JobName") is None:
        return _label(HTTP, caller)
    return _label("scheduler", header("X-CloudScheduler-JobName"), header("X-CloudScheduler-ScheduleTime"))


def trace(header: Header, project: str) -> str | None:
    """Return `projects/PROJECT/traces/ID` as Cloud Logging wants it, None when the request carries no trace."""
    found = _CLOUD_TRACE.fullmatch(header("X-Cloud-Trace-Context") or "") or _TRACEPARENT.fullmatch(
        header("traceparent") or ""
    )
    return f"projects/{project}/traces/{found[1].lower()}" if found else None


def _label(*parts: str | None) -> str:
    return " ".join(_UNPRINTABLE.sub(" ", part) for part in parts if part)[:LONGEST_LABEL]
