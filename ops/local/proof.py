"""The proof that the demo and the tests end with: the view against the source, value by value.

The source side is read from the data file itself, not through the API that the ingestor read.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from ingestor.tables import Tables
from ops.local.flights import records

COLUMNS = (
    "year",
    "month",
    "day",
    "dep_time",
    "sched_dep_time",
    "dep_delay",
    "arr_time",
    "sched_arr_time",
    "arr_delay",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "air_time",
    "distance",
    "hour",
    "minute",
    "time_hour",
)

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """What was compared. `missing` and `unexpected` are rows in the source or the view only; `raw` counts the table's
    rows, doubles and invisible ones included.
    """

    source: int
    view: int
    raw: int
    nulls: int
    missing: tuple[Row, ...]
    unexpected: tuple[Row, ...]

    @property
    def holds(self) -> bool:
        """Whether view and source hold the same rows the same number of times."""
        return not self.missing and not self.unexpected

    def lines(self) -> list[str]:
        """Return the proof in words, the first differences last."""
        said = [
            f"source  {self.source:>8,} rows, {self.nulls:,} nulls among their values",
            f"view    {self.view:>8,} rows, compared value by value: "
            + ("equal" if self.holds else f"{len(self.missing)} missing, {len(self.unexpected)} unexpected"),
            f"table   {self.raw:>8,} rows, doubles and rows of unsettled batches included",
        ]
        said += [f"missing from the view: {row}" for row in self.missing[:3]]
        return said + [f"not in the source: {row}" for row in self.unexpected[:3]]


def prove(tables: Tables, table_id: str, start: date, end: date) -> Proof:
    """Compare `{table}_dedup` with the flights from `start` to the day before `end`."""
    expected = _source_rows(records(start, end))
    found = _view_rows(tables.query(f"SELECT {', '.join(COLUMNS)} FROM `{_name(tables, table_id)}_dedup`"))  # noqa: S608 - names of our own
    raw = tables.query(f"SELECT COUNT(*) AS n FROM `{_name(tables, table_id)}`")[0]["n"]  # noqa: S608 - likewise
    return Proof(
        source=expected.total(),
        view=found.total(),
        raw=int(raw),
        nulls=sum(count * row.count(None) for row, count in expected.items()),
        missing=tuple((expected - found).elements()),
        unexpected=tuple((found - expected).elements()),
    )


def _name(tables: Tables, table_id: str) -> str:
    return f"{tables.project}.{tables.dataset}.{table_id}"


def _source_rows(flights: Iterable[dict[str, Any]]) -> "Counter[Row]":
    return Counter(tuple(datetime.fromisoformat(f[c]) if c == "time_hour" else f[c] for c in COLUMNS) for f in flights)


def _view_rows(rows: Sequence[dict[str, Any]]) -> "Counter[Row]":
    return Counter(tuple(row[column] for column in COLUMNS) for row in rows)
