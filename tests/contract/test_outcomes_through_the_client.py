"""Every answer of AppendRows, given by the scripted server to the real client of a real run: it ends as the table says.

The server is a proxy in front of the BigQuery emulator, whose dedup view judges: in every case each record of the
source is visible once or set aside once, and never both. The expectations are computed from `outcome_rules`.
"""

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ingestor import answers, run, schema
from ingestor.messages import descriptor_of, message_class
from ingestor.outcome import storage_error_name
from ingestor.outcome_rules import (
    CODE_NAMES,
    INVALID_ARGUMENT,
    OK,
    RESOURCE_EXHAUSTED,
    RULES,
    STORAGE_ERROR_NAMES,
    WAIT_FOR_TABLE_S,
    Action,
    Channel,
    Rule,
    find,
)
from ingestor.tables import Tables
from ops.local.services import request_json
from ops.local.storage_write_server import StorageWriteServer
from tests.conftest import PROJECT, BigQueryHosts
from tests.live import PAUSE_S, LivePipeline, flight, live_env

RECORDS, BATCH = 20, 5
ATTEMPTS = 4
IN_BAND, RPC_END = Channel.IN_BAND, Channel.RPC_END


@dataclass(frozen=True)
class Case:
    """One answer. `when` is whether the request's rows land before the call ends."""

    channel: Channel
    code: int
    message: str = "by script"
    storage_error: int = 0
    when: str = "before"

    @property
    def rule(self) -> Rule:
        """The row of the table."""
        return find(self.channel, self.code, self.message, storage_error=self.storage_error)

    @property
    def action(self) -> dict[str, Any]:
        """What the script does."""
        said = {"message": self.message}
        if self.storage_error:
            said["storage_error"] = storage_error_name(self.storage_error)
        if self.channel is IN_BAND:
            return {"answer": CODE_NAMES[self.code], **said}
        return {"end": CODE_NAMES[self.code], "when": self.when, **said}

    def __str__(self) -> str:
        how = "in-band" if self.channel is IN_BAND else f"end-{self.when}"
        what = storage_error_name(self.storage_error) or CODE_NAMES[self.code]
        return f"{how}-{what}" + ("" if self.message == "by script" else f"-{self.message.split()[0]}")


WORDINGS = [
    (INVALID_ARGUMENT, "AppendRows request too large: 99 limit 10"),
    (RESOURCE_EXHAUSTED, "Sent message larger than max (9 vs. 4)"),
    (INVALID_ARGUMENT, "Invalid proto schema: BqMessage.proto: no such type"),
    (RESOURCE_EXHAUSTED, "Exceeds quota of concurrent connections"),
]
STATUSES = [
    *(Case(IN_BAND, code) for code in range(1, len(CODE_NAMES))),
    *(Case(RPC_END, code) for code in range(1, len(CODE_NAMES))),
]
STORAGE_ERRORS = [
    Case(channel, INVALID_ARGUMENT, storage_error=error)
    for channel in (IN_BAND, RPC_END)
    for error in range(1, len(STORAGE_ERROR_NAMES))
]
WORDED = [Case(channel, code, message) for channel in (IN_BAND, RPC_END) for code, message in WORDINGS]
CASES = [*STATUSES, *STORAGE_ERRORS, *WORDED]
LANDED = [replace(case, when="after") for case in CASES if case.channel is RPC_END]
"""CI leaves out those whose row of the table an earlier one has: `make test-long` has the rest."""


def again(cases: list[Case]) -> list[bool]:
    """Say of each whether an earlier one has its rule."""
    return [case.rule in {earlier.rule for earlier in cases[:at]} for at, case in enumerate(cases)]


@pytest.fixture(scope="module")
def shared(bigquery: BigQueryHosts, gcs_url: str) -> Iterator[tuple[Tables, StorageWriteServer, str]]:
    """One table and one server for all cases of a worker: a case's rows carry its own tail number."""
    dataset, bucket = f"d{uuid.uuid4().hex[:12]}", f"b{uuid.uuid4().hex[:12]}"
    body = {"datasetReference": {"projectId": PROJECT, "datasetId": dataset}}
    request_json("POST", f"http://{bigquery.rest_host}/bigquery/v2/projects/{PROJECT}/datasets", body)
    request_json("POST", f"{gcs_url}/storage/v1/b?project={PROJECT}", {"name": bucket})
    with (
        StorageWriteServer(forward=bigquery.grpc_host) as server,
        Tables(PROJECT, dataset, bigquery.rest_host) as tables,
    ):
        schema.apply(tables, "flights", descriptor_of(message_class("flights.Flight")))
        yield tables, server, bucket


