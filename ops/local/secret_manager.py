"""A Secret Manager for this machine: the calls that read and write versions, over gRPC in plain text, in memory.

    python -m ops.local.secret_manager [--port 0]        prints host:port on its first line

It serves `CreateSecret`, `AddSecretVersion`, `AccessSecretVersion`, `DisableSecretVersion` and `EnableSecretVersion` as
Google's client sends them; everything else answers UNIMPLEMENTED. `versions/latest` is the newest version, as in the
service, even when that one is disabled.
"""

import argparse
import contextlib
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import google_crc32c
import grpc
from google.cloud.secretmanager_v1.types import (
    AccessSecretVersionRequest,
    AccessSecretVersionResponse,
    AddSecretVersionRequest,
    CreateSecretRequest,
    DisableSecretVersionRequest,
    EnableSecretVersionRequest,
    Secret,
    SecretPayload,
    SecretVersion,
)

from ops.local.process import HOST

SERVICE = "google.cloud.secretmanager.v1.SecretManagerService"
_VERSION = re.compile(r"(projects/[^/]+/secrets/[^/]+)/versions/([0-9]+|latest)")


class _Refused(Exception):  # noqa: N818 - an answer, not a fault of ours
    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class SecretManager:
    """The server; a context manager. `accessed` counts the versions read."""

    def __init__(self, port: int = 0) -> None:
        """Bind to a port, 0 = a free one."""
        self._lock = threading.Lock()
        self._versions: dict[str, list[bytes]] = {}
        self._disabled: set[str] = set()
        self.accessed = 0
        self.refuse: grpc.StatusCode | None = None
        """What reading a version answers from now on; None: the version."""
        self.damaged = False
        """The checksum is not that of the payload."""
        self._grpc = grpc.server(ThreadPoolExecutor(4), handlers=[_Methods(self)], options=[("grpc.so_reuseport", 0)])
        self.host = f"{HOST}:{self._grpc.add_insecure_port(f'{HOST}:{port}')}"
        self._grpc.start()

    def put(self, secret: str, payload: str) -> str:
        """Add a version to `projects/P/secrets/S`, made when it is not there, and return the version's name."""
        with self._lock:
            versions = self._versions.setdefault(secret, [])
            versions.append(payload.encode())
            return f"{secret}/versions/{len(versions)}"

    def disable(self, version: str, *, disabled: bool = True) -> None:
        """Disable a version, or enable it."""
        with self._lock:
            name, _ = self._found(version)
            (self._disabled.add if disabled else self._disabled.discard)(name)

    def wait(self) -> None:
        """Serve until closed."""
        self._grpc.wait_for_termination()

    def close(self) -> None:
        """Stop serving."""
        self._grpc.stop(None).wait()

    def access(self, request: AccessSecretVersionRequest) -> AccessSecretVersionResponse:
        """Answer AccessSecretVersion."""
        with self._lock:
            self.accessed += 1
            if self.refuse is not None:
                raise _Refused(self.refuse, "refused on request")
            name, data = self._found(request.name)
            if name in self._disabled:
                raise _Refused(grpc.StatusCode.FAILED_PRECONDITION, f"{name} is in DISABLED state")
            payload = SecretPayload(data=data, data_crc32c=google_crc32c.value(data) ^ int(self.damaged))
            return AccessSecretVersionResponse(name=name, payload=payload)

    def create(self, request: CreateSecretRequest) -> Secret:
        """Answer CreateSecret."""
        name = f"{request.parent}/secrets/{request.secret_id}"
        with self._lock:
            if name in self._versions:
                raise _Refused(grpc.StatusCode.ALREADY_EXISTS, f"{name} exists")
            self._versions[name] = []
        return Secret(name=name)

    def add(self, request: AddSecretVersionRequest) -> SecretVersion:
        """Answer AddSecretVersion."""
        if request.parent not in self._versions:
            raise _Refused(grpc.StatusCode.NOT_FOUND, f"there is no {request.parent}")
        return SecretVersion(name=self.put(request.parent, request.payload.data.decode()))

    def able(self, request: DisableSecretVersionRequest | EnableSecretVersionRequest) -> SecretVersion:
        """Answer DisableSecretVersion and EnableSecretVersion."""
        self.disable(request.name, disabled=isinstance(request, DisableSecretVersionRequest))
        return SecretVersion(name=request.name)

    def _found(self, version: str) -> tuple[str, bytes]:
        match = _VERSION.fullmatch(version)
        versions = self._versions.get(match[1], []) if match else []
        number = len(versions) if match and match[2] == "latest" else int(match[2]) if match else 0
        if match is None or not 0 < number <= len(versions):
            raise _Refused(grpc.StatusCode.NOT_FOUND, f"there is no {version}")
        return f"{match[1]}/versions/{number}", versions[number - 1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Methods(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """The service's methods by their paths."""

    def __init__(self, server: SecretManager) -> None:
        self._methods: dict[str, tuple[Any, Any]] = {
            "AccessSecretVersion": (server.access, AccessSecretVersionRequest),
            "CreateSecret": (server.create, CreateSecretRequest),
            "AddSecretVersion": (server.add, AddSecretVersionRequest),
            "DisableSecretVersion": (server.able, DisableSecretVersionRequest),
            "EnableSecretVersion": (server.able, EnableSecretVersionRequest),
        }

    def service(self, handler_call_details: Any) -> Any:  # noqa: ANN401 - grpc has no types
        service, _, name = str(handler_call_details.method).strip("/").partition("/")
        if service != SERVICE or name not in self._methods:
            return None
        method, request = self._methods[name]
        return grpc.unary_unary_rpc_method_handler(
            _answering(method),
            request_deserializer=request.deserialize,
            response_serializer=lambda answer: type(answer).serialize(answer),
        )


def _answering(method: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def answer(request: Any, context: Any) -> Any:  # noqa: ANN401 - likewise
        try:
            return method(request)
        except _Refused as refused:
            context.abort(refused.code, str(refused))

    return answer


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m ops.local.secret_manager")
    parser.add_argument("--port", type=int, default=0, help="0 = a free one")
    with SecretManager(parser.parse_args().port) as server:
        print(server.host, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.wait()


if __name__ == "__main__":
    main()
