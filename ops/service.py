"""What the operators' service holds in one process: configuration, ledger and replayer, opened at first use.

gRPC clients made before a fork hang (grpc/grpc#41768), so `create_app` opens nothing; the first
request of a worker does. Views reach it by `service()`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from flask import current_app

from ingestor.config import Config
from ingestor.logs import Log
from state.journal import Journal
from state.ledger import LaneLedger

if TYPE_CHECKING:
    from ingestor.lane_control import LaneControl
    from ingestor.reconcile import Reconciliation
    from ingestor.replay import Replayer

EXTENSION = "ingestor"
"""Where the application keeps its `Service`."""


class Service:
    """One pipeline's ledger and what acts on it. Shared by all threads of a process."""

    def __init__(
        self,
        config: Config,
        log: Log,
        *,
        open_replayer: "Callable[[], Replayer] | None" = None,
        open_control: "Callable[[], AbstractContextManager[LaneControl]] | None" = None,
        reconcile: "Callable[[int | None], Reconciliation] | None" = None,
    ) -> None:
        """Take the configuration; what is handed in beside it stands in for the configured in tests."""
        self.config, self.log = config, log
        self.reconcile = reconcile or self._configured_reconcile
        self.lane_control = open_control or self._configured_control
        self._lock = threading.RLock()
        self._open_replayer = open_replayer or self._configured
        self._replayer: Replayer | None = None

    def _configured(self) -> "Replayer":
        from ingestor.replay_wiring import open_replayer  # noqa: PLC0415 - Google's clients cost a second

        return open_replayer(self.config, log=self.log.bind(lane="ops"))

    @contextmanager
    def _configured_control(self) -> "Iterator[LaneControl]":
        from ingestor.control_wiring import open_control  # noqa: PLC0415 - likewise

        with open_control(self.config, self.journal, self.log) as ports:
            yield ports.control

    def _configured_reconcile(self, since_us: int | None) -> "Reconciliation":
        from ingestor.views import reconciliation_of  # noqa: PLC0415 - likewise

        return reconciliation_of(self.config, self.journal, self.log, since_us)

    @property
    def replayer(self) -> "Replayer":
        """What plans, replays, repairs, discards: `ingestor.replay.Replayer`."""
        with self._lock:
            if self._replayer is None:
                self._replayer = self._open_replayer()
            return self._replayer

    @property
    def journal(self) -> Journal:
        """The pipeline's ledger, for lists."""
        return self.replayer.journal

    def open_lane(self, lane: str) -> LaneLedger:
        """Return a lane, to look at its state: `open_lane("0").open()`."""
        from ingestor.bootstrap import open_ledger  # noqa: PLC0415 - likewise

        return open_ledger(self.config, self.journal, lane)

    def close(self) -> None:
        """Release connections; the next use opens them again."""
        with self._lock:
            replayer, self._replayer = self._replayer, None
        if replayer is not None:
            replayer.close()


def service() -> Service:
    """Return the service that answers this request."""
    found: Any = current_app.extensions[EXTENSION]
    assert isinstance(found, Service)  # noqa: S101 - said to the type checker
    return found
