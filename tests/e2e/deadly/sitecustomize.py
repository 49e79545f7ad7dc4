"""Ends a process that decodes, encodes or sends certain records, as a fault in native code or the kernel would.

Only of processes whose PYTHONPATH names this folder (`tests/e2e/test_deadly_records.py`). DEADLY says where and how,
such as `decode:kill,send:abort`: where is `decode`, `encode`, `send` (on a record that says DEADLY-decode and so on) or
`child` (whatever a process beside the run does), how is `abort`, `kill` or `memory`.
"""

import os
import signal
import types
from typing import Any

import orjson

import ingestor.child
import ingestor.decode
from ingestor.append import Connection
from ingestor.encode_fast import FastEncoder

WAYS = dict(way.split(":") for way in os.environ.get("DEADLY", "").split(",") if way)


def end(where: str) -> None:
    """End the process, or let it run out of memory."""
    if WAYS[where] == "memory":
        raise MemoryError
    os.kill(os.getpid(), signal.SIGABRT if WAYS[where] == "abort" else signal.SIGKILL)


_encode, _send, _done = FastEncoder.encode, Connection.send, ingestor.child._done


def _deadly_loads(body: Any) -> Any:
    if b"DEADLY-decode" in bytes(body):
        end("decode")
    return orjson.loads(body)


def _deadly_encode(self: FastEncoder, record: Any) -> Any:
    if isinstance(record, dict) and record.get("tailnum") == "DEADLY-encode":
        end("encode")
    return _encode(self, record)


def _deadly_send(self: Connection, key: str, rows: Any) -> None:
    if any(b"DEADLY-send" in row for row in rows):
        end("send")
    _send(self, key, rows)


def _deadly_task(task: Any, arguments: Any) -> Any:
    end("child")
    return _done(task, arguments)


if "decode" in WAYS:
    names = {name: getattr(orjson, name) for name in dir(orjson)} | {"loads": _deadly_loads}
    vars(ingestor.decode)["orjson"] = types.SimpleNamespace(**names)
if "encode" in WAYS:
    FastEncoder.encode = _deadly_encode  # type: ignore[method-assign]
if "send" in WAYS:
    Connection.send = _deadly_send  # type: ignore[method-assign]
if "child" in WAYS:
    ingestor.child._done = _deadly_task
