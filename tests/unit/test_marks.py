from fractions import Fraction

import pytest

from ingestor.marks import Kind, key, mark_text, rewound


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (-3, "-3"),
        (0, "0"),
        (1.5, "1.5"),
        (1e21, "1000000000000000000000"),
        (1e-7, "0.0000001"),
        ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z"),
        ("x y", "x y"),
        (None, None),
        (True, None),
        ("", None),
        ("a\nb", None),
        (float("nan"), None),
        ([1], None),
    ],
)
def test_a_value_is_a_mark_when_it_can_be_sent_back(value: object, text: str | None) -> None:
    assert mark_text(value) == text


ASCENDING: list[tuple[Kind, list[str]]] = [
    ("number", ["-2", "-1.5", "0", "9", "10", "10.0000000001", "18446744073709551616"]),
    ("text", ["10", "9", "a", "\u00e9"]),
    (
        "instant",
        [
            "0001-01-01",
            "2024-05-01",
            "2024-05-01T00:00:00.000000001Z",
            "2024-05-01T00:00:00.000000002Z",
            "2024-05-01T05:30:01+05:30",
            "2024-04-30 20:00:02-04",
            "2024-05-01T00:00:03",
            "2024-05-01 00:01 UTC",
            "2024-05-01T00:00:00-0900",
            "9999-12-31T23:59:59,9Z",
        ],
    ),
]


@pytest.mark.parametrize(("kind", "texts"), ASCENDING)
def test_marks_compare_in_their_own_kind(kind: Kind, texts: list[str]) -> None:
    keys = [key(text, kind) for text in texts]
    assert None not in keys
    assert keys == sorted(keys, key=lambda each: each or (0, ""))
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2024-05-01T02:00:00+02:00", "2024-05-01T00:00:00Z"),
        ("2024-05-01", "2024-05-01T00:00:00.000Z"),
        ("2024-05-01 00:00:00", "2024-05-01T00:00:00z"),
    ],
)
def test_the_same_instant_is_equal_however_it_is_written(one: str, other: str) -> None:
    assert key(one, "instant") == key(other, "instant")


@pytest.mark.parametrize("text", ["", "x", "2024-13-01", "2024-02-30T00:00:00Z", "2024-05-01T25:00:00Z", "20240501"])
def test_text_that_is_no_instant_is_told(text: str) -> None:
    assert key(text, "instant") is None


@pytest.mark.parametrize("text", ["", "1e5", "0x1", "1,5", ".5", "1_0", "\u0661"])
def test_text_that_is_no_number_is_told(text: str) -> None:
    assert key(text, "number") is None


def test_numbers_with_a_fraction_are_exact() -> None:
    assert key("0.1", "number") == (Fraction(1, 10), "")


@pytest.mark.parametrize(
    ("text", "by", "earlier"),
    [
        ("2024-05-01T10:00:00Z", 3600, "2024-05-01T09:00:00Z"),
        ("2024-05-01T00:00:00.123456789+02:00", 1, "2024-04-30T23:59:59.123456789+02:00"),
        ("2024-05-01 00:00:00", 60, "2024-04-30 23:59:00"),
        ("2024-05-01", 1, "2024-04-30"),
        ("2024-05-01", 86_400, "2024-04-30"),
        ("2024-05-01", 86_401, "2024-04-29"),
        ("0001-01-01T00:00:05Z", 60, "0001-01-01T00:00:00Z"),
        ("100", 30, "70"),
        ("0.5", 1, "-0.5"),
    ],
)
def test_a_mark_is_rewound_in_the_form_the_source_writes(text: str, by: int, earlier: str) -> None:
    assert rewound(text, by) == earlier


def test_nothing_lies_before_other_text() -> None:
    with pytest.raises(ValueError, match="neither an instant nor a number"):
        rewound("abc", 1)
