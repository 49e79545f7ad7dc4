"""Emulators for the tests: one set for all workers, each started when the first test asks for it."""

import gc
import os
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ops.local.broker import ADDRESS, Broker, MissingEmulatorError, ask
from ops.local.services import DemoApi, request_json

EMULATOR_VARIABLES = (
    "FIRESTORE_EMULATOR_HOST",
    "STORAGE_EMULATOR_HOST",
    "BIGQUERY_EMULATOR_HOST",
    "BIGQUERY_STORAGE_EMULATOR_HOST",
    "SECRET_MANAGER_EMULATOR_HOST",
)
NOT_RUN = "did not run: "
PROJECT = "test-project"
_broker: list[Broker] = []


@dataclass(frozen=True)
class BigQueryHosts:
    """Addresses of the BigQuery emulator, host:port each."""

    rest_host: str
    grpc_host: str


def pytest_configure(config: pytest.Config) -> None:
    for variable in EMULATOR_VARIABLES:  # a developer's own emulators are none of the tests' business
        os.environ.pop(variable, None)
    if not hasattr(config, "workerinput"):
        _broker.append(Broker())
        os.environ.update(_broker[0].environment)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect without the collector of garbage, in half the time: thousands of tests are made, and all are kept."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first, so that at the end no worker waits for another one's long test."""
    items.sort(key=lambda item: (item.path.parent.name != "e2e", "kill" not in item.path.name))


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and _broker:
        _broker.pop().close()
        os.environ.pop(ADDRESS, None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if NOT_RUN in reason:
            reasons[reason.split(NOT_RUN, 1)[1]] += 1
    for reason, tests in reasons.items():
        terminalreporter.write_line(f"NOTICE: {tests} tests did not run: {reason}", yellow=True, bold=True)


def emulator(name: str) -> tuple[str, ...]:
    """Return a shared emulator's addresses; without it skip the test, or fail it where REQUIRE_EMULATORS=1."""
    try:
        return _broker[0].hosts(name) if _broker else ask(name)
    except MissingEmulatorError as missing:
        if os.environ.get("REQUIRE_EMULATORS") == "1":
            pytest.fail(f"REQUIRE_EMULATORS=1, but {missing}", pytrace=False)
        pytest.skip(f"{NOT_RUN}{missing}")


@pytest.fixture(scope="session")
def firestore_host() -> str:
    """host:port of the Firestore emulator. Isolate by project id."""
    return emulator("firestore")[0]


@pytest.fixture(autouse=True)
def _firestore_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("firestore"):
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", request.getfixturevalue("firestore_host"))


@pytest.fixture(scope="session")
def bigquery() -> BigQueryHosts:
    """The BigQuery emulator. Isolate by dataset, see `dataset`."""
    rest_host, grpc_host = emulator("bigquery")
    return BigQueryHosts(rest_host, grpc_host)


@pytest.fixture(scope="session")
def gcs_url() -> str:
    """What STORAGE_EMULATOR_HOST wants. Isolate by bucket, see `bucket`."""
    return emulator("gcs")[0]


@pytest.fixture
def dataset(bigquery: BigQueryHosts) -> str:
    """A fresh dataset of the project `test-project`."""
    return fresh_dataset(bigquery)


def fresh_dataset(bigquery: BigQueryHosts) -> str:
    """Make a dataset and return its name, for those that share one."""
    name = f"d{uuid.uuid4().hex[:12]}"
    body = {"datasetReference": {"projectId": PROJECT, "datasetId": name}}
    request_json("POST", f"http://{bigquery.rest_host}/bigquery/v2/projects/{PROJECT}/datasets", body)
    return name


@pytest.fixture
def bucket(gcs_url: str) -> str:
    """A fresh bucket."""
    name = f"b{uuid.uuid4().hex[:12]}"
    request_json("POST", f"{gcs_url}/storage/v1/b?project={PROJECT}", {"name": name})
    return name


@pytest.fixture(scope="session")
def _demo_api_process() -> Iterator[DemoApi]:
    with DemoApi() as api:
        yield api


@pytest.fixture
def demo_api(_demo_api_process: DemoApi) -> DemoApi:
    """The flights' API, one process per worker, behaving well until told otherwise; a test may kill it."""
    _demo_api_process.start()
    _demo_api_process.admin(reset=True)
    return _demo_api_process
