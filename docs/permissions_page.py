"""`permissions.md`: which call needs which permission, and which role gives it to whom."""  # noqa: INP001 - see generate.py

from ops.permissions import CALLS, OPS, PEOPLE, RUN, needed

WHO = {
    RUN: "the run's account (`NAME-run`)",
    OPS: "the operators' service's account (`NAME-ops`)",
    PEOPLE: "people at the command line, with rights of their own",
}

INTRODUCTION = """# Permissions

Each account has what the code calls and nothing else. A test finds every call of a Google client in the code, compares
it with this table, and the table with the custom roles of `ops/terraform/ingestor/roles.tf`. Nobody of ours may delete
anything: neither in Firestore nor in the bucket nor in BigQuery.

Where a role is bound: Firestore by a condition on the one database, BigQuery on the table, its ledger table and its
views, Cloud Storage on the one bucket, Secret Manager on the one secret; only `bigquery.jobs.create` is the project's.

| permission | run | ops | people | call sites |
|---|---|---|---|---|
"""

CALL_SITES = """
## Call sites

| module | method | permissions | who | what for |
|---|---|---|---|---|
"""

OTHERS = """
## Accounts that call no client of ours

| account | may | why |
|---|---|---|
| `NAME-tick` | `run.routes.invoke` on the run service, `run.jobs.run` on the reconcile job | starts both |
| `NAME-deploy` | new revisions and executions, push to the one repository, act as run and ops | delivery |
| IAP's service agent | `roles/run.invoker` on the operators' service | people come through IAP only |
| `operators`, `viewers` | `roles/iap.httpsResourceAccessor` on the operators' service | to reach the pages |

A bucket that the account may create objects in but not look at answers 403 to `reload`: that it is there is all the
preflight asks, so `storage.buckets.get` is not given. `schema apply` is people's: a run never changes a table.
"""


def page() -> str:
    """Return the text of `permissions.md`."""
    permissions = sorted(frozenset().union(*map(needed, WHO)))
    table = ""
    for permission in permissions:
        marks = " | ".join("yes" if permission in needed(account) else "" for account in WHO)
        sites = ", ".join(f"`{one.module}` {one.method}" for one in CALLS if permission in one.permissions)
        table += f"| `{permission}` | {marks} | {sites} |\n"
    sites = "".join(
        f"| `{one.module}` | `{one.method}` | {', '.join(f'`{each}`' for each in one.permissions)} | "
        f"{', '.join(one.accounts)} | {one.purpose} |\n"
        for one in CALLS
    )
    legend = "".join(f"\n- **{account}**: {text}" for account, text in WHO.items())
    return INTRODUCTION + table + legend + "\n" + CALL_SITES + sites + OTHERS
