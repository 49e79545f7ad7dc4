"""Every runbook's commands, executed against the local stack with the failure that it describes really produced.

A scenario breaks something, the commands of *Check* are executed as they stand, what is not done with our commands is
mended (`mend`), then those of *Act* and *Verify* follow. Commands run in this process through the command line's own
entry point, so that twenty runbooks cost seconds and not minutes.
"""

import contextlib
import io
import json
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ingestor import ddl
from ingestor.columns import columns_of
from ingestor.config import load
from ingestor.logs import configure
from ingestor.messages import descriptor_of, message_class
from ingestor.web import create_app
from ops.local.secret_manager import SecretManager
from ops.local.services import DemoApi
from ops.local.storage_write_server import StorageWriteServer
from state.journal import BatchQuery
from state.sqlite import SqliteJournal
from tests.conftest import PROJECT, BigQueryHosts
from tests.e2e.conftest import Done, Pipeline
from tests.runbooks import NAMES, Command, commands

FLIGHTS, BATCH_ROWS = 400, 100
TABLE = "*/tables/flights/*"
BAD_VALUE = {"dep_time": "early"}


@dataclass
class World:
    """A pipeline of a few flights, what stands around it, and the variables of a runbook's commands."""

    pipeline: Pipeline
    server: StorageWriteServer
    demo_api: DemoApi
    folder: Path
    env: dict[str, str]
    values: dict[str, str] = field(default_factory=dict)
    exits: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    said: str = ""
    mend: Callable[[], object] = lambda: None

    def ingestor(self, *arguments: str) -> Done:
        """Execute a command in this process."""
        with contextlib.chdir(self.folder):
            return replace(self.pipeline, env=self.env).here(*arguments)

    def run(self, expected: int = 0) -> Done:
        """Run once and demand the exit code."""
        done = self.ingestor("run", "--json")
        assert done.code == expected, (done.code, done.out[-2000:], done.err)
        return done

    def first(self, what: str, key: str, *options: str) -> str:
        """Return a key of the first item that a list shows."""
        done = self.ingestor(what, "list", "--json", *options)
        found = json.loads(done.out.splitlines()[-1])
        items = found["items"] if isinstance(found, dict) else found
        return str(items[0][key])

    def journal(self) -> SqliteJournal:
        """Open the ledger."""
        return SqliteJournal(self.folder / "ledger.db", "flights")

    def spoilt(self, places: range) -> None:
        """The source spoils the records at these places."""
        self.demo_api.admin(poison={str(place): BAD_VALUE for place in places})

    def die_in_a_run(self) -> None:
        """A run is killed while a batch of its is applied and unanswered."""
        self.server.play([{"on": {"stream": TABLE, "request": 2}, "do": {"hold": "after"}}])
        process = self.pipeline.with_env(**self.env).start("run", "--quiet", stdout=subprocess.DEVNULL)
        with process:
            while sum(seen.applied for seen in self.server.requests()) < 2 and process.poll() is None:
                time.sleep(0.02)
            process.kill()
        self.server.play([])


@pytest.fixture
def world(pipeline: Pipeline, bigquery: BigQueryHosts, demo_api: DemoApi, tmp_path: Path) -> Iterator[World]:
    with StorageWriteServer(forward=bigquery.grpc_host) as server:
        env = {
            **pipeline.env,
            "BIGQUERY_STORAGE_EMULATOR_HOST": server.host,
            "SOURCE_PAGE_SIZE": "200",
            "SOURCE_MAX_ATTEMPTS": "2",
            "BATCH_MAX_ROWS": str(BATCH_ROWS),
            "MAX_IN_FLIGHT": "2",
            "APPEND_MAX_ATTEMPTS": "2",
        }
        pipeline.apply_schema()
        demo_api.admin(visible=FLIGHTS)
        with contextlib.ExitStack() as exits:
            yield World(pipeline, server, demo_api, tmp_path, env, exits=exits)


def source_answers_503(world: World) -> None:
    world.demo_api.admin(unavailable=-1)
    world.run(3)
    world.values["RUN_ID"] = world.first("runs", "run_id")
    world.mend = lambda: world.demo_api.admin(unavailable=0)


def a_column_is_missing(world: World) -> None:
    world.env |= {"BQ_TABLE_ID": "narrow", "PIPELINE_ID": "flights"}
    columns = columns_of(descriptor_of(message_class("flights.Flight")))
    narrow = [column for column in columns if column.name != "carrier"]
    world.pipeline.tables.create_table(
        "narrow", narrow, partition_column=ddl.PARTITION_COLUMN, cluster_columns=[ddl.CLUSTER_COLUMN]
    )
    world.run(2)


