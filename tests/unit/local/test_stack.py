"""The stack as a whole: what it hands to the ingestor, and what it says of what is missing."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops.local.process import GONE_DEADLINE_S, ServiceError, accepts
from ops.local.services import BigQueryEmulator, FirestoreEmulator, request_json
from ops.local.stack import BUCKET, DATASET, PROJECT, LocalStack

MISSING_JAVA = "there is no java; install it"

pytestmark = pytest.mark.usefixtures("bigquery")  # skipped with what to do where bqemulator is not installed


def test_the_stack_has_dataset_and_bucket_and_an_environment_to_run_in(tmp_path: Path) -> None:
    with LocalStack(firestore=False) as stack:
        rest_url = f"http://{stack.env['BIGQUERY_EMULATOR_HOST']}/bigquery/v2/projects/{PROJECT}/datasets/{DATASET}"
        assert request_json("GET", rest_url)["datasetReference"]["datasetId"] == DATASET
        assert request_json("GET", f"{stack.env['STORAGE_EMULATOR_HOST']}/storage/v1/b/{BUCKET}")["name"] == BUCKET
        assert request_json("GET", stack.env["SOURCE_URL"])["flights"]
        assert stack.env["LEDGER"].startswith("sqlite:////")
        sourced = ["sh", "-c", f". {stack.write_env(tmp_path / 'env.sh')}; echo $SOURCE_URL"]
        assert subprocess.check_output(sourced, text=True).strip() == stack.env["SOURCE_URL"]
    assert [port for service in stack.services for port in service.ports if accepts(port)] == []


@pytest.mark.firestore
def test_the_ledger_is_in_firestore_where_it_can_be_had() -> None:
    stack = LocalStack()
    assert stack.notice is None
    with stack:
        assert stack.env["LEDGER"] == "firestore"
        host, port = stack.env["FIRESTORE_EMULATOR_HOST"].split(":")
        assert (host, accepts(int(port))) == ("127.0.0.1", True)


def test_without_java_the_ledger_is_a_file_and_the_stack_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FirestoreEmulator, "available", staticmethod(lambda: MISSING_JAVA))
    stack = LocalStack()
    assert stack.notice == f"The ledger is a SQLite file, because {MISSING_JAVA}"
    with pytest.raises(ServiceError, match=MISSING_JAVA):
        LocalStack(firestore=True)


def test_without_bqemulator_the_stack_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BigQueryEmulator, "available", staticmethod(lambda: "run `make stack`"))
    with pytest.raises(ServiceError, match="run `make stack`"):
        LocalStack(firestore=False).start()


def test_the_whole_stack_dies_when_its_command_is_killed() -> None:
    up = [sys.executable, "-m", "ops.local", "up", "--sqlite"]
    with subprocess.Popen(up, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as command:
        assert command.stdout is not None
        lines = iter(command.stdout.readline, "")
        ready = [next(lines) for _ in range(3)]
        ports = [int(port) for line in ready for port in line.split(" on port ")[1].split(",")]
        command.kill()
    deadline = time.monotonic() + GONE_DEADLINE_S
    while any(map(accepts, ports)) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(ports) == 4
    assert [port for port in ports if accepts(port)] == []