@dataclass
class Trial:
    """A pipeline of 20 records in 4 batches, and its verdict."""

    pipeline: LivePipeline
    tailnum: str

    @property
    def source(self) -> Counter[int]:
        """What must be somewhere, once."""
        return Counter(range(RECORDS))

    def play(self, action: dict[str, Any], **rule: Any) -> None:
        """Let the server do this to requests of the data's stream; counting begins anew."""
        on = {"stream": self.pipeline.stream, **rule.pop("on", {})}
        self.pipeline.server.play([{"on": on, "do": action, **rule}])

    def one_in_flight(self) -> None:
        """Send one batch at a time: no connection ends for a neighbour's sake, so tries can be counted exactly."""
        self.pipeline.env = {**self.pipeline.env, "MAX_IN_FLIGHT": "1"}

    def nothing_is_lost_or_seen_twice(self) -> None:
        """Each record is visible, or set aside with its batch, or set aside alone."""
        rejected = Counter(record.record["flight"] for _, record in self.pipeline.rejected())
        found = self.pipeline.visible(self.tailnum) + self.pipeline.dead() + rejected
        assert found == self.source, (found - self.source, self.source - found)

    def the_next_run_finishes(self) -> None:
        """Once mended, the next run brings what is missing."""
        self.pipeline.server.play([])
        assert self.pipeline.run().summary["status"] == "complete"
        self.nothing_is_lost_or_seen_twice()


@pytest.fixture
def trial(
    shared: tuple[Tables, StorageWriteServer, str],
    bigquery: BigQueryHosts,
    gcs_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Trial]:
    tables, server, bucket = shared
    tailnum = f"N{uuid.uuid4().hex[:10]}"
    env = {
        **live_env(tables, server.host, gcs_url, bucket, tmp_path / "ledger.db"),
        "PIPELINE_ID": f"p-{tailnum}",
        "BATCH_MAX_ROWS": str(BATCH),
        "APPEND_MAX_ATTEMPTS": str(ATTEMPTS),
        "MAX_IN_FLIGHT": "3",
        "BIGQUERY_EMULATOR_HOST": bigquery.rest_host,
    }
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_url)
    monkeypatch.setattr(run, "FIRST_PAUSE_S", PAUSE_S)
    monkeypatch.setattr(run, "LONGEST_PAUSE_S", 2 * PAUSE_S)
    monkeypatch.setattr(answers, "TABLE_PAUSE_S", PAUSE_S)
    server.play([])
    pipeline = LivePipeline(env, tables, server, [[flight(number, tailnum) for number in range(RECORDS)]])
    yield Trial(pipeline, tailnum)
    pipeline.close()


def test_the_cases_reach_every_row_of_the_table() -> None:
    reached = {case.rule for case in CASES}
    reached |= {find(Channel.RPC_END, OK, ""), find(Channel.IN_BAND, OK, ""), find(Channel.SILENCE, OK, "")}
    reached.add(find(Channel.IN_BAND, INVALID_ARGUMENT, "", row_errors=True))
    assert reached == set(RULES)
    assert {c.code for c in STATUSES} == set(range(1, 17))
    assert {c.storage_error for c in STORAGE_ERRORS} == set(range(1, 15))


