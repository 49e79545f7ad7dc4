"""Depth-first over all schedules with at most so many faults: `python -m tests.explorer.explore --faults 3`.

The story is told part by part. Each part is told anew from a copy of the world it begins in, once for every choice of
faults in it. Where a part begins, the world's fingerprint tells whether everything from there on was explored before,
with at least as many faults to come: then it is only counted.
"""

import argparse
import gc
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from tests.explorer import laws
from tests.explorer.faults import Choice, Point, Schedule, read, written
from tests.explorer.speed import install
from tests.explorer.story import PARTS, Story
from tests.explorer.telling import Ending, Told, end, tell, twin_of
from tests.explorer.world import World

ENDS = 2_000
"""Ends that are kept."""
TWINS = 4_000
"""Tellings of one part that are kept."""
SHOWN = 20
"""Violations that are printed; each is a schedule for `--replay`."""
Counts = tuple[int, ...]
"""Schedules with exactly 0, 1, 2 … more faults."""
Known = dict[tuple[int, bytes, bytes], Counts]
"""What begins with a part in a world, by the part before it and the world's fingerprint."""
_known_here: Known = {}
"""What the shares that this process has explored have told: the next one need not tell it again."""


@dataclass
class Explored:
    """What came of an exploration."""

    schedules: int = 0
    """Schedules in all."""
    told: int = 0
    """Parts of the story that were told: the other schedules met a world that was known."""
    points: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Tellings by the effect and the fault of each of their faults; a commit is called after its events."""
    recovered: int = 0
    """Processes that were killed or failed."""
    violations: list[str] = field(default_factory=list)

    def add(self, other: "Explored") -> None:
        """Add what another process explored."""
        self.schedules += other.schedules
        self.told += other.told
        self.points += other.points
        self.recovered += other.recovered
        self.violations += other.violations


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part of the story begins."""

    part: int
    world: World
    schedule: Schedule = ()
    """How the story came here."""
    first: int = 0
    """Number of the next effect."""
    prints: tuple[bytes, bytes] = (b"", b"")
    """The world's fingerprint."""


@dataclass
class Explorer:
    """Explores schedules of up to `faults` faults. `share` is (which, of how many): the first faults are dealt out."""

    faults: int
    share: tuple[int, int] = (0, 1)
    stop_at: int | None = None
    """Give up after so many violations."""
    found: Explored = field(default_factory=Explored)
    known: Known | None = field(default_factory=dict)
    """None: tell everything, what is known too."""
    ends: dict[tuple[int, bytes], Ending] = field(default_factory=dict)
    """The newest ends, by what the processes saw of the world that they are of."""

    def explore(self) -> Explored:
        """Tell every schedule of the share."""
        self.found.schedules = sum(self._from(Place(0, World()), self.faults))
        return self.found

    def _from(self, place: Place, left: int) -> Counts:
        """Explore everything from here on with up to `left` faults more; return how many schedules that is."""
        if place.part == len(PARTS) or not left:
            return self._end(place, left)
        counts = [0] * (left + 1)
        twins: dict[Schedule, Told] = {}
        pending: list[tuple[Schedule, Told | None]] = [((), None)]
        while pending and not self._enough():
            local, without = pending.pop()
            told, used = self._told(place, local, left, without, twins), len(local)
            if used < left:
                more = [((*local, choice), told) for choice in self._choices(place, local, told.trace)]
                pending += reversed(more)
            self._note(place, local, told)
            if local or place.part or not self.share[0]:
                after = Place(place.part + 1, told.world, (*place.schedule, *local), place.first + len(told.trace))
                for faults, schedules in enumerate(self._after(after, left - used)):
                    counts[used + faults] += schedules
        return tuple(counts)

    def _told(
        self, place: Place, local: Schedule, left: int, without: Told | None, twins: dict[Schedule, Told]
    ) -> Told:
        """Return the part as it goes with these faults. `without` is how it goes without the last of them; `twins` are
        tellings that some of these are beside.
        """
        if self.known is not None and without is not None:
            if local[-1] in without.deaths:
                return without.deaths[local[-1]]
            twin = twin_of(local, without.trace, place.first)
            if twin in twins:
                return twins[twin].twin(place.world, local)
        self.found.told += 1
        is_last = self.known is None or len(local) == left
        told = tell(place.part, place.world, local, place.first, deaths=not is_last)
        if self.known is not None:
            twins[local] = told
            if len(twins) > TWINS:
                del twins[next(iter(twins))]
        return told

    def _after(self, place: Place, left: int) -> Counts:
        if self.known is None:
            return self._from(place, left)
        prints = place.world.fingerprint()
        key, place = (place.part, *prints), replace(place, prints=prints)
        known = self.known.get(key, ())
        if len(known) <= left:
            known = self.known[key] = self._from(place, left)
        return known[: left + 1]

    def _end(self, place: Place, left: int) -> Counts:
        key = (place.part, place.prints[0])
        ending = self.ends.get(key)
        if ending is None or self.known is None:
            self.found.told += 1
            ending = self.ends[key] = end(place.part, place.world, place.first)
            if len(self.ends) > ENDS:
                del self.ends[next(iter(self.ends))]
        self.found.recovered += ending.recovered
        self._judge(place.schedule, ending.of(place.world, verify=left > 0))
        return (1, *[0] * left)

    def _choices(self, place: Place, local: Schedule, trace: Sequence[Point]) -> Iterator[Choice]:
        """Yield the choices of this part after the last one made in it."""
        begin = local[-1][0] + 1 if local else place.first
        is_dealt = not local and place.part == 0
        for number in range(begin, place.first + len(trace)):
            if is_dealt and number % self.share[1] != self.share[0]:
                continue
            for fault in trace[number - place.first].options:
                yield number, fault

    def _note(self, place: Place, local: Schedule, told: Told) -> None:
        self.found.recovered += told.recovered
        for number, fault in local:
            point = told.trace[number - place.first]
            for what in (point.what or point.name).split():
                self.found.points[what, fault] += 1
        self._judge((*place.schedule, *local), [*told.wrong, *laws.at_any_instant(told.world)])

    def _judge(self, schedule: Schedule, wrong: Sequence[str]) -> None:
        if wrong:
            self.found.violations.append(f"{written(schedule)}\n    {'; '.join(dict.fromkeys(wrong))}")

    def _enough(self) -> bool:
        return self.stop_at is not None and len(self.found.violations) >= self.stop_at


