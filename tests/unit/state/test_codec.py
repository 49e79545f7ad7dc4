import dataclasses
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from state import codec
from state.codec import (
    EVENT_TYPES,
    canonical,
    decode_entry,
    decode_event,
    decode_state,
    encode_event,
    encode_state,
    entry_document,
    entry_from_document,
    entry_hash,
    from_canonical,
    genesis,
    seal,
)
from state.errors import CorruptHistory, UnknownEvent
from state.events import Event, Position
from state.fold import LaneState, Statement, Systemic
from state.journal import page_key
from tests.unit.state.histories import (
    T0_US,
    attempted,
    checkpoint_set,
    committed,
    dead,
    digests,
    discarded,
    failed,
    finished,
    heartbeat,
    not_replayed,
    paused,
    published,
    receipt_closed,
    receipt_opened,
    records_discarded,
    records_replayed,
    recovered,
    rejected,
    reopened,
    replay,
    replayed,
    resumed,
    started,
    superseded,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "journal_v1"
TAILED = dataclasses.replace(attempted("b1"), end=Position("page-1", 2), tail=digests("a", "b"))
EVENTS: list[Event] = [
    started(),
    heartbeat(),
    attempted("b1"),
    TAILED,
    rejected("b1", 0, 4),
    committed("b1"),
    superseded("b1"),
    published(12),
    finished(),
    failed(),
    dead("b1"),
    paused(),
    resumed(),
    replay("b1"),
    replay("b1", "t2", 0, 4),
    replayed("b1"),
    not_replayed("b1"),
    discarded("b1"),
    reopened("b1"),
    records_replayed("b1", "t2", 0, 4),
    records_discarded("b1", 7),
    receipt_opened("r1", "b1", "b2"),
    receipt_closed("r1"),
    checkpoint_set(),
    recovered("b1", "b2", forgotten=("b0",)),
    dataclasses.replace(finished(), isolate=True),
    discarded("b1", recovered=True),
    dataclasses.replace(started(), range_from="1000", range_to="2500", range_partition=3),
]
STATE = LaneState(
    version=9,
    head="ab" * 32,
    checkpoint=Position("page-1", 2),
    boundary=digests("a", "b"),
    epoch=4,
    unsettled=(TAILED, attempted("b2", 1)),
    outbox=(Statement("b0", "COMMITTED", 3, 7, "run-1", T0_US), Statement("b9", "SUPERSEDED", 0, 8, "", T0_US)),
    run_id="run-1",
    run_version=9,
    run_open=True,
    systemic=Systemic("PERMISSION_DENIED", "no", "f1", "run-1", 6, T0_US),
    paused=True,
    pause_reason="the source is being moved",
    deaths=2,
    partitions=1,
    range_from="1000",
    range_to="2500",
    range_partition=3,
    newest=(page_key(T0_US, "b2"), page_key(T0_US, "b1")),
)


def _entry(*events: Event, **changes: Any) -> Any:
    fields = {"pipeline": "p", "lane": "0", "version": 1, "nonce": "n", "at_us": T0_US, "run_id": "r", "prev_hash": ""}
    return seal(**{**fields, **changes}, events=events)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.TYPE)
def test_an_event_survives_the_codec_and_json(event: Event) -> None:
    assert decode_event(encode_event(event)) == event
    assert decode_event(from_canonical(canonical(encode_event(event)))) == event


def test_every_event_is_among_the_cases_here() -> None:
    assert {event.TYPE for event in EVENTS} == EVENT_TYPES.keys()


@pytest.mark.parametrize("state", [LaneState(), STATE], ids=["empty", "full"])
def test_a_state_survives_its_snapshot(state: LaneState) -> None:
    assert decode_state(from_canonical(canonical(encode_state(state)))) == state


def test_a_snapshot_holds_every_field_of_the_state() -> None:
    assert encode_state(STATE).keys() == {field.name for field in dataclasses.fields(LaneState)} | {"schema_version"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, -7]}, '{"a":[true,null,-7],"b":1}'),
        ({"tail": b"\x00\xff"}, '{"tail":{"$bytes":"AP8="}}'),
        ({"cursor": "é🛫\n"}, '{"cursor":"é🛫\\n"}'),
        ((1, MappingProxyType({"a": ()})), '[1,{"a":[]}]'),
    ],
)
def test_canonical_json_is_sorted_spaceless_and_tags_bytes(value: object, text: str) -> None:
    assert canonical(value) == text.encode()


