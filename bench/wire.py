"""What the gRPC servers of this room share: raw bytes in and out, and counters that can be asked for.

Every server answers one method beside its own, `ASK`: a JSON object of switches in, its counters as JSON out.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import grpc

from ops.local.process import HOST

ASK = "/bench.Counting/Ask"
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
WORKERS = 32
"""Threads of a server: one for each call that is open."""


class Counting(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """Answers `ASK`. A subclass serves its own methods and counts what it saw; the name of the base is gRPC's."""

    def __init__(self) -> None:
        self.latency_s = 0.0
        self._lock = threading.Lock()
        self._counters: Counter[str] = Counter()

    def service(self, handler_call_details: Any) -> Any:  # noqa: ANN401 - grpc has no types
        """Return what serves the method, None when nothing does."""
        if handler_call_details.method == ASK:
            return grpc.unary_unary_rpc_method_handler(self._ask)
        return self.serve(handler_call_details.method)

    def serve(self, method: str) -> Any:  # noqa: ANN401 - likewise
        """Return what serves a method of the subclass' own."""
        raise NotImplementedError

    def add(self, **counts: int) -> None:
        """Count."""
        with self._lock:
            self._counters.update(counts)

    def at_least(self, name: str, value: int) -> None:
        """Remember the largest value seen."""
        with self._lock:
            self._counters[name] = max(self._counters[name], value)

    def at_first(self, name: str, value: int) -> None:
        """Remember the first value seen."""
        with self._lock:
            self._counters.setdefault(name, value)

    def _ask(self, request: bytes, _: object) -> bytes:
        switches = json.loads(request)
        with self._lock:
            if "latency_ms" in switches:
                self.latency_s = switches["latency_ms"] / 1000
            if switches.get("reset"):
                self._counters.clear()
            return json.dumps(self._counters).encode()


def ask(host: str, **switches: object) -> Mapping[str, int]:
    """Set switches (`latency_ms`, `reset`) of a server at host:port and return its counters."""
    with grpc.insecure_channel(host) as channel:
        answer = channel.unary_unary(ASK)(json.dumps(switches).encode(), timeout=10)
    return cast("Mapping[str, int]", json.loads(answer))


def serving(counting: Counting, port: int) -> Any:  # noqa: ANN401 - a grpc.Server
    """Return a started server and whoever calls it stops it.

    Raises:
        RuntimeError: the port is taken.
    """
    server = grpc.server(ThreadPoolExecutor(WORKERS), handlers=[counting], options=UNLIMITED)
    server.add_insecure_port(f"{HOST}:{port}")
    server.start()
    return server


def wait_until(at: float) -> None:
    """Sleep until `time.monotonic()` is at least `at`."""
    left = at - time.monotonic()
    if left > 0:
        time.sleep(left)
