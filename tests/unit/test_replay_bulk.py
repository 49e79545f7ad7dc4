"""Bulk replays, probes and plans, on a journal in memory."""

from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from ingestor.append import Ended
from ingestor.columns import Column, Table
from ingestor.errors import DeadLetterError
from ingestor.outcome import Outcome, answered, ended
from ingestor.replay import Replayed, Selection
from ingestor.replay_fits import lacking, refusals
from ingestor.replay_views import failures, history
from state.errors import Refused
from state.journal import BatchQuery
from state.verify import verify_lane
from tests.dead import APPENDED, DENIED, INGEST_US, REFUSED, Desk, batch_of, flight

NONSENSE = answered(3, "nonsense")


def desk_with(count: int, outcome: Outcome = REFUSED, kind: str = "batch", lane: str = "0") -> tuple[Desk, list[str]]:
    desk = Desk()
    return desk, more(desk, count, outcome, kind, lane)


def more(desk: Desk, count: int, outcome: Outcome = REFUSED, kind: str = "batch", lane: str = "0") -> list[str]:
    run = desk.lane(lane=lane)
    batches = [batch_of([flight(n)], start=f"{kind}{n}", lane=lane) for n in range(count)]
    ids = [run.dead(batch, outcome, kind) for batch in batches]
    run.finish()
    return ids


def opened(desk: Desk, selection: Selection | None = None) -> str:
    return desk.replayer().replay_all(selection or Selection(), actor="ann", reason="mended")


# Bulk.


def test_a_receipt_freezes_which_batches_it_is_about_oldest_first() -> None:
    desk, ids = desk_with(5)
    receipt = opened(desk)
    later = more(desk, 2, kind="systemic", lane="1")
    report = desk.replayer().continue_receipt(receipt, actor="ann")
    assert [item.batch_id for item in report.items] == ids
    assert report.ok
    assert [desk.status(batch_id) for batch_id in later] == ["DEAD_LETTERED"] * 2
    assert {s.batch_id for s in desk.statements} == set(ids)
    assert verify_lane(desk.journal, "flights", "ops", retention_days=90) == []


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(limit=2), 2),
        (Selection(lane="1"), 3),
        (Selection(lane="2"), 0),
        (Selection(fingerprint="none"), 0),
        (Selection(since_us=2 * 10**15), 0),
        (Selection(), 8),
    ],
)
def test_a_selection_leaves_what_its_filters_leave(selection: Selection, expected: int) -> None:
    desk, _ = desk_with(5)
    more(desk, 3, lane="1")
    receipt = opened(desk, selection)
    assert bool(receipt) == bool(expected)
    if receipt:
        assert len(desk.replayer().receipt(receipt).items) == expected


def test_only_dead_batches_are_selected() -> None:
    with pytest.raises(Refused, match="COMMITTED are not replayed"):
        opened(desk_with(1)[0], Selection(status="COMMITTED"))


def test_three_failures_in_a_row_stop_a_receipt_and_continuing_goes_on_behind_them() -> None:
    desk, ids = desk_with(6)
    desk.table.replies = [APPENDED, NONSENSE, NONSENSE, NONSENSE]
    receipt = opened(desk)
    report = desk.replayer().continue_receipt(receipt, actor="ann")
    assert (report.status, report.counts["failed"], report.counts["pending"]) == ("failed", 3, 2)
    assert len(desk.table.requests) == 4
    again = desk.replayer().continue_receipt(receipt, actor="bob", reason="looked")
    assert again.status == "done"
    assert [item.outcome for item in again.items] == ["succeeded", *["failed"] * 3, "succeeded", "succeeded"]
    assert not again.ok
    assert [desk.status(each) for each in ids[1:4]] == ["DEAD_LETTERED"] * 3


def test_failures_that_are_not_in_a_row_do_not_stop_a_receipt() -> None:
    desk, _ = desk_with(7)
    desk.table.replies = [NONSENSE, NONSENSE, APPENDED, NONSENSE, NONSENSE]
    assert desk.replayer().continue_receipt(opened(desk), actor="ann").status == "done"


def test_a_receipt_stopped_by_somebody_takes_no_further_batch() -> None:
    desk, _ = desk_with(6)
    receipt = opened(desk)

    def stop(done: int, total: int, replayed: Replayed) -> None:
        assert total == 6
        assert replayed.ok
        if done == 2:
            desk.replayer().stop_receipt(receipt, actor="bob")

    report = desk.replayer().continue_receipt(receipt, actor="ann", on_progress=stop)
    assert (report.status, report.counts["succeeded"]) == ("stopped", 2)
    assert len(desk.statements) == 2
    assert desk.replayer().continue_receipt(receipt, actor="ann").ok
    assert len(desk.table.rows) == 6


