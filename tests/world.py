"""A world in memory in which runs live, crash and come back, one effect at a time, in any order a test chooses.

It drives the real decisions (`ingestor.loop`) and the real ledger (`state.ledger` on the memory journal, which passes
the same contract suite as the real ones). The source, the table, the ledger table and the bucket are lists. Nothing
runs by itself: every effect is a choice of the caller.
"""

import itertools
import json
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ingestor.batch import Batch, Limits, metadata_prefix
from ingestor.encode import Rejection
from ingestor.loop import begin, step, wake_after
from ingestor.outcome import Action, Outcome, ended
from ingestor.pages import Page
from ingestor.progress import Phase, Settings
from ingestor.signals import (
    Answered,
    AskTable,
    Command,
    ConnectionEnded,
    CutConnection,
    DeadStored,
    EntryLanded,
    GrantPage,
    Instant,
    LedgerLost,
    PageArrived,
    Published,
    PublishStatements,
    RejectsStored,
    SendBatch,
    Signal,
    StartReading,
    StopAsked,
    StoreDead,
    StoreRejects,
    TableAsked,
    Ticked,
    WriteEntry,
)
from state.errors import VersionConflict
from state.events import RunStarted
from state.fold import LaneState
from state.ledger import LaneLedger
from state.memory import MemoryJournal

PIPELINE, LANE = "pipeline", "0"
APPENDED = Outcome(Action.APPENDED)


def encode(record: object) -> bytes | Rejection:
    """Encode a record as its JSON; a record with a key `bad` is rejected."""
    if isinstance(record, dict) and "bad" not in record:
        return json.dumps(record, sort_keys=True).encode()
    return Rejection("the record is bad", "bad")


@dataclass
class World:
    """Everything outside a run. `pages` are lists of records; a page's cursor is its index as text."""

    pages: list[list[Any]]
    table: list[tuple[str, int, Any]] = field(default_factory=list)
    times: dict[str, set[int]] = field(default_factory=dict)
    """The ingest times under which rows of a batch were written: one each, or the view could show a row twice."""
    too_early: list[str] = field(default_factory=list)
    """Batches whose rows were written before their intent was durable."""
    statements: list[tuple[str, str, int]] = field(default_factory=list)
    bucket: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    dead: dict[str, StoreDead] = field(default_factory=dict)
    answer: Callable[[SendBatch], Outcome] = lambda _: APPENDED
    table_exists: bool = True
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    seconds: float = 0.0
    nonces: "itertools.count[int]" = field(default_factory=itertools.count)

    def instant(self) -> Instant:
        """Return now; time passes only by `wait`."""
        return Instant(self.seconds, 1_700_000_000_000_000 + int(self.seconds * 1e6))

    def ledger(self) -> LaneLedger:
        """Return a new writer of the lane."""
        return LaneLedger(
            self.journal,
            PIPELINE,
            LANE,
            now_us=lambda: self.instant().wall_us,
            nonce=lambda: f"nonce-{next(self.nonces)}",
            sleep=lambda _: None,
            retention_days=90,
        )

    def page(self, cursor: str | None) -> Page:
        """Return the source's page as it is now."""
        index = int(cursor or 0)
        following = str(index + 1) if index + 1 < len(self.pages) else None
        return Page(cursor, following, list(self.pages[index]))

    def records(self) -> Counter[str]:
        """Return what the source holds now, good and bad."""
        return Counter(json.dumps(r, sort_keys=True) for page in self.pages for r in page)

    def visible(self) -> Counter[str]:
        """Return what a reader of the dedup view sees."""
        newest: dict[str, tuple[int, str]] = {}
        for batch_id, status, version in self.statements:
            newest[batch_id] = max(newest.get(batch_id, (0, "")), (version, status))
        shown = {
            (b, i): json.dumps(r, sort_keys=True) for b, i, r in self.table if newest.get(b, (0, ""))[1] == "COMMITTED"
        }
        return Counter(shown.values())

    def set_aside(self) -> Counter[str]:
        """Return the rejected records of committed batches."""
        newest = {b: s for b, s, _ in sorted(self.statements, key=lambda s: s[2])}
        return Counter(
            json.dumps(r, sort_keys=True)
            for b, stages in self.bucket.items()
            if newest.get(b) == "COMMITTED"
            for records in stages.values()
            for r in records
        )

    def dead_records(self) -> Counter[str]:
        """Return the records that are set aside with their batch, and those rejected in such a batch."""
        found: Counter[str] = Counter()
        for batch_id, command in self.dead.items():
            if self.status(batch_id) != "DEAD_LETTERED":
                continue
            rows = zip(command.batch.indexes, command.batch.rows, strict=True)
            found.update(_record(command.batch, row) for index, row in rows if index not in command.rejected)
            for records in self.bucket.get(batch_id, {}).values():
                found.update(json.dumps(r, sort_keys=True) for r in records)
        return found

    def status(self, batch_id: str) -> str:
        """Return what the ledger's index says of a batch."""
        return str((self.journal.read_batch(batch_id) or {}).get("status"))