def the_account_may_not_write(world: World) -> None:
    world.server.play([{"do": {"end": "PERMISSION_DENIED", "message": "Permission 'TABLES_UPDATE_DATA' denied"}}])
    world.run(3)
    world.mend = lambda: world.server.play([])


def the_quota_is_used_up(world: World) -> None:
    refused = {"answer": "RESOURCE_EXHAUSTED", "message": "Exceeds AppendRows throughput quota"}
    world.server.play([{"on": {"stream": TABLE}, "do": refused}])
    world.run(3)
    world.mend = lambda: world.server.play([])


def a_batch_is_refused(world: World) -> None:
    refused = {"answer": "INVALID_ARGUMENT", "message": "the service does not want this batch"}
    world.server.play([{"on": {"stream": TABLE, "request": 2}, "do": refused}])
    world.run()
    world.values["BATCH_ID"] = world.first("batches", "batch_id", "--status", "DEAD_LETTERED")


def a_run_dies_with_a_batch_in_doubt(world: World) -> None:
    world.die_in_a_run()


def the_source_turns_bad(world: World) -> None:
    world.env["FUSE_RATIO"] = "0.1"
    world.demo_api.admin(visible=4_000)
    world.env["SOURCE_PAGE_SIZE"] = "2000"
    world.spoilt(range(0, 4_000, 2))
    world.run(3)
    world.values["BATCH_ID"] = world.first("batches", "batch_id")
    world.mend = lambda: world.demo_api.admin(poison={})


def the_lane_is_paused(world: World) -> None:
    assert world.ingestor("pause", "--reason", "a pause that somebody forgot").code == 0
    assert world.run().summary["status"] == "skipped"


def acknowledged_rows_are_lost(world: World) -> None:
    world.run()
    world.values["BATCH_ID"] = batch = world.first("batches", "batch_id")
    name = f"`{PROJECT}.{world.env['BQ_DATASET_ID']}.flights`"
    query = world.pipeline.tables.query
    query(f"CREATE TABLE {name[:-1]}_kept` AS SELECT * FROM {name} WHERE _ingest_batch_id = '{batch}'")  # noqa: S608
    query(f"DELETE FROM {name} WHERE _ingest_batch_id = '{batch}'")  # noqa: S608
    world.mend = lambda: query(f"INSERT INTO {name} SELECT * FROM {name[:-1]}_kept`")  # noqa: S608 - as time travel does


def some_records_are_spoilt(world: World) -> None:
    world.spoilt(range(3, 8))
    world.run()
    with contextlib.closing(world.journal()) as journal:
        found = next(each for each in journal.list_batches(BatchQuery(), limit=50) if each["rejected_indexes"])
    world.values |= {"BATCH_ID": found["batch_id"], "ROW_INDEX": str(found["rejected_indexes"][0])}
    world.mend = lambda: world.env.update(REPAIR="1")


def the_bucket_is_gone(world: World) -> None:
    name = world.env["DEAD_LETTER_BUCKET"]
    world.env["DEAD_LETTER_BUCKET"] = f"{name}-gone"
    world.run(3)
    world.mend = lambda: world.env.update(DEAD_LETTER_BUCKET=name)


def a_run_meets_its_deadline(world: World) -> None:
    world.env["RUN_DEADLINE_S"] = "1"
    world.demo_api.admin(latency_ms=900)
    assert world.run().summary["status"] == "partial"
    world.values["RUN_ID"] = world.first("runs", "run_id")

    def more_time() -> None:
        world.demo_api.admin(latency_ms=0)
        world.env.pop("RUN_DEADLINE_S", None)

    world.mend = more_time


def two_runs_have_one_lane(world: World) -> None:
    world.server.play([{"on": {"stream": TABLE, "request": 1}, "do": {"delay_s": 3}}])
    other = world.pipeline.with_env(**world.env).start("run", "--json", stdout=subprocess.PIPE)
    with other:
        while not world.server.requests() and other.poll() is None:
            time.sleep(0.02)
        assert world.ingestor("run", "--takeover", "--json").code == 0
        other.communicate(timeout=120)
    assert other.returncode == 3


def a_stranger_calls(world: World) -> None:
    lines = io.StringIO()
    service = {**world.env, "AUTH": "oidc", "AUTH_AUDIENCE": "https://run.example", "AUTH_INVOKERS": "tick@p.example"}
    app = create_app(load(service), log=configure("run", "flights", "INFO", lines), signals=False)
    assert app.test_client().post("/run").status_code in {401, 403}
    assert '"auth.refused"' in lines.getvalue()


