"""A lane whose last run never finished, and whose journal has aged out since: let it go on, without guessing.

Nobody knows any more what that run did, so everything it may have made visible is hidden and read again. Every batch
newer than the lane's snapshot is superseded in one entry that stands above every published version; those that were
dead-lettered since are discarded on lane `ops`, the ones that a replay committed too; reading starts again at the
snapshot's checkpoint in a new epoch. What it cannot see: a batch that was dead-lettered, replayed, and whose index
document has aged out as well.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ingestor.lane_control import PAGE, LaneControl
from ingestor.lognames import LogName
from ingestor.ports import Log
from state.errors import Refused
from state.events import LaneRecovered
from state.fold import LaneState
from state.journal import BatchQuery, Document, Journal
from state.ledger import LaneLedger
from state.ops_index import Held
from state.troubled import is_troubled

MAX_RECOVERED = 4_000
"""Batches of one recovery: about 170 bytes each of the lane's snapshot, whose limit is 1 MiB."""


@dataclass(frozen=True, slots=True)
class RecoverPorts:
    """The outside. `published` asks the ledger table: the newest status of each batch of a lane that was stated above a
    version, and the highest version stated of the lane. `discard` closes a batch on lane `ops` as recovered.
    """

    journal: Journal
    open_ledger: Callable[[str], LaneLedger]
    published: Callable[[str, int], tuple[Mapping[str, str], int]]
    discard: Callable[[str, str, str], object]
    control: LaneControl
    log: Callable[[str], Log]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery did; `version` is 0 when the lane needed none."""

    lane: str
    version: int = 0
    superseded: int = 0
    discarded: int = 0
    unpublished: str = ""


@dataclass(frozen=True, slots=True)
class _Lost:
    """What is newer than a snapshot: batches to supersede, and to discard on lane `ops`. `troubled` are documents of
    the former that have rejected records.
    """

    known: tuple[str, ...]
    forgotten: tuple[str, ...]
    dead: tuple[str, ...]
    troubled: Mapping[str, Document]


def recover(ports: RecoverPorts, lane: str, *, actor: str, reason: str) -> Recovered:
    """Recover a lane if it needs it. The same call again finishes what a crash left.

    Raises:
        Refused: more than `MAX_RECOVERED` batches.
        VersionConflict: somebody else recovered it just now.
        BigQueryUnavailable, LedgerError: nothing, or only discards, were written; call again.
    """
    ledger = ports.open_ledger(lane)
    opened = ledger.open()
    if not opened.is_aged_out:
        return Recovered(lane)
    published, above = ports.published(lane, opened.state.version)
    lost = _lost(ports.journal, lane, opened.state, published)
    superseded = len(lost.known) + len(lost.forgotten)
    if superseded > MAX_RECOVERED:
        raise Refused(
            f"lane {lane}: {superseded} batches would have to be superseded, {MAX_RECOVERED} fit one entry; "
            "pause the lane and start a pipeline of its own under another PIPELINE_ID"
        )
    for batch_id in lost.dead:  # before the lane goes on, so that a crash in between is found aged out again
        ports.discard(batch_id, actor, f"lane {lane} recovered: {reason}")
    event = LaneRecovered(actor=actor, reason=reason, batch_ids=lost.known, forgotten_ids=lost.forgotten)
    landed = ledger.recover(event, above=above, held=Held(lost.troubled))
    ports.log(lane)(LogName.LANE_RECOVERED, "WARNING", actor=actor, batches_superseded=superseded)
    return Recovered(lane, landed.version, superseded, len(lost.dead), ports.control.acknowledge(lane, ledger))


def _lost(journal: Journal, lane: str, snapshot: LaneState, published: Mapping[str, str]) -> _Lost:
    carried = {batch.batch_id for batch in snapshot.unsettled}
    known, dead, seen = list[str](), list[str](), set[str]()
    troubled = dict[str, Document]()
    for batch in _batches(journal, lane):
        batch_id, status = batch["batch_id"], batch["status"]
        seen.add(batch_id)
        if batch["attempted_version"] <= snapshot.version and batch_id not in carried:
            continue
        if batch.get("dead_version"):
            dead.append(batch_id)
        elif status in {"ATTEMPTED", "COMMITTED"}:
            known.append(batch_id)
            troubled |= {batch_id: batch} if is_troubled(batch) else {}
    visible = (batch_id for batch_id, status in published.items() if status == "COMMITTED")
    forgotten = {*visible, *carried} - seen
    return _Lost(tuple(sorted(known)), tuple(sorted(forgotten)), tuple(sorted(dead)), troubled)


def _batches(journal: Journal, lane: str) -> Iterator[Document]:
    query = BatchQuery(lane=lane)
    while page := journal.list_batches(query, limit=PAGE):
        yield from page
        query = query.following(page[-1])