class Actor:
    """One run in the world. `choices` names the effects that could happen next; `do` makes one happen."""

    def __init__(  # noqa: PLR0913 - the settings a test may choose
        self,
        world: World,
        run_id: str,
        *,
        limits: Limits,
        max_in_flight: int = 2,
        fuse: tuple[int, float] = (10**6, 1.0),
        max_attempts: int = 1000,
    ) -> None:
        self.world, self.ledger = world, world.ledger()
        opened = self.ledger.open()
        started = RunStarted(
            run_id=run_id, trigger="test", takeover=opened.state.run_open, code_version="0", partitions=1
        )
        lane = self.ledger.append([started], run_id=run_id).state
        self._publish(lane.outbox)
        self.settings = Settings(
            pipeline=PIPELINE,
            lane=LANE,
            run_id=run_id,
            encode=encode,
            limits=limits,
            max_in_flight=max_in_flight,
            max_attempts=max_attempts,
            append_timeout_s=60.0,
            stale_s=180.0,
            commit_timeout_s=10.0,
            deadline_at=world.seconds + 480.0,
            fuse_consecutive=fuse[0],
            fuse_ratio=fuse[1],
            backoff=lambda _: 0.0,
        )
        self.reading, self.grants = 0, 0
        self.cursor: Any = None
        self.sent: deque[SendBatch] = deque()
        self.writes: deque[WriteEntry] = deque()
        self.stores: deque[StoreRejects | StoreDead | AskTable] = deque()
        self.publications: deque[PublishStatements] = deque()
        self.cut = False
        self.state, commands = begin(self.settings, lane, world.instant())
        self._take(commands)

    @property
    def over(self) -> bool:
        """Whether the run ended."""
        return self.state.phase is Phase.OVER

    def choices(self) -> list[str]:
        """Return the effects that can happen now."""
        if self.over:
            return []
        pending = [
            name
            for name, queue in (
                ("append", self.sent),
                ("write", self.writes),
                ("store", self.stores),
                ("publish", self.publications),
            )
            if queue
        ]
        if self.grants and self.cursor is not _END:
            pending.append("page")
        if self.cut:
            pending.append("end")
        return pending

    def do(self, choice: str) -> None:
        """Let one effect happen and its signal arrive."""
        getattr(self, f"_{choice}")()

    def wait(self) -> None:
        """Let time pass until the loop's own next moment."""
        self.world.seconds += max(0.0, wake_after(self.state, self.world.instant())) + 0.001
        self.hear(Ticked())

    def stop(self) -> None:
        """Ask the run to stop at once."""
        self.hear(StopAsked("test", 0.0))

    def hear(self, signal: Signal) -> None:
        """Give the loop a signal and queue what it asks for."""
        self.state, commands = step(self.state, signal, self.world.instant())
        self._take(commands)

    def lose_connection(self, *, applied: int, outcome: Outcome | None = None) -> None:
        """End the append call: the first `applied` unanswered requests were written, nobody heard of it."""
        for sent in list(self.sent)[:applied]:
            self._apply(sent)
        self.sent.clear()
        self.cut = False
        self.hear(ConnectionEnded(outcome or ended(14, "gone")))

    def zombie_appends(self) -> Callable[[], None]:
        """Return what this run sent and nobody answered: it may be written at any time later."""
        late = list(self.sent)

        def append_late() -> None:
            for sent in late:
                self._apply(sent)

        return append_late

    def _take(self, commands: tuple[Command, ...]) -> None:
        for command in commands:
            match command:
                case SendBatch():
                    self.sent.append(command)
                case WriteEntry():
                    self.writes.append(command)
                case StoreRejects() | StoreDead() | AskTable():
                    self.stores.append(command)
                case PublishStatements():
                    self.publications.append(command)
                case StartReading():
                    self.reading, self.cursor, self.grants = command.reading, command.cursor, 0
                case GrantPage():
                    self.grants += 1
                case CutConnection():
                    self.cut = True
                case _:
                    pass
        if any(type(c).__name__ == "Continue" for c in commands):
            self.hear(Ticked())

    def _page(self) -> None:
        page = self.world.page(self.cursor)
        self.grants -= 1
        self.cursor = page.next_cursor if page.next_cursor is not None else _END
        self.hear(PageArrived(self.reading, page))

    def _append(self) -> None:
        sent = self.sent.popleft()
        answer = self.world.answer(sent)
        if answer.action is Action.APPENDED:
            self._apply(sent)
        self.hear(Answered(sent.batch.batch_id, answer))

    def _end(self) -> None:
        """The connection that was cut is gone: what was unanswered came too late to be written."""
        self.lose_connection(applied=0, outcome=ended(1, "cut"))

    def _apply(self, sent: SendBatch) -> None:
        batch = sent.batch
        self.world.times.setdefault(batch.batch_id, set()).add(batch.attempted.ingest_time_us)
        if self.world.journal.read_batch(batch.batch_id) is None:
            self.world.too_early.append(batch.batch_id)
        for row in sent.rows:
            payload, index = _parsed(batch, row)
            self.world.table.append((batch.batch_id, index, json.loads(payload)))

    def _write(self) -> None:
        command = self.writes.popleft()
        try:
            landed = self.ledger.append(command.events, run_id=self.settings.run_id, digests=command.digests)
        except VersionConflict:
            self.hear(LedgerLost("another run took over"))
            return
        self.hear(EntryLanded(landed.state, landed.writes))

    def _store(self) -> None:
        match command := self.stores.popleft():
            case StoreRejects():
                batch_id = command.batch.batch_id
                records = [item.record for item in command.batch.rejected]
                self.world.bucket.setdefault(batch_id, {})[command.stage] = records
                self.hear(RejectsStored(batch_id, command.stage, f"records/{batch_id}", 1))
            case StoreDead():
                self.world.dead[command.batch.batch_id] = command
                self.hear(DeadStored(command.batch.batch_id, f"batches/{command.batch.batch_id}", 1))
            case AskTable():
                self.hear(TableAsked(command.batch_id, self.world.table_exists))

    def _publish(self, statements: Any = None) -> None:
        owed = self.publications.popleft().statements if statements is None else statements
        self.world.statements += [(s.batch_id, s.status, s.version) for s in owed]
        if statements is None:
            self.hear(Published(owed[-1].version))


_END: Any = object()


def _parsed(batch: Batch, row: bytes) -> tuple[bytes, int]:
    payload, _, index = row.rpartition(metadata_prefix(batch.batch_id, batch.attempted.ingest_time_us))
    return payload, _varint(index)


def _record(batch: Batch, row: bytes) -> str:
    return _parsed(batch, row)[0].decode()


def _varint(data: bytes) -> int:
    return sum((byte & 0x7F) << (7 * at) for at, byte in enumerate(data))


def finish(
    actor: Actor, pick: Callable[[list[str]], str] = lambda choices: choices[0], steps: int = 10_000
) -> LaneState:
    """Let the run go on to its end, choosing effects by `pick`, and return the lane."""
    for _ in range(steps):
        if actor.over:
            return actor.state.lane
        choices = actor.choices()
        if choices:
            actor.do(pick(choices))
        else:
            actor.wait()
    raise AssertionError(f"the run does not end: {actor.state}")
