"""The generated encoder: what takes the quick way, what it says of itself, and when there is none."""

import ast
import builtins
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ingestor_protos import flights_pb2

from bench.shapes import SHAPES
from ingestor.encode import MAX_ROW_BYTES, Encoder, Rejection
from ingestor.encode_fast import FastEncoder, source_of
from ingestor.encode_fields import NoPlan
from ingestor.encode_plan import plan_of
from ingestor.errors import SchemaMismatch
from ingestor.messages import descriptor_of
from tests.odd_records import Maker
from tests.protos.samples import described, sample


@pytest.mark.parametrize("shape", SHAPES)
def test_records_as_sources_send_them_never_need_the_reference(shape: str) -> None:
    encoder = FastEncoder(SHAPES[shape].message)
    assert all(isinstance(encoder.encode(record), bytes) for record in SHAPES[shape].records(50))
    assert encoder.left_to_reference == 0


@pytest.mark.parametrize("name", ["shop.Scalars", "annotated.Every", "annotated.Units", "annotated.Wrapped"])
def test_right_values_in_their_common_forms_never_need_the_reference(name: str) -> None:
    encoder, maker = FastEncoder(sample(name)), Maker(described(name), 1, hazards=0)
    rows = [encoder.encode(maker.record()) for _ in range(100)]
    rejected = sum(isinstance(row, Rejection) for row in rows)
    assert encoder.left_to_reference == rejected


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("flights.Flight", {"timeHour": "2013-01-01T10:00:00Z", "depTime": 5, "dep_delay": None}),
        ("flights.Flight", {"flight": 1, "new_upstream": {"a": [1]}, "weather": None}),
        ("flights.Flight", {"flight": "1545", "dep_time": 517.0, "dep_delay": "-5"}),
        ("shop.Order", {"id": "a", "total": {}, "lines": [{"packedAt": 5}], "fees": {"x": {"units": "3"}}}),
        ("shop.Order", {"id": "a", "customer": "c", "company": None, "grades": {"-7": "GRADE_LOW"}}),
    ],
)
def test_other_spellings_and_unknown_fields_stay_on_the_quick_way(name: str, record: dict[str, Any]) -> None:
    message = flights_pb2.Flight if name == "flights.Flight" else sample(name)
    encoder = FastEncoder(message)
    assert encoder.encode(record) == Encoder(message).encode(record)
    assert encoder.left_to_reference == 0


FLIGHTS: list[dict[str, Any]] = [{"flight": number, "carrier": "UA", "dep_time": None} for number in range(10)]
ORDER = ("flight", "carrier", "dep_time")


def test_an_order_of_keys_that_comes_often_gets_a_plan_of_its_own_with_the_same_rows() -> None:
    encoder, reference = FastEncoder(flights_pb2.Flight, alike=3), Encoder(flights_pb2.Flight)
    for number, record in enumerate(FLIGHTS):
        assert tuple(encoder.known_orders) == ((ORDER,) if number >= 3 else ())
        assert encoder.encode(record) == reference.encode(record)
        other = {name: record[name] for name in reversed(ORDER)} if number < 2 else {"carrier": "UA", f"x{number}": 1}
        assert encoder.encode(other) == reference.encode(other)
    assert encoder.left_to_reference == 0
    assert len(encoder.unknown_fields) == 8


def test_a_value_that_is_not_right_is_left_to_the_reference_by_the_plan_of_an_order_too() -> None:
    encoder, reference = FastEncoder(flights_pb2.Flight, alike=1), Encoder(flights_pb2.Flight)
    values: list[Any] = [1, True, 1.0, 1.5, "1", "x", [], {}, 2**80, None]
    for value in values:
        record = {"flight": value, "carrier": "UA", "dep_time": 5}
        assert encoder.encode(record) == reference.encode(record)
    assert tuple(encoder.known_orders) == (ORDER,)


@pytest.mark.parametrize(
    "record", [{"dep_time": 5, "depTime": 5}, {"depTime": 5, "dep_time": None}, {"[a.b]": 1}, {"\ud800": 1}]
)
def test_keys_with_another_meaning_or_a_field_twice_keep_the_general_plan(record: dict[str, Any]) -> None:
    encoder, reference = FastEncoder(flights_pb2.Flight, alike=1), Encoder(flights_pb2.Flight)
    for _ in range(3):
        assert encoder.encode(record) == reference.encode(record)
        assert encoder.unknown_fields == reference.unknown_fields
    with pytest.raises(NoPlan, match="key"):
        plan_of(descriptor_of(flights_pb2.Flight), tuple(record))


def test_fields_that_the_message_lacks_are_counted_by_the_plan_of_an_order() -> None:
    encoder = FastEncoder(flights_pb2.Flight, alike=1)
    rows = {encoder.encode({"extra": number, "": None, "depTime": 5}) for number in range(5)}
    assert rows == {Encoder(flights_pb2.Flight).encode({"dep_time": 5})}
    assert dict(encoder.unknown_fields) == {"extra": 5, "": 5}
    assert encoder.left_to_reference == 0


def test_a_required_field_that_an_order_lacks_keeps_the_general_plan() -> None:
    encoder, reference = FastEncoder(sample("legacy.Event"), alike=1), Encoder(sample("legacy.Event"))
    rows = [encoder.encode({}) for _ in range(3)]
    assert rows == [reference.encode({})] * 3
    assert isinstance(rows[0], Rejection)
    with pytest.raises(NoPlan, match="required"):
        plan_of(described("legacy.Event"), ())


