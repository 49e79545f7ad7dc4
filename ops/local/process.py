"""Processes of the local stack: started on free ports, ready when they answer, gone when their owner is gone."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
LOCAL = ROOT / ".local"
LEASH = Path(__file__).with_name("leash.py")
HOST = "127.0.0.1"
START_DEADLINE_S = 60.0
GONE_DEADLINE_S = 5.0
POLL_S = 0.02
LOG_TAIL_LINES, LOG_LINE_CHARS = 8, 200
# Below the ranges from which Linux (32768) and macOS (49152) take ports for outgoing connections, so that nobody's
# client sits on a port between choosing and binding it, nor while its server is down and about to come back.
FIRST_PORT, LAST_PORT = 15_000, 31_999
CLASHES_ALLOWED = 3


class ServiceError(RuntimeError):
    """A service of the local stack did not start; the message names its log and what to do."""


def free_port() -> int:
    """Return a port on which nobody listens now."""
    while True:
        port = random.randint(FIRST_PORT, LAST_PORT)  # noqa: S311 - no secret
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def accepts(port: int) -> bool:
    """Tell whether somebody accepts connections on the port."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    """Tell whether an HTTP server answers there with success."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - always http on loopback
            return bool(response.status == 200)  # noqa: PLR2004 - HTTP's own number
    except (OSError, urllib.error.URLError):
        return False


class Service:
    """One process of the stack: `start`, `kill`, `restart` on the same ports, `stop`; or use it as a context manager.

    A subclass names itself, says how many ports it needs, builds its command, and knows when it is ready. Its state,
    unless it keeps files, is lost with its process.
    """

    name = "service"
    port_count = 1

    def __init__(self) -> None:
        self.ports: tuple[int, ...] = ()
        self._served = False
        self._process: subprocess.Popen[bytes] | None = None
        self._log: Path | None = None

    def command(self) -> list[str]:
        """Return the command line for `self.ports`."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return variables that the process needs beside ours."""
        return {}

    def ready(self) -> bool:
        """Tell whether the process serves now."""
        raise NotImplementedError

    @property
    def log(self) -> Path:
        """Where its output goes; the file of an earlier process of this name and port is continued."""
        if self._log is None:
            raise ServiceError(f"{self.name} was never started")
        return self._log

    @property
    def running(self) -> bool:
        """Tell whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start the process without waiting for it; ports once chosen are kept."""
        if self.running:
            return
        self._release()
        if not self.ports:
            self.ports = tuple(free_port() for _ in range(self.port_count))
        self._log = LOCAL / "logs" / f"{self.name}-{self.ports[0]}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LEASH), *self.command()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **self.environment()},
                start_new_session=True,
            )

    def wait_ready(self, deadline_s: float = START_DEADLINE_S) -> None:
        """Wait until the service answers; a clash of ports is tried again, on others unless it served on these before.

        Raises:
            ServiceError: it ended, or is not ready in time.
        """
        deadline = time.monotonic() + deadline_s
        clashes = 0
        while not (self.running and self.ready()):
            if not self.running and clashes < CLASHES_ALLOWED and "in use" in self._tail():
                clashes += 1
                self.ports = self.ports if self._served else ()
                self.launch()
            elif not self.running or time.monotonic() > deadline:
                raise self._failed(deadline_s)
            time.sleep(POLL_S)
        self._served = True

    def start(self) -> Self:
        """Start the process and wait until it serves.

        Raises:
            ServiceError: it does not come up.
        """
        self.launch()
        self.wait_ready()
        return self

    def kill(self) -> None:
        """End the process as a crash does (SIGKILL), and all that it started."""
        self._signal(signal.SIGKILL)
        self._release()

    def restart(self) -> None:
        """Kill and start again on the same ports."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """End the process. What is in memory needs no farewell, so this is `kill` unless a subclass keeps files."""
        self.kill()

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _release(self) -> None:
        if self._process is None:
            return
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None
        deadline = time.monotonic() + GONE_DEADLINE_S
        while any(map(accepts, self.ports)) and time.monotonic() < deadline:
            time.sleep(POLL_S)  # the leash is gone, its command is about to be

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return " / ".join(line.strip()[:LOG_LINE_CHARS] for line in lines[-LOG_TAIL_LINES:] if line.strip())

    def _failed(self, deadline_s: float) -> ServiceError:
        what = f"is not ready after {deadline_s:.0f} s" if self.running else "ended while starting"
        self.kill()
        return ServiceError(f"{self.name} {what}; its log {self.log} ends with: {self._tail()}")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_all(services: Iterable[Service], each: Callable[[Service, float], None] | None = None) -> None:
    """Start services at the same time and wait for all of them; `each` hears of one that is ready and its seconds.

    Raises:
        ServiceError: one does not come up; those already started are stopped.
    """
    started, begun = list(services), time.monotonic()
    try:
        for service in started:
            service.launch()
        for service in started:
            service.wait_ready()
            if each:
                each(service, time.monotonic() - begun)
    except BaseException:
        for service in started:
            service.stop()
        raise
