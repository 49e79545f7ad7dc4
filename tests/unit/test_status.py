"""What `ingestor status` says of dead batches: how many there are, however many."""

from typing import Any

from ingestor.cli_status import _lines
from ingestor.status import status
from tests.dead import INGEST_US, Desk, batch_of, flight
from tests.unit.state.histories import operator, writer


def test_dead_batches_are_counted_by_status() -> None:
    desk = Desk()
    lane = desk.lane()
    dead = [lane.dead(batch_of([flight(number)], start=f"p{number}")) for number in range(6)]
    lane.finish()
    ops = operator(desk.journal)
    claim: dict[str, Any] = {"token": "t", "actor": "ann", "reason": "test"}
    ops.claim(dead[0], **claim)
    for batch_id in dead[1:3]:
        ops.discard(batch_id, actor="ann", reason="test")
    found = status(desk.journal, lambda name: writer(desk.journal, name), INGEST_US, 180.0)
    assert found["dead_letters"] == {
        "DEAD_LETTERED": {"batches": 3},
        "REPLAYING": {"batches": 1},
        "DISCARDED": {"batches": 2},
    }
    assert "dead letters: 3 DEAD_LETTERED, 1 REPLAYING, 2 DISCARDED" in _lines(found)
