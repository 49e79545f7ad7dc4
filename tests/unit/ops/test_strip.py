"""The strip: each run, each skipped trigger, and each tick at which nothing came."""

from typing import Any

from ops.strip import CELLS, GRACE_US, TICK_US, counted, strip

T0_US = 1_770_000_000_000_000 // TICK_US * TICK_US


def _run(tick: int, status: str = "complete", late_us: int = 5_000_000, **fields: Any) -> dict[str, Any]:
    return {"run_id": f"r{tick}", "status": status, "started_at_us": T0_US + tick * TICK_US + late_us, **fields}


def _kinds(*runs: dict[str, Any], skips: tuple[dict[str, Any], ...] = (), now_us: int) -> str:
    return " ".join(cell.kind for cell in strip(runs, skips, now_us))


def test_a_tick_at_which_nothing_came_is_missing_and_the_present_one_not_yet() -> None:
    runs = [_run(3, "failed"), _run(0)]
    assert _kinds(*runs, now_us=T0_US + 4 * TICK_US + GRACE_US - 1) == "complete missing missing failed"
    assert _kinds(*runs, now_us=T0_US + 4 * TICK_US + GRACE_US) == "complete missing missing failed missing"


def test_a_skipped_trigger_takes_its_tick() -> None:
    skip = {"lane": "0", "at_us": T0_US + TICK_US + 1, "live_run": "r0"}
    cells = strip([_run(0, "running")], [skip], T0_US + TICK_US + 2)
    assert [(cell.kind, cell.text) for cell in cells] == [("running", ""), ("skipped", "run r0 was alive")]


def test_several_runs_of_one_tick_are_each_shown() -> None:
    runs = [_run(0, "failed", error="no table"), {**_run(0, "partial", late_us=60_000_000), "run_id": "r0b"}]
    cells = strip(runs, [], T0_US + TICK_US)
    assert [(cell.kind, cell.run_id, cell.text) for cell in cells] == [
        ("failed", "r0", "no table"),
        ("partial", "r0b", ""),
    ]


def test_before_the_first_run_nothing_is_missing_and_without_any_nothing_is_shown() -> None:
    assert strip([], [], T0_US) == []
    assert _kinds(_run(5), now_us=T0_US + 5 * TICK_US + 1) == "complete"


def test_no_more_cells_than_a_day_has_ticks_however_long_nothing_came() -> None:
    cells = strip([_run(0)], [], T0_US + 10_000 * TICK_US)
    assert len(cells) == CELLS
    assert counted(cells) == {"missing": CELLS}
    assert cells[-1].at_us == T0_US + (10_000 - 1) * TICK_US


def test_a_status_of_a_later_version_counts_as_failed_not_as_fine() -> None:
    assert _kinds(_run(0, "exploded"), now_us=T0_US + 1) == "failed"
