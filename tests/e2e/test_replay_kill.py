"""SIGKILL at any instant of a replay: the same command again ends right. Judged by the view and by `ledger verify`."""

import os
import random
import subprocess
import time

import pytest

from ingestor.bootstrap import open_journal
from ingestor.config import load
from tests.dead import batch_of, flight
from tests.e2e.test_replay import Replays, dead_letter, replays

__all__ = ["replays"]
KILLS = int(os.environ.get("INGESTOR_REPLAY_KILLS", "20"))
SEED = int(os.environ.get("INGESTOR_SEED", "20130101"))
ROWS = 3_000


def kill_at(pipeline: Replays, batch_id: str, seconds: float) -> float | None:
    """Start a replay and kill it after so many seconds from its first log line; return how long it lived if longer."""
    process = pipeline.start(
        "batches", "replay", batch_id, "--force", "--reason", "drill", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        started = time.monotonic()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return None
        return time.monotonic() - started


def status_of(pipeline: Replays, batch_id: str) -> str:
    journal = open_journal(load(pipeline.env))
    try:
        return str((journal.read_batch(batch_id) or {})["status"])
    finally:
        journal.close()


@pytest.mark.timeout(max(240, 10 * KILLS))
def test_a_replay_killed_at_a_random_instant_is_made_good_by_the_same_command(
    replays: Replays, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(SEED)  # noqa: S311 - a seeded choice of instants
    batches = [batch_of([flight(n) for n in range(ROWS)], start=f"c{number}") for number in range(KILLS + 1)]
    ids = dead_letter(replays, monkeypatch, *batches)
    longest_s = kill_at(replays, ids[0], 60)
    assert longest_s is not None, "a replay that nobody killed did not end"
    killed, found = 0, set[str]()
    for batch_id in ids[1:]:
        killed += kill_at(replays, batch_id, chance.uniform(0, longest_s)) is None
        found.add(status_of(replays, batch_id))
    story = f"seed {SEED}: {killed} of {KILLS} killed, found {sorted(found)}"
    done = replays.batches("replay", *ids, "--force", "--reason", "after the drill")
    assert done.code == 0, (story, done.err)
    assert replays.visible() == sorted(list(range(ROWS)) * (KILLS + 1)), story
    assert replays.here("ledger", "verify").code == 0, story
    assert killed > KILLS // 4, story
