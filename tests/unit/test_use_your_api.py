"""The examples of docs/use-your-api.md, run against the demo's API with a Secret Manager on this machine."""

import re
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestor.config import load
from ingestor.source_wiring import open_source
from ops.local.demo_api import Api, serve
from ops.local.flights import encoded
from ops.local.secret_manager import SecretManager
from tests.unit.test_every_paging import REQUIRED

PAGE = (Path(__file__).parents[2] / "docs" / "use-your-api.md").read_text()
EXAMPLES = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
DAY = 842
"""Flights of the examples' day."""


@pytest.fixture
def api() -> Iterator[tuple[str, Api]]:
    with serve(0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        handler: Any = server.RequestHandlerClass
        yield f"http://127.0.0.1:{server.server_address[1]}", handler.api
        server.shutdown()


def exported(example: str) -> dict[str, str]:
    words = [word for line in example.splitlines() for word in shlex.split(line)[1:]]
    return dict(word.split("=", 1) for word in words)


@pytest.mark.parametrize("example", EXAMPLES, ids=[exported(each)["SOURCE_URL"].split("/")[3] for each in EXAMPLES])
def test_an_example_of_the_documentation_reads_the_flights_of_its_day(example: str, api: tuple[str, Api]) -> None:
    url, switches = api
    settings = exported(example)
    settings["SOURCE_URL"] = settings["SOURCE_URL"].replace("https://api.example.com", url)
    with SecretManager() as secrets:
        if "SOURCE_SECRET" in settings:
            secrets.put("projects/my-project/secrets/source", "k1")
            settings["SECRET_MANAGER_EMULATOR_HOST"] = secrets.host
            switches.switches.require = {"X-Api-Key": "k1"}
        source = open_source(load(REQUIRED | settings))
        found: set[str] = set()
        page = source.fetch(None)
        while True:
            found |= {repr(record) for record in page.records}
            if page.next_cursor is None:
                break
            page = source.fetch(page.next_cursor)
        source.close()
    assert len(found) == DAY
    assert len(found) == len(encoded(*_day()))


def _day() -> tuple[Any, Any]:
    from datetime import date  # noqa: PLC0415

    return date(2013, 1, 1), date(2013, 1, 2)


def test_every_way_of_paging_and_of_authenticating_has_its_place_in_the_documentation() -> None:
    for word in ("next_cursor", "next_link", "header_link", "offset", "high_water_mark", "none"):
        assert f"**`{word}`**" in PAGE
    for word in ("bearer", "basic", "header:NAME", "id_token:AUDIENCE"):
        assert f"| `{word}` |" in PAGE
