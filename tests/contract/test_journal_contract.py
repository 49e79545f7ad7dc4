"""The port's sentences, each a test that every adapter passes."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from state.codec import entry_hash, genesis, seal
from state.errors import LedgerUnavailable, OutcomeUnknown, VersionConflict
from state.events import Event
from state.journal import BatchQuery, Commit, Committed, Entry, Journal, page_key
from state.verify import verify_lane
from tests.unit.state.histories import (
    DAY_US,
    LANE,
    PIPELINE,
    T0_US,
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


def entry(version: int, nonce: str = "n", events: Sequence[Event] = (), lane: str = LANE) -> Entry:
    return seal(
        pipeline=PIPELINE,
        lane=lane,
        version=version,
        nonce=nonce,
        at_us=T0_US,
        run_id="run-1",
        events=events or [heartbeat()],
        prev_hash="",
    )


def commit(version: int = 1, nonce: str = "n", *, lane: str = LANE, **fields: Any) -> Commit:
    return Commit(lane=lane, entry=entry(version, nonce, lane=lane), **fields)


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


# Index documents


def test_fields_are_merged_and_the_others_stay(journal: Journal) -> None:
    first = {"batch_id": "b1", "status": "ATTEMPTED", "end": {"cursor": "a", "taken": 1}, "row_digests": b"\x00" * 32}
    journal.commit(commit(1, batches={"b1": first}, runs={"r1": {"run_id": "r1", "status": "running"}}))
    second = {"status": "COMMITTED", "end": {"cursor": "b"}, "rejected_indexes": [1]}
    journal.commit(commit(2, batches={"b1": second}, runs={"r1": {"error": None}}))
    assert journal.read_batch("b1") == {**first, **second}
    assert list(journal.list_runs()) == [{"run_id": "r1", "status": "running", "error": None}]


def test_lists_leave_out_row_digests(journal: Journal) -> None:
    batch = {"batch_id": "b1", "attempted_at_us": 1}
    journal.commit(commit(batches={"b1": {**batch, "row_digests": b"1234"}}))
    assert [dict(listed) for listed in journal.list_batches()] == [batch]


def test_an_index_document_keeps_its_expiry_to_the_microsecond(journal: Journal) -> None:
    kept = {
        "b1": {"batch_id": "b1", "attempted_at_us": 2, "expire_at_us": T0_US + 1},
        "b2": {"batch_id": "b2", "attempted_at_us": 1},
    }
    journal.commit(
        commit(1, batches=kept, runs={"r1": {"run_id": "r1", "expire_at_us": T0_US + 7}}, expire_at_us=T0_US)
    )
    assert [batch.get("expire_at_us") for batch in journal.list_batches()] == [T0_US + 1, None]
    assert journal.list_runs()[0]["expire_at_us"] == T0_US + 7
    journal.commit(commit(2, batches={"b1": {"expire_at_us": None}}))
    assert (journal.read_batch("b1") or {})["expire_at_us"] is None


def _batch(number: int, status: str, lane: str, attempted_at_us: int, **fields: Any) -> dict[str, Any]:
    batch = {"batch_id": f"b{number}", "status": status, "lane": lane, "attempted_at_us": attempted_at_us}
    return {**batch, "attempted_run": f"r{attempted_at_us // 100}", "fingerprint": None, "dead_at_us": None, **fields}


DEAD = {"fingerprint": "f1", "dead_at_us": 500}
BATCHES = [
    _batch(0, "COMMITTED", "0", 100),
    _batch(1, "DEAD_LETTERED", "0", 200, **DEAD),
    _batch(2, "COMMITTED", "1", 200),
    _batch(3, "COMMITTED", "0", 50, **DEAD),
    _batch(4, "DEAD_LETTERED", "1", 300, fingerprint="f2", dead_at_us=400),
]


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({}, "b4 b2 b1 b0 b3"),
        ({"status": "COMMITTED"}, "b2 b0 b3"),
        ({"lane": "1"}, "b4 b2"),
        ({"run": "r2"}, "b2 b1"),
        ({"fingerprint": "f1"}, "b1 b3"),
        ({"status": "COMMITTED", "lane": "0"}, "b0 b3"),
        ({"status": "DEAD_LETTERED", "lane": "0", "run": "r2", "fingerprint": "f1"}, "b1"),
        ({"status": "DEAD_LETTERED", "lane": "0", "run": "r2", "fingerprint": "f2"}, ""),
        ({"since_us": 200}, "b4 b2 b1"),
        ({"until_us": 200}, "b0 b3"),
        ({"since_us": 100, "until_us": 300, "status": "COMMITTED"}, "b2 b0"),
        ({"by": "dead_at_us"}, "b3 b1 b4"),
        ({"by": "dead_at_us", "lane": "0", "since_us": 450}, "b3 b1"),
        ({"by": "dead_at_us", "until_us": 500}, "b4"),
        ({"status": "REPLAYING"}, ""),
    ],
    ids=str,
)
@pytest.mark.parametrize("page", [1, 2, 9])
def test_batches_are_listed_newest_first_filtered_and_in_pages(
    journal: Journal, asked: dict[str, Any], ids: str, page: int
) -> None:
    journal.commit(commit(batches={batch["batch_id"]: batch for batch in BATCHES}))
    query, found = BatchQuery(**asked), list[str]()
    while batches := journal.list_batches(query, limit=page):
        assert len(batches) <= page
        found += [batch["batch_id"] for batch in batches]
        query = query.following(batches[-1])
    assert found == ids.split()


def test_a_page_follows_the_last_whatever_came_or_went_in_between(journal: Journal) -> None:
    journal.commit(commit(1, batches={batch["batch_id"]: batch for batch in BATCHES}))
    first = journal.list_batches(limit=2)
    newer = {"b9": _batch(9, "ATTEMPTED", "0", 400), "b2": {"status": "DISCARDED", "dead_at_us": 900}}
    journal.commit(commit(2, batches=newer))
    query = BatchQuery().following(first[-1])
    assert [batch["batch_id"] for batch in journal.list_batches(query)] == ["b1", "b0", "b3"]


@pytest.mark.parametrize("after", ["b1", "x~b1", "~b1", "5~", ""])
def test_a_page_that_is_none_is_refused(journal: Journal, after: str) -> None:
    with pytest.raises(ValueError, match="start again from the first page"):
        journal.list_batches(BatchQuery(after=after))
    with pytest.raises(ValueError, match="start again from the first page"):
        journal.list_receipts(after=after)


# A batch's token


def _changed(store: Store, batch_id: str = "b1") -> tuple[Journal, object]:
    """Return a journal with a batch that was changed since its token, which is returned too, was read."""
    journal = store()
    journal.commit(commit(1, batches={batch_id: {"batch_id": batch_id, "status": "DEAD_LETTERED"}}))
    found = store().read_batch_for_update(batch_id)
    assert found is not None
    assert found[0] == {"batch_id": batch_id, "status": "DEAD_LETTERED"}
    store().commit(commit(2, batches={batch_id: {"status": "REPLAYING"}}))
    return journal, found[1]


def test_a_batch_is_only_changed_under_the_token_of_its_last_change(store: Store) -> None:
    journal, token = _changed(store)
    late = commit(
        3,
        batches={"b1": {"status": "DISCARDED"}, "b2": {"batch_id": "b2"}},
        batch_tokens={"b1": token},
        receipts={"r1": {"receipt": "r1"}},
        snapshot={"version": 3},
    )
    with pytest.raises(VersionConflict):
        journal.commit(late)
    assert journal.read_entry(LANE, 3) is None
    assert (journal.read_batch("b1") or {})["status"] == "REPLAYING"
    assert journal.read_batch("b2") is None
    assert journal.read_receipt("r1") is None
    assert journal.read_snapshot(LANE) is None


def test_the_token_of_the_last_change_permits_one_more(store: Store) -> None:
    journal, _ = _changed(store)
    found = journal.read_batch_for_update("b1")
    assert found is not None
    journal.commit(commit(3, batches={"b1": {"status": "DISCARDED"}}, batch_tokens={"b1": found[1]}))
    assert journal.read_batch("b1") == {"batch_id": "b1", "status": "DISCARDED"}
    with pytest.raises(VersionConflict):
        journal.commit(commit(4, batches={"b1": {"status": "DEAD_LETTERED"}}, batch_tokens={"b1": found[1]}))


def test_a_change_to_the_same_values_makes_a_token_old_too(store: Store) -> None:
    journal, _ = _changed(store)
    found = journal.read_batch_for_update("b1")
    assert found is not None
    journal.commit(commit(3, batches={"b1": {"status": "REPLAYING", "replay_token": "another"}}))
    with pytest.raises(VersionConflict):
        journal.commit(commit(4, batches={"b1": {"status": "DISCARDED"}}, batch_tokens={"b1": found[1]}))


def test_a_token_for_a_batch_that_is_not_there_is_a_conflict(store: Store) -> None:
    journal, token = _changed(store)
    with pytest.raises(VersionConflict):
        journal.commit(commit(3, batches={"b9": {"status": "DISCARDED"}}, batch_tokens={"b9": token}))
    assert journal.read_batch("b9") is None


def test_a_token_changes_whole_fields_as_a_merge_does(journal: Journal) -> None:
    before = {"batch_id": "b1", "repairs": {"1": {"state": "claimed"}, "2": {"state": "claimed"}}, "row_digests": b"1"}
    journal.commit(commit(1, batches={"b1": before}))
    found = journal.read_batch_for_update("b1")
    assert found is not None
    assert found[0] == before
    change = {"repairs": {"1": {"state": "landed"}}, "expire_at_us": T0_US}
    journal.commit(commit(2, batches={"b1": change}, batch_tokens={"b1": found[1]}))
    assert journal.read_batch("b1") == {**before, **change}


def test_a_batch_never_written_has_no_token(journal: Journal) -> None:
    assert journal.read_batch_for_update("b1") is None


def test_a_token_of_a_batch_that_the_commit_leaves_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="does not change: b1"):
        commit(batch_tokens={"b1": 1})


# Receipts


def _receipt(number: int, opened_at_us: int) -> dict[str, Any]:
    ids = {"batch_ids": ["b1", "b2"], "outcomes": "..", "filter": {"status": "DEAD_LETTERED"}}
    return {"receipt": f"r{number}", "opened_at_us": opened_at_us, **ids}


def test_a_receipt_is_read_whole_and_merged(journal: Journal) -> None:
    assert journal.read_receipt("r1") is None
    assert journal.commit(commit(1, receipts={"r1": _receipt(1, 5)})).writes == 2
    journal.commit(commit(2, receipts={"r1": {"outcomes": "S.", "expire_at_us": None}}))
    assert journal.read_receipt("r1") == {**_receipt(1, 5), "outcomes": "S.", "expire_at_us": None}


def test_receipts_are_listed_newest_first_without_their_batch_ids_in_pages(journal: Journal) -> None:
    receipts = [_receipt(1, 20), _receipt(2, 10), _receipt(3, 30), _receipt(4, 20)]
    journal.commit(commit(receipts={receipt["receipt"]: receipt for receipt in receipts}))
    listed = journal.list_receipts(limit=2)
    assert [dict(receipt) for receipt in listed] == [
        {name: value for name, value in receipts[at].items() if name != "batch_ids"} for at in (2, 3)
    ]
    after = page_key(listed[-1]["opened_at_us"], listed[-1]["receipt"])
    assert [receipt["receipt"] for receipt in journal.list_receipts(after=after)] == ["r1", "r2"]


# Runs and skips


@pytest.mark.parametrize(
    ("asked", "ids"),
    [({}, "r3 r2 r1"), ({"limit": 2}, "r3 r2"), ({"limit": 2, "before": "r2"}, "r1"), ({"before": "r1"}, "")],
)
def test_runs_are_listed_newest_first_and_in_pages(journal: Journal, asked: dict[str, Any], ids: str) -> None:
    journal.commit(commit(runs={run_id: {"run_id": run_id} for run_id in ("r2", "r1", "r3")}))
    assert [run["run_id"] for run in journal.list_runs(**asked)] == ids.split()


def test_the_same_skip_twice_changes_nothing(store: Store) -> None:
    for journal in (store(), store()):
        journal.create_skip("tick-1", {"run_id": "r1", "at_us": T0_US}, T0_US + DAY_US)


def test_closing_twice_is_closing_once(store: Store) -> None:
    journal = store()
    journal.read_entry(LANE, 1)
    journal.close()
    journal.close()


# What the lane's writer builds on it


class Flaky:
    """A journal whose next commits meet a fault: `lost` is applied without an answer, `dropped` is not applied, `late`
    is applied after the writer looked, `raced` is not applied and another writer takes its version.
    """

    def __init__(self, journal: Journal, faults: Sequence[str]) -> None:
        self._journal = journal
        self._faults = list(faults)
        self._late: list[Commit] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def commit(self, commit: Commit) -> Committed:
        while self._late:
            self._journal.commit(self._late.pop())
        fault = self._faults.pop(0) if self._faults else ""
        if fault == "lost":
            self._journal.commit(commit)
        elif fault == "late":
            self._late.append(commit)
        elif fault == "raced":
            self._journal.commit(Commit(lane=commit.lane, entry=entry(commit.entry.version, "somebody else's")))
        if fault:
            raise OutcomeUnknown(fault)
        return self._journal.commit(commit)


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
