"""Each conversion takes the forms that sources send, and refuses what it can't hold exactly.

Round trips through a table are in `tests/property/test_types_round_trip.py`; here are single forms and refusals.
"""

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestor import convert
from ingestor.convert_time import to_datetime, to_days, to_interval, to_range, to_time
from ingestor.timestamps import to_microseconds
from tests.protos.samples import described

enum = described("annotated.Every").fields_by_name["c_enum"].enum_type
assert enum is not None
CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "BIGNUMERIC": convert.to_bignumeric,
    "BOOL": convert.to_bool,
    "BYTES": convert.to_base64,
    "DATE": to_days,
    "DATETIME": to_datetime,
    "ENUM": convert.enum_number(enum),
    "GEOGRAPHY": convert.to_geography,
    "INTERVAL": to_interval,
    "JSON": convert.to_json,
    "JSON parsed": convert.json_text,
    "JSON string": convert.json_string,
    "NUMERIC": convert.to_numeric,
    "RANGE": to_range(to_days),
    "STRING": convert.to_text,
    "TIME": to_time,
    "TIMESTAMP": to_microseconds,
}

TAKEN: dict[str, list[tuple[Any, Any]]] = {
    "BOOL": [(True, True), (0, False), (1, True), ("true", True), ("FALSE", False), ("1", True)],
    "STRING": [("", ""), (5, "5"), (True, "true"), (0.5, "0.5"), (-1, "-1")],
    "BYTES": [("", ""), ("QQ==", "QQ=="), ("QQ", "QQ=="), ("_-8", "/+8="), ("QUJD\nQUJD\r\n", "QUJDQUJD")],
    "NUMERIC": [
        ("1", "1"),
        ("+1.50", "1.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-0.000", "0"),
        ("1E+3", "1000"),
        ("0e9999", "0"),
        ("0.0000000010", "0.000000001"),
        (-7, "-7"),
        (0.1, "0.1"),
        (1e20, "100000000000000000000"),
    ],
    "BIGNUMERIC": [("-5.78960446186580977117854925043439539266349923328202820197287920039565648199680e38", None)],
    "DATE": [("2013-01-31", 15736), ("2013-1-31", 15736), ("20130131", 15736), (-1, -1), (15736.0, 15736)],
    "DATETIME": [
        ("2013-01-31", "2013-01-31 00:00:00"),
        ("2013-1-31T1:02", "2013-01-31 01:02:00"),
        ("2013-01-31t10:00:00,1234567", "2013-01-31 10:00:00.123456"),
    ],
    "TIME": [("1:02", "01:02:00"), ("23:59:59.1", "23:59:59.100000")],
    "TIMESTAMP": [
        ("2013-01-01 00:00:00 UTC", 1_356_998_400_000_000),
        ("2013-01-01 00:00:00+00", 1_356_998_400_000_000),
        ("2013-01-01T01:00:00.5+0100", 1_356_998_400_500_000),
        ("1356998400.1234567", 1_356_998_400_123_456),
        ("-0.0000001", -1),
        (-0.5, -500_000),
    ],
    "JSON": [
        (None, "null"),
        ("text", '"text"'),
        ("[1, 2", '"[1, 2"'),
        ('{"a": 1}', '{"a": 1}'),
        ({"é": [1.5, True, None]}, '{"é":[1.5,true,null]}'),
        (12, "12"),
        ("12", '"12"'),
    ],
    "JSON parsed": [("12", "12"), ('"a"', '"a"'), (" null ", " null "), ({"a": 1}, '{"a":1}')],
    "JSON string": [("{}", '"{}"'), ("12", '"12"'), ([], "[]")],
    "GEOGRAPHY": [("POINT(1 2)", "POINT(1 2)"), ({"type": "Point", "coordinates": [1, 2]}, None)],
    "INTERVAL": [
        ("1-2 3 4:5:6.789", "1-2 3 4:5:6.789000"),
        ("4:5:6", "0-0 0 4:5:6"),
        ("-1-2 -3 -4:5:6", "-1-2 -3 -4:5:6"),
        ("P1Y2M3W4DT5H6M7.5S", "1-2 25 5:6:7.500000"),
        ("-P1M2DT3S", "-0-1 -2 -0:0:3"),
        ("PT90M", "0-0 0 1:30:0"),
        ("3.000001s", "0-0 0 0:0:3.000001"),
        (90, "0-0 0 0:1:30"),
        (0.5, "0-0 0 0:0:0.500000"),
        (-1, "0-0 0 -0:0:1"),
    ],
    "RANGE": [
        ("[2013-01-01, 2013-01-02)", {"start": 15706, "end": 15707}),
        ("[ 2013-01-01 ,unbounded)", {"start": 15706}),
        ({"end": "2013-01-02"}, {"end": 15707}),
        ({}, {}),
    ],
    "ENUM": [("GRADE_HIGH", 7), (7, 7), (7.0, 7), ("7", 7), ("-3", -3), ("GRADE_NONE", 0), (0, 0)],
}

