"""How a commit gets into service: the script in full against a recorded gcloud, and what calls it by its words."""

import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingestor.config import load
from tests.unit.test_runbooks import gcloud_problem

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "ops" / "ci" / "deploy.sh"
WORKFLOWS = ROOT / ".github" / "workflows"
IMAGE = "europe-west1-docker.pkg.dev/p/ingestor/ingestor@sha256:" + "1" * 64
OLD_IMAGE = IMAGE.replace("1" * 64, "0" * 64)
GCLOUD = f"""#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
  "run services describe"*) echo ingestor-run-00007 ;;
  "run jobs describe"*) echo {OLD_IMAGE} ;;
  "run jobs execute"*) exit "$SMOKE" ;;
esac
"""


@dataclass(frozen=True)
class Delivered:
    """How the script ended and what it asked gcloud for."""

    code: int
    said: str
    calls: list[str]

    def place(self, beginning: str) -> int:
        """Where the first call stands that begins so."""
        return next(at for at, call in enumerate(self.calls) if call.startswith(beginning))


def deliver(folder: Path, image: str = IMAGE, smoke: int = 0) -> Delivered:
    gcloud = folder / "gcloud"
    gcloud.write_text(GCLOUD)
    gcloud.chmod(0o755)
    calls = folder / "calls"
    calls.touch()
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "CALLS": str(calls), "SMOKE": str(smoke)}
    command = [str(SCRIPT), "p", "europe-west1", "ingestor", image]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    return Delivered(done.returncode, done.stdout + done.stderr, calls.read_text().splitlines())


def test_traffic_moves_only_after_a_revision_without_traffic_and_a_smoke_test(tmp_path: Path) -> None:
    delivered = deliver(tmp_path)
    assert delivered.code == 0, delivered.said
    without_traffic = [call for call in delivered.calls if "--no-traffic" in call]
    assert len(without_traffic) == 2
    smoke = delivered.place("run jobs execute ingestor-job")
    assert "--args=ingestor,check" in delivered.calls[smoke]
    assert delivered.place("run services update ") < delivered.place("run jobs update ingestor-job") < smoke
    assert smoke < delivered.place("run services update-traffic ingestor-run")
    assert smoke < delivered.place("run services update-traffic ingestor-ops")
    assert "ingestor-run-00007" in delivered.said


def test_a_failed_smoke_test_changes_nothing_for_callers_and_puts_the_job_back(tmp_path: Path) -> None:
    delivered = deliver(tmp_path, smoke=1)
    assert delivered.code == 1
    assert not [call for call in delivered.calls if "update-traffic" in call]
    assert OLD_IMAGE in delivered.calls[-1]
    assert delivered.calls[-1].startswith("run jobs update ingestor-job")
    assert "ingestor-run-00007 still serves" in delivered.said


def test_an_image_is_named_by_digest(tmp_path: Path) -> None:
    delivered = deliver(tmp_path, image="europe-west1-docker.pkg.dev/p/ingestor/ingestor:latest")
    assert (delivered.code, delivered.calls) == (64, [])


def test_what_the_script_asks_of_gcloud_exists(tmp_path: Path) -> None:
    calls = deliver(tmp_path).calls + deliver(tmp_path, smoke=1).calls
    assert [problem for problem in (gcloud_problem(shlex.split(call)) for call in calls) if problem] == []


def parsed(path: Path) -> Mapping[str, Any]:
    content: Mapping[str, Any] = yaml.safe_load(path.read_text())
    return content


BUILD = (ROOT / "cloudbuild.yaml").read_text()
DELIVER = (WORKFLOWS / "deliver.yaml").read_text()
CHECK = (WORKFLOWS / "check.yaml").read_text()


@pytest.mark.parametrize("text", [BUILD, DELIVER], ids=["cloudbuild.yaml", "deliver.yaml"])
def test_both_ways_of_delivery_check_build_push_and_deploy_in_this_order(text: str) -> None:
    steps = ["ingestor schema check", "docker build", "docker push", "ops/ci/deploy.sh"]
    places = [text.index(step) for step in steps]
    assert places == sorted(places)
    assert "PYTHON_IMAGE=" in text, "the base by digest"
    assert ("make check" in text) or ("uses: ./.github/workflows/check.yaml" in text)


def test_a_change_is_linted_typed_tested_and_its_protos_compared() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "make check" in CHECK
    assert "make test" in CHECK
    for part in ("ruff check", "mypy", "lint-imports", "ops/ci/protos.sh", "schema check", "check-deployment"):
        assert part in makefile
    assert "buf" in (ROOT / "ops" / "ci" / "protos.sh").read_text()
    assert "pip-audit --strict" in CHECK
    assert "cyclonedx-py" in CHECK
    assert "terraform -chdir=ops/terraform/example validate" in CHECK


def test_a_workflow_may_only_read_but_the_job_that_delivers_may_prove_who_it_is() -> None:
    for path in WORKFLOWS.glob("*.yaml"):
        workflow = parsed(path)
        assert workflow["permissions"] == {"contents": "read"}
        for name, job in workflow["jobs"].items():
            granted = job.get("permissions", {})
            assert granted in ({}, {"contents": "read", "id-token": "write"}), (path.name, name)
    assert "credentials_json" not in DELIVER


def test_cloud_build_runs_its_steps_as_the_deploy_account_without_a_key() -> None:
    build = parsed(ROOT / "cloudbuild.yaml")
    assert [step["id"] for step in build["steps"]] == ["check", "schema", "base", "build", "deploy"]
    assert build["options"]["logging"] == "CLOUD_LOGGING_ONLY"


def test_the_settings_of_the_images_smoke_test_are_a_service() -> None:
    lines = (ROOT / "ops" / "ci" / "smoke.env").read_text().splitlines()
    load(dict(line.split("=", 1) for line in lines)).check_service()
