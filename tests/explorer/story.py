"""One history: a run, the source grows, an operator replays, another run; then the world is asked to converge.

Every process is the real code (`tests.explorer.processes`). What goes wrong where is the schedule's; a process that
dies is not started again: the next part of the story is what comes after it.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from ingestor.errors import IngestorError
from ingestor.run import Result
from state.errors import LedgerError
from tests.explorer import laws
from tests.explorer.faults import Chooser, Died, Process, Schedule
from tests.explorer.processes import Wiring
from tests.explorer.world import World

Part = Callable[["Story"], None]
BETWEEN_S = 100_000.0
"""Time between two parts of the story, longer than anything within one."""


@dataclass
class Story:
    """A history as it is told under one schedule, from its beginning or from a world that it led to."""

    schedule: Schedule = ()
    world: World = field(default_factory=World)
    first: int = 0
    """Number of the first effect that this telling does."""
    wrong: list[str] = field(default_factory=list)
    recovered: int = 0
    """Processes that were killed or failed, and were made good by later ones."""
    others: int = 0
    """Runs that came in between: each has a name, and so nonces, of its own."""
    instants: list[World] | None = None
    """The worlds that the laws are to be checked on: at the end of each part, before what is late lands, and so on.
    None: they are checked at once.
    """
    chooser: Chooser = field(init=False)

    def __post_init__(self) -> None:
        self.chooser = Chooser(dict(self.schedule), self.first)

    def tell(self) -> "Story":
        """Tell all of it, and check the laws."""
        for number in range(len(PARTS)):
            self.tell_part(number)
        self.converge(len(PARTS), verify=True)
        return self

    def tell_part(self, number: int) -> None:
        """Tell one part."""
        self.world.seconds = number * BETWEEN_S
        PARTS[number](self)
        if self.instants is None:
            self.wrong += laws.at_any_instant(self.world)
        else:
            self.instants.append(self.world.copied())

    def converge(self, number: int, *, verify: bool) -> None:
        """Let nothing go wrong any more: what is left of the story, or a clean run, and a replay of what is dead. Then
        everything late lands, and every law must hold; the hash chains (law 3) only when asked to `verify`.
        """
        self.chooser.quiet = True
        for left in range(number, len(PARTS)):
            self.tell_part(left)
        self.converge_now(None if number < len(PARTS) else number * BETWEEN_S, verify=verify)

    def converge_now(self, seconds: float | None, *, verify: bool = True) -> None:
        """End it: a clean run at that time (None: there was one), a clean replay, and what is late."""
        self.chooser.quiet, self.world.mended = True, True
        if seconds is not None:
            self.world.seconds = seconds
            self.run("clean-run")
        self.replay("clean-replay")
        if self.instants is None:
            self.wrong += laws.at_last(self.world, verify=verify)
        else:
            self.instants.append(self.world.copied())

    def run(self, name: str, *, takeover: bool = True, is_other: bool = False) -> None:
        """Let a run happen. Once nothing goes wrong any more it must end complete."""
        done = self._process(name, lambda wiring: wiring.run(name, takeover=takeover), is_other=is_other)
        if isinstance(done, Result):
            self.wrong += laws.of_run(name, done)
            if self.chooser.quiet and done.summary["status"] != "complete":
                self.wrong.append(f"no convergence: {name} ended {done.summary['status']}: {done.summary['error']}")
        elif self.chooser.quiet:
            self.wrong.append(f"no convergence: {name} ended with {done!r}")

    def replay(self, name: str) -> None:
        """Let an operator replay everything that is dead."""

        def replay(wiring: Wiring) -> None:
            replayer = wiring.replayer()
            for batch in self.world.batches():
                if batch["status"] in {"DEAD_LETTERED", "REPLAYING"}:
                    replayer.replay(batch["batch_id"], actor=name, reason="mended")

        self._process(name, replay)

    def _interleave(self, by: str) -> None:
        self.world.seconds += 1.0
        self.others += 1
        self.run(f"{by}.other-{self.others}", is_other=True)

    def _process(
        self, name: str, work: Callable[[Wiring], Result | None], *, is_other: bool = False
    ) -> Result | BaseException | None:
        process = Process(
            name=name,
            chooser=self.chooser,
            interleave=self._interleave,
            change_source=self.world.change_source,
            jump=self.world.jump,
            may_interleave=not is_other,
        )
        random.seed(name)  # the pauses of a run are drawn: the same at every telling
        try:
            return work(Wiring(process, self.world))
        except (Died, IngestorError, LedgerError) as ended:
            self.recovered += 1
            return ended


def _first(story: Story) -> None:
    story.run("run-1", takeover=False)


def _replay(story: Story) -> None:
    story.world.grow()
    story.world.mended = True
    story.replay("replay-1")  # of what was dead-lettered, if it came to that


def _second(story: Story) -> None:
    story.run("run-2")


PARTS: tuple[Part, ...] = (_first, _replay, _second)
"""The source grows and the table is mended between the first run and the replay."""
