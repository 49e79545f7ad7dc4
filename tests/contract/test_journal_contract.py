"""The port's sentences, each a test that every adapter passes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from state.codec import entry_hash, genesis
from state.errors import LedgerUnavailable, VersionConflict
from state.events import Event
from state.journal import BatchQuery, Commit, Committed, Journal
from state.verify import verify_lane
from tests.unit.state.commits import Flaky, commit, entry
from tests.unit.state.histories import (
    LANE,
    PIPELINE,
    Clock,
    attempted,
    committed,
    digests,
    failed,
    finished,
    heartbeat,
    landed,
    published,
    rejected,
    started,
    superseded,
    tell,
    whole_run,
    writer,
)

Store = Callable[..., Journal]
NASTY: dict[str, Any] = {
    "cursor": "é\n\"'\\ 🛫 \u0000",
    "bytes": bytes(range(256)),
    "null": None,
    "big": 2**63 - 1,
    "deep": {"list": [{}]},
}


# Entries


def test_an_entry_is_read_back_as_it_was_written(journal: Journal) -> None:
    events: list[Event] = [started(), attempted("b1"), rejected("b1", 0, 2), committed("b1"), published(1), finished()]
    written = entry(1, events=events)
    journal.commit(Commit(lane=LANE, entry=written))
    stored = journal.read_entry(LANE, 1)
    assert stored is not None
    assert stored.entry == written
    assert entry_hash(stored.entry) == written.hash


def test_any_plain_value_survives_storage(journal: Journal) -> None:
    journal.commit(commit(batches={"b1": {"batch_id": "b1", **NASTY}}, snapshot={"version": 1, "state": NASTY}))
    assert journal.read_batch("b1") == {"batch_id": "b1", **NASTY}
    snapshot = journal.read_snapshot(LANE)
    assert snapshot is not None
    assert snapshot.document == {"version": 1, "state": NASTY}


def test_what_was_never_written_is_none_or_empty(journal: Journal) -> None:
    assert journal.read_entry(LANE, 1) is None
    assert journal.read_snapshot(LANE) is None
    assert journal.read_batch("b1") is None
    assert list(journal.read_entries(LANE, 1, 10)) == []
    assert list(journal.read_lanes()) == []
    assert list(journal.list_batches()) == []
    assert list(journal.list_runs()) == []
    assert list(journal.list_receipts()) == []


def test_entries_are_read_in_order_from_a_version_on_and_at_most_the_limit(journal: Journal) -> None:
    for version in (1, 2, 9, 10, 100):  # entries in between have aged out
        journal.commit(commit(version))
    journal.commit(commit(3, lane="another"))
    assert [stored.entry.version for stored in journal.read_entries(LANE, 2, 3)] == [2, 9, 10]
    assert [stored.entry.version for stored in journal.read_entries(LANE, 3, 9)] == [9, 10, 100]
    assert list(journal.read_entries(LANE, 101, 5)) == []
    assert journal.read_entry(LANE, 3) is None


def test_an_entrys_age_is_by_the_servers_clock_not_its_writers(journal: Journal) -> None:
    journal.commit(commit())
    stored = journal.read_entry(LANE, 1)
    assert stored is not None
    assert 0 <= stored.age_s < 60
    assert 0 <= journal.read_entries(LANE, 1, 1)[0].age_s < 60


def test_another_adapter_on_the_store_sees_what_was_committed(store: Store) -> None:
    first = store()
    first.commit(commit(batches={"b1": {"batch_id": "b1"}}, snapshot={"version": 1}))
    second = store()
    assert second.read_entry(LANE, 1) is not None
    assert second.read_batch("b1") == {"batch_id": "b1"}
    with pytest.raises(VersionConflict):
        second.commit(commit(1, "other"))


def test_lanes_and_pipelines_are_apart(store: Store) -> None:
    one, other = store(), store("other")
    one.commit(commit(lane="b", snapshot={"version": 1}))
    one.commit(commit(lane="a", snapshot={"version": 1}, runs={"r1": {"run_id": "r1"}}))
    other.commit(commit(lane="a", snapshot={"version": 1}, batches={"b1": {"batch_id": "b1"}}))
    other.commit(commit(lane="without a snapshot"))
    assert list(one.read_lanes()) == ["a", "b"]
    assert list(other.read_lanes()) == ["a"]
    assert one.read_batch("b1") is None
    assert list(other.list_runs()) == []


# The compare-and-set


def test_a_version_that_exists_is_a_conflict_and_nothing_of_the_commit_is_applied(journal: Journal) -> None:
    before = {"batch_id": "b1", "status": "ATTEMPTED"}
    token = journal.commit(commit(batches={"b1": before}, snapshot={"version": 1, "by": "me"})).snapshot_token
    conflicting = commit(
        nonce="other",
        batches={"b1": {"status": "COMMITTED"}, "b2": {"batch_id": "b2"}},
        runs={"r1": {"run_id": "r1"}},
        snapshot={"version": 1, "by": "other"},
        snapshot_token=token,
    )
    with pytest.raises(VersionConflict):
        journal.commit(conflicting)
    stored, snapshot = journal.read_entry(LANE, 1), journal.read_snapshot(LANE)
    assert stored is not None
    assert stored.entry.nonce == "n"
    assert snapshot is not None
    assert snapshot.document["by"] == "me"
    assert journal.read_batch("b1") == before
    assert journal.read_batch("b2") is None
    assert list(journal.list_runs()) == []


def test_sixteen_racing_writers_win_each_version_once_and_lose_no_event(store: Store) -> None:
    journal, clock = store(), Clock()

    def write(number: int) -> list[int]:
        ledger = writer(journal, clock=clock)
        ledger.open()
        return [_append_at_last(ledger, heartbeat(f"run-{number}-{turn}")) for turn in range(2)]

    with ThreadPoolExecutor(16) as threads:
        won = [version for versions in threads.map(write, range(16)) for version in versions]
    assert sorted(won) == list(range(1, 33))
    written = [event["run_id"] for stored in journal.read_entries(LANE, 1, 99) for event in stored.entry.events]
    assert sorted(written) == sorted(f"run-{number}-{turn}" for number in range(16) for turn in range(2))
    assert verify_lane(journal, PIPELINE, LANE) == []


def _append_at_last(ledger: Any, event: Event) -> int:
    while True:
        try:
            return int(ledger.append([event], run_id="r").version)
        except VersionConflict:
            ledger.refold()


# The snapshot


@pytest.mark.parametrize("is_stale", [True, False], ids=["an old token", "no token"])
def test_a_snapshot_is_only_replaced_under_the_token_of_its_last_write(journal: Journal, *, is_stale: bool) -> None:
    first = journal.commit(commit(1, snapshot={"version": 1}))
    second = journal.commit(commit(2, snapshot={"version": 2}, snapshot_token=first.snapshot_token))
    token = first.snapshot_token if is_stale else None
    with pytest.raises(VersionConflict):
        journal.commit(commit(3, batches={"b": {"batch_id": "b"}}, snapshot={"version": 3}, snapshot_token=token))
    assert journal.read_entry(LANE, 3) is None
    assert journal.read_batch("b") is None
    held = journal.read_snapshot(LANE)
    assert held is not None
    assert (held.version, held.token) == (2, second.snapshot_token)


def test_a_token_for_a_snapshot_that_was_never_written_is_a_conflict(store: Store) -> None:
    journal = store()
    token = journal.commit(commit(lane="another", snapshot={"version": 1})).snapshot_token
    with pytest.raises(VersionConflict):
        journal.commit(commit(snapshot={"version": 1}, snapshot_token=token))
    assert journal.read_entry(LANE, 1) is None


def test_a_snapshot_is_replaced_whole(journal: Journal) -> None:
    first = journal.commit(commit(1, snapshot={"version": 1, "old": {"a": 1}, "both": {"a": 1}}))
    journal.commit(commit(2, snapshot={"version": 2, "both": {"b": 2}}, snapshot_token=first.snapshot_token))
    held = journal.read_snapshot(LANE)
    assert held is not None
    assert held.document == {"version": 2, "both": {"b": 2}}


def test_the_token_that_is_read_permits_the_next_write(store: Store) -> None:
    store().commit(commit(1, snapshot={"version": 1}))
    journal = store()
    held = journal.read_snapshot(LANE)
    assert held is not None
    assert journal.commit(commit(2, snapshot={"version": 2}, snapshot_token=held.token)).snapshot_token is not None


def test_a_commit_tells_what_it_wrote(journal: Journal) -> None:
    assert journal.commit(commit(1)) == Committed(1, None)
    both = {"b1": {"batch_id": "b1"}, "b2": {"batch_id": "b2"}}
    assert journal.commit(commit(2, batches=both, runs={"r": {"run_id": "r"}}, snapshot={"version": 2})).writes == 5


# What the lane's writer builds on it


FAULTS = [["lost"], ["dropped"], ["late"], ["dropped", "dropped", "lost"], ["dropped", "late"]]


@pytest.mark.parametrize("faults", FAULTS, ids="-".join)
@pytest.mark.parametrize(
    "first", [[started()], [attempted("b1")], [heartbeat(), failed()]], ids=["start", "batch", "end"]
)
def test_a_lost_answer_is_recognised_by_the_nonce_and_the_lane_goes_on(
    journal: Journal, first: list[Event], faults: list[str]
) -> None:
    ledger = writer(Flaky(journal, ["", *faults]))
    ledger.open()
    tell(ledger, [[started()], first])
    tell(ledger, [[heartbeat()], [finished()], [started("run-2")], [finished("run-2")]])
    versions = [stored.entry.version for stored in journal.read_entries(LANE, 1, 99)]
    assert versions == [1, 2, 3, 4, 5, 6]
    assert verify_lane(journal, PIPELINE, LANE) == []


def test_another_writers_entry_found_after_a_lost_answer_is_a_conflict(journal: Journal) -> None:
    ledger = writer(Flaky(journal, ["", "raced"]))
    ledger.open()
    tell(ledger, [[started()]])
    with pytest.raises(VersionConflict, match="version 2 was written by somebody else"):
        landed(ledger, [attempted("b1")])
    assert journal.read_batch("b1") is None


def test_a_writer_without_answers_gives_up_in_bounded_time(journal: Journal) -> None:
    clock = Clock()
    ledger = writer(Flaky(journal, ["dropped"] * 99), clock=clock)
    ledger.open()
    with pytest.raises(LedgerUnavailable, match="check that the ledger's store is reachable"):
        landed(ledger, [started()])
    assert 10 < sum(clock.slept_s) <= 15
    assert clock.slept_s == sorted(clock.slept_s)
    assert journal.read_entry(LANE, 1) is None


def test_a_zombies_next_write_conflicts_after_a_takeover(journal: Journal) -> None:
    zombie, successor = writer(journal), writer(journal)
    zombie.open()
    tell(zombie, [[started()], [attempted("b1")]])
    assert successor.open().is_live(180)
    tell(successor, [[started("run-2", takeover=True)]], "run-2")
    for events in ([committed("b1")], [finished()]):
        with pytest.raises(VersionConflict):
            landed(zombie, events)
    assert zombie.refold().state.run_id == "run-2"
    assert verify_lane(journal, PIPELINE, LANE) == []


def test_entries_are_chained_by_their_hashes_from_the_lanes_own_origin(journal: Journal) -> None:
    ledger = writer(journal)
    ledger.open()
    tell(ledger, whole_run(0))
    entries = [stored.entry for stored in journal.read_entries(LANE, 1, 99)]
    assert [item.prev_hash for item in entries] == [genesis(PIPELINE, LANE), *(item.hash for item in entries[:-1])]
    assert all(item.hash == entry_hash(item) for item in entries)


class Counting:
    """A journal that counts the documents read from it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.documents = 0

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **fields: Any) -> Any:
            answer = getattr(self._journal, name)(*args, **fields)
            self.documents += len(answer) if isinstance(answer, list) else 1
            return answer

        return call


