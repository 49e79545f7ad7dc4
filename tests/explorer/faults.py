"""Choice points: before and after every effect something may go wrong, and a schedule says where it does.

A schedule is a list of `(number of the effect, fault)`. Everything else is deterministic, so the list alone replays a
history. Faults that cannot be told apart from others are left out of the exploration (`EXPLORED` says which, and why);
a schedule may still name them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")


class Fault(StrEnum):
    """What can happen at an effect."""

    ERROR_BEFORE = "error-before"
    """It fails and was not applied."""
    ERROR_AFTER = "error-after"
    """It was applied; the answer is lost."""
    CRASH_BEFORE = "crash-before"
    CRASH_AFTER = "crash-after"
    OTHER_RUN = "other-run"
    """Another whole run (`--takeover`) happens first; this one goes on as a zombie."""
    SOURCE_CHANGED = "source-changed"
    """The source rewrites records first, some that were read before and some that were not."""
    CLOCK_JUMPED = "clock-jumped"
    """The monotonic clock leaps over every timeout, the wall clock goes back a day."""
    LATE = "late"
    """An append's connection is lost and its rows land only after everything else."""
    DENIED = "denied"
    """An append is answered in band: permission denied."""
    TOO_LARGE = "too-large"
    """An append is answered in band: the request is too large. Not explored, only in histories by name."""


class Kind(StrEnum):
    """Kinds of effects, by what can be told apart of them."""

    READ = "read"
    WRITE = "write"
    APPEND = "append"
    FETCH = "fetch"


_F = Fault
EXPLORED: Mapping[Kind, tuple[Fault, ...]] = {
    # A crash before an effect is the crash after the effect before it: only a process's first effect has both. Reads
    # change nothing, so before and after are one. What the source holds matters to fetches only, and what other runs
    # do to everything but fetches: at other effects the same happens at the next one that can tell.
    Kind.READ: (_F.ERROR_BEFORE, _F.OTHER_RUN, _F.CLOCK_JUMPED),
    Kind.WRITE: (_F.ERROR_BEFORE, _F.ERROR_AFTER, _F.CRASH_AFTER, _F.OTHER_RUN, _F.CLOCK_JUMPED),
    Kind.APPEND: (
        _F.ERROR_BEFORE, _F.ERROR_AFTER, _F.CRASH_AFTER, _F.OTHER_RUN, _F.CLOCK_JUMPED, _F.LATE, _F.DENIED,
    ),
    Kind.FETCH: (_F.ERROR_BEFORE, _F.SOURCE_CHANGED, _F.CLOCK_JUMPED),
}  # fmt: skip

Choice = tuple[int, Fault]
Schedule = tuple[Choice, ...]


class Died(BaseException):  # not an Exception: no code under test may catch it
    """The process was killed at this instant."""


@dataclass(frozen=True, slots=True)
class Point:
    """An effect that happened or failed: who asked for it, what it was, and which faults are worth exploring."""

    process: str
    name: str
    options: tuple[Fault, ...]
    what: str = ""
    """What it is about: of a journal commit, the kinds of its events."""
    looks: int = 0
    """How often somebody had looked at a clock before it."""


@dataclass
class Chooser:
    """Says at each effect what happens there, and remembers every effect."""

    schedule: Mapping[int, Fault] = field(default_factory=dict)
    first: int = 0
    """Number of the first effect that is still to come: those before it happened in another telling."""
    trace: list[Point] = field(default_factory=list)
    wanted: Callable[[str], Fault | None] | None = None
    """Chooses by the effect's name instead of the schedule."""
    quiet: bool = False
    """Nothing goes wrong any more and nothing is remembered: the world is asked to converge."""
    looks: Callable[[], int] = int
    """Tells how often somebody has looked at a clock."""
    mortal: Callable[["Choice"], None] | None = None
    """Hears of every instant at which the part's own process may be killed: the world is now as it would leave it."""

    def choose(self, process: str, name: str, options: tuple[Fault, ...], what: str = "") -> Fault | None:
        """Return what goes wrong at this effect; None: nothing."""
        if self.quiet:
            return None
        self.trace.append(Point(process, name, options, what, self.looks()))
        if self.wanted is not None:
            return self.wanted(name)
        return self.schedule.get(self.first + len(self.trace) - 1)

    @property
    def next(self) -> int:
        """Number of the effect that comes next."""
        return self.first + len(self.trace)


@dataclass
class Process:
    """One process: it does effects until it ends or is killed. What a dead one asks for does not happen."""

    name: str
    chooser: Chooser
    interleave: Callable[[str], None]
    """Lets another whole run happen."""
    change_source: Callable[[], None]
    jump: Callable[[], None]
    may_interleave: bool = True
    alive: bool = True
    effects: int = 0
    nonces: int = 0
    number: int = 0
    """Of its last effect."""

    def nonce(self) -> str:
        """Return a text that no other process returns."""
        self.nonces += 1
        return f"{self.name}-{self.nonces}"

    def choose(self, name: str, kind: Kind, what: str = "") -> Fault | None:
        """Return what goes wrong, after whatever happens around the effect has happened."""
        if not self.alive:
            raise Died
        options = EXPLORED[kind] if self.may_interleave else tuple(f for f in EXPLORED[kind] if f is not _F.OTHER_RUN)
        self.effects += 1
        if self.effects == 1:
            options = (*options, Fault.CRASH_BEFORE)
        fault = self.chooser.choose(self.name, name, options, what)
        self.number = self.chooser.next - 1
        if self.effects == 1:
            self.may_die(Fault.CRASH_BEFORE, self.number)
        match fault:
            case Fault.CRASH_BEFORE:
                self.die()
            case Fault.OTHER_RUN:
                self.interleave(self.name)
            case Fault.SOURCE_CHANGED:
                self.change_source()
            case Fault.CLOCK_JUMPED:
                self.jump()
            case fault:
                return fault
        return None

    def effect(
        self, name: str, kind: Kind, apply: Callable[[], T], error: Callable[[], Exception], what: str = ""
    ) -> T:
        """Do one effect, or what the schedule has instead. `error` is what the caller hears of a failure."""
        fault = self.choose(name, kind, what)
        if fault is Fault.ERROR_BEFORE:
            raise error()
        number, done = self.number, apply()
        if kind is Kind.WRITE:
            self.may_die(Fault.CRASH_AFTER, number)
        if fault is Fault.ERROR_AFTER:
            raise error()
        if fault is Fault.CRASH_AFTER:
            self.die()
        return done

    def may_die(self, fault: Fault, number: int) -> None:
        """Say that the world is now as a death at that effect would leave it."""
        if self.chooser.mortal is not None and self.may_interleave:
            self.chooser.mortal((number, fault))

    def die(self) -> None:
        """End the process here."""
        self.alive = False
        raise Died


def written(schedule: Schedule) -> str:
    """Return a schedule as text that `read` takes back."""
    return ", ".join(f"{number}:{fault}" for number, fault in schedule)


def read(text: str) -> Schedule:
    """Return the schedule of a text like `12:crash-after, 30:late`."""
    parts = (part.strip().partition(":") for part in text.split(",") if part.strip())
    return tuple((int(number), Fault(fault)) for number, _, fault in parts)
