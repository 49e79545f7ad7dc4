"""A connection whose requests are sent by a process beside the run, one at a time.

When that process ends twice on the same request the run is told to halve it, and of a single row to reject it: by the
same rule as where records are read (`ingestor.suspects`). Rows of a request whose process ended may be in the table:
they are in doubt like any other unanswered ones, and a rejected row that landed is found by `ingestor reconcile`.
"""

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from ingestor.append import Answer, Ended
from ingestor.child import Child, Died, TaskFailed
from ingestor.child_append import append
from ingestor.child_tasks import do_nothing
from ingestor.outcome import Action, Outcome, ended
from ingestor.suspects import TRIES, TRIES_ALONE

PROCESS_ENDED = "PROCESS_ENDED"
"""Stands where a gRPC status would, when the process that sent a request ended instead of answering."""
_UNAVAILABLE = 14
_CLOSE_S = 10.0

Send = Callable[[Callable[..., Outcome], Sequence[bytes]], Outcome]


class IsolatedConnection:
    """An `AppendPort`. `arguments` are those of `child_append.append` before the rows; the child is somebody else's."""

    def __init__(self, child: Child, arguments: tuple[object, ...], emit: Callable[[Answer | Ended], None]) -> None:
        self._child, self._arguments, self._emit = child, arguments, emit
        self._requests: SimpleQueue[tuple[str, Sequence[bytes]] | None] = SimpleQueue()
        self._cancelled = False
        self._thread = threading.Thread(target=self._run, name="isolated-sender", daemon=True)
        self._thread.start()

    def send(self, key: str, rows: Sequence[bytes]) -> None:
        """Queue one request."""
        self._requests.put((key, rows))

    def cancel(self) -> None:
        """End the process; what is unanswered is unknown."""
        self._cancelled = True
        self._child.kill()
        self._requests.put(None)

    def close(self) -> None:
        """Answer what is queued, and end. Idempotent."""
        self._requests.put(None)
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            self.cancel()

    def _run(self) -> None:
        while (item := self._requests.get()) is not None:
            outcome = self._outcome(item[1])
            if self._cancelled:
                self._emit(Ended(outcome, (item[0],)))
                return
            self._emit(Answer(item[0], outcome))
        self._emit(Ended(ended(0, "the connection was closed"), ()))

    def _outcome(self, rows: Sequence[bytes]) -> Outcome:
        how = ""
        tries = TRIES_ALONE if len(rows) == 1 else TRIES
        for _ in range(tries):
            try:
                outcome: Outcome = self._child.call(append, *self._arguments, list(rows))
            except Died as died:
                how = str(died)
            except TaskFailed as failed:
                return ended(_UNAVAILABLE, f"the process that sends failed: {failed}")
            else:
                return outcome
            if self._cancelled or self._child.is_closed:
                return ended(_UNAVAILABLE, "the process that sends was ended")
        if len(rows) == 1 and not any(self._idle_survives() for _ in range(TRIES)):
            return ended(_UNAVAILABLE, "processes that were given nothing end as well")
        message = f"it ends the process that sends it ({how}), {tries} times in a row"
        return Outcome(Action.HALVE, code=PROCESS_ENDED, message=message, unknown=True)

    def _idle_survives(self) -> bool:
        try:
            self._child.call(do_nothing)
        except Died:
            return False
        return True
