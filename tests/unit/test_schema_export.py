"""`schema sql --json`: the same tables and views as the DDL, as data."""

import pytest
from google.cloud import bigquery

from ingestor import ddl
from ingestor.columns import columns_of
from ingestor.messages import descriptor_of, message_class
from ingestor.schema_export import exported
from ingestor.table_fields import column_read

WHERE = ("a-project", "a_dataset", "rows")
MESSAGES = ["flights.Flight", "ingestor.DeadLetterBatch"]


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("key", [(), ("batch_id", "lane")], ids=str)
def test_what_is_exported_is_what_the_ddl_says(message: str, key: tuple[str, ...]) -> None:
    columns = columns_of(descriptor_of(message_class(message)))
    data = exported(*WHERE, columns, key)
    texts = ddl.statements(*WHERE, columns, key)
    assert [data["table"]["id"], data["ledger"]["id"], *data["views"], *data["latest"]] == list(texts)
    assert list(data["latest"]) == (["rows_latest"] if key else [])
    for role, wanted in (("table", columns), ("ledger", ddl.ledger_columns())):
        fields = [bigquery.SchemaField.from_api_repr(field) for field in data[role]["schema"]]
        assert tuple(map(column_read, fields)) == tuple(wanted)
        assert f"CLUSTER BY `{data[role]['clustering'][0]}`" in texts[data[role]["id"]]
    assert f"TIMESTAMP_TRUNC(`{data['table']['partitioning']}`, DAY)" in texts["rows"]
    assert data["ledger"]["partitioning"] is None
    for name, query in {**data["views"], **data["latest"]}.items():
        assert texts[name] == f"CREATE OR REPLACE VIEW {ddl.quoted(*WHERE[:2], name)} AS\n{query};"
