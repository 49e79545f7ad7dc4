"""The fold against a model that knows the source: records are numbered, pages have sizes, and settling is counting."""

from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from state.codec import canonical, decode_state, encode_state, from_canonical, seal
from state.events import (
    DIGEST_SIZE,
    BatchAttempted,
    BatchCommitted,
    BatchesPublished,
    BatchSuperseded,
    CheckpointSet,
    Event,
    Position,
    RunFailed,
    RunFinished,
    RunHeartbeat,
    RunStarted,
)
from state.fold import STALLED_RUNS, LaneState, Moment, Statement, fold
from state.memory import MemoryJournal
from state.verify import verify_lane
from tests.unit.state.histories import PIPELINE, dead, digests, paused, resumed, writer

Action = tuple[str, int]


@dataclass
class Model:
    """What must be true, by counting records: `settled` and `cut` are how many lie below the checkpoint and the last
    attempt; `held` is the ends of what is in doubt; `owed` the statements not acknowledged.
    """

    starts: list[int]
    whole_pages: bool
    version: int = 0
    settled: int = 0
    has_checkpoint: bool = False
    epoch: int = 0
    held: list[tuple[str, int]] = field(default_factory=list)
    owed: list[tuple[str, str, int]] = field(default_factory=list)
    is_open: bool = False
    is_paused: bool = False
    systemic: int = 0
    cuts: int = 0
    deaths: int = 0

    @property
    def cut(self) -> int:
        return self.held[-1][1] if self.held else self.settled

    def position(self, record: int) -> Position:
        """Where a batch ends that ends before this record; at the end of a page either spelling is legal."""
        page = max(number for number, start in enumerate(self.starts) if start <= record)
        if not self.whole_pages and page > 0 and record == self.starts[page]:
            page -= 1
        return Position(f"page-{page}", record - self.starts[page])

    def boundary(self, record: int) -> bytes:
        return digests(*range(record - self.position(record).taken, record))


def _attempt(model: Model, size: int) -> list[Event]:
    start, end = model.cut, min(model.cut + size, model.starts[-1] - 1)
    if end == start:
        return []
    position = model.position(end)
    model.cuts += 1
    batch_id = f"batch-{model.cuts}-{model.epoch}"
    model.held.append((batch_id, end))
    tail = digests(*range(max(start, end - position.taken), end))
    rows = {"rows": end - start, "rejected": 0, "bytes": 9, "ingest_time_us": 7}
    return [
        BatchAttempted(
            batch_id=batch_id, epoch=model.epoch, start=model.position(start), end=position, tail=tail, **rows
        )
    ]


def _commit(model: Model, count: int) -> list[Event]:
    done, model.held = model.held[:count], model.held[count:]
    for batch_id, end in done:
        model.settled, model.has_checkpoint, model.deaths = end, True, 0
        model.owed.append((batch_id, "COMMITTED", model.version))
    return [BatchCommitted(batch_id=batch_id, rows=1, attempts=1, latency_ms=1) for batch_id, _ in done]


def _bury(model: Model, count: int) -> list[Event]:
    done, model.held = model.held[:count], model.held[count:]
    kind = "systemic" if count % 2 else "batch"
    for _, end in done:
        model.settled, model.has_checkpoint, model.deaths = end, True, 0
        model.systemic = model.systemic or (model.version if kind == "systemic" else 0)
    return [dead(batch_id, kind=kind) for batch_id, _ in done]


def _pause(model: Model, number: int) -> list[Event]:
    model.is_paused = number % 2 == 0
    model.is_open = model.is_open and not model.is_paused
    return [paused() if model.is_paused else resumed()]


def _supersede(model: Model, _: int) -> list[Event]:
    done, model.held = model.held, []
    if done:
        model.epoch = model.version
    model.owed += [(batch_id, "SUPERSEDED", model.version) for batch_id, _ in done]
    return [BatchSuperseded(batch_id=batch_id, reason="r") for batch_id, _ in done]


def _move(model: Model, number: int) -> list[Event]:
    """Set the checkpoint to the start of a page that is ahead, where a position has one spelling only."""
    ahead = [page for page, start in enumerate(model.starts[:-1]) if start > model.cut]
    if not ahead or not model.whole_pages:
        return []
    page = ahead[min(number, len(ahead)) - 1]
    superseding = _supersede(model, number)
    model.settled, model.has_checkpoint, model.deaths, model.is_open = model.starts[page], True, 0, False
    return [*superseding, CheckpointSet(actor="a", reason="r", to=Position(f"page-{page}"), never_passed=False)]


def _publish(model: Model, back: int) -> list[Event]:
    through = max(0, model.version - back)
    model.owed = [owed for owed in model.owed if owed[2] > through]
    return [BatchesPublished(through=through)]


def _run(model: Model, number: int) -> list[Event]:
    was_open, model.is_open = model.is_open, number % 3 == 0
    if model.is_open:
        model.deaths += was_open
        return [RunStarted(run_id="r", trigger="t", takeover=False, code_version="1", partitions=1)]
    if number % 3 == 1:
        model.systemic, model.deaths = 0, 0 if number % 2 else STALLED_RUNS
        return [RunFinished(run_id="r", status="partial", isolate=number % 2 == 0)]
    model.deaths = model.deaths if model.deaths >= STALLED_RUNS else 0
    return [RunFailed(run_id="r", error="e")]


def _heartbeat(_: Model, __: int) -> list[Event]:
    return [RunHeartbeat(run_id="r")]


