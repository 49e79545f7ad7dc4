"""Histories that broke an earlier text of the design, and those that single faults do not reach, each by its name.

Each part of a history is told by the real code, like the explorer's own story; `Tale.run` and `replay` name where their
process goes wrong: by the effect's name and its number among those of that name.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from state.events import OPS_LANE
from tests.explorer import laws
from tests.explorer.faults import Fault
from tests.explorer.story import BETWEEN_S, Story
from tests.explorer.world import FIRST, LANE, World

Wrong = Mapping[tuple[str, int], Fault]
"""What goes wrong in one process: at the n-th effect of a name (from 1)."""
NOTHING: Wrong = {}
_COMMIT, _APPEND, _PUBLISH, _CREATE = "journal.commit", "append.send", "publish", "bucket.create"
DAY_S = 86_400.0


@dataclass
class Tale:
    """A history told by hand."""

    story: Story = field(default_factory=Story)
    parts: int = 0

    @property
    def world(self) -> World:
        """The world it is told in."""
        return self.story.world

    def run(self, wrong: Wrong = NOTHING) -> str:
        """Let a run happen; return its name."""
        return self._part(lambda name: self.story.run(f"run-{name}"), wrong)

    def replay(self, wrong: Wrong = NOTHING) -> str:
        """Let an operator replay what is dead; return the replay's name."""
        return self._part(lambda name: self.story.replay(f"replay-{name}"), wrong)

    def happened(self, what: str) -> None:
        """Fail unless the history has come where it is meant to be: `what` is a batch's status or an event."""
        events = {event["type"] for lane in (LANE, OPS_LANE) for event in self.world.events(lane)}
        assert what in events | {batch["status"] for batch in self.world.batches()}, f"the history has no {what}"

    def ends(self) -> list[str]:
        """Let a clean run and a clean replay end it; return what is wrong then."""
        self.parts += 1
        self.story.converge_now(self.parts * BETWEEN_S)
        return self.story.wrong

    def _part(self, tell: Callable[[str], None], wrong: Wrong) -> str:
        self.parts += 1
        name = str(self.parts)
        self.world.seconds = self.parts * BETWEEN_S
        chooser, asked = self.story.chooser, Counter[str]()
        chooser.wanted = _at(wrong, asked)
        tell(name)
        chooser.wanted = None
        self.story.wrong += laws.at_any_instant(self.world)
        missed = [effect for effect, number in wrong if asked[effect] < number]
        assert not missed, f"the history has no such effect: {missed}"
        return name


def _at(wrong: Wrong, asked: Counter[str]) -> Callable[[str], Fault | None]:
    def choose(effect: str) -> Fault | None:
        asked[effect] += 1
        return wrong.get((effect, asked[effect]))

    return choose


def statements_lost_at_a_new_runs_start() -> list[str]:
    """A run dies between its commits and their publication: the next one says what it left unsaid, before all else."""
    tale = Tale()
    tale.run({(_PUBLISH, 1): Fault.CRASH_BEFORE})
    tale.happened("COMMITTED")
    assert not tale.world.committed()
    tale.run({("source.fetch", 1): Fault.CRASH_BEFORE})
    assert tale.world.committed()
    return tale.ends()


def an_undrained_ops_outbox() -> list[str]:
    """An operator's process dies before it publishes what it committed: the next run publishes for it."""
    tale = Tale()
    tale.run()
    tale.happened("DEAD_LETTERED")
    tale.world.mended = True
    tale.replay({(_PUBLISH, 1): Fault.CRASH_BEFORE})
    tale.happened("replay_succeeded")
    tale.run()
    shown = {row[0] for row in tale.world.shown()}
    assert {b["batch_id"] for b in tale.world.batches("COMMITTED")} <= shown
    return tale.ends()


