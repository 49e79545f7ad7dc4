"""Every way of paging against the demo's API over HTTP, with the run's real decisions: the view equals the source."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from ingestor.batch import Limits
from ingestor.config import load
from ingestor.pages import Page, Source
from ingestor.source_wiring import open_source
from ops.local import flights
from ops.local.demo_api import Api, serve
from state.events import Position
from tests.world import Actor, World, finish

DAYS = (date(2013, 1, 1), date(2013, 1, 3))
REQUIRED = {
    "GCP_PROJECT_ID": "p",
    "BQ_DATASET_ID": "d",
    "BQ_TABLE_ID": "t",
    "MESSAGE_TYPE": "flights.Flight",
    "DEAD_LETTER_BUCKET": "bucket",
    "SOURCE_PAGE_SIZE": "150",
}
WAYS: dict[str, tuple[str, dict[str, str]]] = {
    "next_cursor": ("/flights", {"SOURCE_RECORDS_PATH": "flights"}),
    "next_link": ("/links/flights", {"SOURCE_RECORDS_PATH": "flights", "SOURCE_NEXT_PATH": "paging.next"}),
    "header_link": ("/headers/flights", {}),
    "offset": ("/offsets/flights", {"SOURCE_RECORDS_PATH": "flights", "SOURCE_CURSOR_PARAM": "offset"}),
    "offset in parallel": (
        "/offsets/flights",
        {"SOURCE_RECORDS_PATH": "flights", "SOURCE_CURSOR_PARAM": "offset", "SOURCE_PARALLEL_PAGES": "4"},
    ),
    "high_water_mark": (
        "/marks/flights",
        {"SOURCE_RECORDS_PATH": "data.flights", "SOURCE_CURSOR_PARAM": "since", "SOURCE_CURSOR_FIELD": "time_hour"},
    ),
    "high_water_mark with an overlap": (
        "/marks/flights",
        {
            "SOURCE_RECORDS_PATH": "data.flights",
            "SOURCE_CURSOR_PARAM": "since",
            "SOURCE_CURSOR_FIELD": "time_hour",
            "SOURCE_OVERLAP": "7200",
        },
    ),
    "none": ("/whole/flights", {}),
}


class DemoWorld(World):
    """The world with the demo's API as its source."""

    source: Source

    def page(self, cursor: str | None) -> Page:
        return self.source.fetch(cursor)


@pytest.fixture
def api() -> Iterator[tuple[str, Api]]:
    with serve(0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        handler: Any = server.RequestHandlerClass
        yield f"http://127.0.0.1:{server.server_address[1]}", handler.api
        server.shutdown()


def run(world: DemoWorld, name: str, rows: int = 400) -> Actor:
    actor = Actor(world, name, limits=Limits(rows, 10_000_000), max_in_flight=4)
    finish(actor)
    return actor


@pytest.mark.parametrize("way", WAYS)
def test_runs_by_every_way_of_paging_show_each_flight_once_and_then_find_nothing_new(
    way: str, api: tuple[str, Api]
) -> None:
    url, switches = api
    path, settings = WAYS[way]
    env = {"SOURCE_PAGINATION": way.split(maxsplit=1)[0], "SOURCE_URL": f"{url}{path}?from={DAYS[0]}&to={DAYS[1]}"}
    world = DemoWorld([])
    world.source = open_source(load(REQUIRED | env | settings))
    truth = [json.dumps(record, sort_keys=True) for record in flights.records(*DAYS)]
    switches.switches.visible = 1000
    first = run(world, "run-1")
    assert (first.state.status, first.state.balanced) == ("complete", True)
    if way != "high_water_mark with an overlap":
        assert sum(world.visible().values()) == 1000
    switches.switches.visible = None
    second = run(world, "run-2", rows=333)
    assert (second.state.status, second.state.counts.batches_superseded) == ("complete", 0)
    third = run(world, "run-3")
    world.source.close()
    assert (third.state.status, third.state.counts.taken) == ("complete", 0)
    assert world.visible() == Counter(truth)
    assert third.state.lane.checkpoint not in {None, Position(None)}
