"""Metrics, alerts, SLOs, dashboard and runbooks name only what exists, and each other."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ingestor.lognames import ALWAYS, FIELDS, LogName
from ops.ci.hcl import MODULE, local_values, resources, text_of
from ops.monitoring_names import QUOTA_METRICS, is_known

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "ops" / "runbooks"
DASHBOARD = ROOT / "ops" / "dashboards" / "ingestor.json"
LOCALS = local_values(MODULE)
PREFIXES = ("${local.log_metric}/", "${local.on_service}/", "logging.googleapis.com/user/${name}/")
LOG_METRIC = {"scheduler_failed", *LOCALS["counted"], *LOCALS["measured"]}
SEVERITIES = {"CRITICAL", "ERROR", "WARNING"}
LONGEST_DOCUMENTATION = 8_192
"""Characters that an alert policy's documentation may have (Cloud Monitoring, "AlertPolicy.Documentation")."""
SECTIONS = ["Symptom", "Meaning", "Check", "Act", "Verify"]


def alerts() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every alert of the module by name."""
    yield from LOCALS["alerts"].items()
    yield from LOCALS["absences"].items()


ALERTS = {name: {key: text_of(value) for key, value in alert.items()} for name, alert in alerts()}


def metric_problem(name: str) -> str | None:
    """Say what is wrong with a metric's name, or None."""
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return None if name.removeprefix(prefix) in LOG_METRIC else f"{name}: no such log-based metric"
    return None if is_known(name) else f"{name}: not in ops/monitoring_names.py"


def test_log_based_metrics_are_made_of_events_that_are_logged() -> None:
    assert {text_of(event) for event in LOCALS["counted"].values()} <= set(LogName)
    text = (MODULE / "metrics.tf").read_text()
    assert set(re.findall(r'\\"([a-z_]+\.[a-z_]+)\\"', text)) <= set(LogName)


def test_measured_fields_are_fields_of_log_lines_and_numbers() -> None:
    for name in LOCALS["measured"]:
        assert set(FIELDS[name]) & {int, float}, name
    used = set(re.findall(r"jsonPayload\.(\w+)", (MODULE / "metrics.tf").read_text()))
    assert used <= {*FIELDS, *ALWAYS, "code"}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_looks_at_metrics_that_exist_and_has_a_severity_and_a_runbook(name: str) -> None:
    alert = ALERTS[name]
    wrong = [metric_problem(alert[key]) for key in ("metric", "over") if key in alert]
    assert [problem for problem in wrong if problem] == []
    assert alert["severity"] in SEVERITIES
    assert int(alert["for_s"]) >= 0
    assert "above" in alert or name in LOCALS["absences"]
    assert (RUNBOOKS / f"{alert['runbook']}.md").is_file()


def test_quota_metrics_are_known() -> None:
    named = re.findall(r'quota_metric=\\"([^"\\]+)', (MODULE / "alerts.tf").read_text())
    assert named
    assert set(named) <= QUOTA_METRICS


def test_every_failure_that_the_operators_must_hear_of_has_an_alert() -> None:
    """The list is the issue's: an alert that goes missing is missed here."""
    assert set(ALERTS) >= {
        "run_failed", "missed_tick", "lag", "in_doubt", "dead_letters_new", "dead_letters_growing", "rejection_ratio",
        "fuse_blown", "dead_letter_write_failed", "write_errors", "write_throttled", "latency", "scheduler_failed",
        "firestore_contention", "auth_refused", "cost", "reconcile_difference", "schema_mismatch", "permission_lost",
    }  # fmt: skip
    assert int(ALERTS["missed_tick"]["for_s"]) == 25 * 60


def test_slos_look_at_metrics_that_exist() -> None:
    slos = {each.name: str(each.body) for each in resources(MODULE) if each.module == "monitoring_slo"}
    assert set(slos) == {"freshness", "completeness", "appends", "dead_letters"}
    for name, body in slos.items():
        named = re.findall(r"(\$\{local\.(?:on_service|log_metric)\}/\w+)", body)
        assert named, name
        assert [problem for problem in map(metric_problem, named) if problem] == []


def _filters(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "filter":
                yield value
            yield from _filters(value)
    elif isinstance(node, list):
        for value in node:
            yield from _filters(value)


def test_the_dashboard_shows_metrics_that_exist() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    named = [name for each in _filters(dashboard) for name in re.findall(r'metric\.type="([^"]+)"', each)]
    assert len(named) > 20
    assert [problem for problem in map(metric_problem, named) if problem] == []
    assert set(re.findall(r"\$\{(\w+)\}", DASHBOARD.read_text())) == {"name", "pipeline"}


def test_no_tile_of_the_dashboard_covers_another() -> None:
    tiles = json.loads(DASHBOARD.read_text())["mosaicLayout"]["tiles"]
    cells = [
        (x, y)
        for tile in tiles
        for x in range(tile["xPos"], tile["xPos"] + tile["width"])
        for y in range(tile["yPos"], tile["yPos"] + tile["height"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 48


def test_every_metric_of_ours_is_looked_at_by_something() -> None:
    everywhere = DASHBOARD.read_text() + "".join((MODULE / name).read_text() for name in ("alerts.tf", "slo.tf"))
    assert {name for name in LOG_METRIC if f"/{name}" not in everywhere} == set()


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_a_runbook_names_its_alerts_and_says_symptom_meaning_check_act_verify(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    said = re.search(r"^Alert: (.+)$", text, re.MULTILINE)
    assert said
    named = set(re.findall(r"`(\w+)`", said.group(1)))
    assert named == {name for name, alert in ALERTS.items() if alert["runbook"] == path.stem}
    assert named or said.group(1).startswith("none: ")
    assert len(text) < LONGEST_DOCUMENTATION


@pytest.mark.parametrize(
    "name",
    [
        "bigquerystorage.googleapis.com/write/rows",
        "storage.googleapis.com/storage/object_count",
        "${local.log_metric}/x",
    ],
)
def test_a_metric_that_does_not_exist_is_found(name: str) -> None:
    assert metric_problem(name)
