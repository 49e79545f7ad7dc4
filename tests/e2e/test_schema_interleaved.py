"""Runs of an old and of a new deployment by turns on one table, as after a roll-out that was taken back."""

import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ops.local.flights import records

ROOT = Path(__file__).parents[2]
FIRST = date(2013, 1, 1)


@pytest.fixture
def older(tmp_path: Path) -> str:
    """An older deployment's code: its message has no tailnum yet. Returns its PYTHONPATH."""
    tree = tmp_path / "older"
    for folder in ("proto", "ingestor", "state"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("*_pb2.py*", "__pycache__"))
    shutil.copy(ROOT / "hatch_build.py", tree)
    proto = tree / "proto" / "flights.proto"
    proto.write_text(proto.read_text().replace("  optional string tailnum = 12;\n", ""))
    path = f"{tree}{os.pathsep}{tree / 'proto'}"
    command = [sys.executable, "hatch_build.py"]
    subprocess.run(command, cwd=tree, env={"PYTHONPATH": path}, check=True, capture_output=True)
    return path


def test_old_and_new_runs_by_turns_refuse_nothing_and_fill_the_right_columns(
    pipeline: Any, demo_api: Any, older: str
) -> None:
    assert pipeline.with_env(PYTHONPATH=older).ingestor("schema", "apply").code == 0
    assert "year" in {column.name for column in pipeline.tables.read("flights").columns}
    assert pipeline.ingestor("schema", "apply").out.startswith("change table flights: add tailnum STRING\n")
    for day in range(2, 7):
        url = demo_api.source_url(FIRST, date(2013, 1, day))
        deployment = pipeline.with_env(SOURCE_URL=url, PYTHONPATH=older if day % 2 else None)
        done = deployment.run("--quiet")
        assert (done.code, done.summary["status"], done.summary["rows_rejected"]) == (0, "complete", 0), done.err
        assert done.summary["balanced"]
    name = f"`{pipeline.tables.project}.{pipeline.tables.dataset}.flights_dedup`"
    counted = pipeline.tables.query(
        f"SELECT day, COUNT(*) AS n, COUNT(tailnum) AS tailnums FROM {name} GROUP BY day ORDER BY day"  # noqa: S608 (our names)
    )
    source = [list(records(date(2013, 1, day), date(2013, 1, day + 1))) for day in range(1, 6)]
    assert [row["n"] for row in counted] == [len(flights) for flights in source]
    # Odd `day` above was the old deployment, which wrote the day before: days 2 and 4.
    known = [sum(flight["tailnum"] is not None for flight in flights) for flights in source]
    assert [row["tailnums"] for row in counted] == [known[0], 0, known[2], 0, known[4]]