REFUSED: dict[str, list[Any]] = {
    "BOOL": [2, -1, 0.0, "yes", "", [], {}, 1.5],
    "STRING": [[], {}, math.nan, math.inf],
    "BYTES": ["Q", "QUJDR", "Q=", "QQ=", "QQ===", "a b=", "é", "/_8=", "=QQ=", 5, True, ["QQ=="], {}],
    "NUMERIC": [
        *("", "x", "1_000", " 1", "1 ", "NaN", "Infinity", "0x1", "1e", "--1", "\uff11", "1" * 500, "1e400", "1e9999"),
        *("1e-10", "0.1234567891", "1e29", "-1e29", "100000000000000000000000000000"),
        *(True, math.nan, math.inf, 0.1 + 0.2, 1234567890.123456, 1e300, 10**300, 10**400, 10**5000, [], {}, ["1"]),
    ],
    "BIGNUMERIC": ["1e39", f"{2**255}e-38", f"-{2**255 + 1}e-38", "1e-39", 1.234567890123456789, "1e-9999"],
    "DATE": [
        *("", "2013-02-30", "0000-01-01", "10000-01-01", "2013-01-31T00:00:00Z", "15736", "2013", "\uff12013-01-31"),
        *(-719_163, 2_932_897, 20130131, 0.5, True, math.nan, math.inf, 10**400, [], {}),
    ],
    "DATETIME": [
        *("", "2013-01-31T10:00:00Z", "2013-01-31 10:00:00+01:00", "2013-01-31T24:00:00", "2013-02-30T00:00:00"),
        *("10:00:00", "2013-01-31T10:00:60", 0, 1_357_034_400, True, [], {}),
    ],
    "TIME": ["", "24:00:00", "10", "10:60:00", "10:00:00Z", "-1:00:00", 0, True, [], {}],
    "TIMESTAMP": ["1e9", "2013-01-01T00:00:00 Z", "2013-01-01T00:00:00+1", 1e300, -(10**30), "9" * 19, "9" * 20],
    "JSON": [math.nan, [math.inf], {"a": math.nan}, 2**64, [-(2**63) - 1], {"a": {"b": 2**64}}],
    "JSON parsed": ["", "text", "{", "NaN", "[1e]", "[" * 100_000, "18446744073709551616"],
    "GEOGRAPHY": ["", " ", {}, {"type": 1}, [], 5, True],
    "INTERVAL": [
        *("", "P", "PT", "P1DT", "1 2 3", "1:2", "10000-1 0 0:0:0", "0-0 3660001 0:0:0", "0-0 0 87840001:0:0", "P1S"),
        *("5", "1.5", True, math.nan, 1e30, 10**400, [], {}),
    ],
    "RANGE": [
        *(
            "[2013-01-02, 2013-01-01)",
            "[2013-01-01, 2013-01-01)",
            "[2013-01-01, 2013-01-02]",
            "2013-01-01",
            "",
            "[a,b)",
        ),
        *({"start": "x"}, {"from": 1}, {"start": 2, "end": 1}, [1, 2], 5, True),
    ],
    "ENUM": [
        "",
        "grade_high",
        "HIGH",
        1,
        "1",
        -1,
        7.5,
        True,
        2**70,
        "7.0",
        "\ud800",
        "\uff17",
        [],
        {},
        math.nan,
        math.inf,
    ],
}


def cases(table: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(name, case, id=f"{name}-{number}")
        for name, many in table.items()
        for number, case in enumerate(many)
    ]


@pytest.mark.parametrize(("name", "case"), cases(TAKEN))
def test_a_form_that_sources_send_is_taken(name: str, case: tuple[Any, Any]) -> None:
    written, value = case
    converted = CONVERSIONS[name](written)
    if value is not None:
        assert converted == value
        assert type(converted) is type(value)


@pytest.mark.parametrize(("name", "value"), cases(REFUSED))
def test_what_is_no_value_or_would_lose_something_is_refused_with_a_reason(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        CONVERSIONS[name](value)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.from_regex(r"[-+\dPT:.,YMDHSZe \[)]{1,20}"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@pytest.mark.parametrize("name", CONVERSIONS)
@given(value=ANYTHING.filter(lambda each: each is not None))
def test_anything_is_converted_or_refused_and_nothing_else_is_raised(name: str, value: Any) -> None:
    try:
        CONVERSIONS[name](value)
    except ValueError as error:
        reason = str(error)
    else:
        return
    assert reason


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_is_exact_or_refused(value: Decimal) -> None:
    try:
        text = convert.to_bignumeric(str(value))
    except ValueError:
        return
    assert Decimal(text) == value
    assert re.fullmatch(r"-?(0|[1-9]\d*)(\.\d*[1-9])?", text)


def test_the_smallest_bignumeric_is_taken() -> None:
    smallest = "-578960446186580977117854925043439539266.34992332820282019728792003956564819968"
    assert convert.to_bignumeric(smallest) == smallest
    assert convert.to_bignumeric(f"-{2**255}e-38") == smallest