def explore(faults: int, share: tuple[int, int] = (0, 1)) -> Explored:
    """Explore a share of all schedules with up to so many faults."""
    install()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    return Explorer(faults, share, known=_known_here).explore()


def explore_in(processes: int, faults: int) -> Explored:
    """Explore all schedules in several processes."""
    found, shares = Explored(), [(number, processes * 4) for number in range(processes * 4)]
    with ProcessPoolExecutor(processes) as pool:
        for part in pool.map(partial(explore, faults), shares):
            found.add(part)
    return found


def sample(faults: int, seed_and_count: tuple[int, int]) -> Explored:
    """Tell so many schedules of exactly that many faults, drawn at random: where all of them are too many to tell."""
    install()
    chance, found = random.Random(seed_and_count[0]), Explored()  # noqa: S311 - a seeded choice of schedules
    for _ in range(seed_and_count[1]):
        schedule: Schedule = ()
        story = Story().tell()
        for _ in range(faults):
            begin = schedule[-1][0] + 1 if schedule else 0
            numbers = [n for n in range(begin, len(story.chooser.trace)) if story.chooser.trace[n].options]
            if not numbers:
                break
            number = chance.choice(numbers)
            schedule = (*schedule, (number, chance.choice(story.chooser.trace[number].options)))
            story = Story(schedule).tell()
        found.schedules, found.told, found.recovered = (
            found.schedules + 1,
            found.told + 1,
            found.recovered + story.recovered,
        )
        if story.wrong:
            found.violations.append(f"{written(schedule)}\n    {'; '.join(dict.fromkeys(story.wrong))}")
    return found


def sample_in(processes: int, faults: int, count: int, seed: int) -> Explored:
    """Tell a random sample in several processes."""
    found, parts = Explored(), [(seed + number, count // (processes * 4)) for number in range(processes * 4)]
    with ProcessPoolExecutor(processes) as pool:
        for part in pool.map(partial(sample, faults), parts):
            found.add(part)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore and print what was found, or tell one schedule."""
    parser = argparse.ArgumentParser(prog="python -m tests.explorer.explore", description=__doc__)
    parser.add_argument("--faults", type=int, default=2)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--sample", type=int, metavar="N", help="tell N schedules drawn at random instead of all")
    parser.add_argument("--share", metavar="N/M", help="tell the N-th of M shares, from 0, in this process alone")
    parser.add_argument("--seed", type=int, default=20130101)
    parser.add_argument("--replay", metavar="SCHEDULE", help="a schedule as it was printed: tell it, effect by effect")
    options = parser.parse_args(arguments)
    if options.replay is not None:
        return _replay(read(options.replay))
    started = time.monotonic()
    if options.sample:
        found = sample_in(options.processes, options.faults, options.sample, options.seed)
    elif options.share:
        which, of_how_many = map(int, options.share.split("/"))
        found = explore(options.faults, (which, of_how_many))
    else:
        found = explore_in(options.processes, options.faults)
    sys.stdout.write(f"{report(options.faults, found)}; in {time.monotonic() - started:.0f} s\n")
    sys.stdout.writelines(f"{violation}\n" for violation in found.violations[:SHOWN])
    return 1 if found.violations else 0


def report(faults: int, found: Explored) -> str:
    """Return the figures in one line."""
    return (
        f"{found.schedules} schedules with at most {faults} faults: {len(found.violations)} violations "
        f"({found.told} tellings, {found.recovered} processes killed or failed in them)"
    )


def _replay(schedule: Schedule) -> int:
    story = Story(schedule).tell()
    for number, point in enumerate(story.chooser.trace):
        fault = dict(schedule).get(number, "")
        sys.stdout.write(f"{number:3} {point.process:16} {point.name:30} {fault:16} {point.what}\n")
    sys.stdout.write("\n".join([*story.wrong] or ["every law holds"]) + "\n")
    return 1 if story.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
