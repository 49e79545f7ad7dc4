"""A source that is read by a high-water mark, with ties and late rows: whatever happens, every record is visible once.

The strategy and the run's real decisions work on a simulated API in memory. Time passes with every request; a record
becomes visible at any time up to its lateness after its own mark, and lateness is at most SOURCE_OVERLAP.
"""

import json
import os
import random
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ingestor.batch import Limits
from ingestor.marks import key
from ingestor.pages import Page
from ingestor.paging import PagingSettings, Reading
from ingestor.paging_marks import HighWaterMarkPaging
from state.verify import verify_lane
from tests.world import LANE, PIPELINE, Actor, World, finish

HISTORIES = int(os.environ.get("INGESTOR_HISTORIES", "30"))
START = datetime(2024, 5, 1, tzinfo=UTC)
ZONES = [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))]


def instant(at: float, rng: random.Random) -> str:
    return (START + timedelta(seconds=at)).astimezone(rng.choice(ZONES)).isoformat()


FORMS: dict[str, Callable[[float, random.Random], Any]] = {
    "instant": instant,
    "utc": lambda at, _: (START + timedelta(seconds=at)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "integer": lambda at, _: int(at),
    "number": lambda at, _: at / 2,
    "text": lambda at, _: f"v{int(at):08d}",
}


@dataclass
class MarkedApi(World):
    """The world with an API of records that become visible in time. `late_s` bounds how late."""

    rng: random.Random = field(default_factory=random.Random)
    form: str = "utc"
    late_s: float = 0.0
    dense: float = 1.0
    settings: PagingSettings = field(default_factory=lambda: PagingSettings(url="http://h/x"))
    rows: list[tuple[Any, float, float, dict[str, Any]]] = field(default_factory=list)
    """Sorted: the key of its mark, a number that orders ties, when it becomes visible, and the record."""
    api_time: float = 0.0
    made_until: float = 0.0
    with_date: bool = True
    closing: bool = False
    """No record is made any more."""

    @property
    def kind(self) -> Any:
        return {"integer": "number", "number": "number", "text": "text"}.get(self.form, "instant")

    def pass_time(self, seconds: float) -> None:
        """Let records appear: ties are frequent, and some come late."""
        self.api_time += seconds
        while not self.closing and self.made_until < self.api_time:
            self.made_until += self.rng.choice([0.0, 1.0, 1.0, 2.0]) / self.dense
            at = float(int(self.made_until))
            late = self.rng.uniform(0, self.late_s) if self.rng.random() < 0.2 else 0.0
            record = {"n": len(self.rows), "at": FORMS[self.form](at, self.rng)}
            self.add(record, max(at, self.made_until) + late)

    def add(self, record: dict[str, Any], seen_at: float) -> None:
        """Have one more record."""
        insort(self.rows, (key(str(record["at"]), self.kind), self.rng.random(), seen_at, record))

    def response(self, url: str) -> tuple[dict[str, Any], Mapping[str, str]]:
        """Answer a request as a server would that sorts and filters by the field."""
        self.pass_time(self.rng.choice([0.0, 0.0, 0.3]))
        query = parse_qs(urlsplit(url).query)
        asked = query.get("since", [None])[0]
        least = None if asked is None else key(asked, self.kind)
        first = 0 if least is None else bisect_left(self.rows, least, key=lambda row: row[0])
        visible = (row[3] for row in islice(self.rows, first, None) if row[2] <= self.api_time)
        headers = {"Date": format_datetime(START + timedelta(seconds=self.api_time))} if self.with_date else {}
        return {"items": list(islice(visible, self.settings.page_size))}, headers

    def page(self, cursor: str | None) -> Page:
        """Read a page by the strategy, over as many requests as it asks for."""
        paging = HighWaterMarkPaging(self.settings)
        reading: Reading | None = None
        at = cursor
        while reading is None or reading.more is not None:
            value, headers = self.response(paging.url(at))
            reading = paging.read(cursor, value, headers, reading)
            at = reading.more
        return Page(cursor, reading.next_cursor, reading.records, trail=reading.trail)

    def truth(self) -> list[int]:
        """Return the numbers of every record there is."""
        return [row[3]["n"] for row in self.rows]


def shown(world: World) -> list[int]:
    return sorted(number for text, times in world.visible().items() for number in [json.loads(text)["n"]] * times)


@pytest.mark.parametrize("form", FORMS)
def test_every_record_is_visible_once_whatever_ties_late_rows_and_crashes_there_are(form: str) -> None:
    for seed in range(HISTORIES // len(FORMS)):
        history(form, random.Random(f"{form}-{seed}"))  # noqa: S311 - a history to repeat


@pytest.mark.long
@pytest.mark.parametrize("form", FORMS)
def test_a_thousand_histories_lose_nothing_and_show_nothing_twice(form: str) -> None:
    for seed in range(1000 // len(FORMS)):
        history(form, random.Random(f"long-{form}-{seed}"))  # noqa: S311 - likewise


def history(form: str, rng: random.Random) -> None:
    overlap = 0 if form == "text" else rng.choice([0, 7, 30])
    api = MarkedApi(
        [],
        rng=rng,
        form=form,
        # Half of the overlap where numbers are halved, and a second for records that appear while a page is read.
        late_s=max(0.0, (overlap * 2 if form == "number" else overlap) - 3),
        dense=rng.choice([0.5, 1, 3]),
        settings=PagingSettings(
            url="http://h/x",
            records_path="items",
            cursor_param="since",
            field="at",
            page_size=rng.choice([12, 40, 100]),
            overlap=overlap,
        ),
        with_date=rng.random() < 0.7,
    )  # fmt: skip
    api.pass_time(rng.choice([0, 30, 120]))
    for number in range(rng.randint(2, 6)):
        actor = Actor(api, f"run-{number}", limits=Limits(rng.randint(1, 30), 10_000), max_in_flight=rng.randint(1, 3))
        for _ in range(rng.choice([0, 5, 30, 100])):
            choices = actor.choices()
            if actor.over or not choices:
                break
            actor.do(rng.choice(choices))
        api.pass_time(rng.choice([0, 1, 20, 80]))
    settle(api)
    assert shown(api) == sorted(api.truth()), (form, overlap, api.settings)
    assert verify_lane(api.journal, PIPELINE, LANE) == []


def settle(api: MarkedApi) -> None:
    """Let everything become visible, and run until nothing is left."""
    api.closing = True
    api.api_time = api.made_until + api.late_s + 1
    for number in range(2):
        last = Actor(api, f"run-last-{number}", limits=Limits(25, 10_000))
        finish(last)
        assert last.state.status == "complete", last.state.failure
        assert last.state.balanced


def test_a_late_row_beyond_the_overlap_is_what_the_guarantee_leaves_out() -> None:
    api = MarkedApi(
        [], settings=PagingSettings(url="http://h/x", records_path="items", cursor_param="since", field="at")
    )
    api.api_time, api.made_until = 10.0, 1e9
    for number, at in enumerate(["2024-05-01T00:00:01Z", "2024-05-01T00:00:09Z"]):
        api.add({"n": number, "at": at}, 0.0)
    finish(Actor(api, "run-1", limits=Limits(10, 10_000)))
    api.add({"n": 2, "at": "2024-05-01T00:00:05Z"}, 0.0)
    finish(Actor(api, "run-2", limits=Limits(10, 10_000)))
    assert shown(api) == [0, 1]
