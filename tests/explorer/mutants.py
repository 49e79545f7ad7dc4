# ruff: noqa: E501 - a broken line stands whole beside the one it replaces
"""Broken variants of the code, each a few words of one function's source changed while it is loaded.

The changed source is compiled and its code object put into the function that everybody holds already, so a mutant needs
no process of its own and leaves nothing behind.
"""

import contextlib
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class Edit:
    """`old` in the source of `module`'s `function` (`Class.method` too) becomes `new`, wherever it stands in it."""

    module: str
    function: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken variant."""

    name: str
    edits: tuple[Edit, ...]


@contextlib.contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """Break the code, and mend it again."""
    places = dict.fromkeys((edit.module, edit.function) for edit in mutant.edits)
    broken = [(_function(*place), _changed(mutant, *place)) for place in places]
    whole = [(function, function.__code__) for function, _ in broken]
    try:
        for function, code in broken:
            function.__code__ = code
        yield
    finally:
        for function, code in whole:
            function.__code__ = code


def _function(module: str, name: str) -> FunctionType:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    return cast("FunctionType", found.fget if isinstance(found, property) else found)


def _changed(mutant: Mutant, module: str, function: str) -> CodeType:
    source, whole = (
        inspect.getsource(found) for found in (importlib.import_module(module), _function(module, function))
    )
    changed = whole
    for edit in mutant.edits:
        if (edit.module, edit.function) == (module, function):
            assert edit.old in changed, f"mutant {mutant.name}: {function} holds no {edit.old!r} any more"
            changed = changed.replace(edit.old, edit.new)
    return _code(compile(source.replace(whole, changed), module, "exec", dont_inherit=True), function.split("."))


def _code(code: CodeType, path: list[str]) -> CodeType:
    for name in path:
        code = next(each for each in code.co_consts if isinstance(each, CodeType) and each.co_name == name)
    return code


def _edit(where: str, old: str, new: str) -> Edit:
    module, _, function = where.partition(":")
    return Edit(module, function, old, new)


NAMED = (
    Mutant(
        "checkpoint before append",
        (_edit("ingestor.entries:settle", "{Stage.ANSWERED,", "{Stage.SENT, Stage.ANSWERED,"),),
    ),
    Mutant(
        "no attempt mark",
        (
            _edit("ingestor.entries:attempt", "state = enqueue(state, now, held.batch.attempted)", "pass"),
            _edit("ingestor.entries:attempt", "stage=Stage.ATTEMPTING", "stage=Stage.READY if h.batch.rows else Stage.ANSWERED"),
            _edit("ingestor.entries:_outcome_events", "return (*rejected,", "return (held.batch.attempted, *rejected,"),
        ),
    ),
    Mutant(
        "no compare-and-set",
        (_edit("state.memory:MemoryJournal.commit", "commit.entry.version in entries", "False"),
         _edit("state.memory:MemoryJournal._replace_snapshot", "(held.token if held else None) != commit.snapshot_token", "False")),
    ),
    Mutant(
        "nonce ignored",
        (_edit("state.ledger:LaneLedger._has_landed", "found.entry.nonce != commit.entry.nonce", "False"),),
    ),
    Mutant(
        "unknown treated as success",
        (_edit("ingestor.answers:hear_end", "outcome.action", "Action.APPENDED"),),
    ),
    Mutant(
        "unknown treated as failure and dead-lettered before retrying",
        (_edit("ingestor.answers:hear_end", "outcome.action", "Action.BATCH_FAILURE"),),
    ),
    Mutant(
        "view by (batch id, row) without the ledger",
        (_edit("tests.explorer.world:World.shown", " if b in committed", ""),),
    ),
    Mutant(
        "new _ingest_time on retry",
        (_edit("ingestor.cutting:_match_carried", "earlier.ingest_time_us", "earlier.ingest_time_us + 1"),),
    ),
    Mutant(
        "publish before commit",
        (_edit(
            "ingestor.workers:Workers.write",
            "            try:\n                landed",
            "            v = self._ports.ledger.state.version + 1\n"
            "            said = [Statement(e.batch_id, 'COMMITTED', e.rows, v, run_id, 0) for e in events if e.TYPE == 'batch_committed']\n"
            "            self._ports.publish(said)\n"
            "            try:\n                landed",
        ),),
    ),
    Mutant(
        "dead letter after checkpoint",
        (
            _edit("ingestor.entries:settle", "Stage.DEAD}", "Stage.DEAD, Stage.DYING}"),
            _edit("ingestor.entries:_outcome_events", "held.stage is Stage.DEAD", "held.stage in {Stage.DEAD, Stage.DYING}"),
            _edit("ingestor.entries:_dead_letter", 'held.stored["dead"].object', "__import__('ingestor.envelope', fromlist=['x']).object_name('pipeline', held.batch.batch_id, held.batch.attempted.ingest_time_us)"),
            _edit("ingestor.entries:_dead_letter", 'held.stored["dead"].generation', "1"),
            _edit("ingestor.sending:store", "Stage.DYING)", "Stage.DYING, Stage.RECORDING)"),
            _edit("ingestor.sending:store", "held.stage is Stage.DYING and", "held.stage in {Stage.DYING, Stage.RECORDING} and"),
        ),
    ),
)  # fmt: skip
"""The ten that the project was asked to catch."""

FURTHER = (
    Mutant(
        "outcome journaled before the rejected records are durable",
        (_edit("ingestor.entries:settle", "or not held.rejects_durable", ""),
         _edit("ingestor.entries:_outcome_events", "if held.rejected_at(stage)", "if held.rejected_at(stage) and stage in held.stored")),
    ),
    Mutant(
        "a batch in doubt matched by its id alone, wherever it stands",
        (_edit("ingestor.cutting:_match_carried", " or earlier.end not in {state.draft.end, state.draft.within}", ""),),
    ),
    Mutant(
        "what was taken of the last page forgotten",
        (_edit("ingestor.cutting:restart_reading", "boundary=state.lane.boundary", 'boundary=b""'),),
    ),
    Mutant(
        "superseding opens no new epoch",
        (_edit("state.fold:evolve", ", epoch=moment.version)", ")"),),
    ),
    Mutant(
        "the tail of a page skipped by count, not by digest",
        (_edit(
            "ingestor.unread:unread",
            "places[digest].popleft() if places.get(digest) else None for digest in map(record_digest, records)",
            "place if place < remembered else None for place in range(len(records))",
        ),),
    ),
    Mutant(
        "a batch's id without its place",
        (_edit("ingestor.batch:batch_id", "cursor, str(start.taken).encode()", "b''"),),
    ),
    Mutant(
        "statements of the last run called published without being published",
        (_edit("ingestor.run:Run._prepare", "self._ports.publish(lane.outbox)", "pass"),),
    ),
    Mutant(
        "a run that lost its lane writes on",
        (_edit(
            "ingestor.workers:Workers.write",
            "return who_took_over(self._ports.ledger, run_id)",
            "self._ports.ledger.refold(); landed = self._ports.ledger.append(events, run_id=run_id, digests=digests)",
        ),),
    ),
    Mutant(
        "a replay sends the rejected rows too",
        (_edit("ingestor.replay_rows:rows_to_send", "if index not in left_out", ""),),
    ),
    Mutant(
        "an answer to half of a batch counts for all of it",
        (_edit("ingestor.answers:_appended", "held.left[len(held.request) :]", "()"),),
    ),
    Mutant(
        "what operators owe called published before it is sent",
        (_edit(
            "ingestor.replay_one:BatchReplay.publish",
            "self._ports.publish(statements)\n            ops.published(statements[-1].version)",
            "ops.published(statements[-1].version)\n            self._ports.publish(statements)",
        ),),
    ),
)  # fmt: skip
"""Eleven more, devised from the design and the code before any of the tests was read."""
