"""The operators' application on the replays' unit world: a ledger in memory, a bucket and a table of dictionaries."""

import io
import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient

from ingestor.bootstrap import open_ledger
from ingestor.callers import Callers
from ingestor.config import Config, load
from ingestor.lane_control import ControlPorts, LaneControl
from ingestor.logs import configure
from ops.service import Service
from ops.web import create_app
from tests.dead import Desk

BASE = {
    "GCP_PROJECT_ID": "demo-project",
    "BQ_DATASET_ID": "demo",
    "BQ_TABLE_ID": "flights",
    "MESSAGE_TYPE": "flights.Flight",
    "SOURCE_URL": "http://127.0.0.1:1/flights",
    "DEAD_LETTER_BUCKET": "demo-dead-letters",
    "LEDGER": "sqlite:////nowhere/ledger.db",
    "AUTH": "none",
}


def config(**changed: str) -> Config:
    return load({**BASE, **changed})


def service(configured: Config, **how: Any) -> Service:
    return Service(configured, configure("ingestor", configured.pipeline_id, stream=io.StringIO()), **how)


@dataclass
class Office:
    """The application on a desk in memory, and callers of every kind."""

    desk: Desk
    client: FlaskClient
    log: io.StringIO

    def get(self, path: str, **how: Any) -> Any:
        return self.client.get(path, **how)

    def post(self, path: str, body: Any = None, **how: Any) -> Any:
        return self.client.post(path, **({} if body is None else {"json": body}), **how)

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]


def office(callers: Callers | None = None, **settings: str) -> Office:
    return application(config(**settings), callers)


def application(
    configured: Config,
    callers: Callers | None = None,
    limits: Mapping[str, str] | None = None,
    desk: Desk | None = None,
) -> Office:
    desk, log = desk or Desk(), io.StringIO()
    held = Service(
        configured,
        configure("ingestor", configured.pipeline_id, "DEBUG", stream=log),
        open_replayer=desk.replayer,
        open_control=lambda: nullcontext(_control(desk, configured)),
    )
    app = create_app(service=held, callers=callers, limits=limits)
    app.testing = False
    return Office(desk, app.test_client(), log)


def _control(desk: Desk, configured: Config) -> LaneControl:
    return LaneControl(
        ControlPorts(
            journal=desk.journal,
            open_ledger=lambda lane: open_ledger(configured, desk.journal, lane),
            publish=lambda _, statements: desk.publish(statements),
            publish_operators=lambda: None,
            pagination="next_cursor",
            start=None,
            partitions=1,
            sleep=desk.sleep,
            log=lambda _: desk.log,
        )
    )
