"""The table of outcomes: total, without overlaps, and as the documentation of the service and its clients says."""

from typing import Any

import pytest
from google.cloud.bigquery_storage_v1.types import StorageError
from grpc import StatusCode

from docs import outcomes_page
from ingestor.outcome import (
    Action,
    Basic,
    Outcome,
    RowError,
    answered,
    ended,
    fingerprint,
    name,
    normalised,
    silent,
    storage_error_name,
)
from ingestor.outcome_rules import CODE_NAMES, RULES, STORAGE_ERROR_NAMES, Channel

CODES = range(len(CODE_NAMES))
STORAGE_CODES = range(1, len(STORAGE_ERROR_NAMES))
TOO_LARGE = (
    "AppendRows request too large: 21954265 limit 20971520 Entity: projects/p/datasets/d/tables/t/streams/_default"
)
SCHEMA = 'Invalid proto schema: BqMessage.proto: flights_Flight.at: ".google.protobuf.Timestamp" is not defined.'
CONNECTIONS = "Exceeds 'Concurrent connections per project' quota"

A = Action
IN_BAND = [
    A.APPENDED, A.RETRY, A.RETRY, A.BATCH_FAILURE, A.RETRY, A.WAIT_FOR_TABLE, A.SYSTEMIC, A.SYSTEMIC, A.SLOW_DOWN,
    A.RECONNECT, A.RETRY, A.SYSTEMIC, A.SYSTEMIC, A.RETRY, A.RETRY, A.SYSTEMIC, A.REFRESH,
]  # fmt: skip
RPC_END = [
    A.RECONNECT, A.RECONNECT, A.RECONNECT, A.SYSTEMIC, A.RECONNECT, A.WAIT_FOR_TABLE, A.SYSTEMIC, A.SYSTEMIC,
    A.SLOW_DOWN, A.RECONNECT, A.RECONNECT, A.SYSTEMIC, A.SYSTEMIC, A.RECONNECT, A.RECONNECT, A.SYSTEMIC, A.REFRESH,
]  # fmt: skip
STORAGE = {
    1: A.WAIT_FOR_TABLE, 2: A.SYSTEMIC, 3: A.SYSTEMIC, 4: A.SYSTEMIC, 5: A.SYSTEMIC, 6: A.SYSTEMIC,
    7: A.WAIT_FOR_TABLE, 8: A.SYSTEMIC, 9: A.SYSTEMIC, 10: A.SYSTEMIC, 11: A.SYSTEMIC, 12: A.SYSTEMIC, 13: A.RETRY,
    14: A.SYSTEMIC,
}  # fmt: skip


def test_the_names_of_codes_are_grpc_s_and_the_service_s() -> None:
    assert {code.value[0]: code.name for code in StatusCode} == dict(enumerate(CODE_NAMES))
    storage_codes: Any = StorageError.StorageErrorCode
    assert {code.value: code.name for code in storage_codes} == dict(enumerate(STORAGE_ERROR_NAMES))


@pytest.mark.parametrize("channel", [Channel.IN_BAND, Channel.RPC_END])
@pytest.mark.parametrize("code", CODES, ids=name)
def test_every_grpc_status_has_exactly_one_row_in_each_channel(code: int, channel: Channel) -> None:
    plain = [r for r in RULES if channel in r.channels and not (r.row_errors or r.storage_errors or r.wording)]
    assert len([rule for rule in plain if code in rule.codes]) == 1


@pytest.mark.parametrize("channel", [Channel.IN_BAND, Channel.RPC_END])
@pytest.mark.parametrize("code", STORAGE_CODES, ids=storage_error_name)
def test_every_storage_error_has_exactly_one_row_in_each_channel(code: int, channel: Channel) -> None:
    assert len([rule for rule in RULES if channel in rule.channels and code in rule.storage_errors]) == 1


def test_every_row_names_its_source_and_its_channels() -> None:
    assert all(rule.source and rule.channels for rule in RULES)


def test_no_two_wordings_fit_one_message() -> None:
    for message in (TOO_LARGE, SCHEMA, CONNECTIONS, "Sent message larger than max (22 vs. 20)"):
        assert len({rule.wording for rule in RULES if rule.wording and rule.wording.search(message)}) == 1