ACTIONS = {
    "attempt": _attempt,
    "commit": _commit,
    "bury": _bury,
    "pause": _pause,
    "move": _move,
    "supersede": _supersede,
    "publish": _publish,
    "run": _run,
    "heartbeat": _heartbeat,
}
actions = st.tuples(st.sampled_from([*ACTIONS, "attempt", "commit"]), st.integers(1, 9))
histories = st.lists(st.lists(actions, min_size=1, max_size=4), max_size=25)
pages = st.tuples(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.booleans())


def _told(source: tuple[list[int], bool], history: list[list[Action]]) -> list[tuple[list[Event], Model]]:
    """Return the entries of a history, each with the model after it."""
    sizes, whole_pages = source
    model = Model([*accumulate(sizes, initial=0)], whole_pages)
    model.starts[-1] += 1  # the last page is never seen to end
    told = []
    for entry in history:
        model.version += 1
        events = [event for name, number in entry for event in ACTIONS[name](model, number)]
        if not events:
            model.version -= 1
            continue
        copied = Model(**{**vars(model), "held": list(model.held), "owed": list(model.owed)})
        told.append((events, copied))
    return told


def _folded(told: list[tuple[list[Event], Model]], state: LaneState) -> LaneState:
    for events, model in told:
        if model.version > state.version:
            state = fold(state, events, Moment(model.version, "r", 5), f"hash-{model.version}")
    return state


@settings(derandomize=True, deadline=None, max_examples=200)
@given(pages, histories)
def test_the_checkpoint_is_the_end_of_the_longest_settled_prefix(
    source: tuple[list[int], bool], history: list[list[Action]]
) -> None:
    state = LaneState()
    for events, model in _told(source, history):
        state = fold(state, events, Moment(model.version, "r", 5), "h")
        assert state.checkpoint == (model.position(model.settled) if model.has_checkpoint else None)
        assert [(batch.batch_id, batch.end) for batch in state.unsettled] == [
            (batch_id, model.position(end)) for batch_id, end in model.held
        ]
        assert (state.epoch, state.run_open, state.deaths) == (model.epoch, model.is_open, model.deaths)
        assert (state.systemic.version if state.systemic else 0, state.paused) == (model.systemic, model.is_paused)
        assert all(batch.epoch == state.epoch for batch in state.unsettled)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(pages, histories)
def test_the_boundary_is_the_digests_of_the_records_taken_of_the_page_at_the_checkpoint(
    source: tuple[list[int], bool], history: list[list[Action]]
) -> None:
    state = LaneState()
    for events, model in _told(source, history):
        state = fold(state, events, Moment(model.version, "r", 5), "h")
        taken = state.checkpoint.taken if state.checkpoint else 0
        assert len(state.boundary) == taken * DIGEST_SIZE
        assert state.boundary == (model.boundary(model.settled) if model.has_checkpoint else b"")


@settings(derandomize=True, deadline=None, max_examples=200)
@given(pages, histories)
def test_every_batch_settled_but_by_a_dead_letter_is_owed_to_the_ledger_table_until_acknowledged(
    source: tuple[list[int], bool], history: list[list[Action]]
) -> None:
    state = LaneState()
    for events, model in _told(source, history):
        state = fold(state, events, Moment(model.version, "r", 5), "h")
        assert [(owed.batch_id, owed.status, owed.version) for owed in state.outbox] == model.owed
        assert all(isinstance(owed, Statement) for owed in state.outbox)
        assert all(one.version <= other.version for one, other in pairwise(state.outbox))


@settings(derandomize=True, deadline=None, max_examples=200)
@given(pages, histories, st.integers(0, 25))
def test_a_snapshot_at_any_version_and_the_tail_are_the_fold_of_all(
    source: tuple[list[int], bool], history: list[list[Action]], cut: int
) -> None:
    told = _told(source, history)
    stored = canonical(encode_state(_folded(told[:cut], LaneState())))
    assert _folded(told, decode_state(from_canonical(stored))) == _folded(told, LaneState())


@settings(derandomize=True, deadline=None, max_examples=200)
@given(pages, histories)
def test_any_legal_history_is_written_opened_and_verified(
    source: tuple[list[int], bool], history: list[list[Action]]
) -> None:
    journal = MemoryJournal()
    ledger = writer(journal)
    ledger.open()
    for events, _ in _told(source, [[("run", 3)], *history]):
        packed = {event.batch_id: digests(event) for event in events if isinstance(event, BatchAttempted)}
        state = ledger.append(events, run_id="r", digests=packed).state
        assert writer(journal).open().state == state
    assert verify_lane(journal, PIPELINE, "0") == []


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.one_of(st.text(st.characters(exclude_categories=["Cs"]))), max_size=4), st.binary(max_size=40))
def test_any_text_and_bytes_survive_and_hash_alike(texts: list[str], tail: bytes) -> None:
    cursor = texts[0] if texts else None
    end = Position(cursor, len(tail))
    batch = BatchAttempted(
        batch_id="b", epoch=0, start=Position(None), end=end, rows=1, rejected=0, bytes=1, ingest_time_us=1, tail=tail
    )
    fields = {"pipeline": "p", "lane": "0", "version": 1, "nonce": "".join(texts), "at_us": 1, "run_id": "r"}
    entry = seal(**fields, events=[batch], prev_hash="")  # type: ignore[arg-type]
    again = from_canonical(canonical(list(entry.events)))
    assert again == list(entry.events)
    assert entry.hash == seal(**fields, events=[batch], prev_hash="").hash  # type: ignore[arg-type]
