"""What a replay would do, before it does it: rows, bytes, what is in the table already, what today's table refuses.

The plan changes nothing. It knows the table's columns, not what BigQuery thinks of values: a row that was refused for a
value will be refused for it again.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ingestor.columns import Table
from ingestor.cost import GIB, WRITE_API_USD_PER_GIB
from ingestor.envelope import UnreadableEnvelope, descriptor_of
from ingestor.errors import DeadLetterError
from ingestor.outcome import normalised
from ingestor.replay_fits import lacking, refusals
from ingestor.replay_one import loaded
from ingestor.replay_ports import ReplayPorts
from ingestor.replay_rows import rows_to_send
from state.events import ReplayStarted
from state.journal import Document
from state.transitions import refusal

IDS_A_QUERY = 500


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What a replay of one batch would do.

    Attributes:
        rows, size_bytes: what would be sent.
        present: distinct rows of the batch that are in the table already; they stay invisible until it is committed.
        refused_by: why today's table would refuse all of it, a line each.
        rejects: why it would refuse some of its rows, which become rejected records, a line each.
        problem: why it would not be sent at all; empty when it would.
        dead_at_us: when it was set aside.
        fingerprint, error: its last failure.
    """

    batch_id: str
    status: str
    rows: int = 0
    size_bytes: int = 0
    present: int = 0
    refused_by: tuple[str, ...] = ()
    rejects: tuple[str, ...] = ()
    problem: str = ""
    dead_at_us: int = 0
    fingerprint: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What a replay of several batches would do."""

    batches: tuple[BatchPlan, ...]

    @property
    def sendable(self) -> tuple[BatchPlan, ...]:
        """The batches that would be sent."""
        return tuple(each for each in self.batches if not each.problem)

    @property
    def rows(self) -> int:
        """Rows that would be sent."""
        return sum(each.rows for each in self.sendable)

    @property
    def size_bytes(self) -> int:
        """Bytes that would be sent."""
        return sum(each.size_bytes for each in self.sendable)

    @property
    def present(self) -> int:
        """Rows of these batches that are in the table already."""
        return sum(each.present for each in self.sendable)

    @property
    def refused(self) -> tuple[BatchPlan, ...]:
        """The batches that today's table would refuse."""
        return tuple(each for each in self.sendable if each.refused_by)

    @property
    def oldest_us(self) -> int | None:
        """When the oldest of them was set aside, microseconds since 1970."""
        return min((each.dead_at_us for each in self.batches if each.dead_at_us), default=None)

    @property
    def fingerprints(self) -> dict[str, int]:
        """How many batches failed alike, the most frequent first."""
        return dict(Counter(each.fingerprint for each in self.batches if each.fingerprint).most_common())

    @property
    def cost_usd(self) -> float:
        """What the appends would cost beyond the free tier, in US dollars."""
        return self.size_bytes / GIB * WRITE_API_USD_PER_GIB


class Planner:
    """Plans replays."""

    def __init__(self, ports: ReplayPorts) -> None:
        self._ports = ports

    def plan(self, batch_ids: Sequence[str], *, actor: str, forced: bool = False) -> ReplayPlan:
        """Plan the replay of these batches.

        Raises:
            BigQueryUnavailable: the table could not be asked.
        """
        table = self._ports.live_table()
        ids = list(dict.fromkeys(batch_ids))
        documents = {batch_id: self._ports.journal.read_batch(batch_id) for batch_id in ids}
        present = self._present([each for each in documents.values() if each]) if table else {}
        planned = (self._one(batch_id, documents[batch_id], table, actor, forced=forced) for batch_id in ids)
        return ReplayPlan(tuple(replace(each, present=present.get(each.batch_id, 0)) for each in planned))

    def _one(
        self, batch_id: str, batch: Document | None, table: Table | None, actor: str, *, forced: bool
    ) -> BatchPlan:
        why = refusal(batch, _claim(batch_id, actor, forced=forced))
        if batch is None or not batch.get("dead_object"):
            return BatchPlan(
                batch_id, str((batch or {}).get("status", "")), problem=why or "it was never dead-lettered"
            )
        rows, refused, rejects = dict[int, bytes](), tuple[str, ...](), tuple[str, ...]()
        try:
            envelope = loaded(self._ports, batch)
            rows, descriptor = rows_to_send(envelope, batch.get("rejected_indexes", ())), descriptor_of(envelope)
        except (DeadLetterError, UnreadableEnvelope) as error:
            why = why or str(error)
        else:
            refused = refusals(descriptor, table) if rows else ()
            rejects = tuple(lacking(descriptor, table, tuple(rows.values()))) if table and not refused else ()
        return BatchPlan(
            batch_id,
            batch["status"],
            len(rows),
            sum(map(len, rows.values())),
            refused_by=refused,
            rejects=rejects,
            problem=why or "",
            dead_at_us=batch["dead_at_us"],
            fingerprint=batch.get("fingerprint") or "",
            error=f"{batch.get('error_code')}: {normalised(batch.get('error') or '')}",
        )

    def _present(self, batches: Sequence[Document]) -> dict[str, int]:
        found: dict[str, int] = {}
        for at in range(0, len(batches), IDS_A_QUERY):
            rows: list[dict[str, Any]] = self._ports.query(
                present_query(self._ports.table_name, batches[at : at + IDS_A_QUERY])
            )
            found |= {row["batch_id"]: row["present"] for row in rows}
        return found


def present_query(table_name: str, batches: Sequence[Document]) -> str:
    """Return the query that counts these batches' rows in the table; it reads only the partitions they are in.

    Rows that a repair of a rejected record brought are not the batch's to replay and are left out.
    """
    ids = ", ".join(f"'{batch['batch_id']}'" for batch in batches)
    times = ", ".join(sorted({f"TIMESTAMP_MICROS({batch['ingest_time_us']})" for batch in batches}))
    return (
        f"SELECT `_ingest_batch_id` AS batch_id, COUNT(DISTINCT `_ingest_row_index`) AS present FROM `{table_name}` "  # noqa: S608 - ids and numbers of ours
        f"WHERE `_ingest_time` IN ({times}) AND `_ingest_batch_id` IN ({ids}){''.join(_without_repairs(batches))} "
        "GROUP BY batch_id"
    )


def _without_repairs(batches: Sequence[Document]) -> Iterator[str]:
    for batch in batches:
        if indexes := ", ".join(batch.get("repairs", {})):
            yield f" AND NOT (`_ingest_batch_id` = '{batch['batch_id']}' AND `_ingest_row_index` IN ({indexes}))"


def _claim(batch_id: str, actor: str, *, forced: bool) -> ReplayStarted:
    return ReplayStarted(
        batch_id=batch_id,
        token="",
        actor=actor,
        reason="plan",
        receipt="",
        forced=forced,
        indexes=(),
        digests=b"",
    )