def test_a_batch_that_may_not_be_replayed_is_skipped_and_said() -> None:
    desk, ids = desk_with(3)
    receipt = opened(desk)
    desk.replayer().discard(ids[1], actor="bob", reason="wrong")
    report = desk.replayer().continue_receipt(receipt, actor="ann")
    assert [(item.outcome, item.status) for item in report.items] == [
        ("succeeded", "COMMITTED"),
        ("skipped", "DISCARDED"),
        ("succeeded", "COMMITTED"),
    ]


def test_a_bulk_replay_keeps_its_pace() -> None:
    desk, _ = desk_with(5)
    desk.replayer().continue_receipt(opened(desk), actor="ann", max_per_s=4.0)
    assert desk.slept == [0.25] * 4


def test_a_receipt_that_is_not_known_is_refused() -> None:
    with pytest.raises(Refused, match="is not known"):
        desk_with(1)[0].replayer().continue_receipt("nope", actor="ann")


# Probes.


@pytest.mark.parametrize(
    ("answer", "healed"),
    [
        (APPENDED, True),
        (NONSENSE, True),
        (DENIED, False),
        (answered(5, "no table", storage_error=1), False),
        (Ended(ended(14, "unreachable"), ()), False),
    ],
)
def test_only_a_systemic_answer_or_none_fails_a_probe(answer: Any, healed: bool) -> None:  # noqa: FBT001 - a case
    desk, _ = desk_with(3, DENIED, "systemic")
    if isinstance(answer, Outcome) and answer.code == "NOT_FOUND":
        desk.live = None
    desk.table.replies = [answer] * 3
    probed = desk.replayer().probe("run-2")
    assert (probed.healed, probed.none_left) == (healed, False)
    assert len(desk.table.rows) == (1 if answer is APPENDED else 0)


def test_a_probe_sends_one_batch_as_actor_run_and_counts_towards_no_cap() -> None:
    desk, ids = desk_with(3, DENIED, "systemic")
    desk.table.otherwise = DENIED
    for _ in range(5):
        assert not desk.replayer().probe("run-2").healed
    assert len(desk.table.requests) == 5
    batch: Any = desk.journal.read_batch(ids[-1])
    assert (batch["last_actor"], batch["replays"]) == ("run", 0)
    desk.table.otherwise = APPENDED
    assert all(desk.replayer().replay(each, actor="ann", reason="").ok for each in ids)


def test_what_failed_for_itself_is_no_candidate() -> None:
    desk, _ = desk_with(3)
    probed = desk.replayer().probe("run-2")
    assert (probed.healed, probed.none_left) == (True, True)
    assert desk.table.requests == []


def test_a_replay_that_died_is_a_candidate() -> None:
    desk, ids = desk_with(1, DENIED, "systemic")
    desk.ops().claim(ids[0], token="dead", actor="run", reason="")  # noqa: S106 - names a claim
    assert desk.replayer().probe("run-2").healed
    assert desk.status(ids[0]) == "COMMITTED"


def test_a_probe_of_a_lane_leaves_the_others_alone() -> None:
    desk, _ = desk_with(1, DENIED, "systemic")
    assert desk.replayer().probe("run-2", lane="1").none_left


def test_a_probe_whose_batches_are_gone_from_the_bucket_does_not_hold_the_run() -> None:
    desk, _ = desk_with(2, DENIED, "systemic")
    desk.stores.failing = DeadLetterError("gone")
    probed = desk.replayer().probe("run-2")
    assert (probed.healed, probed.none_left, probed.text) == (True, True, "gone")


def test_a_ledger_table_that_takes_nothing_fails_a_probe() -> None:
    desk, ids = desk_with(2, DENIED, "systemic")
    desk.ops().discard(ids[0], actor="ann", reason="r")
    desk.publish_fails = True
    assert not desk.replayer().probe("run-2").healed
    assert desk.table.requests == []


