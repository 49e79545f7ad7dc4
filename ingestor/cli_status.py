"""`ingestor status`: one screen that says whether data is flowing."""

import json
from datetime import UTC, datetime
from typing import Any

import click

from ingestor.cli_replay import with_journal
from ingestor.config import load


@click.command("status")
@click.option("--json", "as_json", is_flag=True)
def status_command(*, as_json: bool) -> None:
    """Show checkpoint, lag, batches in doubt, dead letters and the last runs of every lane."""
    from ingestor.views import status_of  # noqa: PLC0415 - Google's clients cost a second

    config = load()
    found = with_journal(lambda journal: status_of(config, journal))
    click.echo(json.dumps(found) if as_json else "\n".join(_lines(found)))


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [line for lane in found["lanes"] for line in _lane_lines(lane)] or ["no run yet"]
    dead = ", ".join(f"{c['batches']} {s}" for s, c in found["dead_letters"].items())
    lines.append(f"dead letters: {dead}")
    for run in found["last_runs"]:
        rows = "" if run["rows_committed"] is None else f", {run['rows_committed']} rows"
        error = f": {run['error']}" if run["error"] else ""
        lines.append(f"run {run['run_id']} on lane {run['lane']}: {run['status']}{rows}{error}")
    return lines


def _lane_lines(lane: dict[str, Any]) -> list[str]:
    checkpoint = lane["checkpoint"]
    at = "at the start" if checkpoint is None else f"at {checkpoint['cursor']} + {checkpoint['taken']}"
    lag = "never complete" if lane["lag_s"] is None else f"last complete run began {lane['lag_s']:.0f} s ago"
    oldest = f", the oldest for {lane['oldest_in_doubt_s']:.0f} s" if lane["oldest_in_doubt_s"] is not None else ""
    doubt = f"{lane['in_doubt']} in doubt{oldest}"
    lines = [f"lane {lane['lane']}: {at}; {lag}; {doubt}; {lane['unpublished']} unpublished"]
    if lane["range"]:
        lines.append(f"  backfill from {lane['range']['from']} to {lane['range']['to']}")
    if lane["live_run"]:
        lines.append(f"  live: run {lane['live_run']}")
    if lane["paused"] is not None:
        lines.append(f"  paused: {lane['paused']}")
    if lane["needs_recovery"]:
        lines.append("  unfinished beyond its retention: run `ingestor ledger recover`")
    if lane["deaths"]:
        lines.append(f"  runs in a row that ended without a word at this checkpoint: {lane['deaths']}")
    if lane["systemic"]:
        failure = lane["systemic"]
        since = datetime.fromtimestamp(failure["open_since_us"] / 1e6, UTC)
        lines.append(
            f"  BigQuery takes no batch: open since {since:%Y-%m-%d %H:%M:%S} UTC ({failure['code']}), probing"
        )
        lines.append(f"  last answer: {failure['last_answer']}")
    return lines
