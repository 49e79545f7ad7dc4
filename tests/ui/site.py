"""The operators' service with its pages on a port of this machine, over a ledger, a bucket and a table in memory."""

import io
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from flask import Flask
from werkzeug.serving import make_server

from ingestor.batch import Batch
from ingestor.callers import Callers
from ingestor.config import Config, load
from ingestor.lane_control import ControlPorts, LaneControl
from ingestor.logs import Log, configure
from ingestor.outcome import answered
from ingestor.reconcile import BatchBooks, Reconciliation
from ops.service import Service
from ops.web import create_app
from state.ledger import LaneLedger
from tests.dead import DENIED, PIPELINE, REFUSED, Desk, Lane, batch_of, flight
from tests.unit.ops.apps import BASE

OTHER = answered(3, "Field carrier: value longer than 2 at row 5")
SCRIPT = "<script>alert(1)</script>"
"""What every text of the outside could hold."""


@dataclass
class Site:
    """What is there to be seen, and the address."""

    desk: Desk
    groups: Mapping[str, list[str]]
    with_records: str
    committed: str
    url: str = ""
    problems: list[str] = field(default_factory=list)


def config(**changed: str) -> Config:
    return load({**BASE, "PIPELINE_ID": PIPELINE, "MASK_FIELDS": "tailnum", **changed})


def furnished(dead: int = 7, more_spoiled: int = 0) -> Site:
    """Return a pipeline that has failed in every way, an hour ago by this machine's clock."""
    desk = Desk(ops_us=time.time_ns() // 1000 - 600 * 10**6)
    start_us = time.time_ns() // 1000 - 3600 * 10**6
    lane = _lane(desk, "run-1", start_us)
    first = [lane.dead(_batch(number)) for number in range(dead)]
    lane.finish()
    lane = _lane(desk, "run-2", start_us + 600 * 10**6)
    second = [lane.dead(_batch(100 + number), OTHER) for number in range(2)]
    spoiled = [
        flight(1, tailnum="N1SECRET"),
        flight(2, dep_time="early", tailnum="N2SECRET"),
        flight(3, distance=SCRIPT),
        *(flight(10 + number, dep_time="late") for number in range(more_spoiled)),
    ]
    records = lane.committed(batch_of([*spoiled, flight(4)], start="spoiled"))
    committed = lane.committed(batch_of([flight(n) for n in range(50)], start="good"))
    lane.finish()
    lane = _lane(desk, "run-3", start_us + 1200 * 10**6)
    lane.finish()
    groups = {"first": first, "second": second}
    return Site(desk, groups, records, committed)


def _lane(desk: Desk, run_id: str, now_us: int) -> Lane:
    return desk.lane(run_id=run_id, now_us=now_us)


def _batch(number: int) -> Batch:
    return batch_of(
        [flight(number * 10 + each, tailnum=f"N{each}SECRET") for each in range(10)], start=f"page-{number}"
    )


def app_of(site: Site, configured: Config, callers: Callers | None = None) -> Flask:
    log = configure("ingestor", PIPELINE, stream=io.StringIO())
    service = Service(
        configured,
        log,
        open_replayer=site.desk.replayer,
        open_control=lambda: nullcontext(_control(site.desk, log)),
        reconcile=lambda since_us: _books(site, since_us),
    )
    return create_app(service=service, callers=callers)


def _books(site: Site, since_us: int | None) -> Reconciliation:
    """A batch whose rows are doubled, which is normal, and one that lacks some, which is not."""
    fine = BatchBooks(
        batch_id=site.committed, lane="0", status="COMMITTED", rows=50, table_rows=60, table_distinct=50, doubled=10
    )
    short = BatchBooks(
        batch_id=site.with_records,
        lane="0",
        status="COMMITTED",
        rows=2,
        table_rows=1,
        table_distinct=1,
        missing=1,
        problems=("1 of 2 rows is missing",),
    )
    return Reconciliation(since_us or 0, (fine, short))


def _control(desk: Desk, log: Log) -> LaneControl:
    def open_ledger(lane: str) -> LaneLedger:
        return LaneLedger(
            desk.journal,
            PIPELINE,
            lane,
            now_us=lambda: time.time_ns() // 1000,
            nonce=lambda: secrets.token_hex(8),
            sleep=desk.sleep,
            retention_days=90,
        )

    return LaneControl(
        ControlPorts(
            journal=desk.journal,
            open_ledger=open_ledger,
            publish=lambda _, statements: desk.publish(statements),
            publish_operators=lambda: None,
            pagination="next_cursor",
            start=None,
            partitions=1,
            sleep=desk.sleep,
            log=lambda lane: log.bind(lane=lane),
        )
    )


@contextmanager
def served(site: Site, configured: Config | None = None, callers: Callers | None = None) -> Iterator[Site]:
    """Serve it while the context lasts."""
    with serving(app_of(site, configured or config(), callers)) as site.url:
        yield site


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """Serve an application while the context lasts; its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


__all__ = ["DENIED", "REFUSED", "Site", "app_of", "config", "furnished", "served", "serving"]
