"""One AppendRows call: a thread takes requests in and applies them at once, the gRPC thread sends the answers."""

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from google.rpc import code_pb2
from grpc_status import rpc_status

from ops.local.storage_write_actions import IDLE, Action
from ops.local.storage_write_answers import HELD, Answers, Due, End
from ops.local.storage_write_columns import table_schema
from ops.local.storage_write_protocol import Refusal, Refused, Request, table_of
from ops.local.storage_write_script import Decision, Script
from ops.local.storage_write_session import Session, with_schema
from ops.local.storage_write_tables import TableStore

IDLE_S = 600.0
"""How long the service keeps a connection without requests."""

_USUAL = Decision("", Action(), [])


@dataclass(frozen=True, slots=True)
class RequestSeen:
    """One request in the list of requests.

    `answer` is the gRPC status' name of what the client hears, `channel` how: `answer` in band, `end` of the RPC,
    `cut`, or `none`. `applied` is whether its rows landed, whatever the client hears. `rule` is empty unless a rule of
    the script was obeyed.
    """

    number: int
    connection: int
    stream: str
    rows: int
    size_bytes: int
    writer_schema: bool
    trace_id: str
    rule: str
    applied: bool
    channel: str
    answer: str
    message: str


class Journal:
    """All requests that came, in order; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[RequestSeen] = []
        self._connections = self._number = 0

    def connect(self) -> int:
        """Return the number of a new connection, from 1."""
        with self._lock:
            self._connections += 1
            return self._connections

    def add(self, **seen: Any) -> None:  # noqa: ANN401 - the fields of RequestSeen
        """Note a request."""
        with self._lock:
            self._number += 1
            self._requests.append(RequestSeen(number=self._number, **seen))

    def requests(self) -> list[RequestSeen]:
        """Return what was noted."""
        with self._lock:
            return list(self._requests)

    def clear(self) -> None:
        """Forget what was noted; numbers go on."""
        with self._lock:
            self._requests.clear()


class Cutter(Protocol):
    """Resets connections."""

    def reset(self, peer: str) -> None:
        """Reset the connection that the gRPC server knows as `peer`."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all calls of a server share."""

    script: Script
    journal: Journal
    tables: TableStore
    cutter: Cutter
    idle_s: float


@dataclass(frozen=True, slots=True)
class _Served:
    """What became of a request. `outcome` is its answer or the refusal, None when it was not applied."""

    outcome: Any
    due: Due | None
    end: End | None

    @property
    def applied(self) -> bool:
        """Whether its rows landed."""
        landed = self.outcome is not None and not isinstance(self.outcome, Refused)
        return landed and not self.outcome.HasField("error")

    def heard(self) -> dict[str, str]:
        """Return by which channel the client hears of it, and what."""
        if self.due is not None and self.due.at != HELD:
            error = self.due.answer.error
            return {"channel": "answer", "answer": _name(error.code), "message": error.message}
        if self.due is None and self.end is not None:
            status = self.end.status
            return {
                "channel": "cut" if self.end.cut else "end",
                "answer": _name(status.code),
                "message": status.message,
            }
        return {"channel": "none", "answer": "", "message": ""}


class Call:
    """Serves one call over one `session`."""

    def __init__(self, shared: Shared, session: Session) -> None:
        self._shared, self._session = shared, session
        self._connection = shared.journal.connect()
        self._answers = Answers(shared.idle_s, Refusal("ABORTED", IDLE, ends=True))

    def serve(self, requests: Iterable[bytes], context: Any) -> Iterator[bytes]:  # noqa: ANN401 - grpc has no types
        """Yield the answers; end as the script or the service's rules say."""
        if not context.add_callback(self._answers.go):
            return
        threading.Thread(target=self._receive, args=(requests,), name="append-rows", daemon=True).start()
        while isinstance(following := self._answers.take(), Due):
            yield following.answer.SerializeToString()
        self._session.close()
        if following.cut:
            self._shared.cutter.reset(context.peer())
        if following.status is not None:
            context.abort_with_status(rpc_status.to_status(following.status))

    def _receive(self, requests: Iterable[bytes]) -> None:
        try:
            for data in requests:
                if not self._answers.begin():
                    break
                self._take(Request.FromString(data), len(data))
        except grpc.RpcError:
            pass  # the call ended under the iterator
        except Exception as error:  # noqa: BLE001 - whatever it is, the client must not wait for ever
            fault = Refusal("INTERNAL", f"fault of the scripted server: {type(error).__name__}: {error}")
            self._answers.put(None, End(0.0, fault.status()))
        self._answers.finish()

    def _take(self, request: Any, size: int) -> None:  # noqa: ANN401 - the raw message class has no static type
        session = self._session
        wrong = session.prepare(request, size)
        decision = self._shared.script.decide(session.stream, self._connection, lambda: session.messages(request))
        action = (decision or _USUAL).action
        outcome = self._apply(request, wrong) if action.applies else None
        due, end = self._verdict(decision or _USUAL, outcome)
        self._note(request, size, decision.rule if decision else "", _Served(outcome, due, end))
        self._answers.put(due, end, action.idle_s)

    def _apply(self, request: Any, wrong: Refusal | None) -> Any:  # noqa: ANN401 - likewise
        if wrong is not None:
            return Refused(wrong)
        try:
            return self._session.append(request)
        except Refused as refused:
            return refused

    def _verdict(self, decision: Decision, outcome: Any) -> tuple[Due | None, End | None]:  # noqa: ANN401 - likewise
        action, stream = decision.action, self._session.stream
        at = time.monotonic() + action.delay_s
        if action.kind == "answer":
            return Due(at, action.refusal_for(decision.rows).response(stream)), None
        if action.kind == "hold":
            return Due(HELD, None), None
        if isinstance(outcome, Refused) and outcome.refusal.ends and action.kind != "cut":
            return None, End(at, getattr(outcome, "status", None) or outcome.refusal.status())
        answer = outcome.refusal.response(stream) if isinstance(outcome, Refused) else outcome
        if action.kind == "append":
            return Due(at, self._told(answer, action)), None
        end = End(at, action.refusal_for([]).status(), cut=action.kind == "cut")
        return (Due(at, answer) if action.when == "answered" else None), end

    def _told(self, answer: Any, action: Action) -> Any:  # noqa: ANN401 - likewise
        if isinstance(action.updated_schema, tuple):
            return with_schema(answer, table_schema(action.updated_schema))
        table = self._shared.tables.find(table_of(self._session.stream)) if action.updated_schema else None
        return with_schema(answer, table_schema(table.columns)) if table else answer

    def _note(self, request: Any, size: int, rule: str, served: _Served) -> None:  # noqa: ANN401 - likewise
        self._shared.journal.add(
            connection=self._connection,
            stream=self._session.stream,
            rows=len(request.proto_rows.rows.serialized_rows),
            size_bytes=size,
            writer_schema=request.proto_rows.HasField("writer_schema"),
            trace_id=request.trace_id,
            rule=rule,
            applied=served.applied,
            **served.heard(),
        )


def _name(code: int) -> str:
    return str(code_pb2.Code.Name(code))
