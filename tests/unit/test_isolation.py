"""What ends a process is found by halves and set aside alone; what chance ends rejects nothing."""

import base64
import itertools
import json
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestor.append import Answer, Ended
from ingestor.batch import Limits
from ingestor.child import OUT_OF_MEMORY, Child, Died, TaskFailed
from ingestor.child_append import append
from ingestor.child_tasks import decode_bodies, do_nothing, encode_page, encode_records
from ingestor.decode import Undecodable
from ingestor.encode import Rejection
from ingestor.errors import SourceError
from ingestor.isolated_append import PROCESS_ENDED, IsolatedConnection
from ingestor.isolating import part_of
from ingestor.isolation import Isolation
from ingestor.json_slices import record_slices
from ingestor.lognames import LogName
from ingestor.outcome import Action, Outcome
from ingestor.signals import SendBatch
from ingestor.suspects import TRIES, TRIES_ALONE, NotToBlame, culprits
from state.fold import STALLED_RUNS
from tests.unit.deadly_tasks import allocate, end_by, fail, leave, run_out_of_memory
from tests.world import Actor, World, encode, finish

VALUES: list[Any] = [
    *("", '"', "]", "[,]", '\\"]', "a:b", "é🛫", "\\"),
    *(0, -1.5, None, True, [], {}, [[1], ["]"]], {"data": [1]}, {"a": {"b": [1, {"c": "}"}]}}),
]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(VALUES), max_size=6),
    st.sampled_from(VALUES),
    st.sampled_from(["", "data", "a.b"]),
    st.sampled_from([None, 2]),
)
def test_slices_are_the_records_whatever_stands_around_them(
    records: list[Any], other: Any, path: str, indent: int | None
) -> None:
    value: Any = records
    for name in reversed(path.split(".") if path else []):
        value = {"zz": other, name: value, "zzz": [other]}
    body = json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    slices = record_slices(body, path)
    assert slices is not None
    assert [json.loads(body[start:end]) for start, end in slices] == records


@pytest.mark.parametrize(
    ("body", "path"),
    [(b"{}", "a"), (b'{"a": {"b": 1}}', "a.b"), (b'{"a": "[1]"}', "a"), (b'[{"a": [1]}]', "a"), (b"]", ""), (b"", "")],
)
def test_where_there_is_no_array_there_are_no_slices(body: bytes, path: str) -> None:
    assert not record_slices(body, path)


def test_of_a_key_that_comes_twice_the_last_counts_as_with_decoders() -> None:
    body = b'{"a": [1], "a": [2, 3]}'
    assert [body[s:e] for s, e in record_slices(body, "a") or ()] == [b"2", b"3"]
    assert orjson.loads(body)["a"] == [2, 3]


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.integers(0, 40), st.sets(st.integers(0, 39)), st.integers(1, 50))
def test_culprits_are_exactly_those_that_end_the_process(count: int, bad: set[int], part: int) -> None:
    items = list(range(count))
    found = culprits(items, lambda some: not bad & set(some), part, idle_survives=lambda: True)
    assert found == sorted(bad & set(items))


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_kills_by_chance_blame_nobody(count: int, part: int, data: st.DataObject) -> None:
    """Who kills at random may not kill the same single thing so often in a row that nothing else can be meant."""
    in_a_row = itertools.count(1)

    def survives(_: Sequence[int]) -> bool:
        nonlocal in_a_row
        if next(in_a_row) == TRIES_ALONE or data.draw(st.booleans()):
            in_a_row = itertools.count(1)
            return True
        return False

    assert culprits(list(range(count)), survives, part, idle_survives=lambda: True) == []


def test_when_processes_end_that_were_given_nothing_nothing_is_to_blame() -> None:
    with pytest.raises(NotToBlame):
        culprits([1, 2], lambda _: False, 2, idle_survives=lambda: False)


def test_a_group_that_is_too_much_together_has_no_culprit() -> None:
    assert culprits(list(range(9)), lambda some: len(some) < 3, 9, idle_survives=lambda: True) == []


