"""What a run's last log line says of lane and pipeline."""

from typing import Any, cast

import pytest

from ingestor.bootstrap import SystemClock
from ingestor.errors import IngestorError
from ingestor.lognames import LogName
from ingestor.ports import Ports
from ingestor.run import Run
from ingestor.standing import standing
from state.errors import LedgerUnavailable
from state.memory import MemoryJournal
from state.views import Waiting
from tests.dead import INGEST_US, Desk, batch_of, flight
from tests.unit.state.histories import LANE, Clock, writer
from tests.unit.test_taking import plan

NOW_US = INGEST_US + 3600 * 10**6


def test_open_dead_letters_of_the_pipeline_are_counted_and_lag_is_the_age_of_the_last_complete_run() -> None:
    desk = Desk()
    lane = desk.lane(now_us=NOW_US - 300 * 10**6)
    lane.dead(batch_of([flight(1)], start="a"))
    lane.committed(batch_of([flight(1)], start="b"))
    lane.finish()
    found = standing(desk.journal, "0", NOW_US)
    assert found["dead_lettered_open"] == 1
    assert found["lag_s"] == pytest.approx(299, abs=2)
    assert standing(desk.journal, "1", NOW_US) == {"lag_s": None, "dead_lettered_open": 1}


def test_a_ledger_that_cannot_count_fails_no_run() -> None:
    class Silent(MemoryJournal):
        def count_waiting(self) -> Waiting:
            raise LedgerUnavailable("no answer")

    assert standing(Silent(), "0", NOW_US) == {"lag_s": None, "dead_lettered_open": None}


def test_the_last_line_of_a_run_carries_where_lane_and_pipeline_stand() -> None:
    def refused() -> None:
        raise IngestorError("no table")

    said: dict[str, dict[str, Any]] = {}
    unused, clock = cast("Any", None), Clock()
    ports = Ports(
        ledger=writer(MemoryJournal(now_s=clock.read_s), clock=clock),
        source=unused,
        open_connection=unused,
        rejects=unused,
        store_dead=unused,
        table_exists=unused,
        publish=lambda _: None,
        preflight=refused,
        publish_operators=lambda: None,
        heal=unused,
        note_skip=unused,
        clock=SystemClock(),
        log=lambda name, *_, **fields: said.update({name: fields}),
        standing=lambda: {"lag_s": 1.5, "dead_lettered_open": 2},
    )
    Run(ports, plan("run-1", takeover=False, partitions=1, lane=LANE)).execute()
    last = said[LogName.RUN_FAILED]
    assert (last["lag_s"], last["dead_lettered_open"], last["in_doubt"], last["oldest_in_doubt_s"]) == (1.5, 2, 0, None)
    assert "balanced" in last
