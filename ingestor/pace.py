"""SOURCE_RATE_PER_S: requests begin no closer together than the rate allows, whichever thread asks."""

import threading
from collections.abc import Callable


class Pace:
    """Hands out the moments at which requests may begin, evenly spaced and without a burst."""

    def __init__(self, per_s: float | None, clock: Callable[[], float]) -> None:
        """Take requests per second (None: no limit) and a monotonic clock in seconds."""
        self._gap_s, self._clock = 1 / per_s if per_s else 0.0, clock
        self._lock, self._next = threading.Lock(), float("-inf")

    def wait_s(self) -> float:
        """Take the next moment, and return the seconds until it."""
        with self._lock:
            now = self._clock()
            moment = max(now, self._next)
            self._next = moment + self._gap_s
            return moment - now
