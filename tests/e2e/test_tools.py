"""The ledger's tools as a person meets them: commands on real servers after real runs."""

import json
from typing import Any

import pytest

from ops.local.services import DemoApi
from tests.conftest import PROJECT
from tests.e2e.conftest import Pipeline


def _json(pipeline: Pipeline, *arguments: str, code: int = 0) -> Any:
    done = pipeline.here(*arguments, "--json")
    assert done.code == code, done.err
    return json.loads(done.out.splitlines()[-1])


def test_a_run_is_proved_explained_and_mended_by_the_commands(pipeline: Pipeline, demo_api: DemoApi) -> None:
    pipeline.apply_schema()
    demo_api.admin(visible=2_000, poison={"7": {"dep_time": "early"}})
    small = pipeline.with_env(BATCH_MAX_ROWS="1000")
    summary = small.run_here().summary
    totals = _json(small, "reconcile", "--since", "1h")["totals"]
    counts = ("batches", "rows", "table_distinct", "missing", "unknown")
    assert [totals[name] for name in counts] == [2, 1_999, 1_999, 0, 0]
    shown = _json(small, "runs", "show", summary["run_id"])
    assert (shown["run"]["status"], len(shown["batches"])) == ("complete", 2)
    batch_id = next(each["batch_id"] for each in shown["batches"] if each["rejected"])
    assert _json(small, "why", batch_id, "7")["verdict"].startswith("invisible: the record was rejected (encode)")
    assert small.here("why", batch_id, "8").out.startswith("visible: a row of a COMMITTED batch")
    table = f"`{PROJECT}.{small.tables.dataset}.flights`"
    small.tables.query(f"DELETE FROM {table} WHERE _ingest_batch_id = '{batch_id}' AND _ingest_row_index = 8")  # noqa: S608 - ours
    differing = small.here("reconcile")
    assert differing.code == 4
    assert "1 of 999 rows are missing" in differing.err
    assert [line["missing"] for line in differing.events("reconcile.difference")] == [1]
    assert "missing: the ledger counts it" in small.here("why", batch_id, "8").out
    assert _json(small, "ledger", "rebuild") == {"mended": [], "differences": []}


def _without_table(pipeline: Pipeline) -> Pipeline:
    return pipeline.with_env(BQ_TABLE_ID="departures")


def _without_source(pipeline: Pipeline) -> Pipeline:
    return pipeline.with_env(SOURCE_URL="http://127.0.0.1:9/none", SOURCE_MAX_ATTEMPTS="1")


def test_check_names_what_a_run_would_meet_and_writes_nothing(pipeline: Pipeline, demo_api: DemoApi) -> None:
    pipeline.apply_schema()
    demo_api.admin(visible=30)
    found = _json(pipeline, "check")
    assert found["ok"]
    assert [each["what"] for each in found["findings"]] == ["ledger", "table", "bucket", "source", "records"]
    assert not list(pipeline.log_dir.glob("ledger*"))
    demo_api.admin(poison={"3": {"dep_time": "hunter2"}})
    poisoned = pipeline.here("check")
    assert poisoned.code == 4
    assert "1 of 30 would be rejected for dep_time" in poisoned.out
    assert "hunter2" not in poisoned.out + poisoned.err
    assert _without_table(pipeline).here("check").code == 2
    assert _without_source(pipeline).here("check").code == 3
    assert _without_source(_without_table(pipeline)).here("check").code == 2
    assert pipeline.count("flights") == 0


@pytest.mark.parametrize("arguments", [("runs", "show", "none"), ("why", "none", "-1")])
def test_what_is_not_known_is_said_in_one_line(pipeline: Pipeline, arguments: tuple[str, ...]) -> None:
    pipeline.apply_schema()
    done = pipeline.here(*arguments[:1], "--", *arguments[1:]) if arguments[0] == "why" else pipeline.here(*arguments)
    assert done.code == 3
    assert done.err.count("\n") == 1
