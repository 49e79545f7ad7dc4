"""Appends of stored rows, one request after the other: what a replay does instead of the run's loop.

The outcome table decides about each answer; everything retried is bounded by `max_attempts` and, where the table says
so, by time. Rows that BigQuery refuses are taken out and the rest is sent again, as in a run; every round takes one out
at least, so the rounds end. What it promises: `landed` means that every row was acknowledged that is not among
`refused`. What it cannot promise: that nothing was written when it says otherwise; `unknown` tells.
"""

import queue
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from google.protobuf.descriptor_pb2 import DescriptorProto

from ingestor.append import Answer, AppendPort, Ended
from ingestor.errors import BigQueryUnavailable
from ingestor.outcome import Action, Outcome, silent

KeepAlive = Callable[[], None]
"""Called between requests and while waiting, at least every `SLICE_S` seconds; what it raises ends the append."""
Open = Callable[[DescriptorProto, Callable[[Answer | Ended], None]], AppendPort]
"""Opens a connection with this writer schema that reports to the given function."""

REQUEST_BYTES = 19_000_000
"""Rows and framing of one request: it must stay under 20 MB with the writer schema and the stream's name (Write API
quotas), and a single row may have 18,000,000 (`encode.MAX_ROW_BYTES`).
"""
SLICE_S = 5.0
_ROW_FRAMING = 6
_OK = Outcome(Action.APPENDED)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 15.0
_QUOTA_FACTOR = 8
"""A spent quota refills in 10 s to 10 min (Write API quotas), so pauses for it are longer."""
_AGAIN = frozenset({Action.RETRY, Action.RECONNECT, Action.SLOW_DOWN, Action.WAIT_FOR_TABLE, Action.REFRESH})
_NEW_CONNECTION = frozenset({Action.RECONNECT, Action.WAIT_FOR_TABLE, Action.REFRESH})


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of the rows.

    Attributes:
        action: `APPENDED`, or what the last answer means when its budget is spent: `BATCH_FAILURE` or `SYSTEMIC`.
        outcome: the last answer; where only some rows were refused, the first that refused any.
        attempts: requests sent for the part that took the most.
        unknown: rows that did not land, or were refused, may have been written all the same.
        refused: why each refused row was refused, in the service's words, by its place in `rows`.
    """

    action: Action
    outcome: Outcome = _OK
    attempts: int = 0
    unknown: bool = False
    refused: Mapping[int, str] = field(default_factory=dict)

    @property
    def landed(self) -> bool:
        """Whether every row is in the table that was not refused."""
        return self.action is Action.APPENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Appender:
    """Appends rows to one table.

    Attributes:
        open_connection: a new connection.
        renew: makes the credentials anew for the next connection.
        table_problem: says in words why today's table refuses rows of this schema; empty when it takes them.
        max_attempts: requests for the same rows.
        answer_timeout_s: without an answer for so long a request is in doubt.
        jitter: a number from 0 to 1, another each time.
    """

    open_connection: Open
    table_problem: Callable[[DescriptorProto], str]
    max_attempts: int
    answer_timeout_s: float
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    jitter: Callable[[], float]
    renew: Callable[[], None] = lambda: None
    request_bytes: int = REQUEST_BYTES

    def append(self, rows: Sequence[bytes], schema: DescriptorProto, keep_alive: KeepAlive = lambda: None) -> Appended:
        """Return once all rows are acknowledged but those refused one by one, or it is clear that they will not be."""
        call, parts = _Call(self, schema, keep_alive), deque(split(rows, self.request_bytes))
        so_far, written = Appended(Action.APPENDED), False
        try:
            while parts:
                places = parts.popleft()
                sent = call.send([rows[place] for place in places])
                so_far = _with(so_far, sent)
                if sent.landed:
                    written = True
                elif sent.action is Action.HALVE and len(places) > 1:
                    middle = len(places) // 2
                    parts.extendleft([places[middle:], places[:middle]])
                elif refused := _refused(sent, places):
                    so_far = _without(so_far, sent, refused)
                    parts.extendleft([left] if (left := [place for place in places if place not in refused]) else [])
                else:
                    return replace(so_far, action=_final(sent), outcome=sent.outcome, unknown=so_far.unknown or written)
        finally:
            call.close()
        return so_far


def split(rows: Sequence[bytes], limit_bytes: int) -> list[Sequence[int]]:
    """Return the requests for the rows: the places of each one's rows; each below the limit if it can."""
    parts, start, size = list[Sequence[int]](), 0, 0
    for at, row in enumerate(rows):
        cost = len(row) + _ROW_FRAMING
        if at > start and size + cost > limit_bytes:
            parts.append(range(start, at))
            start, size = at, 0
        size += cost
    return [*parts, range(start, len(rows))] if rows else []


