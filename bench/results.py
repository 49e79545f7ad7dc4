"""What a benchmark found: printed as a Markdown table, kept as JSON with machine, versions, date and commit."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ops.local.process import ROOT

LATEST = Path(__file__).with_name("results") / "latest.json"
PACKAGES = ("google-cloud-bigquery-storage", "google-cloud-firestore", "grpcio", "protobuf", "orjson", "requests")
MEASURED_CODE = ("bench", "ingestor", "state", "proto", "requirements", ":(exclude)bench/results")

Figure = Mapping[str, int | float | str]


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure must not exceed, or with `at_least` must reach. Never a time but a start's, which people wait for:
    machines differ, and this one is shared; ratios are of one run.
    """

    name: str
    limit: float
    measured: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the figure is within it."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def verdict(self) -> str:
        """What was measured, and of what."""
        return f"{_cell(self.measured)} of {'at least' if self.at_least else 'at most'} {_cell(self.limit)}"


@dataclass(frozen=True, slots=True)
class Result:
    """Figures of one benchmark, all with the same keys, under the settings they were measured with.

    `named` are the figures that others read from the file by name: `NAME.KEY`, or `NAME.KEY.KEY` where nested.
    """

    name: str
    title: str
    settings: Figure
    figures: Sequence[Figure]
    bars: Sequence[Bar] = field(default=())
    named: Mapping[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether every bar holds."""
        return all(bar.holds for bar in self.bars)

    def lines(self) -> list[str]:
        """Return title, table and bars as Markdown."""
        columns = list(self.figures[0])
        rows = [[_cell(figure[column]) for column in columns] for figure in self.figures]
        settings = ", ".join(f"{name} {_cell(value)}" for name, value in self.settings.items())
        return [
            f"{self.title} ({settings})",
            "",
            _row(columns),
            _row(["---:"] * len(columns)),
            *map(_row, rows),
            "",
            *(f"{'holds ' if bar.holds else 'MISSED'}  {bar.name}: {bar.verdict}" for bar in self.bars),
        ]


def keep(result: Result, measured: Mapping[str, Any], path: Path = LATEST) -> None:
    """Put the result in the place of the last one of its name; others keep theirs, with their own date and commit.

    `measured` is what `circumstances` said before.
    """
    kept = json.loads(path.read_text()) if path.exists() else {}
    bars = [{**asdict(bar), "holds": bar.holds} for bar in result.bars]
    about = {name: value for name, value in asdict(result).items() if name != "named"}
    kept[result.name] = {**result.named, **measured, **about, "bars": bars}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(dict(sorted(kept.items())), indent=2) + "\n")


def circumstances() -> dict[str, Any]:
    """Return when, of what code, with what versions, on what machine. `modified` names what is not as committed."""
    changed = _git("status", "--porcelain", "--", *MEASURED_CODE)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD")[:12],
        "modified": sorted(line.split()[-1] for line in changed.splitlines()),
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "load_before": round(os.getloadavg()[0], 1),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    return done.stdout if done.returncode == 0 else ""


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
