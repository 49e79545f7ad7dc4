"""The fast encoder against the reference: the same bytes or the same rejection, and the same unknown fields counted."""

import os
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from ingestor_protos import flights_pb2

from bench.shapes import SHAPES
from ingestor.encode import Encoder, Rejection
from ingestor.encode_fast import FastEncoder
from ingestor.messages import descriptor_of
from ingestor.unknown import MAX_NAME
from tests.odd_records import ANYTHING, STRANGE_KEYS, Maker, Record
from tests.protos.samples import sample

SEED = int(os.environ.get("INGESTOR_SEED", "1"))
MESSAGES: dict[str, type[Message]] = {
    "flights.Flight": flights_pb2.Flight,
    **{f"bench.shapes.{name}": SHAPES[name].message for name in ("narrow", "wide")},
    **{
        name: sample(name)
        for name in (
            *("shop.Order", "shop.Scalars", "legacy.Event", "modern.Reading", "modern.Retyped", "grouped.Old"),
            *("annotated.Every", "annotated.Wrapped", "annotated.Units", "annotated.LeftOut", "annotated.JsonNames"),
            *("annotated.Said", "keyed.Keyed", "keyed.Ambiguous", "keyed.Hiding", "keyed.Nulls", "keyed.Alike"),
        )
    },
}


Encoders = tuple[FastEncoder, FastEncoder, Encoder]
EVERY = 10**9


def both(message: type[Message]) -> Encoders:
    """Return the encoder as runs have it, one that writes a plan for each order of keys at once, and the reference."""
    return FastEncoder(message), FastEncoder(message, alike=1, most=EVERY), Encoder(message)


def compare(encoders: Encoders, record: object) -> bytes | Rejection:
    fast, ordered, reference = encoders
    row = fast.encode(record)
    assert row == reference.encode(record), record
    assert fast.unknown_fields == reference.unknown_fields, record
    assert ordered.encode(record) == row, record
    assert ordered.unknown_fields == reference.unknown_fields, record
    if isinstance(record, dict) and max(map(len, record), default=0) <= MAX_NAME:
        assert tuple(record) in ordered.known_orders
    return row


def agree(message: type[Message], records: int) -> None:
    encoders = both(message)
    for hazards in (0.0, 0.2, 1.0):
        maker = Maker(descriptor_of(message), SEED, hazards=hazards)
        for _ in range(records // 3):
            compare(encoders, maker.record())


@pytest.mark.parametrize("name", MESSAGES)
def test_made_up_records_are_the_same_rows_or_rejections(name: str) -> None:
    agree(MESSAGES[name], 180)


@pytest.mark.long
@pytest.mark.parametrize("name", MESSAGES)
def test_a_hundred_thousand_records_are_the_same_rows_or_rejections(name: str) -> None:
    agree(MESSAGES[name], 6_000)


@pytest.mark.parametrize("name", MESSAGES)
def test_every_hazard_in_every_field_is_taken_alike(name: str) -> None:
    encoders = both(MESSAGES[name])
    for member in descriptor_of(MESSAGES[name]).fields:
        for value in ANYTHING:
            compare(encoders, {member.name: value})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(ANYTHING),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


ASKED = ("flights.Flight", "bench.shapes.wide", "shop.Order", "shop.Scalars", "annotated.Every", "legacy.Event")


def agree_on_whatever_hypothesis_makes(name: str, examples: int) -> None:
    encoders = both(MESSAGES[name])
    fields = descriptor_of(MESSAGES[name]).fields
    keys = st.sampled_from([*(f.name for f in fields), *(f.json_name for f in fields), *STRANGE_KEYS])

    @settings(max_examples=examples, deadline=None)
    @given(st.dictionaries(keys, JSON, max_size=6) | JSON)
    def check(record: Any) -> None:
        compare(encoders, record)

    check()


@pytest.mark.parametrize("name", ASKED)
def test_whatever_hypothesis_makes_is_taken_alike(name: str) -> None:
    agree_on_whatever_hypothesis_makes(name, 60)


@pytest.mark.long
@pytest.mark.parametrize("name", ASKED)
def test_a_hundred_thousand_things_that_hypothesis_makes_are_taken_alike(name: str) -> None:
    agree_on_whatever_hypothesis_makes(name, 17_000)


def test_the_records_that_are_made_up_are_rows_and_rejections_and_take_both_ways() -> None:
    encoders, hazards = both(MESSAGES["annotated.Every"]), repr(ANYTHING)
    maker = Maker(descriptor_of(MESSAGES["annotated.Every"]), SEED, hazards=0.3)
    rows = [compare(encoders, maker.record()) for _ in range(300)]
    assert repr(ANYTHING) == hazards, "no record changes what others are made of"
    rejected = sum(isinstance(row, Rejection) for row in rows)
    assert 10 < rejected < 200
    assert rejected < encoders[0].left_to_reference < 250


ONE_BY_ONE: list[tuple[str, Record]] = [
    ("shop.Order", {"id": "a", "customer": "c", "company": 1}),
    ("shop.Order", {"id": "a", "customer": "c", "company": None}),
    ("shop.Order", {"id": "a", "part": {}, "customer": ""}),
    ("shop.Order", {"id": "a", "tags": "abc"}),
    ("shop.Order", {"id": "a", "seenAt": ["2013-01-01T10:00:00Z"], "seen_at": None}),
    ("shop.Order", {"id": "a", "lastStatus": "STATUS_OPEN"}),
    ("shop.Order", {"id": "a", "[a.b]": 1}),
    ("shop.Order", {"id": "a", "total": {"[a.b]": 1}}),
    ("shop.Order", {"id": "a", "total": {}, "shipping": None, "lines": [{}], "fees": {"x": {}}}),
    ("shop.Order", {"id": "a", "fees": {"x": None}}),
    ("shop.Order", {"id": "a", "grades": {"1": "GRADE_HIGH", "01": "GRADE_LOW"}}),
    ("shop.Order", {"id": "a", "status": "STATUS_OPEN\ud800"}),
    ("shop.Scalars", {"f_int32": True}),
    ("shop.Scalars", {"f_int32": 1.5}),
    ("shop.Scalars", {"f_double": float("nan")}),
    ("shop.Scalars", {"f_float": 3.5e38}),
    ("shop.Scalars", {"f_bool": 1}),
    ("shop.Scalars", {"f_string": "\ud800"}),
    ("shop.Scalars", {"o_string": "", "o_double": 0.0, "o_bool": False, "o_bytes": "", "o_grade": 0}),
]


@pytest.mark.parametrize(("name", "record"), ONE_BY_ONE, ids=str)
def test_known_traps_are_taken_alike(name: str, record: Record) -> None:
    compare(both(MESSAGES[name]), record)
