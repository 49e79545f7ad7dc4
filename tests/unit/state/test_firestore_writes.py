"""Writes on raw messages are those that Firestore's client makes."""

from datetime import UTC, datetime
from typing import Any

import pytest
from google.cloud.firestore import DELETE_FIELD
from google.cloud.firestore_v1 import _helpers
from google.cloud.firestore_v1.types import Write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from state.firestore_writes import created, merged

PATH = "projects/p/databases/(default)/documents/pipelines/f/batches/b"
NAMES = st.sampled_from(["status", "rows", "_x", "error_code", "a1"])
INT64 = st.integers(-(2**63), 2**63 - 1)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds of hypothesis
PLAIN = st.none() | st.booleans() | INT64 | st.floats(allow_nan=False) | st.text() | st.binary() | TIMES
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(PLAIN, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
FIELDS = st.dictionaries(NAMES, VALUES, max_size=5)
PATIENT = settings(suppress_health_check=[HealthCheck.too_slow])
"""The first texts of a fresh checkout take hypothesis a second of their own."""


@PATIENT
@given(FIELDS)
def test_a_document_is_made_as_the_client_makes_it(fields: dict[str, Any]) -> None:
    [wanted] = _helpers.pbs_for_create(PATH, fields)
    assert created(PATH, fields) == wanted


@PATIENT
@given(FIELDS.filter(bool), st.sets(NAMES, max_size=3))
def test_fields_are_merged_as_the_client_sets_them_under_a_mask(fields: dict[str, Any], gone: set[str]) -> None:
    left_out = gone - fields.keys()
    changes = {**fields, **dict.fromkeys(left_out, DELETE_FIELD)}
    [wanted] = _helpers.pbs_for_set_with_merge(PATH, changes, [*changes])
    assert merged(PATH, fields, left_out) == wanted


def test_an_empty_map_and_an_empty_list_are_values() -> None:
    written = Write.pb(created(PATH, {"map": {}, "list": []})).update.fields
    assert {name: value.WhichOneof("value_type") for name, value in written.items()} == {
        "map": "map_value",
        "list": "array_value",
    }


def test_what_a_document_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="holds no object"):
        created(PATH, {"a": object()})