@dataclass(frozen=True, slots=True)
class _Sent:
    """What became of one request: `unknown` when any of its tries may have been written without a word."""

    action: Action
    outcome: Outcome
    attempts: int
    unknown: bool

    @property
    def landed(self) -> bool:
        return self.action is Action.APPENDED


def _with(so_far: Appended, sent: _Sent) -> Appended:
    """What a request adds: a lost answer says nothing any more once the same rows were acknowledged."""
    unknown = so_far.unknown or (sent.unknown and not sent.landed)
    return replace(so_far, attempts=max(so_far.attempts, sent.attempts), unknown=unknown)


def _refused(sent: _Sent, places: Sequence[int]) -> dict[int, str]:
    """The rows that go out alone, by place: those that the answer names, and one too large for a request of its own."""
    if sent.action is Action.HALVE:
        return {places[0]: sent.outcome.alone}
    named = sent.outcome.refused_among(len(places)) if sent.action is Action.TAKE_OUT else {}
    return {places[at]: text for at, text in named.items()}


def _without(so_far: Appended, sent: _Sent, refused: Mapping[int, str]) -> Appended:
    outcome = so_far.outcome if so_far.refused else sent.outcome
    return replace(so_far, outcome=outcome, refused={**so_far.refused, **refused})


def _final(sent: _Sent) -> Action:
    """An answer that names no row of the request leaves nothing to take out."""
    return Action.BATCH_FAILURE if sent.action is Action.TAKE_OUT else sent.action


class _Call:
    """The connection of one append, made anew when it ends."""

    def __init__(self, appender: Appender, schema: DescriptorProto, keep_alive: KeepAlive) -> None:
        self._appender, self._schema, self._keep_alive = appender, schema, keep_alive
        self._connection: AppendPort | None = None
        self._heard: queue.SimpleQueue[Answer | Ended] = queue.SimpleQueue()
        self._sent = 0

    def send(self, part: Sequence[bytes]) -> _Sent:
        """Send one request until its answer is final."""
        appender, streak, attempts, unknown = self._appender, _Streak(), 0, False
        while True:
            self._keep_alive()
            outcome, attempts = self._once(part), attempts + 1
            unknown = unknown or outcome.unknown
            streak = streak.after(outcome, appender.monotonic())
            action, outcome = self._decided(outcome, streak, attempts)
            if action not in _AGAIN:
                return _Sent(action, outcome, attempts, unknown)
            if action is Action.REFRESH:
                appender.renew()
            if action in _NEW_CONNECTION:
                self.close()
            self._pause(streak.times, slow=action is Action.SLOW_DOWN)

    def close(self) -> None:
        """End the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _decided(self, outcome: Outcome, streak: "_Streak", attempts: int) -> tuple[Action, Outcome]:
        action = outcome.action
        if action not in _AGAIN:
            return action, outcome
        if outcome.limit is not None and streak.times > outcome.limit:
            return outcome.spent, outcome
        if action is Action.WAIT_FOR_TABLE:
            if problem := self._problem():
                return outcome.spent, replace(outcome, message=f"{outcome.message}; {problem}")
            return (outcome.spent if streak.lasted_s > (outcome.limit_s or 0.0) else action), outcome
        return (outcome.spent if attempts >= self._appender.max_attempts else action), outcome

    def _problem(self) -> str:
        """Ask whether waiting can help: the append path may be late, but not against what the table is."""
        try:
            return self._appender.table_problem(self._schema)
        except BigQueryUnavailable:
            return ""

    def _once(self, part: Sequence[bytes]) -> Outcome:
        appender = self._appender
        if self._connection is None:
            self._heard = queue.SimpleQueue()
            self._connection = appender.open_connection(self._schema, self._heard.put)
        self._sent += 1
        self._connection.send(str(self._sent), part)
        until = appender.monotonic() + appender.answer_timeout_s
        while (left_s := until - appender.monotonic()) > 0:
            try:
                heard = self._heard.get(timeout=min(left_s, SLICE_S))
            except queue.Empty:
                self._keep_alive()
                continue
            if isinstance(heard, Ended):
                self.close()
            return heard.outcome
        self._connection.cancel()
        self.close()
        return silent(appender.answer_timeout_s)

    def _pause(self, times: int, *, slow: bool) -> None:
        longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(times - 1, 16))
        left_s = longest_s * self._appender.jitter() * (_QUOTA_FACTOR if slow else 1)
        while left_s > 0:
            self._appender.sleep(min(left_s, SLICE_S))
            self._keep_alive()
            left_s -= SLICE_S


@dataclass(frozen=True, slots=True)
class _Streak:
    """How often in a row an answer asked for the same action, and since when."""

    action: Action | None = None
    times: int = 0
    since: float = 0.0
    lasted_s: float = 0.0

    def after(self, outcome: Outcome, now: float) -> "_Streak":
        if outcome.action is not self.action:
            return _Streak(outcome.action, 1, now)
        return replace(self, times=self.times + 1, lasted_s=now - self.since)
