"""Processes of the local stack come up, tell why not, and never outlive their owner."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops.local.process import Service, ServiceError, accepts, start_all
from ops.local.services import DemoApi, GcsServer, request_json

ROOT = Path(__file__).parents[3]
GONE_DEADLINE_S = 10.0
# Owns two services, one started on a thread that has ended since, and tells the ports.
OWNER = """
import threading, time
from ops.local.services import DemoApi, GcsServer
api, gcs = DemoApi(), GcsServer()
starter = threading.Thread(target=gcs.start)
starter.start()
starter.join()
api.start()
print(api.ports[0], gcs.ports[0], flush=True)
time.sleep(600)
"""


class Failing(Service):
    """Ends at once with a word of its own."""

    name = "failing"

    def command(self) -> list[str]:
        return [sys.executable, "-c", "import sys; sys.exit('the disk is on fire')"]

    def ready(self) -> bool:
        return False


class Clashing(Service):
    """Finds its first port taken."""

    name = "clashing"

    def __init__(self) -> None:
        super().__init__()
        self.tried: list[tuple[int, ...]] = []

    def command(self) -> list[str]:
        self.tried.append(self.ports)
        code = "raise SystemExit('address already in use')" if len(self.tried) == 1 else "import time; time.sleep(600)"
        return [sys.executable, "-c", code]

    def ready(self) -> bool:
        return len(self.tried) > 1


def wait_until_gone(ports: list[int]) -> list[int]:
    deadline = time.monotonic() + GONE_DEADLINE_S
    while (alive := [port for port in ports if accepts(port)]) and time.monotonic() < deadline:
        time.sleep(0.005)
    return alive


def test_services_die_when_their_owner_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, cwd=ROOT) as owner:
        assert owner.stdout is not None
        ports = [int(port) for port in owner.stdout.readline().split()]
        serving = [accepts(port) for port in ports]
        owner.kill()
    assert serving == [True, True]
    assert wait_until_gone(ports) == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the owner's death is watched")
def test_a_service_dies_when_its_leash_is_killed() -> None:
    with DemoApi() as api:
        assert api._process is not None
        api._process.kill()
        assert wait_until_gone(list(api.ports)) == []


def test_a_service_that_does_not_come_up_says_why_in_one_line() -> None:
    with pytest.raises(ServiceError, match=r"failing ended while starting; its log .* the disk is on fire") as caught:
        Failing().start()
    assert "\n" not in str(caught.value)


def test_a_clash_of_ports_is_tried_again_on_another() -> None:
    with Clashing() as service:
        assert service.running
    first, second = service.tried
    assert first != second


def test_one_failing_service_stops_those_that_started_with_it() -> None:
    gcs = GcsServer()
    with pytest.raises(ServiceError):
        start_all([gcs, Failing()])
    assert not gcs.running


def test_a_stopped_service_listens_no_more() -> None:
    with GcsServer() as gcs:
        pass
    assert [port for port in gcs.ports if accepts(port)] == []


def test_a_restarted_service_is_at_the_same_address_and_has_forgotten() -> None:
    with GcsServer() as gcs:
        gcs.create_bucket("bucket-1")
        address = gcs.url
        gcs.restart()
        gcs.create_bucket("bucket-1")
        assert gcs.url == address


def test_files_outlive_a_killed_server_that_has_a_data_dir(tmp_path: Path) -> None:
    with GcsServer(tmp_path) as gcs:
        gcs.create_bucket("bucket-1")
        gcs.restart()
        buckets = request_json("GET", f"{gcs.url}/storage/v1/b?project=p")["items"]
    assert [bucket["name"] for bucket in buckets] == ["bucket-1"]


def test_a_bucket_can_be_created(gcs_url: str, bucket: str) -> None:
    with GcsServer() as gcs:
        gcs.create_bucket(bucket)
    assert gcs.url != gcs_url
