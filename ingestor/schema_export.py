"""Table, ledger table and views as data, for tools that create tables from something other than SQL (Terraform)."""

from collections.abc import Sequence
from typing import Any

from ingestor import ddl
from ingestor.columns import Column
from ingestor.table_fields import field_of

_VIEW = "CREATE OR REPLACE VIEW"


def exported(
    project: str, dataset: str, table_id: str, columns: Sequence[Column], key: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what `ddl.statements` makes: `table` and `ledger` with `id, schema, partitioning, clustering`, and by
    their names the texts of the `views` on them and of `latest`, the views that stand on these.

    `schema` is a list of fields as BigQuery's REST API and Terraform's `google_bigquery_table.schema` want them.
    """
    texts = ddl.statements(project, dataset, table_id, columns, key)
    views = {name: text.split(" AS\n", 1)[1].rstrip(";\n") for name, text in texts.items() if text.startswith(_VIEW)}
    return {
        "table": _table(table_id, columns, ddl.PARTITION_COLUMN, ddl.CLUSTER_COLUMN),
        "ledger": _table(ddl.ledger_id(table_id), ddl.ledger_columns(), None, ddl.LEDGER_CLUSTER_COLUMN),
        "views": {name: text for name, text in views.items() if name != ddl.latest_id(table_id)},
        "latest": {name: text for name, text in views.items() if name == ddl.latest_id(table_id)},
    }


def _table(name: str, columns: Sequence[Column], partitioning: str | None, clustering: str) -> dict[str, Any]:
    fields = [field_of(column).to_api_repr() for column in columns]
    return {"id": name, "schema": fields, "partitioning": partitioning, "clustering": [clustering]}
