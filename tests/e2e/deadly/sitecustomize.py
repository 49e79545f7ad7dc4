"""Ends a process that decodes, encodes or sends certain records, as a fault in native code or the kernel would.

Only of processes whose PYTHONPATH names this folder (`tests/e2e/test_deadly_records.py`). DEADLY says where and how,
such as `decode:kill,send:abort`: where is `decode`, `encode`, `send` (on a record that says DEADLY-decode and so on) or
`child` (whatever a process beside the run does), how is `abort`, `kill` or `memory`.
"""

import os
import signal
import sys
import types
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

WAYS = dict(way.split(":") for way in os.environ.get("DEADLY", "").split(",") if way)


def end(where: str) -> None:
    """End the process, or let it run out of memory."""
    if WAYS[where] == "memory":
        raise MemoryError
    os.kill(os.getpid(), signal.SIGABRT if WAYS[where] == "abort" else signal.SIGKILL)


def _decode(module: Any) -> None:
    loads = module.orjson.loads

    def deadly(body: Any) -> Any:
        if b"DEADLY-decode" in bytes(body):
            end("decode")
        return loads(body)

    names = {name: getattr(module.orjson, name) for name in dir(module.orjson)}
    module.orjson = types.SimpleNamespace(**{**names, "loads": deadly})


def _encode(module: Any) -> None:
    encode = module.FastEncoder.encode

    def deadly(self: Any, record: Any) -> Any:
        if isinstance(record, dict) and record.get("tailnum") == "DEADLY-encode":
            end("encode")
        return encode(self, record)

    module.FastEncoder.encode = deadly


def _send(module: Any) -> None:
    send = module.Connection.send

    def deadly(self: Any, key: str, rows: Any) -> None:
        if any(b"DEADLY-send" in row for row in rows):
            end("send")
        send(self, key, rows)

    module.Connection.send = deadly


def _child(module: Any) -> None:
    module._done = lambda *_: end("child")


MODULES = {
    "ingestor.decode": ("decode", _decode),
    "ingestor.encode_fast": ("encode", _encode),
    "ingestor.append": ("send", _send),
    "ingestor.child": ("child", _child),
}


class Spoiler:
    """Spoils the modules that DEADLY names when they are imported."""

    @staticmethod
    def find_spec(name: str, path: Any = None, _: Any = None) -> ModuleSpec | None:
        """Return the module's spec with a loader that spoils it; None for all others."""
        where, spoil = MODULES.get(name, ("", None))
        spec = PathFinder.find_spec(name, path) if where in WAYS else None
        if spec is None or spec.loader is None or spoil is None:
            return None
        loader: Any = spec.loader
        execute = loader.exec_module

        def spoiled(module: Any) -> None:
            execute(module)
            spoil(module)

        loader.exec_module = spoiled
        return spec


if WAYS:
    sys.meta_path.insert(0, Spoiler)