def _documents_read_to_open(journal: Journal) -> int:
    counting = Counting(journal)
    writer(counting).open()
    return counting.documents


def test_opening_a_lane_reads_as_little_after_200_runs_as_after_5(journal: Journal) -> None:
    ledger = writer(journal)
    ledger.open()
    for number in range(5):
        tell(ledger, whole_run(number), f"run-{number:04d}")
    young = _documents_read_to_open(journal)
    for number in range(5, 200):
        tell(ledger, whole_run(number), f"run-{number:04d}")
    assert _documents_read_to_open(journal) == young <= 3
    tell(ledger, whole_run(200)[:3], "run-0200")
    assert _documents_read_to_open(journal) <= 5


def test_the_index_is_what_the_journal_says_and_verify_agrees(journal: Journal) -> None:
    ledger = writer(journal)
    ledger.open()
    tell(ledger, whole_run(0), "run-0000")
    state = tell(ledger, [*whole_run(1)[:2], [superseded("00000002"), superseded("00000003")]], "run-0001")
    tell(ledger, [[attempted("00000004", 2, epoch=state.epoch)]], "run-0001")
    tell(ledger, [[started("run-0002", takeover=True)], [committed("00000004")], [failed("run-0002")]], "run-0002")
    assert verify_lane(journal, PIPELINE, LANE) == []
    statuses = {batch["batch_id"]: batch["status"] for batch in journal.list_batches(BatchQuery(lane=LANE))}
    assert [status for _, status in sorted(statuses.items())] == [
        "COMMITTED",
        "COMMITTED",
        "SUPERSEDED",
        "SUPERSEDED",
        "COMMITTED",
    ]
    assert [run["status"] for run in journal.list_runs()] == ["failed", "failed", "complete"]
    assert (journal.read_batch("00000004") or {})["row_digests"] == digests(0, 1, 2)