def a_dead_letter_above_the_checkpoint_replayed_and_then_superseded() -> list[str]:
    """A batch that BigQuery refused stands behind one that is in doubt: it is not dead before that one is settled, so
    no operator can replay what a later run supersedes.
    """
    tale = Tale()
    # The first batch's answers are lost until the run dies; the poisoned one behind it is refused meanwhile.
    tale.run({(_APPEND, 1): Fault.LATE, (_CREATE, 2): Fault.CRASH_AFTER})
    doubted = [batch for batch in tale.world.batches() if batch["status"] == "ATTEMPTED"]
    assert doubted
    tale.world.mended = True
    tale.replay()
    assert all(event["type"] != "replay_started" for event in tale.world.events(OPS_LANE))
    tale.world.change_source()
    tale.run()
    tale.happened("SUPERSEDED")
    return tale.ends()


def a_superseded_id_coming_back_with_a_late_append() -> list[str]:
    """A batch is superseded, the source goes back to what it was, and only then the first append lands."""
    tale = Tale()
    tale.run({(_APPEND, 1): Fault.LATE, (_APPEND, 2): Fault.CRASH_AFTER})
    tale.world.change_source()
    tale.run({(_APPEND, 1): Fault.CRASH_BEFORE})
    tale.happened("SUPERSEDED")
    tale.world.pages, tale.world.changes = [list(page) for page in FIRST], 0
    tale.run()
    wrong = tale.ends()
    ids = [event["batch_id"] for event in tale.world.events(LANE) if event["type"] == "batch_superseded"]
    assert ids
    assert not set(ids) & tale.world.committed()
    return wrong


def rejected_records_overwritten_under_one_name() -> list[str]:
    """A run dies after it set records aside; the next finds others refused in the same batch: both sets are kept."""
    tale = Tale()
    tale.run({(_CREATE, 2): Fault.CRASH_AFTER})
    before = dict(tale.world.objects)
    tale.world.refuses = ('"refused"', '"n": 7')
    tale.run()
    assert before.items() <= tale.world.objects.items()
    assert any(len(name.split("/")[-1].split(".")) == 3 for name in tale.world.objects), "no second set"
    tale.world.refuses = ('"refused"',)
    return tale.ends()


def a_lane_idle_beyond_its_retention() -> list[str]:
    """A lane rests until everything that may expire is gone: the next run goes on from the snapshot."""
    tale = Tale()
    tale.run()
    tale.world.expire(LANE)
    tale.parts += round(100 * DAY_S / BETWEEN_S)
    tale.world.grow()
    return tale.ends()


def the_same_records_on_other_pages() -> list[str]:
    """The source deals the records in doubt to other pages: an id matches, its place does not."""
    tale = Tale()
    tale.run({(_APPEND, 1): Fault.CRASH_AFTER})
    first, second = FIRST
    tale.world.pages = [first[:2], [*first[2:], *second]]
    tale.run({(_APPEND, 2): Fault.CRASH_AFTER})
    return tale.ends()


def two_batches_of_equal_records() -> list[str]:
    """The source itself repeats records, a batch's worth: both are seen."""
    tale = Tale(Story(world=World([[{"n": 1}] * 3, [{"n": 1}] * 3])))
    tale.run()
    seen = tale.world.visible()[json.dumps({"n": 1})]
    return [] if seen == 6 else [f"law 1: {6 - seen} of 6 equal records are lost"]


def a_request_that_is_too_large() -> list[str]:
    """BigQuery asks for smaller requests: the batch is committed when both halves are acknowledged."""
    tale = Tale()
    tale.run({(_APPEND, 1): Fault.TOO_LARGE, (_APPEND, 3): Fault.CRASH_AFTER})
    tale.run({(_APPEND, 1): Fault.TOO_LARGE})
    return tale.ends()


