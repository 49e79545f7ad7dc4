import json
import math
from typing import Any

import pytest

from ingestor.decode import NonFinite, Undecodable, canonical_json, decode, records_at, value_at


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def depth_of(value: Any) -> int:
    depth = 0
    while isinstance(value, list):
        value, depth = value[0], depth + 1
    return depth


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, "x", null, true]}', {"a": [1, 2.5, "x", None, True]}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\ud800"', "\ud800"),
        (b'{"\\udc00": 1}', {"\udc00": 1}),
        (b"18446744073709551615", 18_446_744_073_709_551_615),
        (b"-9223372036854775808", -9_223_372_036_854_775_808),
        (b"[99999999999999999999]", [1e20]),
        (b"9" * 309, int("9" * 309)),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_what_a_json_parser_accepts_is_decoded(body: bytes, value: object) -> None:
    assert decode(body) == value


@pytest.mark.parametrize(
    ("body", "text"),
    [(b"[NaN]", "nan"), (b"[Infinity]", "inf"), (b"[-1e999]", "-inf"), (b"[" + b"9" * 10_001 + b"]", "inf")],
)
def test_numbers_beyond_a_double_do_not_refuse_the_page(body: bytes, text: str) -> None:
    (value,) = decode(body)
    assert isinstance(value, NonFinite)
    assert repr(float(value)) == text


def test_a_number_of_ten_thousand_digits_stays_exact() -> None:
    (value,) = decode(b"[1" + b"0" * 9_999 + b"]")
    assert value == 10**9_999


SCALARS = ["0", "-0", "-0.0", "1.0", "1e5", "1E400", "123456789012345678901", "-9223372036854775809", "5e-324", "0.1"]


@pytest.mark.parametrize("text", SCALARS)
def test_a_value_decodes_alike_whether_or_not_its_page_needed_the_slow_decoder(text: str) -> None:
    fast, slow = decode(f"[{text}]".encode())[0], decode(f"[{text}, NaN]".encode())[0]
    assert repr(fast) == repr(slow)
    assert canonical_json(fast) == canonical_json(slow)


@pytest.mark.parametrize(
    ("body", "reason", "cut"),
    [
        (b"", "the body is empty", True),
        (b"  \n", "the body is empty", True),
        (b'{"a": [1, 2', "cut off?", True),
        (b'{"a": {"b": 1}', "cut off?", True),
        (b'{"a": "x', "cut off?", True),
        (b'{"a": "\xc3', "cut off?", True),
        (b'{"a": tr', "cut off?", True),
        (b'[{"a": 1},', "cut off?", True),
        (b'{"a": 1}}', "not JSON at character 8", False),
        (b'{"a": 1,}', "not JSON", False),
        (b'{"a": "\xff"}', "not JSON at byte 7", False),
        (b"hello", "not JSON at character 0", False),
        (b"<!DOCTYPE html><title>secret", "looks like HTML", False),
        (b"\n <HTML>", "looks like HTML", False),
        (b"[" * 200_000 + b"]" * 200_000, "nested too deeply", False),
    ],
)
def test_an_undecodable_body_is_one_line_that_tells_a_cut_from_nonsense(body: bytes, reason: str, *, cut: bool) -> None:
    with pytest.raises(Undecodable) as raised:
        decode(body)
    assert reason in str(raised.value)
    assert raised.value.cut is cut
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("value", "path", "records"),
    [([1], "", [1]), ({"a": {"b": [1, 2]}}, "a.b", [1, 2]), ({"items": []}, "items", [])],
)
def test_records_stand_at_a_dotted_path(value: object, path: str, records: list[object]) -> None:
    assert records_at(value, path) == records


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        ({"data": "secret"}, "items", "no records at 'items': the response is an object with the keys 'data'"),
        ({"a": {"b": "secret"}}, "a.c", "no records at 'a.c': 'a' is an object with the keys 'b'"),
        ({"a": {}}, "a", "no records at 'a': 'a' is an object without keys"),
        ({"a": None}, "a", "no records at 'a': 'a' is null"),
        ({"a": "secret"}, "a.b", "no records at 'a.b': 'a' is text"),
        ([1], "a", "no records at 'a': the response is an array"),
        (5, "", "no records at '': the response is a number"),
        (True, "", "no records at '': the response is true or false"),
        (
            {f"k{n}\n": 1 for n in range(99)},
            "",
            "'k8\\n', 'k9\\n', 'k10\\n', 'k11\\n', ...",
        ),
    ],
)
def test_absent_records_name_the_path_and_the_keys_but_no_value(value: object, path: str, reason: str) -> None:
    with pytest.raises(Undecodable) as raised:
        records_at(value, path)
    assert reason in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_path_that_leads_nowhere_is_none() -> None:
    assert value_at({"a": [1]}, "a.b") is None
    assert value_at({"a": {"b": 3}}, "a.b") == 3
    assert value_at({"a": 1}, "") == {"a": 1}