@pytest.mark.parametrize(
    "case",
    [
        *CASES,
        *(pytest.param(case, marks=[pytest.mark.long] * old) for case, old in zip(LANDED, again(LANDED), strict=True)),
    ],
    ids=str,
)
def test_an_answer_that_comes_once_ends_as_the_table_says(trial: Trial, case: Case) -> None:
    trial.play(case.action, on={"request": 2, "per": "stream"})
    summary = trial.pipeline.run().summary
    dead = trial.pipeline.batches("DEAD_LETTERED")
    match case.rule.action:
        case Action.BATCH_FAILURE:
            assert (summary["status"], summary["rows_committed"]) == ("complete", RECORDS - BATCH)
            assert [(d["dead_kind"], d["error_code"]) for d in dead] == [("batch", CODE_NAMES[case.code])]
        case Action.SYSTEMIC:
            assert summary["status"] == "failed"
            assert {d["dead_kind"] for d in dead} == {"systemic"}
            assert {(d["error_code"], d["storage_error"]) for d in dead} == {
                (CODE_NAMES[case.code], case.storage_error)
            }
        case _:
            assert (summary["status"], summary["rows_committed"], dead) == ("complete", RECORDS, [])
    trial.nothing_is_lost_or_seen_twice() if summary["status"] == "complete" else trial.the_next_run_finishes()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_answer_that_never_changes_is_bounded_and_ends_as_the_table_says(trial: Trial, case: Case) -> None:
    trial.play(case.action)
    trial.one_in_flight()
    rule = case.rule
    waits = rule.action is Action.WAIT_FOR_TABLE
    leap_s = WAIT_FOR_TABLE_S / 4 if waits else 0.0
    summary = trial.pipeline.run(leap_s=leap_s).summary
    dead = trial.pipeline.batches("DEAD_LETTERED")
    if rule.action is Action.HALVE:
        assert (summary["status"], summary["rows_rejected"], dead) == ("complete", RECORDS, [])
        assert all("cannot be sent alone" in record.rejection.reason for _, record in trial.pipeline.rejected())
        trial.nothing_is_lost_or_seen_twice()
        return
    final = rule.action if rule.action in {Action.BATCH_FAILURE, Action.SYSTEMIC} else rule.spent
    tries = ATTEMPTS if rule.limit is None else min(ATTEMPTS, rule.limit + 1)
    assert dead
    assert {d["dead_kind"] for d in dead} == {"batch" if final is Action.BATCH_FAILURE else "systemic"}
    assert summary["status"] == ("complete" if final is Action.BATCH_FAILURE else "failed")
    assert summary["rows_committed"] == 0
    if not waits:
        first = 1 if final is rule.action else tries
        assert max(d["attempts"] for d in dead) == first
    else:
        assert max(d["attempts"] for d in dead) > 1  # bounded by time alone, which leaps at each question
    if final is Action.SYSTEMIC:
        assert len(dead) < RECORDS // BATCH + 1
    trial.the_next_run_finishes()


def test_rows_that_are_refused_are_taken_out_and_the_rest_keeps_its_place(trial: Trial) -> None:
    refused = [3, 4, 17]
    trial.play(
        {"answer": "INVALID_ARGUMENT", "row_errors": "matching", "message": "too late"},
        on={"contains": {"flight": refused}},
    )
    summary = trial.pipeline.run().summary
    assert (summary["status"], summary["rows_committed"], summary["rows_rejected"]) == ("complete", 17, 3)
    found = [(r.index, r.record["flight"], r.rejection.stage) for _, r in trial.pipeline.rejected()]
    assert sorted(found, key=lambda each: each[1]) == [(n % BATCH, n, "append") for n in refused]
    trial.nothing_is_lost_or_seen_twice()


@pytest.mark.parametrize("when", ["before", "after", "answered"])
@pytest.mark.parametrize("how", ["cut", "go_away"])
def test_a_lost_connection_shows_nothing_twice(trial: Trial, how: str, when: str) -> None:
    trial.play({how: when}, on={"request": [1, 3], "per": "stream"})
    summary = trial.pipeline.run().summary
    assert (summary["status"], summary["rows_committed"]) == ("complete", RECORDS)
    trial.nothing_is_lost_or_seen_twice()


@pytest.mark.parametrize("when", ["before", "after"])
def test_silence_cuts_the_connection_and_the_request_goes_again(trial: Trial, when: str) -> None:
    trial.play({"hold": when}, on={"request": 2, "per": "stream"})
    summary = trial.pipeline.run(append_timeout_s=0.2).summary
    assert (summary["status"], summary["rows_committed"]) == ("complete", RECORDS)
    trial.nothing_is_lost_or_seen_twice()


def test_silence_without_end_is_systemic(trial: Trial) -> None:
    trial.play({"hold": "before"})
    summary = trial.pipeline.run(append_timeout_s=0.1).summary
    assert summary["status"] == "failed"
    assert {d["dead_kind"] for d in trial.pipeline.batches("DEAD_LETTERED")} == {"systemic"}
    trial.the_next_run_finishes()
