"""When the answers of one call go out: in the order of the requests, and never past the call's end.

An end (of the RPC, or a cut) takes effect at once: what is due by then goes out first; what is delayed or held, and
everything behind it, is never answered. The client ending its requests is no such end: all answers still go out.
"""

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from ops.local.storage_write_protocol import Refusal

HELD = float("inf")


@dataclass(frozen=True, slots=True)
class Due:
    """An answer and when it goes out, by the monotonic clock; `HELD` is never."""

    at: float
    answer: Any


@dataclass(frozen=True, slots=True)
class End:
    """How the call ends: with `status` (a google.rpc.Status) or, with `cut`, by a reset of its connection.

    Without a status it ends well.
    """

    at: float
    status: Any = None
    cut: bool = False


GONE = End(0.0)
"""The client has gone: nobody hears an answer any more."""


class Answers:
    """Answers waiting to go out. One thread puts, one takes."""

    def __init__(self, idle_s: float, idle: Refusal) -> None:
        self._condition = threading.Condition()
        self._due: deque[Due] = deque()
        self._end: End | None = None
        self._finished = self._gone = False
        self._busy = 0
        self._idle_s, self._idle_status = idle_s, idle.status()
        self._heard_at = time.monotonic()

    def begin(self) -> bool:
        """A request has come; False when the call has ended and nothing of it may be applied any more."""
        with self._condition:
            if self._end is not None or self._gone:
                return False
            self._busy += 1
            return True

    def put(self, due: Due | None, end: End | None = None, idle_s: float | None = None) -> None:
        """The request that `begin` announced was served: this is its answer, if any, and what follows on it."""
        with self._condition:
            self._busy -= 1
            self._heard_at = time.monotonic()
            if due is not None:
                self._due.append(due)
            if end is not None:
                self._end = end
            if idle_s is not None:
                self._idle_s = idle_s
            self._condition.notify()

    def finish(self) -> None:
        """The client sends no more requests."""
        with self._condition:
            self._finished = True
            self._condition.notify()

    def go(self) -> None:
        """The client has gone."""
        with self._condition:
            self._gone = True
            self._condition.notify()

    def take(self) -> Due | End:
        """Wait for what goes out next."""
        with self._condition:
            while (following := self._next(time.monotonic())) is None:
                self._condition.wait(self._wait_s(time.monotonic()))
            return following

    def _next(self, at: float) -> Due | End | None:
        if self._gone:
            return GONE
        if self._due and self._due[0].at <= at:
            return self._due.popleft()
        if self._end is not None:
            return self._end if self._end.at <= at else None
        if self._due or self._busy:
            return None
        if self._finished:
            return End(at)
        if self._heard_at + self._idle_s <= at:
            self._end = End(at, self._idle_status)
        return self._end

    def _wait_s(self, at: float) -> float | None:
        moments = [self._due[0].at] if self._due else []
        if self._end is not None:
            moments.append(self._end.at)
        elif not (self._due or self._busy):
            moments.append(self._heard_at + self._idle_s)
        first = min(moments, default=HELD)
        return None if first == HELD else max(0.0, first - at)
