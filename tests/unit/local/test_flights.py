"""The demo's data say what the package's file says."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from ops.local import flights

SUMMER_TIME = (date(2013, 3, 10), date(2013, 11, 3))  # New York, 15 U.S.C. 260a
WEEKS = [
    (day, day + timedelta(days=7)) for day in (date(2013, 1, 1), date(2013, 3, 7), date(2013, 7, 1), date(2013, 10, 30))
]
"""Winter, summer, and the two in which the clocks are changed."""


def test_january_has_27004_flights_and_the_year_336776() -> None:
    assert len(flights.records(*flights.JANUARY)) == 27_004
    assert len(flights.encoded(*flights.YEAR)) == 336_776


def test_a_range_excludes_its_end() -> None:
    first = flights.records(date(2013, 1, 31), date(2013, 2, 1))
    assert {(record["month"], record["day"]) for record in first} == {(1, 31)}


def test_january_equals_the_file_value_by_value() -> None:
    def told(name: str, cell: str) -> object:
        if cell == "NA":
            return None
        return cell if name in flights.TEXTS else int(cell)

    january = (row for row in flights.raw_rows() if row["month"] == "1")
    wanted = [{name: told(name, cell) for name, cell in row.items()} for row in january]
    assert flights.records(*flights.JANUARY) == wanted


@pytest.mark.long
def test_the_year_has_as_many_nulls_in_each_column_as_the_file() -> None:
    holed = (row for row in flights.raw_rows() if "NA" in row.values())
    in_file = Counter(name for row in holed for name, cell in row.items() if cell == "NA")
    in_records = Counter(name for row in flights.records(*flights.YEAR) for name, value in row.items() if value is None)
    assert in_records == in_file
    assert in_file["arr_delay"] == 9430


@pytest.mark.parametrize("spans", [WEEKS, pytest.param([flights.YEAR], marks=pytest.mark.long)], ids=["weeks", "year"])
def test_the_scheduled_hour_is_an_instant_and_the_rest_new_york_time(spans: list[tuple[date, date]]) -> None:
    columns = ("month", "day", "hour", "time_hour")
    hours = {tuple(record[name] for name in columns) for span in spans for record in flights.records(*span)}
    for month, day, hour, time_hour in hours:
        offset = timedelta(hours=4 if SUMMER_TIME[0] <= date(2013, month, day) < SUMMER_TIME[1] else 5)
        assert datetime.fromisoformat(time_hour) == datetime(2013, month, day, hour, tzinfo=UTC) + offset
