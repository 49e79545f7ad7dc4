"""Whatever an API does wrong, a run ends right or stops with the reason: nothing lost, nothing visible twice."""

import json
import os
import random
from collections import Counter
from typing import Any

import pytest

from ingestor.batch import Limits
from ingestor.paging import CursorGuard, PagingSettings
from ingestor.pagings import PAGINGS
from ingestor.signals import PageArrived
from ingestor.source import HttpSource
from ingestor.source_http import SourceLimits
from ingestor.workers import fetch_page
from state.verify import verify_lane
from tests.hostile import HARMS, MAX_PAGE_BYTES, PAGE, STYLES, HostileApi
from tests.world import _END, LANE, PIPELINE, Actor, World, finish

SEEDS = int(os.environ.get("INGESTOR_HOSTILE_SEEDS", "12"))
SETTINGS: dict[str, dict[str, Any]] = {
    "offset": {"cursor_param": "offset"},
    "high_water_mark": {"cursor_param": "mark", "field": "at"},
}


class HttpActor(Actor):
    """A run whose pages come over HTTP; waits between attempts take no time."""

    source: HttpSource
    guard: CursorGuard

    def _page(self) -> None:
        signal = fetch_page(self.source, self.reading, self.cursor, self.guard)
        self.grants -= 1
        page = signal.page if isinstance(signal, PageArrived) else None
        self.cursor = _END if page is None or page.next_cursor is None else page.next_cursor
        self.hear(signal)


def run(world: World, api: HostileApi, number: str, rng: random.Random, *, dies: bool) -> Actor:
    settings = PagingSettings(
        url=api.url, records_path="items", page_size_param="", page_size=PAGE, **SETTINGS.get(api.style, {})
    )
    HttpActor.source = HttpSource(
        PAGINGS[api.style](settings),
        SourceLimits(timeout_s=20, max_attempts=4, max_page_bytes=MAX_PAGE_BYTES),
        cursor_param=settings.cursor_param,
        sleep=lambda _: None,
    )
    HttpActor.guard = CursorGuard()
    actor = HttpActor(
        world, f"run-{number}", limits=Limits(rng.randint(1, 12), 10_000), max_in_flight=rng.randint(1, 3)
    )
    try:
        if dies:
            for _ in range(rng.randint(0, 40)):
                if choices := actor.choices():
                    actor.do(rng.choice(choices))
        else:
            finish(actor)
    finally:
        HttpActor.source.close()
    return actor


def history(seed: int) -> Counter[str]:
    """Live through one history and return what the API did wrong."""
    rng = random.Random(f"hostile-{seed}")  # noqa: S311 - a history to repeat
    api = HostileApi(STYLES[seed % len(STYLES)], [], seed)
    api.grow(rng.choice([0, 5, 40, 90]))
    world = World([])
    try:
        for number in range(rng.randint(1, 4)):
            actor = run(world, api, str(number), rng, dies=rng.random() < 0.4)
            if actor.over and actor.state.failure:
                assert "\n" not in actor.state.failure
                assert ": " in actor.state.failure
            api.grow(rng.choice([0, 0, 6]))
        api.calm = True
        last = run(world, api, "last", rng, dies=False)
        assert (last.state.status, last.state.balanced) == ("complete", True), (seed, last.state.failure)
        source = Counter(json.dumps(record, sort_keys=True) for record in api.records)
        assert world.visible() == source, (seed, api.style, api.harm)
        assert verify_lane(world.journal, PIPELINE, LANE) == []
        return Counter(api.harm)
    finally:
        api.close()


def test_a_hostile_api_loses_nothing_and_shows_nothing_twice() -> None:
    for seed in range(SEEDS):
        history(seed)


@pytest.mark.long
def test_two_hundred_hostile_histories_meet_every_harm_and_lose_nothing() -> None:
    met = sum((history(seed) for seed in range(1000, 1200)), Counter[str]())
    assert met.keys() == HARMS.keys()


def test_a_source_that_ignores_the_cursor_is_told_by_the_page_that_comes_twice() -> None:
    api = HostileApi("offset", [], 0)
    api.grow(20)
    api.calm = True
    api.stuck = True
    actor = run(World([]), api, "1", random.Random(0), dies=False)  # noqa: S311 - likewise
    api.close()
    assert actor.state.failure is not None
    assert "is the same as the one before" in actor.state.failure