GOLDEN: list[tuple[bytes, bytes]] = [
    (b'{"b":1,"a":{"d":null,"c":[true,false]}}', b'{"a":{"c":[true,false],"d":null},"b":1}'),
    (b'{ "\xc3\xa9" : "\\u00e9", "z": "\\u2028\\/" }', '{"z":"\u2028/","\u00e9":"\u00e9"}'.encode()),
    (b'"\\u0000\\u001f\\u007f\\b\\f\\n\\r\\t\\"\\\\"', b'"\\u0000\\u001f\x7f\\b\\f\\n\\r\\t\\"\\\\"'),
    (
        b"[1.0,-0.0,0,1e16,1e22,1.5e300,5e-324,0.1,1e-7,123456789.125]",
        b"[1.0,-0.0,0,1e+16,1e+22,1.5e+300,5e-324,0.1,1e-7,123456789.125]",
    ),
    (b"[18446744073709551615,-9223372036854775808]", b"[18446744073709551615,-9223372036854775808]"),
    (b"[18446744073709551616]", b"[1.8446744073709552e+19]"),
    (b'{"\xf0\x9f\x98\x80":1,"\xef\xbf\xbd":2}', b'{"\xef\xbf\xbd":2,"\xf0\x9f\x98\x80":1}'),
    (b"{}", b"{}"),
    (b"[]", b"[]"),
    (b'""', b'""'),
    # what orjson cannot write
    (b'{"b":NaN,"a":[Infinity,-Infinity,1e999]}', b'{"a":[Infinity,-Infinity,Infinity],"b":NaN}'),
    (b'{"b":"\\ud800\\u0007\\u007f\\"","a":1}', b'{"a":1,"b":"\xed\xa0\x80\\u0007\x7f\\""}'),
    (b'{"\\udfff":{},"a":[[],{}, 1e22, 0.1]}', b'{"a":[[],{},1e+22,0.1],"\xed\xbf\xbf":{}}'),
    (b"-" + b"7" * 400, b"-" + b"7" * 400),
    (b"[" * 300 + b"]" * 300, b"[" * 300 + b"]" * 300),
]


@pytest.mark.parametrize(("body", "canonical"), GOLDEN)
def test_the_canonical_form_never_changes(body: bytes, canonical: bytes) -> None:
    """The ledger remembers digests of it: a new orjson that fails here would not recognise records read before."""
    assert canonical_json(decode(body)) == canonical


@pytest.mark.parametrize(
    "value", [json.loads(b) for b, c in GOLDEN if b.isascii() and b"NaN" not in b and b"9" not in b]
)
def test_key_order_and_spacing_do_not_matter(value: object) -> None:
    turned = json.dumps(value, indent=1, ensure_ascii=True).encode()
    if b"Infinity" not in turned:
        assert canonical_json(decode(turned)) == canonical_json(decode(json.dumps(value).encode()))


def test_not_a_number_is_not_null() -> None:
    assert canonical_json(decode(b"[NaN]")) != canonical_json(decode(b"[null]"))


@pytest.mark.parametrize("depth", [253, 254, 255, 900, 1023])
def test_whatever_depth_is_decoded_can_be_digested(depth: int) -> None:
    value = decode(b"[" * depth + b"1" + b"]" * depth)
    assert depth_of(value) == depth
    assert canonical_json(value) == b"[" * depth + b"1" + b"]" * depth


def test_depth_beyond_the_interpreters_own_limit_can_be_digested() -> None:
    assert canonical_json(nested(50_000)) == b"[" * 50_000 + b"1" + b"]" * 50_000


def test_a_number_of_ten_thousand_digits_can_be_digested() -> None:
    text = b"[-" + b"3" * 9_999 + b"]"
    assert canonical_json(decode(text)) == text


def test_a_non_finite_number_still_is_a_float() -> None:
    (value,) = decode(b"[NaN]")
    assert math.isnan(value)
    assert isinstance(value, float)
