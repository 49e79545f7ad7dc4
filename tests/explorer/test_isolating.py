"""A record that ends every run that encodes it, and a fault wrong in the run that finds it: no law breaks."""

import json
from functools import cache

import pytest

from tests.explorer import laws
from tests.explorer.faults import Choice, Fault, Point, written
from tests.explorer.story import BETWEEN_S, Story
from tests.explorer.world import LANE, World

DEADLY = {"n": 4, "deadly": 1}
PAGES = [[{"n": 1}, {"n": 2}, {"n": 3}, DEADLY], [{"n": 5}, {"n": 6}]]
DEATHS = 3
"""Runs that end without a word before one isolates."""
PATIENCE = 2 * DEATHS + 2
"""Runs within which it is over when something wrong: after a run that failed or stopped three more must die."""


@cache
def after_three_deaths() -> World:
    story = Story(world=World(PAGES))
    for number in range(DEATHS):
        story.world.seconds = number * BETWEEN_S
        story.run(f"run-{number}")
    assert story.recovered == DEATHS
    assert not any(event["type"] == "run_finished" for event in story.world.events(LANE))
    return story.world


def told(choice: Choice | None) -> Story:
    """Tell the run that isolates, with one thing going wrong in it, then runs until one is complete."""
    story = Story((choice,) if choice else (), after_three_deaths().copied())
    for number in range(DEATHS, DEATHS + PATIENCE):
        story.world.seconds = number * BETWEEN_S
        story.run(f"run-{number}")
        story.wrong += laws.at_any_instant(story.world)
        if number == DEATHS:
            story.first, story.chooser.schedule = len(story.chooser.trace), {}
        if [event.get("status") for event in story.world.events(LANE)][-1:] == ["complete"]:
            break
    story.converge_now((DEATHS + PATIENCE) * BETWEEN_S)
    return story


@cache
def isolating() -> list[Point]:
    """Return the effects of the run that isolates."""
    story = told(None)
    return story.chooser.trace[: story.first]


def test_the_record_is_rejected_by_the_fourth_run_and_nothing_else() -> None:
    story = told(None)
    assert story.wrong == []
    assert laws.set_aside(story.world) == {json.dumps(DEADLY, sort_keys=True): 1}
    assert "isolation.task" in {point.name for point in isolating()}


@pytest.mark.parametrize("fault", Fault)
def test_whatever_goes_wrong_while_it_isolates_breaks_no_law(fault: Fault) -> None:
    numbers = [number for number, point in enumerate(isolating()) if fault in point.options]
    assert numbers or fault == Fault.TOO_LARGE
    for number in numbers:
        story = told((number, fault))
        assert story.wrong == [], written(((number, fault),))
        rejected = {json.dumps(DEADLY, sort_keys=True): 1}
        assert laws.set_aside(story.world) == rejected or fault is Fault.SOURCE_CHANGED
