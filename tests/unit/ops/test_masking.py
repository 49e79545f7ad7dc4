"""What `MASK_FIELDS` hides is hidden at any depth, and a repair that sends the mask back changes nothing there."""

from typing import Any

import pytest

from ops.masking import HIDDEN, MASK, error_shown, hides, masked, reason_shown, unmasked

RECORD: dict[str, Any] = {
    "email": "a@b.c",
    "n": 1,
    "who": {"email": "d@e.f", "name": "Ann", "tax": {"id": 7}},
    "lines": [{"email": None, "n": 2}, {"email": "x", "n": 3}],
}


@pytest.mark.parametrize(
    ("names", "hidden"),
    [
        ((), {}),
        (("email",), {"email": MASK}),
        (("who.name",), {}),
    ],
)
def test_a_field_is_hidden_by_its_name_or_path(names: tuple[str, ...], hidden: dict[str, Any]) -> None:
    shown = masked(RECORD, names)
    assert shown["email"] == hidden.get("email", RECORD["email"])
    assert shown["who"]["email"] == hidden.get("email", "d@e.f")
    assert shown["who"]["name"] == (MASK if names == ("who.name",) else "Ann")
    assert shown["lines"][0] == {"email": None, "n": 2}
    assert shown["lines"][1]["email"] == hidden.get("email", "x")


@pytest.mark.parametrize("names", [("email",), ("who",), ("who.tax.id", "n"), ("lines",)])
def test_a_masked_record_sent_back_is_the_original_again(names: tuple[str, ...]) -> None:
    assert masked(RECORD, names) != RECORD
    assert unmasked(masked(RECORD, names), RECORD, names) == RECORD


def test_a_repair_of_a_hidden_field_stands_and_the_mask_elsewhere_is_only_a_text() -> None:
    repaired = unmasked({"email": "new@b.c", "n": MASK, "more": MASK}, RECORD, ("email",))
    assert repaired == {"email": "new@b.c", "n": MASK, "more": MASK}


@pytest.mark.parametrize(
    ("field", "hidden"),
    [
        ("email", True),
        ("who.email", True),
        ("lines[1].email", True),
        ("who", True),
        ("who.tax", True),
        ("who.tax.id", True),
        ("n", False),
        ("", False),
        (None, False),
    ],
)
def test_a_field_that_an_error_names_is_known_to_be_hidden(field: str | None, *, hidden: bool) -> None:
    assert hides(field, ("email", "who.tax")) is hidden


@pytest.mark.parametrize("name", ["who.tail_num", "who.tailNum", "tail_num", "tailNum"])
@pytest.mark.parametrize("key", ["tail_num", "tailNum"])
def test_a_name_of_the_proto_and_of_json_hide_the_same_field(name: str, key: str) -> None:
    record = {"who": {key: "N1", "tail": "x"}}
    assert masked(record, (name,)) == {"who": {key: MASK, "tail": "x"}}
    assert hides(f"who.{key}", (name,))
    for sent in ("tail_num", "tailNum"):
        assert unmasked({"who": {sent: MASK}}, record, (name,)) == {"who": {sent: "N1"}}


@pytest.mark.parametrize("name", ["home_base.zip_code", "homeBase.zipCode", "home_base.zipCode"])
@pytest.mark.parametrize(("outer", "inner"), [("home_base", "zip_code"), ("homeBase", "zipCode")])
def test_a_path_is_hidden_however_each_part_is_spelt(name: str, outer: str, inner: str) -> None:
    record = {outer: [{inner: 1, "n": 2}], inner: 3}
    assert masked(record, (name,)) == {outer: [{inner: MASK, "n": 2}], inner: 3}
    assert hides(f"{outer}[0].{inner}", (name,))


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ("tailNum", HIDDEN),
        ("who.tail_num", HIDDEN),
        (None, "bad <value>"),
        ("n", "bad 'N1'"),
    ],
)
def test_a_reason_does_not_quote_a_hidden_value(field: str | None, shown: str) -> None:
    assert reason_shown("bad 'N1'", field, ("tail_num",)) == shown
    assert reason_shown("bad 'N1'", field, ()) == error_shown("bad 'N1'", ()) == "bad 'N1'"
