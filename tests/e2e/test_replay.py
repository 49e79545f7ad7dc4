"""Dead letters as an operator meets them: the command, on the emulators. Judged by the dedup view."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ingestor.batch import Batch
from ingestor.bootstrap import open_journal
from ingestor.columns import Column
from ingestor.config import load
from ingestor.deadletters import DeadBatches, RejectedRecords, storage_client
from ingestor.envelope import DeadBatch, Origin
from ops.local.services import request_json
from ops.local.storage_write import StorageWriteServer
from tests.conftest import PROJECT
from tests.dead import DENIED, INGEST_US, REFUSED, Lane, batch_of, flight
from tests.e2e.conftest import Done, Pipeline

BAD = {"flight": 7, "distance": "far"}


@dataclass
class Bucket:
    """Dead letters in the emulator's bucket."""

    batches: DeadBatches
    records: RejectedRecords

    def store_batch(self, origin: Origin, dead: DeadBatch) -> tuple[str, int]:
        return self.batches.store(origin, dead)

    def store_records(self, batch: Batch) -> tuple[str, int]:
        return self.records.store(batch)


class Replays(Pipeline):
    """A pipeline with the operators' commands, called in this process: each would start for most of its time."""

    def batches(self, *arguments: str) -> Done:
        return self.here("batches", *arguments)

    def as_json(self, *arguments: str) -> Any:
        done = self.here(*arguments, "--json")
        assert done.out, done.err
        return json.loads(done.out.splitlines()[-1])

    def status(self, batch_id: str) -> str:
        return str(self.as_json("batches", "show", batch_id)["batch"]["status"])

    def visible(self) -> list[int]:
        view = f"`{PROJECT}.{self.tables.dataset}.flights_dedup`"
        return [row["flight"] for row in self.tables.query(f"SELECT flight FROM {view} ORDER BY flight")]  # noqa: S608 - a name of ours