@pytest.mark.parametrize(
    ("value", "error"),
    [(1.5, TypeError), ({1: 2}, TypeError), ({"$bytes": "AA=="}, ValueError), ({"a": "\ud800"}, ValueError)],
    ids=["a float", "a number as key", "a key like our tag", "a lone surrogate"],
)
def test_what_would_not_read_back_alike_is_refused(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        canonical(value)


@pytest.mark.parametrize(
    "document",
    [
        {"type": "lane_painted", "reason": "x"},
        {"reason": "x"},
        {"type": "run_heartbeat", "run_id": "r", "mood": "good"},
    ],
    ids=["a type", "no type", "a field"],
)
def test_what_newer_code_wrote_is_unknown(document: dict[str, str]) -> None:
    with pytest.raises(UnknownEvent, match="deploy that version again"):
        decode_event(document)


@pytest.mark.parametrize("version", [0, 2])
def test_another_schema_version_is_unknown(version: int) -> None:
    with pytest.raises(UnknownEvent, match=f"schema version {version}"):
        decode_event(encode_event(heartbeat()), version)


def test_an_old_event_is_lifted_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {1: lambda old: {**old, "label": old["name"]}, 2: lambda old: {"type": old["type"], "run_id": old["label"]}}
    monkeypatch.setattr(codec, "SCHEMA_VERSION", 3)
    monkeypatch.setattr(codec, "UPCASTS", steps)
    assert decode_event({"type": "run_heartbeat", "name": "run-1"}, 1) == heartbeat("run-1")
    assert decode_event({"type": "run_heartbeat", "label": "run-1"}, 2) == heartbeat("run-1")


def test_an_event_without_a_field_is_corrupt() -> None:
    with pytest.raises(CorruptHistory, match="batch_committed is not whole"):
        decode_event({"type": "batch_committed", "batch_id": "b1"})


@pytest.mark.parametrize("change", [{"mood": "good"}, {"schema_version": 2}])
def test_a_snapshot_that_newer_code_wrote_is_unknown(change: dict[str, Any]) -> None:
    with pytest.raises(UnknownEvent):
        decode_state({**encode_state(STATE), **change})


def test_a_snapshot_without_a_field_is_corrupt() -> None:
    document = encode_state(STATE)
    del document["boundary"]
    with pytest.raises(CorruptHistory, match="boundary"):
        decode_state(document)


@pytest.mark.parametrize(
    "later",
    [
        ("systemic", "paused", "pause_reason"),
        ("deaths", "partitions"),
        ("range_from", "range_to", "range_partition"),
        ("newest",),
    ],
    ids=" ".join,
)
def test_a_snapshot_from_before_a_field_was_there_is_read(later: tuple[str, ...]) -> None:
    nothing = {name: getattr(LaneState(), name) for name in later}
    document = encode_state(dataclasses.replace(STATE, **nothing))
    old = {name: value for name, value in document.items() if name not in later}
    assert decode_state(old) == decode_state(document)


@pytest.mark.parametrize(
    ("silent", "saying", "later"),
    [
        (finished(), dataclasses.replace(finished(), isolate=True), "isolate"),
        (started(), dataclasses.replace(started(), range_from="a"), "range_from"),
        (started(), dataclasses.replace(started(), range_to="b"), "range_to"),
        (started(), dataclasses.replace(started(), range_partition=3), "range_partition"),
        (discarded("b1"), discarded("b1", recovered=True), "recovered"),
    ],
)
def test_a_later_field_is_stored_only_when_it_says_something(silent: Event, saying: Event, later: str) -> None:
    assert later not in encode_event(silent)
    assert encode_event(saying)[later] == getattr(saying, later)
    assert decode_event(encode_event(saying)) == saying


def test_a_stored_entry_without_a_field_is_corrupt() -> None:
    document = entry_document(_entry(heartbeat()))
    del document["nonce"]
    with pytest.raises(CorruptHistory, match="entry 1 has no 'nonce'"):
        entry_from_document(document)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"nonce": "other"},
        {"at_us": T0_US + 1},
        {"run_id": "other"},
        {"prev_hash": "0" * 64},
        {"schema_version": 2},
        {"events": ({"type": "run_heartbeat", "run_id": "other"},)},
        {"events": ()},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_hash_covers_everything_in_the_entry(change: dict[str, Any]) -> None:
    entry = _entry(heartbeat())
    assert entry_hash(dataclasses.replace(entry, **change)) != entry.hash


def test_a_lanes_first_entry_fits_no_other_lane() -> None:
    assert _entry(heartbeat()).prev_hash == genesis("p", "0")
    assert len({genesis("p", "0"), genesis("p", "1"), genesis("q", "0")}) == 3


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.TYPE)
def test_there_is_a_golden_file_of_every_event(event: Event) -> None:
    held = [document for file in GOLDEN.glob("*.json") for document in from_canonical(file.read_text())["events"]]
    new = canonical(entry_document(_entry(event))).decode()
    assert encode_event(event) in held, f"keep this for ever in {GOLDEN.name}/: {new}"


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.json")), ids=lambda file: file.stem)
def test_an_entry_of_version_1_reads_and_hashes_as_on_the_day_it_was_written(file: Path) -> None:
    entry = entry_from_document(from_canonical(file.read_text()))
    assert entry_hash(entry) == entry.hash
    events = decode_entry(entry)
    again = dataclasses.replace(entry, events=tuple(encode_event(event) for event in events))
    assert entry_hash(again) == entry.hash
    assert all(event in EVENTS for event in events)
