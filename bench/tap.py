"""A gRPC proxy before the Firestore emulator that counts what is written, so that the ledger's own count has a witness.

    python -m bench.tap PORT UPSTREAM

Everything passes as raw bytes. Counters: `commits` and `writes` (documents) of the Commit calls that succeeded, and
`calls` of every kind. BatchWrite and the Write stream, which write too, are refused, so nothing escapes the count.
"""

import sys
from collections.abc import Iterator
from typing import Any

import grpc
from google.cloud.firestore_v1.types import CommitRequest

from bench.wire import UNLIMITED, Counting, serving
from ops.local.process import HOST, Service, accepts

_SERVICE = "/google.firestore.v1.Firestore/"
COMMIT = f"{_SERVICE}Commit"
UNCOUNTED = frozenset({f"{_SERVICE}BatchWrite", f"{_SERVICE}Write", f"{_SERVICE}CreateDocument"})
_REQUEST = CommitRequest.pb()


class TapServer(Counting):
    """Passes every call on to `upstream`, host:port."""

    def __init__(self, upstream: str) -> None:
        super().__init__()
        self._channel = grpc.insecure_channel(upstream, options=UNLIMITED)

    def serve(self, method: str) -> Any:  # noqa: ANN401 - grpc has no types
        """Return what passes the method on; on the wire a unary call is a stream of one message."""
        if method in UNCOUNTED:
            return None

        def pass_on(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:  # noqa: ANN401 - likewise
            return self._pass_on(method, requests, context)

        return grpc.stream_stream_rpc_method_handler(pass_on)

    def _pass_on(self, method: str, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:  # noqa: ANN401
        writes = 0

        def counted() -> Iterator[bytes]:
            nonlocal writes
            for data in requests:
                writes += len(_REQUEST.FromString(data).writes) if method == COMMIT else 0
                yield data

        metadata = [(k, v) for k, v in context.invocation_metadata() if k != "user-agent"]
        call = self._channel.stream_stream(method)(counted(), metadata=metadata, timeout=context.time_remaining())
        context.add_callback(call.cancel)
        try:
            for data in call:
                self.add(calls=1, commits=method == COMMIT, writes=writes)
                yield data
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())


class Tap(Service):
    """The proxy as a process."""

    name = "bench-tap"

    def __init__(self, upstream: str) -> None:
        super().__init__()
        self._upstream = upstream

    @property
    def host(self) -> str:
        """What FIRESTORE_EMULATOR_HOST wants."""
        return f"{HOST}:{self.ports[0]}"

    def command(self) -> list[str]:
        """Run this module."""
        return [sys.executable, "-m", "bench.tap", str(self.ports[0]), self._upstream]

    def ready(self) -> bool:
        """It accepts connections."""
        return accepts(self.ports[0])


if __name__ == "__main__":
    serving(TapServer(sys.argv[2]), int(sys.argv[1])).wait_for_termination()