def test_healing_replays_the_rest_and_publishes_it() -> None:
    desk, ids = desk_with(30, DENIED, "systemic")
    seen, beats = list[Replayed](), list[int]()
    probed = desk.replayer().probe("run-2")
    healed = desk.replayer().replay_systemic("run-2", seen.append, keep_alive=lambda: beats.append(1))
    assert (healed.batches, healed.rows, healed.refused, healed.failing) == (29, 29, 0, "")
    assert probed.rows == 1
    assert len(seen) == 29
    assert len(beats) >= 29
    assert {s.batch_id for s in desk.statements} == set(ids)
    assert desk.ops().outbox() == ()


def test_healing_goes_on_after_a_batch_refused_for_itself_and_stops_at_a_systemic_answer() -> None:
    desk, _ = desk_with(5, DENIED, "systemic")
    desk.table.replies = [APPENDED, NONSENSE, APPENDED, DENIED]
    healed = desk.replayer().replay_systemic("run-2")
    assert (healed.batches, healed.refused) == (2, 1)
    assert healed.failing.startswith("PERMISSION_DENIED")
    assert len(desk.table.requests) == 4
    assert len(desk.statements) == 2


# Plans.


def test_a_plan_reads_one_partition_with_one_query_and_writes_nothing() -> None:
    desk, ids = desk_with(2)
    desk.answers = [[{"batch_id": ids[0], "present": 1}]]
    before = desk.journal.read_entries("ops", 1, 10)
    plan = desk.replayer().plan(ids, actor="ann")
    assert (len(plan.sendable), plan.rows, plan.present, plan.refused) == (2, 2, 1, ())
    assert plan.size_bytes == sum(len(batch_of([flight(n)], start=f"batch{n}").rows[0]) for n in range(2))
    assert plan.cost_usd == pytest.approx(plan.size_bytes / 2**30 * 0.025)
    assert len(plan.fingerprints) == 1
    (query,) = desk.queries
    assert "WHERE `_ingest_time` IN (TIMESTAMP_MICROS(1769990400123456)) AND `_ingest_batch_id` IN (" in query
    assert all(f"'{batch_id}'" in query for batch_id in ids)
    assert desk.journal.read_entries("ops", 1, 10) == before
    assert desk.table.requests == []


def test_a_plan_says_what_would_not_be_sent_and_why() -> None:
    desk, ids = desk_with(1)
    desk.replayer().replay(ids[0], actor="ann", reason="")
    plan = desk.replayer().plan([ids[0], "unknown"], actor="ann")
    assert plan.sendable == ()
    assert "its rows are visible" in plan.batches[0].problem
    assert "is not known" in plan.batches[1].problem


def field(name: str, kind: str, label: str = "OPTIONAL", **more: Any) -> FieldDescriptorProto:
    number = sum(map(ord, name))
    types: Any = FieldDescriptorProto
    type_, label_ = types.Type.Value(f"TYPE_{kind.upper()}"), types.Label.Value(f"LABEL_{label}")
    return FieldDescriptorProto(name=name, number=number, type=type_, label=label_, **more)


@pytest.mark.parametrize(
    ("kind", "column", "said"),
    [
        ("int32", Column("a", "DATE"), None),
        ("int64", Column("a", "TIMESTAMP"), None),
        ("int64", Column("a", "NUMERIC"), None),
        ("string", Column("a", "NUMERIC"), None),
        ("enum", Column("a", "STRING"), None),
        ("bool", Column("a", "INT64"), "table has INT64, batch wants BOOL"),
        ("int32", Column("a", "TIMESTAMP"), "table has TIMESTAMP, batch wants INT64"),
        ("int64", Column("a", "STRING"), "table has STRING, batch wants INT64"),
        ("string", Column("a", "STRING", "REPEATED"), "table has it REPEATED, batch wants it NULLABLE"),
        ("string", Column("A", "STRING"), None),
        ("string", Column("b", "STRING"), "table has none, batch wants STRING or BYTES or DATE"),
        ("bytes", Column("a", "STRING", "REQUIRED"), "table has STRING, batch wants BYTES"),
    ],
)
def test_a_descriptor_fits_a_table_as_the_append_path_says(kind: str, column: Column, said: str | None) -> None:
    schema = DescriptorProto(name="Row")
    more: dict[str, Any] = {}
    if kind == "enum":
        schema.enum_type.add(name="E").value.add(name="X", number=0)
        more = {"type_name": "E"}
    schema.field.append(field("a", kind, **more))
    found = refusals(schema, Table("t", (column,)))
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_rows_without_a_value_of_a_required_column_are_counted() -> None:
    schema = DescriptorProto(name="Row", field=[field("a", "int64"), field("b", "int64", default_value="0")])
    table = Table("t", (Column("a", "INT64", "REQUIRED"), Column("b", "INT64", "REQUIRED")))
    row = bytes([*_tag("a"), 5])
    assert list(lacking(schema, table, [row, row])) == []
    assert list(lacking(schema, table, [row, b"", b""])) == [
        "table t, column a: table has it REQUIRED, 2 of 3 rows have no value",
    ]