def test_only_few_orders_have_plans_and_only_few_and_short_ones_are_counted() -> None:
    encoder = FastEncoder(flights_pb2.Flight, alike=2, most=2)
    names = [each.name for each in flights_pb2.Flight.DESCRIPTOR.fields]
    for first in range(4):
        for _ in range(3):
            encoder.encode(dict.fromkeys(names[first:]))
    assert tuple(encoder.known_orders) == (tuple(names), tuple(names[1:]))
    many = FastEncoder(flights_pb2.Flight, alike=2, most=1_000)
    for _ in range(3):
        for number in range(100):
            many.encode({f"x{number}": 1})
        many.encode({f"y{number}": 1 for number in range(200)})
        many.encode({"z" * 201: 1})
        many.encode({"z" * 201: 1})
    assert not many.known_orders, "a hundred by turns are more than are counted"
    many.encode({"x0": 1})
    many.encode({"x0": 1})
    assert tuple(many.known_orders) == (("x0",),)


def test_what_conversions_remember_is_shared_by_all_plans() -> None:
    conversions = dict[str, Any]()
    flight = descriptor_of(flights_pb2.Flight)
    names = [plan_of(flight, order, conversions).names for order in (None, ("time_hour",), ("flight", "time_hour"))]
    assert len({id(each["to_timestamp"]) for each in names}) == 1


def test_what_is_no_object_has_no_order() -> None:
    encoder = FastEncoder(flights_pb2.Flight, alike=1)
    for record in ("text", ["flight"], None, 3):
        encoder.encode(record)
    assert not encoder.known_orders


def test_a_record_is_not_changed_when_its_keys_are_renamed() -> None:
    record = {"timeHour": "2013-01-01T10:00:00Z", "extra": 1}
    FastEncoder(flights_pb2.Flight).encode(record)
    assert record == {"timeHour": "2013-01-01T10:00:00Z", "extra": 1}


def test_an_unknown_field_is_counted_once_whichever_way_the_record_takes() -> None:
    encoder = FastEncoder(flights_pb2.Flight)
    encoder.encode({"flight": 1, "extra": 1})
    encoder.encode({"flight": "no number", "extra": 1})
    encoder.encode({"flight": 1})
    assert dict(encoder.unknown_fields) == {"extra": 2}
    assert encoder.left_to_reference == 1


def test_a_row_too_large_is_rejected_as_the_reference_does() -> None:
    record = {"tailnum": "x" * (MAX_ROW_BYTES + 1), "extra": 1}
    encoder, reference = FastEncoder(flights_pb2.Flight), Encoder(flights_pb2.Flight)
    assert encoder.encode(record) == reference.encode(record)
    assert dict(encoder.unknown_fields) == {"extra": 1}


@pytest.mark.parametrize(
    "values", [(1_357_034_400, True), (1.0, True), (True, 1), ("2013-01-01T10:00:00Z", 1.5, [], {})]
)
def test_what_is_remembered_of_one_value_is_never_taken_for_another(values: tuple[object, ...]) -> None:
    encoder, reference = FastEncoder(flights_pb2.Flight), Encoder(flights_pb2.Flight)
    for value in (*values, *values):
        record = {"time_hour": value}
        assert encoder.encode(record) == reference.encode(record)


def test_more_texts_than_are_remembered_are_converted_all_the_same() -> None:
    encoder, reference = FastEncoder(flights_pb2.Flight), Encoder(flights_pb2.Flight)
    first = datetime(2013, 1, 1, tzinfo=UTC)
    texts = [(first + timedelta(minutes=minute)).isoformat() for minute in range(10_010)]
    rows = [encoder.encode({"time_hour": text}) for text in texts]
    assert len(set(rows)) == len(texts)
    for text, row in [(texts[at], rows[at]) for at in (0, 9_999, 10_000, 10_009)]:
        assert row == reference.encode({"time_hour": text}) == encoder.encode({"time_hour": text})


@pytest.mark.parametrize("record", [None, 3, "text", [], [("flight", 1)], True, 1.5])
def test_what_is_no_object_is_rejected(record: object) -> None:
    assert isinstance(FastEncoder(flights_pb2.Flight).encode(record), Rejection)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("keyed.Ambiguous", "could mean two fields"),
        ("keyed.Hiding", "hides a method"),
        ("keyed.Nulls", "null is a value"),
    ],
)
def test_a_message_whose_keys_or_nulls_are_ambiguous_has_no_plan_and_says_why(name: str, reason: str) -> None:
    with pytest.raises(NoPlan, match=reason):
        plan_of(described(name))
    assert source_of(described(name)).startswith("# No plan, ")
    encoder = FastEncoder(sample(name))
    encoder.encode({})
    assert encoder.left_to_reference == 1


@pytest.mark.parametrize("name", ["shop.Order", "annotated.Every", "keyed.Keyed", "legacy.Event"])
def test_every_name_in_a_plan_is_known(name: str) -> None:
    plan = plan_of(described(name))
    tree = ast.parse(plan.source)
    assigned = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    defined = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)} | {"record", "message"}
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - assigned - defined
    assert used <= {*plan.names, *dir(builtins), "Row", "tidied"}


def test_the_same_message_has_the_same_plan() -> None:
    assert source_of(described("shop.Order")) == source_of(described("shop.Order"))


def test_a_message_that_can_be_no_table_has_no_plan() -> None:
    with pytest.raises(SchemaMismatch):
        source_of(described("annotated.LeftOut.Node"))


def test_names_that_differ_in_punctuation_only_are_told_apart() -> None:
    source = source_of(described("keyed.Alike"))
    assert "def fill_samples_keyed_A_B(" in source
    assert "def fill_samples_keyed_A_B_2(" in source
    assert descriptor_of(sample("keyed.Alike")).full_name in source
