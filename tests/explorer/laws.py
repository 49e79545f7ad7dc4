"""The laws, checked on a world from outside: what is wrong with it, each thing with its law's number."""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator

from ingestor.ddl import OPERATORS_LANE
from ingestor.envelope import UnreadableEnvelope, opened, rows_of
from ingestor.rejected_records import parsed_lines
from ingestor.run import Result
from state.journal import Document
from state.verify import verify_pipeline
from tests.explorer.processes import MAX_ATTEMPTS
from tests.explorer.world import CHANGED, LANE, PIPELINE, World, parsed

UNKNOWN = frozenset({"UNAVAILABLE", "CANCELLED"})
"""Codes that say nothing about what was written."""


def at_any_instant(world: World) -> list[str]:
    """Return what a reader must never see, not even between two effects."""
    doubled = sorted(record for record, times in world.visible().items() if times > 1)
    wrong = [f"law 2: {record} is visible twice" for record in doubled]
    times: dict[tuple[str, int], set[int]] = {}
    for batch_id, index, time_us, _ in world.rows:
        times.setdefault((batch_id, index), set()).add(time_us)
    wrong += [f"law 2: row {i} of batch {b} has two ingest times" for (b, i), found in times.items() if len(found) > 1]
    wrong += [f"law 4: rows of batch {batch_id} before its intent" for batch_id in sorted(set(world.too_early))]
    committed = {batch["batch_id"] for batch in world.batches("COMMITTED")}
    wrong += [
        f"law 2: the view shows batch {batch_id}, which is not committed"
        for batch_id in {row[0] for row in world.shown()} - committed
    ]
    return [*wrong, *_given_up(world)]


def _given_up(world: World) -> Iterator[str]:
    """Only what BigQuery refused, or what it did not answer to for as long as the budget lasts, counts as dead."""
    for event in world.events(LANE):
        if event["type"] == "batch_dead_lettered" and event["code"] in UNKNOWN and event["attempts"] < MAX_ATTEMPTS:
            yield f"law 5: batch {event['batch_id']} counts as dead, and nothing refused it"


def of_run(name: str, result: Result) -> list[str]:
    """Return what is wrong with a run's own books."""
    return [] if result.summary["balanced"] else [f"law 5: the books of {name} do not balance: {result.summary}"]


def at_last(world: World, *, verify: bool) -> list[str]:
    """Let everything late land, once a clean run has converged; return what is wrong then."""
    world.land_late()
    history = _history(world) if verify else ()
    return [*at_any_instant(world), *_nothing_lost(world), *_books(world), *_settled(world), *history]


def _nothing_lost(world: World) -> Iterator[str]:
    """Law 1: every record is visible, or in the bucket where the ledger says so; one that the source rewrote, in at
    least one of its versions, and none of them twice.
    """
    seen = world.visible() + set_aside(world) + dead_rows(world)
    for version, times in seen.items():
        if times > 1:
            yield f"law 2: {version} is {times} times among what is visible or set aside"
    numbers = Counter(json.loads(version)["n"] for version in seen)
    for record in (record for page in world.pages for record in page):
        found = numbers[record["n"]]
        if not found:
            yield f"law 1: record {record['n']} is lost"
        elif found > 1 and not (world.changes and record["n"] in CHANGED):
            yield f"law 2: record {record['n']} is {found} times among what is visible or set aside"


def set_aside(world: World) -> Counter[str]:
    """Return the rejected records that the ledger points to, read from the bucket."""
    found: Counter[str] = Counter()
    for batch in world.batches():
        if batch["status"] in {"COMMITTED", "DEAD_LETTERED", "REPLAYING", "DISCARDED"}:
            for rejection in batch.get("rejections", ()):
                records = parsed_lines(world.objects.get(rejection["object"], b""))
                found.update(json.dumps(item.record, sort_keys=True) for item in records)
    return found


def dead_rows(world: World) -> Counter[str]:
    """Return the rows of the batches that are set aside whole, read from the bucket."""
    dead = (batch for batch in world.batches() if batch["status"] in {"DEAD_LETTERED", "REPLAYING", "DISCARDED"})
    return Counter(row for batch in dead for row in _dead_rows(world, batch))


def _dead_rows(world: World, batch: Document) -> Iterator[str]:
    content = world.objects.get(batch.get("dead_object") or "")
    with contextlib.suppress(UnreadableEnvelope):  # what cannot be read is not there
        envelope, rejected = opened(content or b""), batch.get("rejected_indexes", ())
        pairs = zip(envelope.row_indexes, rows_of(envelope), strict=True)
        yield from (parsed(row)[3] for index, row in pairs if index not in rejected)


def _books(world: World) -> Iterator[str]:
    """Law 5: per committed batch the ledger's count is the number of distinct rows that were not rejected."""
    for batch in world.batches("COMMITTED"):
        rejected = set(batch.get("rejected_indexes", ()))
        indexes = {index for batch_id, index, _, _ in world.rows if batch_id == batch["batch_id"]}
        there = len(indexes - rejected)
        if there != batch["rows"]:
            yield f"law 5: batch {batch['batch_id']} has {there} rows, the ledger says {batch['rows']}"
        if indexes & rejected:
            yield f"law 5: batch {batch['batch_id']} shows rejected rows {sorted(indexes & rejected)}"


def _settled(world: World) -> Iterator[str]:
    """A clean run leaves nothing in doubt and owes nothing; the view and the ledger say the same."""
    for lane in (LANE, OPERATORS_LANE):
        snapshot = world.journal.read_snapshot(lane)
        if snapshot is not None and (snapshot.document["unsettled"] or snapshot.document["outbox"]):
            yield f"law 2: lane {lane} is left with batches in doubt or statements unsaid"
    for batch in world.batches():
        if batch["status"] in {"ATTEMPTED", "DEAD_LETTERED", "REPLAYING"}:
            yield f"no convergence: batch {batch['batch_id']} is left {batch['status']}"
        if batch["status"] == "COMMITTED" and batch["batch_id"] not in world.committed():
            yield f"law 2: the view does not show batch {batch['batch_id']}, which is committed"


def _history(world: World) -> Iterator[str]:
    for problem in verify_pipeline(world.journal, PIPELINE):
        yield f"law 3: {problem}"
