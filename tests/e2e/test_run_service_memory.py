"""Memory of the run service over many runs: what a run needs, it gives back."""

from pathlib import Path

import pytest

from ops.local.services import DemoApi
from tests.e2e.conftest import Pipeline
from tests.e2e.test_run_service import Service, served

RUNS, WARM_AFTER, FLIGHTS_A_RUN = 200, 50, 50
GROWTH_KIB = 10 * 1024
"""What the second three quarters of the runs may add: allocators keep some; a leak of a batch a run would be more."""


def worker_rss_kib(service: Service) -> int:
    """Resident memory of gunicorn's one worker, in KiB, as Linux tells it."""
    parent = service.process.pid
    (worker,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    status = Path(f"/proc/{worker}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


@pytest.mark.long
def test_two_hundred_runs_leave_the_services_memory_where_it_was(
    pipeline: Pipeline, demo_api: DemoApi, tmp_path: Path
) -> None:
    pipeline.apply_schema()
    with served(pipeline.with_env(SOURCE_PAGE_SIZE="200"), tmp_path / "service.log") as service:
        used = []
        for number in range(1, RUNS + 1):
            demo_api.admin(visible=number * FLIGHTS_A_RUN)
            answer = service.trigger(number)
            assert (answer.status, answer.body["rows_committed"]) == (200, FLIGHTS_A_RUN)
            used.append(worker_rss_kib(service))
    growth = max(used[-10:]) - max(used[WARM_AFTER - 10 : WARM_AFTER])
    print(f"RSS in KiB: {used[0]} first, {used[WARM_AFTER - 1]} after {WARM_AFTER}, {used[-1]} after {RUNS}")  # noqa: T201
    assert growth < GROWTH_KIB, used[::10]
