"""Least privilege: every call of a Google client is in the table of permissions, and the roles are that table."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud import bigquery, firestore, secretmanager_v1, storage  # type: ignore[attr-defined]
from google.cloud.bigquery.job import QueryJob
from google.cloud.bigquery_storage_v1.services.big_query_write import BigQueryWriteClient
from google.cloud.firestore_v1.aggregation import AggregationQuery

from ops.ci.hcl import MODULE, local_values, text_of
from ops.permissions import CALLS, OPS, PEOPLE, RUN, needed

ROOT = Path(__file__).parents[2]
PACKAGES = ("ingestor", "state", "ops")
CLIENTS = (
    bigquery.Client,
    QueryJob,
    BigQueryWriteClient,
    storage.Client,
    storage.Bucket,
    storage.Blob,
    firestore.Client,
    firestore.CollectionReference,
    firestore.DocumentReference,
    firestore.Query,
    firestore.WriteBatch,
    AggregationQuery,
    secretmanager_v1.SecretManagerServiceClient,
)
NO_CALLS = {
    # Builders of queries and of names, and what only closes or describes.
    "add",
    "as_integer_ratio",
    "cancel",
    "avg",
    "batch",
    "blob",
    "bucket",
    "client",
    "close",
    "collection",
    "count",
    "document",
    "end_at",
    "end_before",
    "limit",
    "on_snapshot",
    "order_by",
    "path",
    "project",
    "query",
    "select",
    "start_after",
    "start_at",
    "sum",
    "transport",
    "where",
    "write_option",
    "to_api_repr",
    "from_string",
    "common_project_path",
    "from_api_repr",
    "pipeline",
}
OURS = {
    # Our own class `Bucket`, which these two are given, is where the calls are.
    ("ingestor/dead_batches.py", "create"),
    ("ingestor/rejected_records.py", "create"),
    # A field of a raw message, as `update` is, which is the call that the message asks for.
    ("state/firestore_writes.py", "exists"),
}
METHODS = {
    name for client in CLIENTS for name in dir(client) if not name.startswith("_") and callable(getattr(client, name))
}
NO_CLIENTS = {"self", "fields", "found", "page[0]", "stored"}
"""What methods of ours, and of dicts, are called on in the modules that import a client."""
VOCABULARY = (METHODS - NO_CALLS) | {"query", "append_rows"}
"""What a call of a client may be named. `query` is BigQuery's; the Write API is called at its transport."""


def google_modules(root: Path) -> Iterator[Path]:
    """Yield the files that import a client package of Google's; others cannot call one."""
    for package in PACKAGES:
        for path in sorted((root / package).glob("*.py")):
            if "google.cloud" in path.read_text() and any(map(_imports_google, ast.walk(ast.parse(path.read_text())))):
                yield path


def _imports_google(node: ast.AST) -> bool:
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    return any(name.startswith("google.cloud") for name in names)


def calls(path: Path) -> Iterator[str]:
    """Yield the names of methods that are called, or handed on, as a client's may be.

    `get` is a call of Firestore's only; everywhere else it is a dict's.
    """
    text = path.read_text()
    names = VOCABULARY if "firestore" in path.name else VOCABULARY - {"get"}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) not in NO_CLIENTS:
            yield node.attr


def test_every_call_of_a_client_is_in_the_table_and_every_line_of_the_table_is_called() -> None:
    found = {(path.relative_to(ROOT).as_posix(), name) for path in google_modules(ROOT) for name in calls(path)}
    assert found - OURS == {(call.module, call.method) for call in CALLS}


@pytest.mark.parametrize(("account", "roles"), [(RUN, "run_"), (OPS, "ops_")])
def test_an_account_may_do_what_its_calls_need_and_nothing_else(account: str, roles: str) -> None:
    permissions = local_values(MODULE)["permissions"]
    granted = [text_of(one) for name, some in permissions.items() if name.startswith(roles) for one in some]
    assert set(granted) == needed(account)
    assert len(granted) == len(set(granted))


def test_nobody_may_delete_and_only_people_change_tables() -> None:
    everything = {text_of(one) for some in local_values(MODULE)["permissions"].values() for one in some}
    assert not {one for one in everything if one.endswith((".delete", ".setIamPolicy", ".actAs"))}
    assert not everything & {"bigquery.tables.create", "bigquery.tables.update"}
    assert {"bigquery.tables.create", "bigquery.tables.update"} <= needed(PEOPLE)


def test_no_predefined_role_that_is_broader_than_a_call_is_given_to_an_account_of_ours() -> None:
    text = (MODULE / "iam.tf").read_text()
    predefined = {text_of(word) for word in text.split() if word.startswith('"roles/')}
    assert predefined == {
        "roles/artifactregistry.writer",
        "roles/iam.serviceAccountUser",
        "roles/iap.httpsResourceAccessor",
        "roles/logging.logWriter",
        "roles/run.invoker",
    }


def test_a_new_call_is_found(tmp_path: Path) -> None:
    (tmp_path / "ingestor").mkdir()
    module = tmp_path / "ingestor" / "new.py"
    module.write_text("from google.cloud import bigquery\n\nbigquery.Client().delete_table('x')\n")
    assert list(google_modules(tmp_path)) == [module]
    assert list(calls(module)) == ["delete_table"]
