"""The questions that `reconcile` puts to BigQuery: a few, whatever the number of batches. Pure text.

Every question about rows bounds `_ingest_time`, so it reads the partitions asked about and no others.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ingestor.ddl import LATEST_STATEMENT

CHUNK_TEXT = 200_000
"""Characters of conditions in one question; BigQuery takes a million (quotas: unresolved standard SQL query length)."""
CHUNK_BATCHES = 200


@dataclass(frozen=True, slots=True)
class Indexes:
    """Row indexes of one batch that are asked about."""

    batch_id: str
    ingest_time_us: int
    indexes: tuple[int, ...]


def rows_query(table: str, since_us: int) -> str:
    """Return what the table holds of each batch and ingest time: rows, distinct rows, first and last index."""
    return (
        "SELECT `_ingest_batch_id` AS batch_id, UNIX_MICROS(`_ingest_time`) AS ingest_time_us, COUNT(*) AS row_count, "  # noqa: S608 - names of ours
        "COUNT(DISTINCT `_ingest_row_index`) AS distinct_rows, "
        "MIN(`_ingest_row_index`) AS first_index, MAX(`_ingest_row_index`) AS last_index "
        f"FROM `{table}` WHERE `_ingest_time` >= TIMESTAMP_MICROS({since_us}) GROUP BY batch_id, ingest_time_us"
    )


def statements_query(ledger_table: str, since_us: int) -> str:
    """Return the statement about each batch that the dedup view goes by, of those made since then."""
    return (
        "SELECT `batch_id`, `status`, `pipeline_id` "  # noqa: S608 - names of ours
        f"FROM `{ledger_table}` WHERE `at` >= TIMESTAMP_MICROS({since_us}) QUALIFY {LATEST_STATEMENT}"
    )


def present_queries(table: str, asked: Sequence[Indexes]) -> Iterator[str]:
    """Yield the questions which of these row indexes the table holds."""
    for chunk in _chunks(asked):
        first, last = (pick(each.ingest_time_us for each in chunk) for pick in (min, max))
        yield (
            "SELECT DISTINCT `_ingest_batch_id` AS batch_id, `_ingest_row_index` AS row_index "  # noqa: S608 - ids of ours
            f"FROM `{table}` WHERE `_ingest_time` BETWEEN TIMESTAMP_MICROS({first}) AND TIMESTAMP_MICROS({last}) "
            f"AND ({' OR '.join(map(_condition, chunk))})"
        )


def _condition(each: Indexes) -> str:
    wanted = ", ".join(map(str, each.indexes))
    return f"(`_ingest_batch_id` = '{each.batch_id}' AND `_ingest_row_index` IN ({wanted}))"


def _chunks(asked: Iterable[Indexes]) -> Iterator[list[Indexes]]:
    chunk, size = list[Indexes](), 0
    for each in sorted(asked, key=lambda each: each.ingest_time_us):
        text = len(_condition(each))
        if chunk and (size + text > CHUNK_TEXT or len(chunk) == CHUNK_BATCHES):
            yield chunk
            chunk, size = [], 0
        chunk.append(each)
        size += text
    if chunk:
        yield chunk
