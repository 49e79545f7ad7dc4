"""Proof that the ledger is whole: each lane's chain, fold and snapshot, and the index against the journals.

A batch's document is the fold of its lane's entries and then of those of lane `ops`. Nothing is changed here. Entries
older than the retention may be missing, but for those that start a run, pause or resume; a missing entry is found out
when the one below it is too young for that, or when an index document that is names it.
"""

from collections.abc import Collection
from typing import Any

from state.events import OPS_LANE, ReceiptClosed, ReceiptOpened, ReplayFailed, ReplaySucceeded
from state.index import is_done
from state.journal import ALL_BATCHES, BatchQuery, Document, Journal, page_key
from state.ops_index import BUILT_UPON, CHANGED_BY_OPS, BatchEvent, Held, ops_changes
from state.transitions import contradiction
from state.troubled import is_listed, is_troubled, trouble_of
from state.verify_walk import Documents, Walk, compare, walked

_DAY_US = 86_400 * 1_000_000
_PAGE_DOCUMENTS = 300


def verify_pipeline(journal: Journal, pipeline: str, *, retention_days: int = 90) -> list[str]:
    """Return one line for each thing wrong with a pipeline's ledger: every lane, the operators' too, and the index.

    Reads everything; writers at work meanwhile may show as differences.

    Raises:
        LedgerUnavailable: the store could not be read in bounded time.
    """
    ops = walked(journal, pipeline, OPS_LANE, retention_days * _DAY_US)
    lanes = [lane for lane in journal.read_lanes() if lane != OPS_LANE]
    walks = [walked(journal, pipeline, lane, ops.retention_us) for lane in lanes]
    lines = [line for walk in walks for line in _verify_source(journal, walk, ops)]
    lines += _verify_ops(journal, ops, {batch_id for walk in walks for batch_id in walk.index.batches})
    lines += _troubled_lines(journal)
    strays = (batch for batch in _batches(journal).values() if batch.get("lane") not in lanes)
    return lines + [f"batch {batch['batch_id']}: it is of lane {batch.get('lane')}, which is none" for batch in strays]


def verify_lane(journal: Journal, pipeline: str, lane: str, *, retention_days: int = 90) -> list[str]:
    """Return one line for each thing wrong with a lane: its journal, its snapshot, its part of the index.

    Reads the whole lane, lane `ops`, and each of its batches' documents; writers at work meanwhile may show as
    differences.

    Raises:
        LedgerUnavailable: the store could not be read in bounded time.
    """
    ops = walked(journal, pipeline, OPS_LANE, retention_days * _DAY_US)
    if lane == OPS_LANE:
        return _verify_ops(journal, ops, ())
    return _verify_source(journal, walked(journal, pipeline, lane, ops.retention_us), ops)


def _verify_source(journal: Journal, walk: Walk, ops: Walk) -> list[str]:
    batches, runs = _batches(journal, walk.lane), _runs(journal, walk.lane)
    told = {batch_id: dict(batch) for batch_id, batch in walk.index.batches.items()}
    lines = fold_ops(ops, told)
    mine = {batch_id: batch for batch_id, batch in told.items() if batch_id in walk.index.batches.keys() | batches}
    lines += compare(walk, "batches", mine, batches)
    lines += compare(walk, "runs", walk.index.runs, runs)
    for batch_id, batch in batches.items():
        if (journal.read_batch(batch_id) or {}).get("row_digests") is None:
            lines.append(f"lane {walk.lane} batch {batch_id}: it has no row digests")
        if batch.get("expire_at_us") is not None and not is_done(batch):
            lines.append(f"lane {walk.lane} batch {batch_id}: it would age out while something is left to do with it")
    walk.judge_gaps([*batches.values(), *runs.values()])
    return walk.lines + lines


def _verify_ops(journal: Journal, ops: Walk, known: Collection[str]) -> list[str]:
    """Check the operators' journal, its receipts, and that the batches it tells of are there."""
    batches, told = _batches(journal), dict[str, dict[str, Any]]()
    lines = compare(ops, "receipts", told_receipts(ops), _receipts(journal))
    fold_ops(ops, told)
    unknown = {batch_id: batch for batch_id, batch in told.items() if batch_id not in {*batches, *known}}
    lines += compare(ops, "batches", unknown, {})
    ops.judge_gaps(list(batches.values()))
    return ops.lines + lines


