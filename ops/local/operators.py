"""`make dev`: what an operator finds in the morning. More runs after the demo's, with failures left in them, and the
pages that show them.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ops.local.process import HOST, LOCAL, Service, accepts, answers
from ops.local.services import DemoApi
from ops.local.stack import TABLE
from ops.local.storage_write import StorageWrite

PORT = 8080
"""Where the pages are, unless something else is there."""
UNTIL = date(2013, 2, 13)
"""The source of `make dev` goes on after the demo's January: with more flights than all of `MORNINGS` take."""


def _refused(requests: Sequence[int], message: str, code: str = "INVALID_ARGUMENT") -> dict[str, Any]:
    on = {"stream": f"*/tables/{TABLE}/*", "request": list(requests), "per": "stream"}
    return {"on": on, "do": {"answer": code, "message": message}, "times": len(requests)}


_FOREIGN = "Field carrier: value longer than 2 at row 17"
_OLD = "Cannot convert value to DATE: year 13 is out of range in row 301"
_DENIED = {
    "on": {"stream": f"*/tables/{TABLE}/*"},
    "do": {"answer": "PERMISSION_DENIED", "message": "Permission 'TABLES_UPDATE_DATA' denied on resource"},
    "times": 1000,
}


@dataclass(frozen=True, slots=True)
class Morning:
    """One run: so many more flights, what is spoiled of them (by their place among these), what BigQuery refuses."""

    flights: int
    spoiled: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
    rules: Sequence[Mapping[str, Any]] = ()


MORNINGS = (
    Morning(1100),
    Morning(900, {70: {"dep_time": "early"}, 71: {"distance": 1.5}}),
    Morning(1200, rules=[_refused([1], _FOREIGN)]),
    Morning(600),
    Morning(800, rules=[_DENIED]),  # an outage: the run fails, the next one asks with one batch and heals
    Morning(900, {11: {"time_hour": "yesterday"}, 500: {"air_time": "long"}, 501: {"year": "MMXIII"}}),
    Morning(2000, rules=[_refused([1, 2], _FOREIGN)]),
    Morning(1000, rules=[_refused([1], _OLD)]),
    Morning(700),
)
"""What is left in the end: four refused batches of two kinds, five rejected records, and a strip to be read."""


def leave_failures(env: Mapping[str, str], api: DemoApi, storage_write: StorageWrite, flights: int) -> None:
    """Run once for each of `MORNINGS`, on a source that had `flights` flights before."""
    poison = dict[str, Mapping[str, object]]()
    for number, morning in enumerate(MORNINGS, 1):
        poison |= {str(flights + place): spoiled for place, spoiled in morning.spoiled.items()}
        flights += morning.flights
        api.admin(visible=flights, poison=poison)
        storage_write.play(morning.rules)
        with (LOCAL / "logs" / f"dev-run-{number}.jsonl").open("wb") as log:
            done = subprocess.run(
                [sys.executable, "-m", "ingestor", "run", "--json"], env=env, check=False, stdout=log, stderr=log
            )
        print(f"run {number} of {len(MORNINGS)} ended with {done.returncode}", flush=True)
    storage_write.play(())


class OperatorsPages(Service):
    """The operators' service on this machine, for whoever sits at it (AUTH=none)."""

    name = "operators"

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__()
        self._env = dict(env)
        if not accepts(PORT):
            self.ports = (PORT,)

    @property
    def url(self) -> str:
        """The first page."""
        return f"http://{HOST}:{self.ports[0]}/"

    def command(self) -> list[str]:
        """Serve as the image does."""
        return [sys.executable, "-m", "ingestor", "ops", "serve"]

    def environment(self) -> dict[str, str]:
        """Nobody else can reach loopback; a field is masked, so that this is seen too."""
        return {**self._env, "AUTH": "none", "MASK_FIELDS": "tailnum", "PORT": str(self.ports[0])}

    def ready(self) -> bool:
        """It shows its first page."""
        return answers(self.url)