def test_a_process_that_ends_says_how_and_the_next_call_has_another() -> None:
    child = Child()
    try:
        for task, arguments, said in (
            (end_by, (signal.SIGABRT,), "SIGABRT"),
            (end_by, (signal.SIGKILL,), "SIGKILL"),
            (leave, (), "exit code 7"),
            (run_out_of_memory, (), OUT_OF_MEMORY),
        ):
            with pytest.raises(Died, match=said):
                child.call(task, *arguments)
        with pytest.raises(TaskFailed, match="ValueError: no"):
            child.call(fail)
        assert child.call(allocate, 10) == 10
    finally:
        child.close()
    with pytest.raises(Died):
        child.call(do_nothing)


def test_a_bounded_process_runs_out_of_memory_before_the_machine_does() -> None:
    child = Child(is_bounded=True)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with pytest.raises(Died, match=OUT_OF_MEMORY):
            child.call(allocate, total)
        assert child.call(allocate, 1000) == 1000
    finally:
        child.close()


@dataclass
class Doomed:
    """A child that ends on what it is told to, without a process."""

    decodes: bytes = b"\0"
    encodes: bytes = b"\0"
    sends: bytes = b"\0"
    idle: bool = False
    page_bytes: int = 10**9
    calls: list[str] = field(default_factory=list)
    is_closed: bool = False

    def call(self, task: Callable[..., Any], *arguments: Any) -> Any:
        self.calls.append(task.__name__)
        bodies = arguments[-1] if task in {decode_bodies, encode_records, append} else arguments[1:2]
        deadly = {
            decode_bodies: [self.decodes],
            encode_records: [self.decodes, self.encodes],
            encode_page: [self.decodes, self.encodes],
            append: [self.sends],
            do_nothing: [],
        }[task]
        if task is do_nothing and self.idle:
            raise Died("SIGKILL")
        if any(mark in body for mark in deadly for body in bodies) or sum(map(len, bodies)) > self.page_bytes:
            raise Died("SIGABRT")
        return Outcome(Action.APPENDED) if task is append else None

    def kill(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


def isolation(child: Doomed, **changed: Any) -> Isolation:
    def log(name: LogName, severity: str = "INFO", **_: Any) -> None:
        assert (name, severity) == (LogName.RECORD_ISOLATED, "WARNING")

    made: Any = {"message_type": "m", "records_path": "data", "inner": encode, "log": log, "part": 4, **changed}
    return Isolation(child=child, **made)  # type: ignore[arg-type]


BODY = json.dumps({"data": [{"n": number} for number in range(9)] + [{"n": "bad-one"}]}).encode()


def outcomes(isolated: Isolation, body: bytes = BODY) -> list[bytes | Rejection]:
    return [isolated.encode(record) for record in isolated.decode(body)["data"]]


def test_a_page_that_its_process_lives_through_is_what_it_is_and_is_tried_once() -> None:
    child = Doomed()
    isolated = isolation(child)
    assert isolated.decode(BODY) == json.loads(BODY)
    assert isolated.decode(BODY) == json.loads(BODY)
    assert child.calls == ["encode_page"]
    assert not isolated.found_undecodable()


def test_a_record_that_cannot_be_encoded_keeps_its_place_and_its_content() -> None:
    isolated = isolation(Doomed(encodes=b"bad-one"))
    *good, bad = outcomes(isolated)
    assert len(good) == 9
    assert not any(isinstance(row, Rejection) for row in good)
    assert isinstance(bad, Rejection)
    assert bad.reason == "the record ends the process that encodes it (SIGABRT, 3 times in a row)"
    assert isolated.decode(BODY)["data"][9] == {"n": "bad-one"}
    assert not isolated.found_undecodable()


def test_a_record_that_cannot_be_decoded_stands_as_base64_of_its_bytes_each_time_it_is_read() -> None:
    isolated = isolation(Doomed(decodes=b"bad-one"))
    *good, bad = outcomes(isolated)
    assert not any(isinstance(row, Rejection) for row in good)
    assert isinstance(bad, Rejection)
    assert "decodes it (SIGABRT, 3 times in a row); its bytes are kept as base64" in bad.reason
    again = isolation(Doomed(decodes=b"bad-one"), whole_first=False, part=1)
    for made in (isolated, again):
        kept = made.decode(BODY)["data"][9]
        assert base64.b64decode(kept) == b'{"n": "bad-one"}'
        assert made.found_undecodable()


def test_a_page_that_is_too_much_for_the_process_as_a_whole_only_is_a_failure_with_a_remedy() -> None:
    with pytest.raises(SourceError, match="SOURCE_PAGE_SIZE"):
        isolation(Doomed(page_bytes=100)).decode(BODY)


def test_a_body_that_ends_the_process_and_has_no_records_is_a_failure() -> None:
    with pytest.raises(SourceError, match="no record alone does it"):
        isolation(Doomed(decodes=b"oops")).decode(b'{"error": "oops"}')


def test_when_nothing_is_to_blame_the_run_fails_and_rejects_nothing() -> None:
    isolated = isolation(Doomed(encodes=b"bad-one", idle=True))
    with pytest.raises(SourceError, match="no record is to blame"):
        isolated.decode(BODY)


def test_a_body_that_is_no_json_is_told_by_the_run_itself() -> None:
    with pytest.raises(Undecodable):
        isolation(Doomed()).decode(b"<html>")


def test_a_run_after_one_that_isolated_and_died_tries_parts_from_the_start() -> None:
    child = Doomed()
    isolation(child, whole_first=False, part=5).decode(BODY)
    assert child.calls == ["encode_records", "encode_records", "decode_bodies"]


@pytest.mark.parametrize(("deaths", "part"), [(3, 2500), (4, 1250), (15, 1), (40, 1)])
def test_the_cut_is_halved_run_by_run_down_to_one_record(deaths: int, part: int) -> None:
    assert part_of(5000, deaths) == part


def sent_by(child: Doomed, *requests: list[bytes]) -> list[Answer | Ended]:
    heard: list[Answer | Ended] = []
    done = threading.Event()

    def hear(report: Answer | Ended) -> None:
        heard.append(report)
        if isinstance(report, Ended):
            done.set()

    connection = IsolatedConnection(child, (None, "s", b"", "t", 1.0), hear)  # type: ignore[arg-type]
    for number, rows in enumerate(requests):
        connection.send(str(number), rows)
    connection.close()
    assert done.wait(60)
    return heard


def test_a_request_whose_process_ended_twice_is_halved_and_in_doubt() -> None:
    child = Doomed(sends=b"bad")
    answer = sent_by(child, [b"good", b"bad"])[0]
    assert isinstance(answer, Answer)
    assert (answer.outcome.action, answer.outcome.code, answer.outcome.unknown) == (Action.HALVE, PROCESS_ENDED, True)
    assert child.calls == ["append"] * TRIES


def test_a_row_is_given_up_after_three_processes_and_one_that_lived_without_it() -> None:
    child = Doomed(sends=b"bad")
    answer = sent_by(child, [b"bad"])[0]
    assert isinstance(answer, Answer)
    assert answer.outcome.action is Action.HALVE
    assert "ends the process that sends it (SIGABRT), 3 times in a row" in answer.outcome.message
    assert child.calls == ["append"] * TRIES_ALONE + ["do_nothing"]


def test_a_row_is_sent_again_when_processes_end_that_were_given_nothing() -> None:
    answer = sent_by(Doomed(sends=b"bad", idle=True), [b"bad"])[0]
    assert isinstance(answer, Answer)
    assert answer.outcome.action is not Action.HALVE
    assert answer.outcome.unknown


def test_what_the_process_lives_through_is_answered_in_order() -> None:
    heard = sent_by(Doomed(), [b"a"], [b"b"])
    assert [(type(each), getattr(each, "key", "")) for each in heard] == [(Answer, "0"), (Answer, "1"), (Ended, "")]


def test_a_row_that_ends_the_process_that_sends_it_is_rejected_alone_and_the_rest_goes_whole() -> None:
    world = World([[{"n": number} for number in range(16)]])
    requests = list[int]()

    def answer(sent: SendBatch) -> Outcome:
        requests.append(len(sent.rows))
        guilty = any(b'"n": 5}' in row for row in sent.rows)
        return Outcome(Action.HALVE, PROCESS_ENDED, "SIGABRT", unknown=True) if guilty else Outcome(Action.APPENDED)

    world.answer = answer
    actor = Actor(world, "run-1", limits=Limits(16, 10_000))
    finish(actor)
    assert (actor.state.counts.rows_committed, actor.state.counts.rows_rejected) == (15, 1)
    assert actor.state.balanced
    assert requests == [16, 8, 4, 4, 2, 1, 1, 10]


def test_three_deaths_are_what_isolation_takes() -> None:
    assert STALLED_RUNS == 3
