"""One record to one row, or to a rejection that says why."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingestor_protos import flights_pb2, ingestor_pb2

from ingestor.encode import Encoder, Rejection
from tests.protos.samples import sample

FLIGHTS = Encoder(flights_pb2.Flight)
HOUR_US = 1_357_034_400_000_000


def flight(row: bytes | Rejection) -> flights_pb2.Flight:
    assert isinstance(row, bytes), row
    return flights_pb2.Flight.FromString(row)


def rejection(row: bytes | Rejection) -> Rejection:
    assert isinstance(row, Rejection)
    return row


@pytest.mark.parametrize(
    ("value", "microseconds"),
    [
        ("2013-01-01T10:00:00Z", HOUR_US),
        ("2013-01-01T05:00:00-05:00", HOUR_US),
        ("2013-01-01t10:00:00.000001999z", HOUR_US + 1),
        ("2013-01-01 15:30:00.5+05:30", HOUR_US + 500_000),
        ("1969-12-31T23:59:59.9Z", -100_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
        (1_357_034_400, HOUR_US),
        (1_357_034_400_000, HOUR_US),
        (HOUR_US, HOUR_US),
        ("1357034400", HOUR_US),
        (1_357_034_400.25, HOUR_US + 250_000),
        (0, 0),
        (-1, -1_000_000),
    ],
)
def test_a_timestamp_is_stored_exactly_in_microseconds(value: object, microseconds: int) -> None:
    assert flight(FLIGHTS.encode({"time_hour": value})).time_hour == microseconds
    assert flight(FLIGHTS.encode({"timeHour": value})).time_hour == microseconds


@pytest.mark.parametrize(
    "value",
    [
        *("2013-01-01T10:00:00", "2013-01-01", "yesterday", "", "2013-13-01T10:00:00Z", "2013-01-01T10:00:60Z"),
        *("2013-01-01T10:00:00+24:00", "0001-01-01T00:00:00+01:00", "0000-01-01T00:00:00Z"),
        "\uff12013-01-01T10:00:00Z",
        *(True, math.nan, math.inf, 10**30, [], {}),
    ],
)
def test_what_is_no_timestamp_is_rejected_with_its_field(value: object) -> None:
    assert rejection(FLIGHTS.encode({"flight": 1, "time_hour": value})).field == "time_hour"


def test_null_and_absent_are_both_unset() -> None:
    for record in ({"flight": 1}, {"flight": 1, "time_hour": None, "tailnum": None}):
        row = flight(FLIGHTS.encode(record))
        assert not row.HasField("time_hour")
        assert not row.HasField("tailnum")


def test_empty_text_and_zero_are_values() -> None:
    row = flight(FLIGHTS.encode({"tailnum": "", "dep_delay": 0}))
    assert row.HasField("tailnum")
    assert row.HasField("dep_delay")


def test_unknown_fields_are_ignored() -> None:
    assert FLIGHTS.encode({"flight": 1, "new_upstream": {"a": [1]}}) == FLIGHTS.encode({"flight": 1})


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "null"),
        ([1], "an array"),
        ("text", "text"),
        (3, "a number"),
        (True, "a boolean"),
    ],
)
def test_a_record_that_is_no_object_says_what_it_is(record: object, reason: str) -> None:
    assert rejection(FLIGHTS.encode(record)).reason == f"the record is {reason}, not an object"


def test_a_wrong_type_is_rejected_with_its_field() -> None:
    assert rejection(FLIGHTS.encode({"flight": 1, "dep_time": "early"})).field == "dep_time"


def test_a_required_field_without_a_value_is_rejected() -> None:
    encoder = Encoder(ingestor_pb2.LedgerStatement)
    full = {"pipeline_id": "p", "lane": "0", "version": 1, "batch_id": "b", "status": "COMMITTED"}
    assert isinstance(encoder.encode(full), bytes)
    assert rejection(encoder.encode({**full, "batch_id": None})).field == "batch_id"


def test_the_record_itself_is_left_as_the_source_sent_it() -> None:
    record = {"time_hour": "2013-01-01T10:00:00Z"}
    FLIGHTS.encode(record)
    assert record == {"time_hour": "2013-01-01T10:00:00Z"}


def test_a_row_that_fits_no_request_is_rejected_alone() -> None:
    assert "more than a request" in rejection(FLIGHTS.encode({"tailnum": "x" * 18_000_001})).reason


@pytest.mark.parametrize(
    "record",
    [
        {"dep_time": 10**400},
        {"dep_time": math.inf},
        {"tailnum": "\ud800"},
        {"dep_time": {"a": 1}},
        {"time_hour": {"a": [None]}},
        {"tailnum": ["x"]},
    ],
)
def test_odd_values_are_rejected_and_never_raise(record: dict[str, Any]) -> None:
    assert isinstance(FLIGHTS.encode(record), Rejection)


def test_deep_nesting_is_rejected_and_never_raises() -> None:
    record: Any = 1
    for _ in range(5_000):
        record = {"tailnum": record}
    assert isinstance(FLIGHTS.encode(record), Rejection)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = [field.name for field in flights_pb2.Flight.DESCRIPTOR.fields]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*NAMES, "timeHour", "x"]), JSON, max_size=6) | JSON)
def test_anything_json_can_say_becomes_a_row_or_a_rejection_and_always_the_same(record: Any) -> None:
    first, again = FLIGHTS.encode(record), FLIGHTS.encode(json.loads(json.dumps(record)))
    assert isinstance(first, bytes | Rejection)
    assert first == again


def test_timestamps_are_converted_in_repeated_fields_and_in_messages_below() -> None:
    encoder = Encoder(sample("shop.Order"))
    row = encoder.encode({"id": "a", "seen_at": ["2013-01-01T10:00:00Z", 1_357_034_400]})
    assert isinstance(row, bytes)
    order: Any = sample("shop.Order").FromString(row)
    assert list(order.seen_at) == [HOUR_US, HOUR_US]
    assert rejection(encoder.encode({"id": "a", "seen_at": [1, "never"]})).field == "seen_at"
    assert rejection(encoder.encode({"id": "a", "lines": [{}, {"packed_at": "never"}]})).field == "lines.packed_at"