def rows_are_sent_twice(world: World) -> None:
    world.server.play([{"on": {"stream": TABLE, "request": 1}, "do": {"cut": "after"}}])
    world.run()
    assert world.pipeline.count("flights") > world.pipeline.count("flights_dedup") == FLIGHTS


def a_wrong_image_was_delivered(world: World) -> None:
    message = world.env["MESSAGE_TYPE"]
    world.env["MESSAGE_TYPE"] = "ingestor.DeadLetterBatch"
    world.run(2)
    world.mend = lambda: world.env.update(MESSAGE_TYPE=message)


def documents_of_the_index_are_wrong(world: World) -> None:
    world.run()
    with contextlib.closing(sqlite3.connect(world.folder / "ledger.db")) as database:
        other = "CAST(json_set(CAST(document AS TEXT), '$.status', 'ATTEMPTED') AS BLOB)"
        database.execute(f"UPDATE batches SET status = 'ATTEMPTED', document = {other}")  # noqa: S608 - words of ours
        database.commit()


def the_credential_is_refused(world: World) -> None:
    secret = f"projects/{PROJECT}/secrets/source"
    secrets = world.exits.enter_context(SecretManager())
    secrets.put(secret, "the old key")
    world.demo_api.admin(require={"X-Api-Key": "the new key"})
    world.env |= {
        "SOURCE_AUTH": "header:X-Api-Key",
        "SOURCE_SECRET": f"{secret}/versions/latest",
        "SECRET_MANAGER_EMULATOR_HOST": secrets.host,
    }
    world.run(3)
    world.mend = lambda: secrets.put(secret, "the new key")


SCENARIOS: dict[str, Callable[[World], None]] = {
    "auth-refused": a_stranger_calls,
    "bucket-unreachable": the_bucket_is_gone,
    "cost": rows_are_sent_twice,
    "data-subject-deletion": some_records_are_spoilt,
    "dead-letters": a_batch_is_refused,
    "firestore-contention": two_runs_have_one_lane,
    "fuse": the_source_turns_bad,
    "in-doubt": a_run_dies_with_a_batch_in_doubt,
    "key-rotation": the_credential_is_refused,
    "missed-ticks": the_lane_is_paused,
    "permission-lost": the_account_may_not_write,
    "quota": the_quota_is_used_up,
    "reconcile-difference": acknowledged_rows_are_lost,
    "rejected-records": some_records_are_spoilt,
    "restore": documents_of_the_index_are_wrong,
    "rollback": a_wrong_image_was_delivered,
    "run-failed": source_answers_503,
    "schema-mismatch": a_column_is_missing,
    "slow-runs": a_run_meets_its_deadline,
    "source-down": source_answers_503,
}


def repaired(path: Path) -> None:
    """Repair a file of rejected records, as a person would."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["record"]["dep_time"] = 517
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def execute(world: World, name: str, section: str) -> str:
    """Execute a section's commands of ours; return all that they said."""
    said = ""
    for command in (one for one in commands(name, "bash") if one.section == section):
        words, _, target = command.line.partition(" > ")
        done = world.ingestor(*command_words(words, world.values)[1:])
        assert done.code in command.codes, (command.line, done.code, done.out[-3000:], done.err)
        assert "Traceback" not in done.out + done.err
        if target:
            (world.folder / target).write_text(done.out)
            repaired(world.folder / target)
        said += done.out + done.err
    return said


def command_words(line: str, values: dict[str, str]) -> list[str]:
    return Command("", line, frozenset()).words(**values)


TELLING: dict[str, str] = {
    "bucket-unreachable": "bucket",
    "dead-letters": "the service does not want this batch",
    "fuse": "dep_time",
    "in-doubt": "ATTEMPTED",
    "key-rotation": "401",
    "missed-ticks": "a pause that somebody forgot",
    "permission-lost": "PERMISSION_DENIED",
    "quota": "RESOURCE_EXHAUSTED",
    "reconcile-difference": "missing",
    "rejected-records": "dep_time",
    "restore": "batch",
    "rollback": "flights",
    "run-failed": "503",
    "schema-mismatch": "carrier",
    "slow-runs": "partial",
}
"""A word of the cause that the commands of *Check* must show."""


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_of_a_runbook_find_the_failure_mend_it_and_show_that_it_is_mended(world: World, name: str) -> None:
    SCENARIOS[name](world)
    assert TELLING.get(name, "") in execute(world, name, "Check")
    if name not in {"source-down", "missed-ticks"}:
        world.mend()
    execute(world, name, "Act")
    world.mend()
    execute(world, name, "Verify")
    final = world.run()
    assert final.summary["status"] == "complete"
    assert world.ingestor("ledger", "verify").code == 0


def test_every_runbook_has_a_scenario() -> None:
    assert set(SCENARIOS) == set(NAMES)