@contextmanager
def lane_of(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, name: str = "0") -> Iterator[Lane]:
    """A run that dead-letters by hand, through the real adapters."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", pipeline.env["STORAGE_EMULATOR_HOST"])
    config = load(pipeline.env)
    client = storage_client(PROJECT, config.storage_emulator_host)
    bucket, journal = config.dead_letter_bucket, open_journal(config)
    try:
        stores = Bucket(DeadBatches(client, bucket), RejectedRecords(client, bucket, "flights", name, "run-1"))
        yield Lane(journal, stores, lane=name)
    finally:
        journal.close()
        client.close()


def dead_letter(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, *batches: Batch, outcome: Any = REFUSED, kind: str = "batch"
) -> list[str]:
    with lane_of(pipeline, monkeypatch) as lane:
        ids = [lane.dead(batch, outcome, kind) for batch in batches]
        lane.finish()
    return ids


@pytest.fixture
def replays(pipeline: Pipeline) -> Replays:
    """Tables exist, the ledger is empty."""
    pipeline.apply_schema()
    return Replays(pipeline.tables, pipeline.env, pipeline.log_dir)


@pytest.fixture
def scripted(replays: Replays) -> Iterator[tuple[Replays, StorageWriteServer]]:
    """The same behind a server that refuses what the service refuses; its tables are declared by the test."""
    with StorageWriteServer(forward=replays.env["BIGQUERY_STORAGE_EMULATOR_HOST"]) as server:
        declare(replays, server)
        behind = replays.with_env(BIGQUERY_STORAGE_EMULATOR_HOST=server.host)
        yield Replays(behind.tables, behind.env, behind.log_dir), server


def declare(replays: Pipeline, server: StorageWriteServer) -> None:
    """Tell the server what the table is like now."""
    table = replays.tables.read("flights")
    assert table is not None
    server.declare(f"{PROJECT}.{replays.tables.dataset}.flights", list(table.columns))


def test_a_dead_batch_is_listed_shown_planned_replayed_and_visible(
    replays: Replays, monkeypatch: pytest.MonkeyPatch
) -> None:
    (batch_id,) = dead_letter(replays, monkeypatch, batch_of([flight(1), BAD, flight(3)]))
    listed = replays.as_json("batches", "list", "--status", "DEAD_LETTERED")["items"]
    assert [(each["batch_id"], each["rows"], each["open_records"]) for each in listed] == [(batch_id, 2, 1)]
    shown = replays.batches("show", batch_id, "--rows", "10")
    assert "batch_dead_lettered" in shown.out
    assert "2013" in shown.out
    groups = replays.as_json("batches", "failures")["items"]
    assert [(g["kind"], g["code"], g["message"], g["batches"]) for g in groups] == [
        ("batch", "INVALID_ARGUMENT", "Cannot convert <value> in row <n>", 1)
    ]
    plan = replays.as_json("batches", "replay", "--all", "--dry-run")
    assert (plan["rows"], plan["present"], plan["refused"], plan["sendable"]) == (2, 0, 0, 1)
    assert replays.visible() == []
    done = replays.batches("replay", batch_id, "--reason", "mended", "--actor", "ann")
    assert done.code == 0, done.err
    assert replays.visible() == [1, 3]
    again = replays.as_json("batches", "replay", batch_id)
    assert again["items"][0]["already"]
    assert replays.visible() == [1, 3]
    history = replays.as_json("batches", "show", batch_id)["history"]
    assert [each["event"] for each in history if each["lane"] == "ops"] == ["replay_started", "replay_succeeded"]
    assert history[-1]["details"]["actor"] == "ann"
    assert replays.here("ledger", "verify").code == 0


def test_rejected_records_are_repaired_once(replays: Replays, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (batch_id,) = dead_letter(replays, monkeypatch, batch_of([flight(1), BAD, flight(3), BAD, BAD]))
    assert replays.batches("replay", batch_id).code == 0
    lines = [json.loads(line) for line in replays.here("records", "list", batch_id, "--lines").out.splitlines()]
    assert [line["row_index"] for line in lines] == [1, 3, 4]
    file = tmp_path / "repaired.jsonl"

    def repair(*records: dict[str, Any]) -> Done:
        file.write_text("".join(json.dumps(each) + "\n" for each in records))
        return replays.here("records", "replay", batch_id, "--file", str(file))

    good = {"row_index": 1, "record": flight(2)}
    mixed = repair(good, {"row_index": 3, "record": BAD})
    assert mixed.code == 3
    assert "line 2, record 3: failed" in mixed.err
    assert "distance" in mixed.err
    assert replays.visible() == [1, 2, 3]
    assert "record 1: already" in repair(good).out
    assert replays.visible() == [1, 2, 3]
    second = repair({"row_index": 1, "record": flight(9)})
    assert second.code == 3
    assert "only that same repair may be sent again" in second.err
    assert replays.visible() == [1, 2, 3]
    left = replays.here("records", "discard", batch_id, "3", "4", "--reason", "no such flight")
    assert "0 of batch" in left.out
    states = [each["state"] for each in replays.as_json("records", "list", batch_id)["items"]]
    assert states == ["landed", "discarded", "discarded"]
    assert replays.here("ledger", "verify").code == 0


def test_a_row_that_landed_after_all_is_not_repaired(
    replays: Replays, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (batch_id,) = dead_letter(replays, monkeypatch, batch_of([flight(1), BAD]))
    file = tmp_path / "repaired.jsonl"
    file.write_text(json.dumps({"row_index": 1, "record": flight(2)}))
    columns = "flight, _ingest_batch_id, _ingest_row_index, _ingest_time"
    values = f"7, '{batch_id}', 1, TIMESTAMP_MICROS({INGEST_US})"
    replays.tables.query(f"INSERT INTO `{PROJECT}.{replays.tables.dataset}.flights` ({columns}) VALUES ({values})")  # noqa: S608 - ours
    done = replays.here("records", "replay", batch_id, "--file", str(file))
    assert done.code == 3
    assert "landed after all" in done.err


def test_a_discarded_batch_stays_out_until_it_is_reopened(replays: Replays, monkeypatch: pytest.MonkeyPatch) -> None:
    (batch_id,) = dead_letter(replays, monkeypatch, batch_of([flight(1)]))
    assert replays.batches("discard", batch_id).code == 64
    assert replays.batches("discard", batch_id, "--reason", "test data").code == 0
    refused = replays.batches("replay", batch_id)
    assert refused.code == 3
    assert "reopen it first" in refused.err
    assert replays.batches("reopen", batch_id).code == 0
    assert replays.batches("replay", batch_id).code == 0
    assert replays.visible() == [1]


GATE = Column("gate", "STRING")
MOVES = [
    ("a column added", lambda columns: [*columns, GATE], "sent", "COMMITTED", ""),
    (
        "a column dropped",
        lambda columns: [each for each in columns if each.name != "distance"],
        "refused: table flights, column distance: table has none, batch wants INT64",
        "DEAD_LETTERED",
        "INVALID_ARGUMENT",
    ),
    (
        "a type changed",
        lambda columns: [replace(each, type="STRING") if each.name == "flight" else each for each in columns],
        "refused: table flights, column flight: table has STRING, batch wants INT64",
        "DEAD_LETTERED",
        "INVALID_ARGUMENT",
    ),
]


@pytest.mark.parametrize(("what", "move", "verdict", "status", "code"), MOVES, ids=[move[0] for move in MOVES])
def test_a_replay_does_what_its_plan_says_after_the_schema_moved(  # noqa: PLR0913, PLR0917 - a case's parts
    scripted: tuple[Replays, StorageWriteServer],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    move: Callable[[Sequence[Column]], list[Column]],
    verdict: str,
    status: str,
    code: str,
) -> None:
    replays, server = scripted
    (batch_id,) = dead_letter(replays, monkeypatch, batch_of([flight(1, distance=5), flight(2)]))
    table = replays.tables.read("flights")
    assert table is not None
    rest = f"http://{replays.env['BIGQUERY_EMULATOR_HOST']}/bigquery/v2/projects/{PROJECT}"
    with suppress(json.JSONDecodeError):  # the answer is empty
        request_json("DELETE", f"{rest}/datasets/{replays.tables.dataset}/tables/flights")
    replays.tables.create_table("flights", move(table.columns), partition_column="_ingest_time")
    declare(replays, server)
    plan = replays.batches("replay", batch_id, "--dry-run")
    assert plan.code == 0, (what, plan.err)
    assert verdict in " ".join(plan.out.split()), what
    done = replays.as_json("batches", "replay", batch_id)["items"][0]
    assert (done["status"], done["code"]) == (status, code), (what, done)


def test_an_outage_s_batch_with_a_bad_row_is_replayed_without_it_and_the_row_repaired(
    scripted: tuple[Replays, StorageWriteServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replays, server = scripted
    (batch_id,) = dead_letter(
        replays, monkeypatch, batch_of([flight(1), flight(2), BAD]), outcome=DENIED, kind="systemic"
    )
    refuse = {"answer": "INVALID_ARGUMENT", "row_errors": "matching", "message": "flight 'two' is unknown"}
    server.play([{"on": {"stream": "*/tables/flights/*", "contains": {"flight": [2]}}, "do": refuse}])
    done = replays.batches("replay", batch_id, "--reason", "it is back")
    assert done.code == 3
    assert f"{batch_id} is COMMITTED: 1 rows, 1 refused" in done.err
    assert "'two'" not in done.out, "reasons may quote values"
    assert replays.visible() == [1]
    items = replays.as_json("records", "list", batch_id)["items"]
    assert [(each["row_index"], each["stage"], each["state"]) for each in items] == [
        (1, "append", "open"),
        (2, "encode", "open"),
    ]
    assert items[0]["record"] == flight(2)
    assert replays.as_json("batches", "replay", batch_id)["items"][0]["already"]
    server.play([])
    file = tmp_path / "repaired.jsonl"
    file.write_text(json.dumps({"row_index": 1, "record": flight(2)}) + "\n")
    assert replays.here("records", "replay", batch_id, "--file", str(file)).code == 0
    assert replays.visible() == [1, 2]
    assert replays.here("ledger", "verify").code == 0


def test_a_bulk_replay_is_stopped_and_continued_under_one_receipt(
    scripted: tuple[Replays, StorageWriteServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    replays, server = scripted
    ids = dead_letter(replays, monkeypatch, *[batch_of([flight(n)], start=f"c{n}") for n in range(30)])
    server.play([{"on": {"contains": {"flight": [7, 8, 9]}}, "do": {"answer": "INVALID_ARGUMENT", "message": "no"}}])
    first = replays.here("batches", "replay", "--all", "--max-per-s", "1000", "--json", "--reason", "mended")
    assert first.code == 3
    report = json.loads(first.out.splitlines()[-1])
    assert (report["status"], report["counts"]) == (
        "failed",
        {"pending": 20, "succeeded": 7, "failed": 3, "skipped": 0},
    )
    assert [each["batch_id"] for each in report["items"]] == ids
    stopped = replays.as_json("batches", "replay", "--receipt", report["receipt"], "--stop")
    assert stopped["status"] == "stopped"
    second = replays.here("batches", "replay", "--receipt", report["receipt"], "--max-per-s", "1000", "--json")
    done = json.loads(second.out.splitlines()[-1])
    assert (done["status"], done["counts"]) == ("done", {"pending": 0, "succeeded": 27, "failed": 3, "skipped": 0})
    assert second.code == 3
    assert replays.visible() == [n for n in range(30) if n not in {7, 8, 9}]
    server.play([])
    assert replays.here("batches", "replay", "--all", "--max-per-s", "1000").code == 0
    assert replays.visible() == list(range(30))
    assert replays.here("ledger", "verify").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name batches, or say --all"),
        (("b", "--all"), "name batches, or say --all"),
        (("b", "--force"), "--force wants --reason"),
        (("--all", "--stop"), "--stop goes with --receipt"),
        (("b", "--lane", "0"), "go with --all"),
        (("--all", "--since", "yesterday"), "is no time"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(pipeline: Pipeline, arguments: Sequence[str], said: str) -> None:
    done = Replays(pipeline.tables, pipeline.env, pipeline.log_dir).batches("replay", *arguments)
    assert done.code == 64
    assert said in done.err


def test_a_batch_that_is_not_known_is_said_once(replays: Replays) -> None:
    done = replays.here("batches", "replay", "NOPE")
    assert (done.code, done.err) == (3, "batch NOPE is not known; find it with `ingestor batches list`\n")