def a_row_that_landed_and_is_called_too_large() -> list[str]:
    """A row's size does not change: what the table took in an attempt whose answer was lost it takes again."""
    tale = Tale(Story(world=World([[{"n": 1}]])))
    tale.run({(_APPEND, 1): Fault.CRASH_AFTER})
    tale.run({(_APPEND, 1): Fault.TOO_LARGE})
    return tale.ends()


def an_outage_s_batch_with_a_row_that_is_refused() -> list[str]:
    """A batch is set aside because none is taken, and one of its rows would be refused: the next run's probe takes that
    row out, whatever happens to each of its steps.
    """
    steps = [(_APPEND, 1), (_APPEND, 2), (_CREATE, 1), (_PUBLISH, 1), *((_COMMIT, number) for number in range(1, 6))]
    return [line for step in steps for fault in _KILLS[step[0]] for line in _refused_while_healing(step, fault)]


_KILLS = {
    _APPEND: (Fault.CRASH_AFTER, Fault.ERROR_AFTER, Fault.LATE),
    _CREATE: (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.ERROR_BEFORE, Fault.ERROR_AFTER),
    _PUBLISH: (Fault.CRASH_BEFORE, Fault.CRASH_AFTER),
    _COMMIT: (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.ERROR_AFTER),
}


def _refused_while_healing(step: tuple[str, int], fault: Fault) -> list[str]:
    records = [{"n": 1}, {"n": 2, "refused": 1}, {"n": 3}]
    tale = Tale(Story(world=World([records], mended=True)))
    tale.run({(_APPEND, 1): Fault.DENIED})
    tale.happened("DEAD_LETTERED")
    tale.run({step: fault})
    wrong = [f"{step} {fault}: {line}" for line in tale.ends()]
    ends = [entry for entry in _entries(tale.world) if "records_rejected" in entry]
    assert ends == [["records_rejected", "replay_succeeded"]], "refused rows are journaled with what settles the others"
    assert laws.set_aside(tale.world) == {json.dumps(records[1], sort_keys=True): 1}
    return wrong


def _entries(world: World) -> list[list[str]]:
    stored = world.journal.read_entries(OPS_LANE, 1, 10_000)
    return [[str(event["type"]) for event in each.entry.events] for each in stored]


def a_record_rewritten_where_the_last_run_stopped() -> list[str]:
    """The source rewrites a record on the page that was taken in part: it comes as new content, the others do not."""
    tale = Tale()
    tale.run()
    tale.world.mended = True
    tale.replay()
    tale.world.change_source()
    wrong = tale.ends()
    hidden = [f"law 1: a rewritten record is hidden: {r}" for r in tale.world.pages[-1] if not _seen(tale.world, r)]
    return [*wrong, *hidden]


def _seen(world: World, record: object) -> bool:
    return "refused" in str(record) or world.visible()[json.dumps(record, sort_keys=True)] == 1


NAMED: dict[str, Callable[[], list[str]]] = {
    "statements lost at a new run's start": statements_lost_at_a_new_runs_start,
    "an undrained ops outbox": an_undrained_ops_outbox,
    "a dead letter above the checkpoint, replayed and then superseded": (
        a_dead_letter_above_the_checkpoint_replayed_and_then_superseded
    ),
    "a superseded id coming back with a late append": a_superseded_id_coming_back_with_a_late_append,
    "rejected records overwritten under one name": rejected_records_overwritten_under_one_name,
    "a lane idle beyond its retention": a_lane_idle_beyond_its_retention,
}
"""What a model check of an earlier text of the design found."""
ALL = {
    **NAMED,
    "the same records on other pages": the_same_records_on_other_pages,
    "a record rewritten where the last run stopped": a_record_rewritten_where_the_last_run_stopped,
    "two batches of equal records": two_batches_of_equal_records,
    "a request that is too large": a_request_that_is_too_large,
    "a row that landed and is then called too large": a_row_that_landed_and_is_called_too_large,
    "an outage's batch with a row that is refused": an_outage_s_batch_with_a_row_that_is_refused,
}
