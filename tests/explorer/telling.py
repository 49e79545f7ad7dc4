"""What is told once: a part of the story, with its deaths and its twins, and an end.

Much of what goes wrong makes no difference to any process, only to readers of the table: whether rows whose answer was
lost were written, come late or do not come; whether statements were. The processes' part of such histories is told
once, and what nobody of them saw is changed beside it (`World.beside`). And a process that is killed has done until
then what it does when it is not killed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.explorer import laws
from tests.explorer.faults import Choice, Fault, Point, Schedule
from tests.explorer.story import Story
from tests.explorer.world import World

UNSEEN: Mapping[str, frozenset[Fault]] = {
    "append.send": frozenset({Fault.ERROR_AFTER, Fault.LATE}),
    "publish": frozenset({Fault.ERROR_AFTER}),
}
"""Faults that a process cannot tell from `error-before`, by the effect they meet."""


@dataclass(frozen=True, slots=True)
class Told:
    """A part of the story as it was told with some faults in it."""

    world: World
    """Where it ended; its log is this part's."""
    wrong: tuple[str, ...] = ()
    """What the runs themselves had wrong; the laws are checked on the world."""
    recovered: int = 0
    trace: Sequence[Point] = ()
    deaths: Mapping[Choice, "Told"] = field(default_factory=dict)
    """What it is when its process is killed there."""

    @property
    def names(self) -> list[tuple[str, str]]:
        """Its effects by their names, and who did them."""
        return [(point.process, point.name) for point in self.trace]

    def twin(self, before: World, faults: Schedule) -> "Told":
        """Return the same with what no process sees as it was in `before`, and with these faults."""
        meant = dict(faults)
        deaths = {at: replace(death, world=death.world.beside(before, meant)) for at, death in self.deaths.items()}
        return replace(self, world=self.world.beside(before, meant), deaths=deaths)


def tell(part: int, before: World, local: Schedule, first: int, *, deaths: bool = False) -> Told:
    """Tell a part with these faults from a world, with its deaths or without. `first` is its first effect's number."""
    story, noted = Story(local, before.copied(), first, instants=[]), dict[Choice, Told]()
    story.world.log = []

    def note(choice: Choice) -> None:
        trace = story.chooser.trace[: choice[0] - first + 1]
        noted[choice] = Told(story.world.copied(), tuple(story.wrong), story.recovered + 1, trace)

    story.chooser.mortal = note if deaths else None
    story.chooser.looks = lambda: story.world.looks
    story.tell_part(part)
    return Told(story.world, tuple(story.wrong), story.recovered, story.chooser.trace, noted)


def twin_of(local: Schedule, trace: Sequence[Point], first: int) -> Schedule:
    """Return the first faults that no process can tell from these; `trace` is of a telling that had all but the last.

    A clock that leaps may do so at any effect since somebody looked at it.
    """
    twin: Schedule = ()
    for number, fault in local:
        after, at = twin[-1][0] if twin else first - 1, number
        if fault is Fault.CLOCK_JUMPED:
            while at - 1 > after and _is_as_well(trace[at - 1 - first], trace[number - first]):
                at -= 1
        is_unseen = fault in UNSEEN.get(trace[number - first].name, ())
        twin = (*twin, (at, Fault.ERROR_BEFORE if is_unseen else fault))
    return twin


def _is_as_well(earlier: Point, point: Point) -> bool:
    return earlier.looks == point.looks and Fault.CLOCK_JUMPED in earlier.options


@dataclass(frozen=True, slots=True)
class Ending:
    """How the story goes on once nothing goes wrong any more, up to where late rows land."""

    instants: Sequence[World]
    wrong: tuple[str, ...]
    recovered: int

    def of(self, before: World, *, verify: bool) -> list[str]:
        """Return what is wrong with it when the unseen was as in `before`."""
        *within, last = [world.beside(before, {}) for world in self.instants]
        wrong = [*self.wrong, *(each for world in within for each in laws.at_any_instant(world))]
        return [*wrong, *laws.at_last(last, verify=verify)]


def end(part: int, before: World, first: int) -> Ending:
    """Tell how the story ends from this part on."""
    story = Story((), before.copied(), first, instants=[])
    story.world.log = []
    story.converge(part, verify=False)
    return Ending(story.instants or [], tuple(story.wrong), story.recovered)