@pytest.mark.parametrize(("code", "action"), list(enumerate(IN_BAND)), ids=CODE_NAMES)
def test_a_status_in_band_means(code: int, action: Action) -> None:
    outcome = answered(code, "text")
    assert outcome.action is action
    assert outcome.code == CODE_NAMES[code]


@pytest.mark.parametrize(("code", "action"), list(enumerate(RPC_END)), ids=CODE_NAMES)
def test_a_status_at_the_end_of_the_call_means_and_leaves_everything_unknown(code: int, action: Action) -> None:
    outcome = ended(code, "text")
    assert (outcome.action, outcome.code, outcome.unknown) == (action, CODE_NAMES[code], True)


def test_an_error_in_band_is_known_unless_it_says_nothing_of_the_rows() -> None:
    unknown = {name(code) for code in CODES if answered(code).unknown}
    assert unknown == {"CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "UNAVAILABLE", "UNIMPLEMENTED", "DATA_LOSS"}


@pytest.mark.parametrize("status", [3, 5, 9, 13])
@pytest.mark.parametrize(("code", "action"), list(STORAGE.items()), ids=list(map(storage_error_name, STORAGE)))
def test_a_storage_error_decides_over_its_status(code: int, action: Action, status: int) -> None:
    outcome = answered(status, "text", storage_error=code)
    assert (outcome.action, outcome.storage_error_name) == (action, STORAGE_ERROR_NAMES[code])
    at_end = ended(status, "text", storage_error=code)
    assert at_end.action is (A.RECONNECT if action is A.RETRY else action)
    assert at_end.unknown


@pytest.mark.parametrize("code", [0, 15, 99])
def test_a_storage_error_that_says_nothing_or_is_not_known_leaves_it_to_the_status(code: int) -> None:
    assert answered(13, storage_error=code).action is A.RETRY


@pytest.mark.parametrize("code", CODES, ids=name)
def test_refused_rows_are_taken_out_whatever_else_the_answer_says(code: int) -> None:
    rows = (RowError(3, 1, "bad"), RowError(9, 1, "worse"))
    outcome = answered(code, SCHEMA, storage_error=7, row_errors=rows)
    assert (outcome.action, outcome.row_errors, outcome.unknown) == (A.TAKE_OUT, rows, False)


@pytest.mark.parametrize(
    ("code", "message", "in_band", "at_end"),
    [
        (3, TOO_LARGE, A.HALVE, A.HALVE),
        (8, "Received message larger than max (20971640 vs. 20971520)", A.HALVE, A.HALVE),
        (8, "CLIENT: Sent message larger than max (20971640 vs. 4194304)", A.HALVE, A.HALVE),
        (3, SCHEMA, A.SYSTEMIC, A.SYSTEMIC),
        (3, "Input schema has more fields than BigQuery schema, extra fields: 'a'", A.SYSTEMIC, A.SYSTEMIC),
        (3, "Errors found while processing rows.", A.BATCH_FAILURE, A.SYSTEMIC),
        (8, "Exceeds 'AppendRows throughput' quota, user_id: project0000 (status: INSUFFICIENT_TOKENS)",
         A.SLOW_DOWN, A.SLOW_DOWN),
        (8, CONNECTIONS, A.SLOW_DOWN, A.RECONNECT),
        (13, TOO_LARGE, A.RETRY, A.RECONNECT),
        (10, "Closing the stream because of server is restarted. Entity: ...", A.RETRY, A.RECONNECT),
    ],
)  # fmt: skip
def test_the_wording_decides_within_its_status(code: int, message: str, in_band: Action, at_end: Action) -> None:
    assert answered(code, message).action is in_band
    assert ended(code, message).action is at_end


def test_an_append_with_a_new_schema_is_an_append_that_says_so() -> None:
    assert answered(0, updated_schema=True) == Outcome(A.APPENDED, updated_schema=True)
    assert not answered(0).updated_schema


def test_silence_is_unknown_and_asks_for_a_new_connection() -> None:
    outcome = silent(150.0)
    assert (outcome.action, outcome.code, outcome.message) == (A.RECONNECT, "NO_ANSWER", "no answer in 150 s")
    assert outcome.unknown


@pytest.mark.parametrize(
    ("outcome", "bound"),
    [
        (answered(9), (2, None, A.SYSTEMIC)),
        (answered(16), (1, None, A.SYSTEMIC)),
        (answered(5), (None, 600.0, A.SYSTEMIC)),
        (answered(3, storage_error=7), (None, 600.0, A.SYSTEMIC)),
        (answered(13), (None, None, A.BATCH_FAILURE)),
        (answered(8), (None, None, A.SYSTEMIC)),
        (ended(14), (None, None, A.SYSTEMIC)),
        (answered(3, TOO_LARGE), (None, None, A.BATCH_FAILURE)),
        (answered(3, row_errors=(RowError(0, 1, ""),)), (None, None, A.BATCH_FAILURE)),
    ],
    ids=lambda value: f"{value.code}-{value.action.value}" if isinstance(value, Outcome) else "",
)
def test_what_is_repeated_has_a_bound_and_becomes_something_final(
    outcome: Outcome, bound: tuple[int | None, float | None, Action]
) -> None:
    assert (outcome.limit, outcome.limit_s, outcome.spent) == bound


def test_nothing_that_is_spent_is_repeated() -> None:
    assert {rule.spent for rule in RULES} == {A.BATCH_FAILURE, A.SYSTEMIC}


def test_a_status_that_grpc_does_not_name_is_unknown() -> None:
    assert answered(77).action is answered(2).action
    assert (ended(-1).action, ended(-1).code) == (A.RECONNECT, "-1")


@pytest.mark.parametrize(
    ("action", "basic"),
    [
        (action, Basic.APPENDED if action is A.APPENDED else Basic.AGAIN if action in again else Basic.REFUSED)
        for again in [(A.RETRY, A.RECONNECT, A.SLOW_DOWN)]
        for action in Action
    ],
)
def test_the_coarse_view_of_an_action(action: Action, basic: Basic) -> None:
    assert Outcome(action).basic is basic


@pytest.mark.parametrize(
    ("message", "normal"),
    [
        (TOO_LARGE, "AppendRows request too large: <n> limit <n> Entity: <resource>"),
        ("Field 'tail_number' of row 17 is \"N12, 'x'\"", "Field <value> of row <n> is <value>"),
        ("can't be 3.5e-7, isn't it", "can't be <n>, isn't it"),
        ("trace 9f86d081884c7d659a2feaa0c55ad015 and 123e4567-e89b-12d3-a456-426614174000", "trace <id> and <id>"),
        ("see https://example.org/a?b=1\n  now", "see <url> now"),
        ("int32 at -12:30:01.5, 1,000 rows", "int32 at <n>, <n> rows"),
        ("user_id: project0000008d0226dd0f_asia (status: INSUFFICIENT_TOKENS)",
         "user_id: <id> (status: INSUFFICIENT_TOKENS)"),
    ],
)  # fmt: skip
def test_a_normalised_message_holds_nothing_of_the_occurrence(message: str, normal: str) -> None:
    assert normalised(message) == normal


def test_failures_of_one_kind_have_one_fingerprint_and_of_two_kinds_two() -> None:
    first = answered(3, "Field 'a' is 17 in projects/p/datasets/d/tables/t/streams/_default")
    again = answered(3, "Field 'b' is 18 in projects/q/datasets/e/tables/u/streams/_default")
    assert fingerprint(first) == fingerprint(again)
    others = [
        answered(3, "Column 'a' is 17 in projects/p/datasets/d/tables/t/streams/_default"),
        answered(13, first.message),
        ended(3, first.message),
        answered(3, first.message, storage_error=13),
    ]
    assert len({fingerprint(outcome) for outcome in (first, *others)}) == 5
    assert len(fingerprint(first)) == 12


def test_a_fingerprint_is_the_same_for_ever() -> None:
    assert fingerprint(answered(7, "Permission 'TABLES_UPDATE_DATA' denied")) == "f0ecb699c720"


def test_the_page_is_what_the_table_says() -> None:
    assert outcomes_page.PAGE.read_text() == outcomes_page.page(), "docs/outcomes.md is stale"
