"""Which call of a Google client needs which permission, and who makes it.

The custom roles of `ops/terraform/ingestor/roles.tf` are made of this: a test finds every such call in the code and
compares it with this table, and this table with the roles. `docs/permissions.md` is written from it.
"""

from dataclasses import dataclass
from typing import Final

RUN, OPS, PEOPLE = "run", "ops", "people"
"""The run's account, the operators' service's account, and people at the command line with rights of their own."""


@dataclass(frozen=True)
class Call:
    """A call site.

    Attributes:
        module: file of the repository.
        method: method of the client's.
        permissions: what IAM asks for it; none when a refusal is as good as an answer.
        accounts: who makes the call.
        purpose: what for.
    """

    module: str
    method: str
    permissions: tuple[str, ...]
    accounts: tuple[str, ...]
    purpose: str


_ENTITIES = "datastore.entities"
_BOTH, _ALL = (RUN, OPS), (RUN, OPS, PEOPLE)
_QUERY = ("bigquery.jobs.create", "bigquery.tables.getData")
_ACCESS = ("secretmanager.versions.access",)

CALLS: Final = (
    Call("ingestor/append.py", "append_rows", ("bigquery.tables.updateData",), _BOTH, "rows and statements"),
    Call("ingestor/tables.py", "get_table", ("bigquery.tables.get",), _ALL, "preflight, plans, schema check"),
    Call("ingestor/tables.py", "query", _QUERY, (OPS, PEOPLE), "reconcile, why, repairs; CREATE VIEW"),
    Call("ingestor/tables.py", "result", (), (OPS, PEOPLE), "rows of one's own query"),
    Call("ingestor/tables.py", "get_dataset", ("bigquery.datasets.get",), (PEOPLE,), "schema apply"),
    Call("ingestor/tables.py", "create_table", ("bigquery.tables.create",), (PEOPLE,), "schema apply"),
    Call("ingestor/tables.py", "update_table", ("bigquery.tables.update",), (PEOPLE,), "schema apply"),
    Call(
        "ingestor/bucket.py",
        "reload",
        ("storage.objects.get",),
        _BOTH,
        "generation; whether the bucket is there (403 = yes)",
    ),
    Call("ingestor/bucket.py", "exists", ("storage.objects.get",), _BOTH, "whether an object is there"),
    Call("ingestor/bucket.py", "upload_from_string", ("storage.objects.create",), _BOTH, "dead letters, created once"),
    Call(
        "ingestor/bucket.py",
        "download_as_bytes",
        ("storage.objects.get",),
        _BOTH,
        "replays, repairs, names that are taken",
    ),
    Call("ingestor/secret_manager.py", "access_secret_version", _ACCESS, (RUN,), "the source's credential"),
    Call("state/firestore.py", "create", (f"{_ENTITIES}.create",), _BOTH, "snapshots, skips"),
    Call(
        "state/firestore.py", "update", (f"{_ENTITIES}.update",), _BOTH, "snapshots and index documents, under a token"
    ),
    Call(
        "state/firestore_writes.py",
        "update",
        (f"{_ENTITIES}.create", f"{_ENTITIES}.update"),
        _BOTH,
        "journal entries, and index documents merged",
    ),
    Call("state/firestore.py", "commit", (), _BOTH, "the writes above, at once"),
    Call("state/firestore.py", "get", (f"{_ENTITIES}.get",), _BOTH, "one document"),
    Call("state/firestore.py", "get_all", (f"{_ENTITIES}.get",), _BOTH, "documents by name"),
    Call("state/firestore.py", "stream", (f"{_ENTITIES}.get", f"{_ENTITIES}.list"), _BOTH, "queries"),
)


def needed(account: str) -> frozenset[str]:
    """Return the permissions that an account needs."""
    return frozenset(permission for call in CALLS if account in call.accounts for permission in call.permissions)
