"""One row's story, told from the ledger and checked on BigQuery's own SQL."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from ingestor.ddl import ledger_id
from ingestor.reconcile import Books
from ingestor.why import Why, why
from state.errors import Refused
from state.events import Position
from state.fold import Statement
from tests.contract.test_reconcile import World, tables, world
from tests.dead import INGEST_US, PIPELINE

__all__ = ["tables", "world"]


def _why(world: World, name: str, index: int) -> Why:
    journal = world.desk.journal
    books = Books(journal, PIPELINE, world.query, world.table, ledger_id(world.table), owed=lambda: world.owed)
    return why(books, world.ids.get(name, name), index)


def _replayed(world: World) -> None:
    ops, mine = world.desk.ops(), cast("dict[str, Any]", {"token": "t", "actor": "ann"})
    ops.claim_records(world.ids["mixed"], {1: b"d" * 16}, reason="r", **mine)
    ops.records_landed(world.ids["mixed"], {1: b"d" * 16}, **mine)
    world.insert("mixed", 1)


def _discarded(world: World) -> None:
    world.desk.ops().discard(world.ids["dead"], actor="ann", reason="r")


def _owed(world: World) -> None:
    world.unsay("plain")
    world.owed = [Statement(world.ids["plain"], "COMMITTED", 3, 9, "run-1", INGEST_US)]


STORIES: dict[str, tuple[Callable[[World], object], str, int, int, str]] = {
    "a row": (lambda _: None, "plain", 1, 1, "visible: a row of a COMMITTED batch"),
    "a double": (lambda w: w.insert("plain", 1), "plain", 1, 1, "visible: a row of a COMMITTED batch, stored 2 times"),
    "a rejected record": (lambda _: None, "mixed", 1, 0, "invisible: the record was rejected (encode), it is open in"),
    "a repaired record": (_replayed, "mixed", 1, 1, "visible: a repaired record of a COMMITTED batch"),
    "a dead batch": (lambda _: None, "dead", 0, 0, "invisible: the batch is set aside (INVALID_ARGUMENT: Cannot"),
    "a discarded batch": (_discarded, "dead", 0, 0, "invisible: the batch is DISCARDED"),
    "a row that is gone": (lambda w: w.delete("plain", 1), "plain", 1, 0, "missing: the ledger counts it"),
    "a statement that is gone": (lambda w: w.unsay("plain"), "plain", 1, 0, "hidden: the ledger table lacks"),
    "a statement that is owed": (_owed, "plain", 1, 0, "invisible for now: the batch is committed, its statement"),
    "nobody's batch": (lambda w: w.insert("f" * 32, 0), "f" * 32, 0, 0, "the ledger does not know this batch: its 1"),
}


@pytest.mark.parametrize(("happened", "name", "index", "visible", "verdict"), STORIES.values(), ids=STORIES.keys())
def test_a_row_is_seen_or_not_for_a_reason(  # noqa: PLR0913, PLR0917 - a case
    world: World, happened: Callable[[World], object], name: str, index: int, visible: int, verdict: str
) -> None:
    happened(world)
    found = _why(world, name, index)
    assert found.visible == visible
    assert found.verdict.startswith(verdict)


def test_a_story_tells_page_run_attempts_answers_and_statement(world: World) -> None:
    found = _why(world, "dead", 1)
    assert found.runs == {"attempted": "run-1", "settled": "run-1"}
    assert [each.event for each in found.history] == ["batch_attempted", "batch_dead_lettered"]
    assert found.history[1].details["attempts"] == 2
    assert (found.statements, found.table_rows) == ((), 0)
    shown = _why(world, "mixed", 2)
    assert [(s["status"], s["lane"]) for s in shown.statements] == [("COMMITTED", "0")]
    batch = world.desk.journal.read_batch(world.ids["mixed"]) or {}
    assert shown.row_digest == batch["row_digests"][16:32].hex()
    assert _why(world, "mixed", 1).row_digest == ""


@pytest.mark.parametrize(
    ("start", "end", "index", "page", "record"),
    [
        (Position("p1", 40), Position("p1", 44), 2, "p1", 42),
        (Position("p1", 40), Position("p3", 2), 0, "p1", 40),
        (Position("p1", 40), Position("p3", 2), 1, None, None),
        (Position("p1", 40), Position("p3", 2), 2, "p3", 0),
        (Position("p1", 40), Position("p3", 2), 3, "p3", 1),
        (Position("p1"), Position("p2"), 3, None, None),
        (Position(None), Position("p2"), 0, None, 0),
    ],
)
def test_the_page_of_a_record_is_told_where_the_ledger_knows_it(  # noqa: PLR0913, PLR0917 - a case
    world: World, start: Position, end: Position, index: int, page: str | None, record: int | None
) -> None:
    journal = world.desk.journal
    journal._batches["spanning"] = {
        **(journal.read_batch(world.ids["plain"]) or {}),
        "batch_id": "spanning",
        "start": {"cursor": start.cursor, "taken": start.taken},
        "end": {"cursor": end.cursor, "taken": end.taken},
        "rows": 4,
    }
    source = _why(world, "spanning", index).source
    assert (source["page_cursor"], source["record"]) == (page, record)


@pytest.mark.parametrize(("name", "index"), [("plain", 3), ("plain", -1), ("x' OR TRUE --", 0), ("", 0)])
def test_what_can_be_no_row_is_refused_and_not_asked(world: World, name: str, index: int) -> None:
    world.queries.clear()
    with pytest.raises(Refused):
        _why(world, name, index)
    assert world.queries == []
