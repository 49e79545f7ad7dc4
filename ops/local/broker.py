"""Shares one set of emulators between the processes of a test run.

The process that begins the run (pytest itself, or the controller of pytest-xdist) owns the services and starts each
when it is first asked for. Workers ask over a local socket whose address and key they find in the environment. When the
owner dies, the services die with it (`ops.local.leash`).
"""

import os
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, cast

from ops.local.process import Service, ServiceError
from ops.local.services import BigQueryEmulator, FirestoreEmulator, GcsServer

ADDRESS, KEY = "LOCAL_STACK_ADDRESS", "LOCAL_STACK_KEY"
CLOSE = "close"


class MissingEmulatorError(RuntimeError):
    """An emulator is not installed; the message says what to install."""


class Broker:
    """Owns the shared services; `hosts` starts the one it is asked for."""

    def __init__(self) -> None:
        self._services: dict[str, Service] = {}
        self._lock = threading.Lock()
        key = os.urandom(16)
        self._listener = Listener(authkey=key)
        self.environment: Mapping[str, str] = {ADDRESS: cast("str", self._listener.address), KEY: key.hex()}
        self._thread = threading.Thread(target=self._serve, name="emulators", daemon=True)
        self._thread.start()

    def hosts(self, name: str) -> tuple[str, ...]:
        """Return the addresses of a service, started if need be.

        Raises:
            MissingEmulatorError: it is not installed.
            ServiceError: it does not come up.
        """
        with self._lock:
            service = self._services.get(name)
            if service is None:
                service = self._services[name] = _START[name]()
            return _HOSTS[name](service)

    def close(self) -> None:
        """Stop the services and the socket."""
        with _connect(self.environment) as connection:
            connection.send(CLOSE)
        self._thread.join()
        self._listener.close()
        for service in self._services.values():
            service.stop()

    def _serve(self) -> None:
        while True:
            with self._listener.accept() as connection:
                name = connection.recv()
                if name == CLOSE:
                    return
                connection.send(self._answer(name))

    def _answer(self, name: str) -> tuple[str, ...] | Exception:
        try:
            return self.hosts(name)
        except (MissingEmulatorError, ServiceError) as error:
            return error


def ask(name: str) -> tuple[str, ...]:
    """Return the addresses of a shared service; for processes that the owner started.

    Raises:
        MissingEmulatorError: it is not installed.
        ServiceError: it does not come up.
    """
    with _connect(os.environ) as connection:
        connection.send(name)
        answer = connection.recv()
    if isinstance(answer, Exception):
        raise answer
    return cast("tuple[str, ...]", answer)


def _connect(environment: Mapping[str, str]) -> "Connection[Any, Any]":
    return Client(environment[ADDRESS], authkey=bytes.fromhex(environment[KEY]))


def _start_bigquery() -> Service:
    if why := BigQueryEmulator.available():
        raise MissingEmulatorError(why)
    return BigQueryEmulator().start()


def _start_firestore() -> Service:
    if why := FirestoreEmulator.available():
        raise MissingEmulatorError(why)
    return FirestoreEmulator().start()


_START: Mapping[str, Callable[[], Service]] = {
    "bigquery": _start_bigquery,
    "firestore": _start_firestore,
    "gcs": lambda: GcsServer().start(),
}
_HOSTS: Mapping[str, Callable[[Any], tuple[str, ...]]] = {
    "bigquery": lambda service: (
        cast("BigQueryEmulator", service).rest_host,
        cast("BigQueryEmulator", service).grpc_host,
    ),
    "firestore": lambda service: (cast("FirestoreEmulator", service).host,),
    "gcs": lambda service: (cast("GcsServer", service).url,),
}