def fold_ops(ops: Walk, told: Documents) -> list[str]:
    """Fold the operators' entries on what the lanes tell of batches. Return a line for each that cannot follow.

    Of a batch whose history is known in part only, what builds on the unknown part is left out.
    """
    lines: list[str] = []
    whole = {key for key, batch in told.items() if batch.get("attempted_at_us", -1) > ops.since_at_us}
    if ops.since > 1:
        told.update({key: _without(told[key], CHANGED_BY_OPS) for key in told.keys() - whole})
    touched: set[str] = set()
    for moment, event in ops.told:
        if not isinstance(event, BatchEvent):
            continue
        batch = told.setdefault(event.batch_id, {})
        touched.add(event.batch_id)
        why = contradiction(batch, event) if event.batch_id in whole else None
        if why:
            lines.append(f"lane {OPS_LANE} version {moment.version}: {event.TYPE}, but {why}")
        changes = ops_changes(Held(batches=told), [event], moment, retention_us=ops.retention_us)
        batch.update(changes.batches[event.batch_id])
    told.update({key: _without(told[key], BUILT_UPON) for key in touched - whole})
    return lines


def _without(document: Document, names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


def told_receipts(ops: Walk) -> Documents:
    """Return the receipts as the entries say them, of those that were opened by an entry still there."""
    told: Documents = {}
    for moment, event in ops.told:
        if isinstance(event, ReceiptOpened | ReceiptClosed | ReplaySucceeded | ReplayFailed):
            if event.receipt not in told and not (isinstance(event, ReceiptOpened) and event.batch_ids):
                continue
            changes = ops_changes(Held(receipts=told), [event], moment, retention_us=ops.retention_us)
            told.setdefault(event.receipt, {}).update(changes.receipts.get(event.receipt, {}))
    return told


def _batches(journal: Journal, lane: str | None = None) -> dict[str, Document]:
    found: dict[str, Document] = {}
    query = ALL_BATCHES if lane is None else BatchQuery(lane=lane)
    while page := journal.list_batches(query, limit=_PAGE_DOCUMENTS):
        found.update({batch["batch_id"]: batch for batch in page})
        query = query.following(page[-1])
    return found


def _runs(journal: Journal, lane: str) -> dict[str, Document]:
    found: dict[str, Any] = {}
    before: str | None = None
    while page := journal.list_runs(limit=_PAGE_DOCUMENTS, before=before):
        found.update({run["run_id"]: run for run in page if run.get("lane") == lane})
        before = page[-1]["run_id"]
    return found


def _troubled_lines(journal: Journal) -> list[str]:
    """Return a line for each batch of which the lists of dead batches and of open records say something else than its
    document. What ages out may be gone from one of them first.
    """
    held, batches = read_troubled(journal), _batches(journal)
    wanted = {key: trouble_of(batch) for key, batch in batches.items() if is_troubled(batch)}
    wrong = {key for key, trouble in wanted.items() if held.get(key) != trouble}
    wrong -= {key for key in wrong - held.keys() if wanted[key].get("expire_at_us")}
    strays = {key for key in held.keys() - wanted.keys() if is_listed(held[key])}
    strays -= {key for key in strays - batches.keys() if held[key].get("expire_at_us")}
    text = "the lists of dead batches and open records say something else of it"
    return [f"batch {key}: {text}" for key in sorted(wrong | strays)]


def read_troubled(journal: Journal) -> dict[str, Document]:
    """Return what those lists go by, of all batches."""
    found: dict[str, Document] = {}
    while page := journal.read_troubled(limit=_PAGE_DOCUMENTS, after=max(found, default=None)):
        found.update(page)
    return found


def _receipts(journal: Journal) -> dict[str, Document]:
    found: dict[str, Document] = {}
    after: str | None = None
    while page := journal.list_receipts(limit=_PAGE_DOCUMENTS, after=after):
        found.update({receipt["receipt"]: journal.read_receipt(receipt["receipt"]) or {} for receipt in page})
        after = page_key(page[-1]["opened_at_us"], page[-1]["receipt"])
    return found
