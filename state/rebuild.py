"""The index documents anew from the journals, in place and beside writers at work.

Documents are read before the journals, and each is written under the token it was read with: what a writer changed in
between is a conflict, and everything is read and folded again. So a document is never set back to what an older
journal said. What the journals no longer tell (entries that aged out) or never told (row digests) is kept as it is;
nothing is deleted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from state.errors import CorruptHistory, LedgerUnavailable, OutcomeUnknown, VersionConflict
from state.events import OPS_LANE
from state.index import is_done
from state.journal import IndexDocument, Journal, Kind
from state.troubled import MARKS, TROUBLED_FIELDS, is_listed, is_troubled, trouble_of
from state.verify import fold_ops, read_troubled, told_receipts
from state.verify_walk import FIRST_FIELD, NAMES, Documents, differing, walked

MAX_FOLDS = 5
"""Times that everything is read again because writers were at work on the same documents."""
_DAY_US = 86_400 * 1_000_000
_PAGE_DOCUMENTS = 300
_KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class _Told:
    """What the journals say of every index document now; `now_us` by the server's clock."""

    documents: Mapping[Kind, Documents]
    now_us: int


@dataclass(slots=True)
class _Mending:
    """One pass: what was written, and whether a writer was faster."""

    lines: list[str] = field(default_factory=list)
    met_writer: bool = False


def rebuild(journal: Journal, pipeline: str, *, retention_days: int = 90) -> list[str]:
    """Make every index document say what the journals say. Return a line for each that was mended or made anew.

    Raises:
        CorruptHistory: the journals themselves are not whole; nothing was written.
        LedgerUnavailable: the store could not be reached, or writers changed the same documents again and again.
    """
    lines: list[str] = []
    for _ in range(MAX_FOLDS):
        held = {kind: {each.key: each for each in _read(journal, kind)} for kind in _KINDS}
        pass_ = _mend(journal, held, _told(journal, pipeline, retention_days * _DAY_US))
        lines += pass_.lines
        if pass_.met_writer:
            continue
        pass_ = _mend_troubled(journal)
        lines += pass_.lines
        if not pass_.met_writer:
            return lines
    raise LedgerUnavailable(f"runs or operators wrote while the index was rebuilt, {MAX_FOLDS} times; run it again")


def _read(journal: Journal, kind: Kind) -> Iterator[IndexDocument]:
    after: str | None = None
    while page := journal.read_index(kind, limit=_PAGE_DOCUMENTS, after=after):
        yield from page
        after = page[-1].key


def _told(journal: Journal, pipeline: str, retention_us: int) -> _Told:
    """Fold all journals, the operators' first: what it tells of a batch that no lane told yet shows as a conflict."""
    ops = walked(journal, pipeline, OPS_LANE, retention_us)
    lanes = [lane for lane in journal.read_lanes() if lane != OPS_LANE]
    walks = [ops, *(walked(journal, pipeline, lane, retention_us) for lane in lanes)]
    for walk in walks:
        walk.judge_gaps([])
    batches = {key: dict(batch) for walk in walks for key, batch in walk.index.batches.items()}
    runs = {key: dict(run) for walk in walks for key, run in walk.index.runs.items()}
    wrong = [line for walk in walks for line in walk.lines] + fold_ops(ops, batches)
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise CorruptHistory(f"{wrong[0]}{more}: no index follows from this; see `ingestor ledger verify`")
    documents: dict[Kind, Documents] = {"batches": batches, "runs": runs, "receipts": told_receipts(ops)}
    return _Told(documents, max(walk.now_us for walk in walks))


def _mend(journal: Journal, held: Mapping[Kind, Mapping[str, IndexDocument]], told: _Told) -> _Mending:
    done = _Mending()
    for kind, documents in told.documents.items():
        for key, document in documents.items():
            found = held[kind].get(key)
            changes, gone = _changes(kind, document, found) if found else _anew(kind, document, told.now_us)
            if not changes and not gone:
                continue
            try:
                journal.mend(kind, key, changes, token=found.token if found else None, gone=gone)
            except (VersionConflict, OutcomeUnknown):
                done.met_writer = True
                continue
            names = ", ".join(sorted({*changes, *gone})) if found else "made anew"
            done.lines.append(f"{NAMES[kind]} {key}: {names}")
    return done


def _mend_troubled(journal: Journal) -> _Mending:
    """Let the lists of dead batches and of open records say what the documents say, now that these are right."""
    done, kept = _Mending(), read_troubled(journal)
    for each in _read(journal, "batches"):
        wanted, found = trouble_of(each.document) if is_troubled(each.document) else {}, kept.get(each.key, {})
        if wanted == found or not (wanted or is_listed(found)):
            continue
        told = {name: each.document[name] for name in (*TROUBLED_FIELDS, *MARKS) if each.document.get(name)}
        try:
            journal.mend("batches", each.key, {**told, "batch_id": each.key}, token=each.token)
        except (VersionConflict, OutcomeUnknown):
            done.met_writer = True
            continue
        done.lines.append(f"batch {each.key}: how the lists of dead batches and open records hold it")
    return done


def _anew(kind: Kind, document: Mapping[str, Any], now_us: int) -> tuple[dict[str, Any], list[str]]:
    """A document that is not there: made when the journal tells all of it and it has not aged out."""
    is_whole = FIRST_FIELD[kind] in document
    has_aged = (document.get("expire_at_us") or now_us + 1) <= now_us
    return (dict(document), []) if is_whole and not has_aged else ({}, [])


def _changes(kind: Kind, document: Mapping[str, Any], found: IndexDocument) -> tuple[dict[str, Any], list[str]]:
    held = found.document
    is_whole = FIRST_FIELD[kind] in document
    names = differing(document, held if is_whole else {name: held.get(name) for name in document})
    lacking = [name for name in document if is_whole and name not in held and name != "expire_at_us"]
    changes = {name: document[name] for name in {*names, *lacking} if name in document}
    gone = [name for name in names if name not in document]
    if is_whole and (names or document.get("expire_at_us") is None):
        expiry, has = document.get("expire_at_us"), "expire_at_us" in document
        changes |= {"expire_at_us": expiry} if has and held.get("expire_at_us", 0) != expiry else {}
        gone += ["expire_at_us"] if not has and "expire_at_us" in held else []
    elif kind == "batches" and held.get("expire_at_us") is not None and not is_done({**held, **changes}):
        changes["expire_at_us"] = None
    return changes, gone
