"""What the Terraform of this project promises, read from its files."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ops.ci.hcl import EXAMPLE, MODULE, local_values, resources, text_of, variables

ROOT = Path(__file__).parents[2]
BY_TYPE: dict[str, dict[str, Mapping[str, Any]]] = {}
for _each in resources(MODULE):
    BY_TYPE.setdefault(_each.module, {})[_each.name] = _each.body
TABLES = BY_TYPE["bigquery_table"]
(BUCKET,) = BY_TYPE["storage_bucket"].values()
TAKES_LABELS = {
    "artifact_registry_repository": "labels",
    "bigquery_dataset": "labels",
    "bigquery_table": "labels",
    "cloud_run_v2_job": "labels",
    "cloud_run_v2_service": "labels",
    "monitoring_alert_policy": "user_labels",
    "monitoring_custom_service": "user_labels",
    "monitoring_notification_channel": "user_labels",
    "monitoring_slo": "user_labels",
    "secret_manager_secret": "labels",
    "storage_bucket": "labels",
}


def block(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    (only,) = body[name]
    found: Mapping[str, Any] = only
    return found


def test_everything_that_takes_labels_has_those_that_costs_are_grouped_by() -> None:
    for module, argument in TAKES_LABELS.items():
        for name, body in BY_TYPE[module].items():
            assert "local.labels" in str(body[argument]), f"{module}.{name}"
    schema = json.loads((ROOT / "tests" / "golden" / "provider" / "google-6.50.0.json").read_text())
    takes = {module for known in schema.values() for module, one in known.items() if "labels" in one["arguments"]}
    assert takes - {"monitoring_notification_channel"} <= set(TAKES_LABELS)


def test_the_run_service_is_reached_from_inside_and_by_the_scheduler_only() -> None:
    run = BY_TYPE["cloud_run_v2_service"]["run"]
    assert text_of(run["ingress"]) == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    assert run["invoker_iam_disabled"] is False
    may_call = {
        name: text_of(body["member"])
        for name, body in BY_TYPE["cloud_run_v2_service_iam_member"].items()
        if "service.run." in str(body["name"])
    }
    assert may_call == {"tick": "${local.tick}"}
    assert "allUsers" not in "".join(file.read_text() for file in MODULE.glob("*.tf"))


def test_the_operators_service_stands_behind_iap_and_iap_alone_calls_it() -> None:
    ops = BY_TYPE["cloud_run_v2_service"]["ops"]
    assert ops["iap_enabled"] is True
    assert ops["invoker_iam_disabled"] is False
    may_call = [
        text_of(body["member"])
        for body in BY_TYPE["cloud_run_v2_service_iam_member"].values()
        if "service.ops." in str(body["name"])
    ]
    assert may_call == ["${google_project_service_identity.iap.member}"]


def test_each_service_verifies_its_callers_in_the_way_that_fits_what_stands_before_it() -> None:
    text = (MODULE / "locals.tf").read_text()
    run, ops = (text.split(f"{name}_environment = merge")[1].split("})")[0] for name in ("run", "ops"))
    assert re.search(r'AUTH\s+= "platform"', run)
    assert re.search(r'AUTH\s+= "iap"', ops)
    assert "google_service_account.scheduler.email" in run


def test_the_tick_comes_every_ten_minutes_and_the_deadlines_nest() -> None:
    tick = BY_TYPE["cloud_scheduler_job"]["tick"]
    assert text_of(variables(MODULE)["schedule"]["default"]) == "*/10 * * * *"
    assert text_of(tick["attempt_deadline"]) == "540s"
    assert block(tick, "retry_config")["retry_count"] > 0
    service = block(BY_TYPE["cloud_run_v2_service"]["run"], "template")
    assert text_of(service["timeout"]) == "600s"
    assert '"RUN_DEADLINE_S", "480"' in (MODULE / "locals.tf").read_text()


def test_the_ledger_table_never_expires() -> None:
    assert "time_partitioning" not in TABLES["ledger"]
    assert not {"expiration_time", "max_staleness"} & set(TABLES["ledger"])
    dataset = BY_TYPE["bigquery_dataset"]["this"]
    assert not {name for name in dataset if "expiration" in name}
    assert "row_retention_days" in str(block(TABLES["table"], "time_partitioning")["expiration_ms"])


def test_terraform_makes_tables_and_views_from_schema_sql_and_leaves_later_changes_alone() -> None:
    ignored = {name: str(block(body, "lifecycle")["ignore_changes"]) for name, body in TABLES.items()}
    assert all("schema" in names for names in ignored.values())
    assert "view" in ignored["view"]
    assert "local.tables.table.schema" in str(TABLES["table"]["schema"])
    assert "schema_file" in str(local_values(MODULE)["schema"])


def test_the_bucket_ages_out_nothing_that_the_ledger_holds_open() -> None:
    deleting = [rule for rule in BUCKET["lifecycle_rule"] if text_of(block(rule, "action")["type"]) == "Delete"]
    conditions = [set(block(rule, "condition")) - {"__is_block__"} for rule in deleting]
    assert conditions == [{"days_since_custom_time"}]
    code = [*(ROOT / "ingestor").glob("*.py"), *(ROOT / "ops").glob("*.py")]
    assert not [file.name for file in code if "custom_time" in file.read_text()], "only operators close a dead letter"


def test_the_bucket_is_private_and_forgiving() -> None:
    assert BUCKET["uniform_bucket_level_access"] is True
    assert text_of(BUCKET["public_access_prevention"]) == "enforced"
    assert BUCKET["force_destroy"] is False
    assert {"retention_policy", "soft_delete_policy"} <= set(BUCKET)
    assert '"encryption"' in str(BUCKET["dynamic"])


def test_the_database_can_be_restored_and_not_be_deleted() -> None:
    (database,) = BY_TYPE["firestore_database"].values()
    assert text_of(database["point_in_time_recovery_enablement"]) == "POINT_IN_TIME_RECOVERY_ENABLED"
    assert "DELETE_PROTECTION_ENABLED" in str(database["delete_protection_state"])
    assert variables(MODULE)["deletion_protection"]["default"] is True


def test_no_secret_value_is_in_the_state() -> None:
    assert "secret_manager_secret_version" not in BY_TYPE
    assert "service_account_key" not in BY_TYPE


def test_each_checkov_check_that_is_skipped_says_why() -> None:
    skips = re.findall(r"#\s*checkov:skip=(\w+):?(.*)", "".join(file.read_text() for file in MODULE.glob("*.tf")))
    assert skips
    assert all(len(reason) > 30 for _, reason in skips)


GOOD = {
    "project_id": "my-project-123",
    "region": "europe-west1",
    "dataset_id": "sales",
    "table_id": "orders",
    "message_type": "orders.Order",
    "source_url": "https://orders.example/v1",
    "image": "europe-west1-docker.pkg.dev/p/i/ingestor@sha256:" + "0" * 64,
    "operators": ["ann@example.com"],
    "alert_emails": ["on-call@example.com"],
}
BAD: tuple[dict[str, object], ...] = (
    {
        "project_id": "My Project",
        "region": "EU",
        "dataset_id": "sales-eu",
        "table_id": "sales.orders",
        "message_type": "orders/Order",
        "source_url": "https://user:pass@orders.example",
        "image": "europe-west1-docker.pkg.dev/p/i/ingestor:latest",
        "operators": [],
        "alert_emails": [],
        "name": "Ingestor",
        "labels": {"Team": "x"},
        "settings": {"AUTH": "none"},
        "source_auth": "password",
        "partitions": 0,
        "row_retention_days": 0,
        "dead_letter_retention_days": 0,
        "closed_dead_letter_days": 0,
        "memory": "1GB",
        "schema_file": "no-such-file.json",
    },
    {
        "source_url": "ftp://orders.example",
        "operators": ["user:ann@example.com"],
        "name": "a-name-that-is-far-too-long-for-an-account",
        "settings": {"GCP_PROJECT_ID": "other"},
        "partitions": 1.5,
    },
)
"""Values that must be refused, all of one round at once: Terraform reports every variable that it refuses."""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> "Any":
    """Plans the module's variables alone: they need no provider, so Terraform itself judges them here."""
    terraform = shutil.which("terraform")
    assert terraform, "terraform is not installed; see ops/terraform/README.md"
    folder = tmp_path_factory.mktemp("variables")
    shutil.copy(MODULE / "variables.tf", folder)
    (folder / "schema.json").write_text(json.dumps({"table": {"schema": []}}))
    settings = {"PATH": "", "HOME": str(folder), "CHECKPOINT_DISABLE": "1"}

    def planned(**changed: object) -> str:
        values = {**GOOD, "schema_file": str(folder / "schema.json"), **changed}
        (folder / "terraform.tfvars.json").write_text(json.dumps(values))
        command = [terraform, f"-chdir={folder}", "plan", "-no-color", "-input=false"]
        done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False, timeout=60)
        return "" if done.returncode == 0 else done.stderr

    return planned


def test_the_example_values_pass_and_each_bad_value_is_refused_by_name(plan: Any) -> None:
    assert plan() == ""
    validated = {name for name, body in variables(MODULE).items() if "validation" in body}
    assert validated == set(BAD[0])
    for values in BAD:
        said = re.sub(r"\s+", " ", plan(**values))
        assert {name for name in values if f"var.{name} is " in said} == set(values), said
        assert said.count("Invalid value for variable") >= len(values)


def test_terraform_is_formatted() -> None:
    terraform = shutil.which("terraform")
    assert terraform, "terraform is not installed; see ops/terraform/README.md"
    command = [terraform, "fmt", "-check", "-diff", "-recursive", str(EXAMPLE.parent)]
    assert subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout == ""
