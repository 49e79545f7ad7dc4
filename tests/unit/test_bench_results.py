import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as bench
from bench import ledger, memory
from bench.results import LATEST, Bar, Result, circumstances, keep
from bench.world import Measured

RESULT = Result("one", "One", {"rows": 5_000}, [{"rows": 1_000, "MB": 1.5}], [Bar("MB", 2, 1.5)])


def run_of(rows: int, *, peak_rss_bytes: int = 0, batches: int = 0, writes: int = 0, flow_ms: int = 1_000) -> Measured:
    summary = {"rows_committed": rows, "batches_committed": batches, "duration_s": 2.0, "ledger_writes": 0}
    firestore = {"writes": writes, "commits": 1}
    sink = {"in_flight": 8, "requests": 10, "first_at_ms": 500, "last_at_ms": 500 + flow_ms}
    return Measured(summary, peak_rss_bytes, 1.0, {f"flights.{key}": n for key, n in sink.items()}, firestore)


class Runs:
    """A world in which every run was measured already, in order."""

    def __init__(self, *runs: Measured) -> None:
        self._runs = list(runs)
        self.asked: list[tuple[int, dict[str, Any]]] = []

    def run(self, rows: int, **settings: Any) -> Measured:
        self.asked.append((rows, settings))
        return self._runs.pop(0)


@pytest.mark.parametrize(("measured", "holds"), [(1, True), (2, True), (2.01, False)])
def test_a_bar_holds_up_to_its_limit(measured: float, *, holds: bool) -> None:
    assert Bar("MB", 2, measured).holds is holds
    assert replace(RESULT, bars=[Bar("other", 1, 0), Bar("MB", 2, measured)]).holds is holds


@pytest.mark.parametrize(("measured", "holds"), [(2.01, True), (2, True), (1.99, False)])
def test_a_ratio_holds_from_its_limit_on(measured: float, *, holds: bool) -> None:
    assert Bar("times", 2, measured, at_least=True).holds is holds


def test_named_figures_stand_at_their_own_place_in_the_file(tmp_path: Path) -> None:
    keep(replace(RESULT, named={"memory": {"ratio": 10.5}}), {"date": "now"}, tmp_path / "latest.json")
    kept = json.loads((tmp_path / "latest.json").read_text())
    assert kept["one"]["memory"]["ratio"] == 10.5
    assert kept["one"]["date"] == "now"


def test_a_result_prints_as_a_markdown_table_with_its_bars() -> None:
    assert RESULT.lines() == [
        "One (rows 5,000)",
        "",
        "| rows | MB |",
        "| ---: | ---: |",
        "| 1,000 | 1.5 |",
        "",
        "holds   MB: 1.5 of at most 2",
    ]


def test_a_result_replaces_the_last_of_its_name_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "results" / "latest.json"
    keep(RESULT, {"date": "before"}, path)
    keep(replace(RESULT, name="two"), {"date": "before"}, path)
    keep(replace(RESULT, bars=[Bar("MB", 2, 3)]), {"date": "now"}, path)
    kept = json.loads(path.read_text())
    assert {name: (k["date"], k["bars"][0]["holds"]) for name, k in kept.items()} == {
        "one": ("now", False),
        "two": ("before", True),
    }


def test_figures_carry_machine_versions_date_and_commit() -> None:
    said = circumstances()
    assert set(said) == {"date", "commit", "modified", "machine", "versions"}
    assert {"python", "grpcio", "protobuf"} <= set(said["versions"])


def test_the_memory_bar_is_on_the_largest_of_the_runs() -> None:
    world = Runs(*(run_of(n, peak_rss_bytes=mb * 10**6) for n, mb in ((10, 100), (100, 301), (100, 200))))
    result = memory.measure(world, 100)  # type: ignore[arg-type] # runs of the past
    assert [rows for rows, _ in world.asked] == [10, 100, 100]
    assert (result.bars[0].measured, result.bars[0].holds) == (301, False)


@pytest.mark.parametrize(("many_mb", "holds"), [(120, True), (121, False)])
def test_memory_may_grow_by_a_fifth_from_a_tenth_of_the_rows(many_mb: int, *, holds: bool) -> None:
    runs = [run_of(100, peak_rss_bytes=mb * 10**6) for mb in (100, many_mb, 100)]
    bars = memory.measure(Runs(*runs), 100).bars  # type: ignore[arg-type] # runs of the past
    assert bars[1].holds is holds


@pytest.mark.parametrize(("flow_ms", "holds"), [(1_100, True), (1_111, False)])
def test_speed_is_compared_from_the_first_append_to_the_last(flow_ms: int, *, holds: bool) -> None:
    runs = [
        run_of(rows, peak_rss_bytes=1, flow_ms=ms)
        for rows, ms in ((1_000, 1_000), (10_000, 10 * flow_ms), (10_000, 500_000))
    ]
    assert runs[0].flow_rows_per_s == 900
    bars = memory.measure(Runs(*runs), 100).bars  # type: ignore[arg-type] # runs of the past
    assert bars[2].holds is holds


@pytest.mark.parametrize(("writes", "holds"), [(38, True), (39, False)])
def test_the_ledger_bar_is_three_writes_a_batch_and_eight_a_run(writes: int, *, holds: bool) -> None:
    good = run_of(100, batches=10, writes=1)
    world = Runs(good, good, run_of(100, batches=10, writes=writes), good)
    result = ledger.measure(world, 100)  # type: ignore[arg-type] # runs of the past
    assert result.holds is holds
    assert all(settings["MAX_IN_FLIGHT"] == "8" for _, settings in world.asked)


def test_every_benchmark_is_known_by_its_own_name() -> None:
    assert {name: bench.benchmark(name).NAME for name in bench.BENCHMARKS} == {
        name: name
        for name in ("append", "encode", "end_to_end", "ledger", "memory", "ops_emulator", "ops_pages", "startup")
    }


def test_every_kept_figure_was_measured_by_a_benchmark_that_exists() -> None:
    assert set(json.loads(LATEST.read_text())) <= set(bench.BENCHMARKS)