def _tag(name: str) -> Sequence[int]:
    return [sum(map(ord, name)) << 3 & 0x7F | 0x80, sum(map(ord, name)) << 3 >> 7]


# Views.


def test_failures_are_grouped_by_fingerprint() -> None:
    desk, _ = desk_with(3, answered(3, "Cannot convert 'x' in row 17"))
    more(desk, 2, DENIED, "systemic", "1")
    groups = failures(desk.journal, BatchQuery(status="DEAD_LETTERED", by="dead_at_us"))
    assert [(g.batches, g.rows, g.kind, g.code) for g in groups] == [
        (3, 3, "batch", "INVALID_ARGUMENT"),
        (2, 2, "systemic", "PERMISSION_DENIED"),
    ]
    assert groups[0].message == "Cannot convert <value> in row <n>"
    assert groups[0].first_seen_us < groups[0].last_seen_us


def test_the_history_tells_what_both_lanes_say_of_a_batch_and_of_no_other() -> None:
    desk, ids = desk_with(3)
    for batch_id in ids:
        desk.table.replies = [NONSENSE]
        desk.replayer().replay(batch_id, actor="ann", reason="try")
    desk.replayer().discard(ids[1], actor="bob", reason="wrong")
    batch: Any = desk.journal.read_batch(ids[1])
    told = [each.event for each in history(desk.journal, batch)]
    assert told == ["batch_attempted", "batch_dead_lettered", "replay_started", "replay_failed", "batch_discarded"]


def test_a_history_reads_no_entry_of_lane_ops_from_long_before_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, old = desk_with(20)
    for batch_id in old:
        desk.replayer().replay(batch_id, actor="ann", reason="")
    later_us = INGEST_US + 5 * 86_400_000_000
    run = desk.lane(lane="1", now_us=later_us)
    batch_id = run.dead(batch_of([flight(1)], start="late", lane="1"))
    desk.ops_us = later_us + 10**9
    desk.table.replies = [NONSENSE]
    for _ in range(2):
        desk.replayer().replay(batch_id, actor="ann", reason="")
    walked = list[int]()
    real = desk.journal.read_entries

    def read_entries(lane: str, first: int, limit: int) -> Any:
        walked.append(first)
        return real(lane, first, limit)

    monkeypatch.setattr(desk.journal, "read_entries", read_entries)
    batch: Any = desk.journal.read_batch(batch_id)
    told = [each.event for each in history(desk.journal, batch)]
    assert told[2:] == ["replay_started", "replay_failed", "replay_started", "replay_succeeded"]
    assert walked[0] > 40


def test_a_bulk_replay_with_a_budget_begins_nothing_after_it_and_stays_open() -> None:
    desk, ids = desk_with(6)
    receipt = opened(desk)
    report = desk.replayer().continue_receipt(receipt, actor="ann", max_per_s=2.0, budget_s=1.4, shown=1)
    assert (report.status, report.counts["succeeded"], report.counts["pending"]) == ("open", 3, 3)
    assert [item.batch_id for item in report.items] == ids[:1]
    rest = desk.replayer().continue_receipt(receipt, actor="bob")
    assert rest.ok
    assert sum(desk.table.requests) == 6


def test_a_bulk_replay_that_is_named_is_opened_once_whatever_died_in_between() -> None:
    desk, ids = desk_with(2)
    replayer = desk.replayer()
    named = {"actor": "ann", "reason": "r", "receipt": "replay-0123456789abcdef"}
    first = replayer.replay_all(Selection(), **named)
    more(desk, 2, lane="1")
    assert replayer.replay_all(Selection(), **named) == first == "replay-0123456789abcdef"
    assert [item.batch_id for item in replayer.receipt(first).items] == ids
    with pytest.raises(Refused, match="something else"):
        replayer.replay_all(Selection(lane="1"), **named)


def test_a_part_of_a_receipt_can_be_asked_for() -> None:
    desk, ids = desk_with(5)
    report = desk.replayer().receipt(opened(desk), first=1, limit=2)
    assert [item.batch_id for item in report.items] == ids[1:3]
    assert report.counts["pending"] == 5
