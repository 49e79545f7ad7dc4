"""The commands that change a lane, on real parts: what runs, the view and the ledger table make of them."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from ingestor.bootstrap import open_journal
from ingestor.cli import cli
from ingestor.config import load
from ingestor.control_wiring import open_control
from ingestor.logs import configure
from ops.local.services import DemoApi
from state.journal import BatchQuery
from state.verify import verify_pipeline
from tests.e2e.conftest import Pipeline


def command(pipeline: Pipeline, *arguments: str, code: int = 0) -> Any:
    """Call a command in this process; return what it prints as JSON."""
    result = CliRunner().invoke(cli, [*arguments, "--json"], env=dict(pipeline.env))
    assert result.exit_code == code, (result.output, result.exception)
    return json.loads(result.stdout.splitlines()[-1]) if code == 0 else result.exception


@pytest.fixture
def small(pipeline: Pipeline, demo_api: DemoApi) -> Pipeline:
    """The first 3,000 flights, in pages of 1,000."""
    demo_api.admin(visible=3_000)
    return pipeline.with_env(SOURCE_PAGE_SIZE="1000", BATCH_MAX_ROWS="1000")


def test_people_pause_move_and_recover_a_lane(small: Pipeline) -> None:
    small.apply_schema()
    paused = command(small, "pause", "--reason", "the source moves", "--actor", "ann")["items"]
    assert [(lane["lane"], lane["paused"], lane["unpublished"]) for lane in paused] == [("0", True, "")]
    skipped = small.run_here()
    assert (skipped.code, skipped.summary["status"]) == (0, "skipped")
    assert "the source moves" in skipped.summary["error"]
    assert small.count("flights_dedup") == 0

    command(small, "resume", "--actor", "ann")
    done = small.run_here()
    assert (done.code, done.summary["status"], small.count("flights_dedup")) == (0, "complete", 3_000)

    at = done.summary["checkpoint"]["cursor"]
    refused = command(small, "checkpoint", "set", "--to", at, "--reason", "r", "--never-passed", code=1)
    assert "has passed" in str(refused)
    assert command(small, "ledger", "recover")["items"] == []

    config = load(small.env)
    journal = open_journal(config)
    try:
        with open_control(config, journal, configure("test", "flights", "INFO", None)) as ports:
            committed = {batch["batch_id"] for batch in journal.list_batches(BatchQuery(status="COMMITTED"))}
            told, highest = ports.published("0", 0)
            assert told == dict.fromkeys(committed, "COMMITTED")
            assert ports.published("0", highest) == ({}, 0)
            assert ports.published("it's another", 0) == ({}, 0)
            moved = ports.control.set_checkpoint("0", to="never", actor="ann", reason="r", never_passed=True)
        assert moved.state.checkpoint is not None
        assert moved.state.checkpoint.cursor == "never"
        assert verify_pipeline(journal, config.pipeline_id) == []
    finally:
        journal.close()
