"""The port that clients connect to: passes bytes to the gRPC server behind it, and can reset a connection.

gRPC's own server can end an RPC but not break a connection; this can, the way a network does. What comes up the wire
before a reset is delivered; what is on its way down gets `QUIET_S` without a byte to arrive.
"""

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

from ops.local.process import HOST

CHUNK_BYTES = 256 * 1024
QUIET_S, QUIET_DEADLINE_S = 0.02, 1.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close sends RST


@dataclass
class _Pair:
    client: socket.socket
    server: socket.socket
    last_down: float = field(default_factory=time.monotonic)

    def reset(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RD)  # wakes the thread that reads it; closing alone would not
            end.close()


class Relay:
    """Listens on `port` (0: a free one) and connects each client to `target`, a port of this machine."""

    def __init__(self, port: int, target: int) -> None:
        self._target, self._lock, self._reachable = target, threading.Lock(), True
        self._pairs: dict[int, _Pair] = {}
        self._listener = socket.create_server((HOST, port), backlog=128)
        self._listener.settimeout(None)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="relay", daemon=True)
        self._acceptor.start()

    def reset(self, peer: str) -> None:
        """Reset the connection that the gRPC server knows as `peer`, e.g. `ipv4:127.0.0.1:40000`."""
        with self._lock:
            pair = self._pairs.pop(int(peer.rpartition(":")[2]), None)
        if pair is not None:
            deadline = time.monotonic() + QUIET_DEADLINE_S
            while time.monotonic() - pair.last_down < QUIET_S and time.monotonic() < deadline:
                time.sleep(QUIET_S / 4)
            pair.reset()

    def set_reachable(self, *, reachable: bool) -> None:
        """While not reachable, all connections are reset, those that are open and those that come."""
        with self._lock:
            self._reachable = reachable
            broken = [] if reachable else list(self._pairs.values())
            if broken:
                self._pairs.clear()
        for pair in broken:
            pair.reset()

    def close(self) -> None:
        """Stop listening and reset what is open."""
        self.set_reachable(reachable=False)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        server = socket.create_connection((HOST, self._target))
        pair = _Pair(client, server)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key: int = server.getsockname()[1]
        with self._lock:
            reachable = self._reachable
            if reachable:
                self._pairs[key] = pair
        if not reachable:
            pair.reset()
            return
        for down in (False, True):
            threading.Thread(target=self._pump, args=(key, pair, down), daemon=True).start()

    def _pump(self, key: int, pair: _Pair, down: bool) -> None:  # noqa: FBT001 - a thread's argument
        source, sink = (pair.server, pair.client) if down else (pair.client, pair.server)
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                if down:
                    pair.last_down = time.monotonic()
                sink.sendall(data)
        with self._lock:
            ours = self._pairs.pop(key, None)
        if ours is not None:
            for end in (pair.client, pair.server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
