"""A process beside the run that does what may end a process. When it ends, the run lives on and knows what it was.

Started anew and not forked, so that nothing of the run's threads and connections is in it. The kernel is told to take
it before the run when memory runs out; with `is_bounded` it may also take only half of what is free. What it cannot
protect from: a platform that ends both at once for any other reason.
"""

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_END_S = 5.0
OUT_OF_MEMORY = "out of memory"


class Died(Exception):  # noqa: N818 - what happened to the other process
    """The process ended, or ran out of memory, instead of answering. The message says how."""


class TaskFailed(Exception):  # noqa: N818 - likewise
    """The task raised; the process lives."""


class Child:
    """One such process at a time, started when it is needed. Calls of several threads wait for each other."""

    def __init__(self, *, is_bounded: bool = False) -> None:
        self._is_bounded = is_bounded
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Any = None
        self._closed = False

    def call(self, task: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 - as the task
        """Return what the task (a module's function) returns there.

        Raises:
            Died: see there; the next call starts another process.
            TaskFailed: the task raised.
        """
        with self._lock:
            self._start()
            try:
                self._pipe.send((task, arguments))
                kind, value = self._pipe.recv()
            except (EOFError, OSError):
                raise Died(self._ended()) from None
        if kind == OUT_OF_MEMORY:
            raise Died(OUT_OF_MEMORY)
        if kind == "failed":
            raise TaskFailed(value)
        return value

    @property
    def is_closed(self) -> bool:
        """Whether `close` ended it: then nothing that died says anything."""
        return self._closed

    def kill(self) -> None:
        """End the process; a call under way raises `Died`."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End it for good. Idempotent."""
        self._closed = True
        self.kill()
        with self._lock:  # a call under way ends as its process does
            self._ended()

    def _start(self) -> None:
        if self._closed:
            raise Died("it was closed")
        if self._process is not None and self._process.poll() is None:
            return
        self._ended()
        self._pipe, theirs = Pipe()
        code = f"from ingestor.child import serve; serve({theirs.fileno()}, is_bounded={self._is_bounded})"
        command = [sys.executable, "-c", code]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])  # noqa: S603 - our own words
        theirs.close()

    def _ended(self) -> str:
        process, self._process = self._process, None
        if process is None:
            return "it hung up"
        self._pipe.close()
        try:
            code = process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return "it hung up"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def serve(pipe_fd: int, *, is_bounded: bool) -> None:
    """Do tasks until the run hangs up; the process's only work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever stops the run from a terminal stops the run alone
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if is_bounded:
        _bound_memory()
    pipe = Connection(pipe_fd)
    with suppress(EOFError, OSError):
        while True:
            task, arguments = pipe.recv()
            pipe.send(_done(task, arguments))
    os._exit(0)


def _done(task: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        return "done", task(*arguments)
    except MemoryError:
        return OUT_OF_MEMORY, None
    except Exception as error:  # noqa: BLE001 - told to the caller
        return "failed", f"{type(error).__name__}: {error}"


def _bound_memory() -> None:
    """Allow half of what is free, of the machine and of the container; where nobody says what is free, all."""
    with suppress(OSError, ValueError, IndexError):
        free = min(_free())
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + free // 2
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _free() -> list[int]:
    machine = Path("/proc/meminfo").read_text(encoding="ascii").split("MemAvailable:")[1].split()[0]
    found = [int(machine) * 1024]
    with suppress(OSError, ValueError):  # a container without a limit says "max"
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        found.append(limit - int((group / "memory.current").read_text(encoding="ascii")))
    return found
