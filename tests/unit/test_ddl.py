"""The SQL is pinned as text; that it does what it says is proved on the emulator in `tests/e2e`."""

import re

import pytest

from ingestor import ddl
from ingestor.columns import METADATA_COLUMNS, Column, columns_of
from ingestor.errors import SchemaMismatch
from ingestor.schema_views import key_columns
from tests.protos.samples import described

COLUMNS = (
    Column("id", "STRING", "REQUIRED", 'The shop\'s "own" id\nof the order'),
    Column("lines", "RECORD", "REPEATED", fields=(Column("sku", "STRING"), Column("at", "TIMESTAMP", "REPEATED"))),
    *METADATA_COLUMNS,
)
STATEMENTS = ddl.statements("acme-prod", "sales", "orders", COLUMNS)


def test_there_are_three_objects_in_the_order_in_which_they_are_made() -> None:
    assert list(STATEMENTS) == ["orders", "orders_ledger", "orders_dedup"]
    assert all(statement.endswith(";") for statement in STATEMENTS.values())


def test_the_table_is_partitioned_by_day_and_clustered_by_batch() -> None:
    assert STATEMENTS["orders"] == (
        "CREATE TABLE IF NOT EXISTS `acme-prod.sales.orders` (\n"
        '  `id` STRING NOT NULL OPTIONS(description="The shop\'s \\"own\\" id\\nof the order"),\n'
        "  `lines` ARRAY<STRUCT<`sku` STRING, `at` ARRAY<TIMESTAMP>>>,\n"
        '  `_ingest_batch_id` STRING OPTIONS(description="Batch that carried the row; see the ledger table"),\n'
        '  `_ingest_row_index` INT64 OPTIONS(description="Place of the row\'s record in its batch, from 0"),\n'
        '  `_ingest_time` TIMESTAMP OPTIONS(description="When the batch was first attempted")\n'
        ")\nPARTITION BY TIMESTAMP_TRUNC(`_ingest_time`, DAY)\nCLUSTER BY `_ingest_batch_id`;"
    )


def test_the_ledger_table_has_the_contract_s_columns() -> None:
    names = re.findall(r"^  `(\w+)`", STATEMENTS["orders_ledger"], re.MULTILINE)
    assert names == ["pipeline_id", "lane", "version", "run_id", "batch_id", "status", "row_count", "at"]


def test_the_view_partitions_its_window_by_the_partition_column() -> None:
    window = STATEMENTS["orders_dedup"].rpartition("QUALIFY")[2]
    assert re.search(r"PARTITION BY `_ingest_time`, `_ingest_batch_id`, `_ingest_row_index`\s*\) = 1;", window)


def test_the_view_uses_window_functions_and_no_aggregation() -> None:
    assert "ARRAY_AGG" not in STATEMENTS["orders_dedup"].upper()
    assert STATEMENTS["orders_dedup"].count("ROW_NUMBER()") == 2


def test_the_view_shows_the_message_s_columns_first_and_the_metadata_last() -> None:
    shop = columns_of(described("shop.Order"))
    query = ddl.dedup_query("p", "d", "t", (*METADATA_COLUMNS, *shop[:-3]))
    assert query.splitlines()[0] == "SELECT " + ", ".join(f"`{column.name}`" for column in shop)


def test_the_latest_view_stands_on_the_dedup_view_and_is_made_after_it() -> None:
    texts = ddl.statements("acme-prod", "sales", "orders", COLUMNS, ("id",))
    assert list(texts) == [*STATEMENTS, "orders_latest"]
    assert "FROM `acme-prod.sales.orders_dedup`" in texts["orders_latest"]
    assert "PARTITION BY `id`\n" in texts["orders_latest"]


KEYS: list[tuple[str, str]] = [
    ("nothing", "DEDUP_KEY: nothing is no column of the message"),
    ("_ingest_time", "DEDUP_KEY: _ingest_time is no column of the message"),
    ("tags", "DEDUP_KEY: tags is a list, by which rows can't be grouped"),
    ("address", "DEDUP_KEY: address is RECORD, by which rows can't be grouped"),
    ("price", "DEDUP_KEY: price is FLOAT64, by which rows can't be grouped"),
]


@pytest.mark.parametrize(("name", "line"), KEYS)
def test_a_key_that_can_be_none_is_refused(name: str, line: str) -> None:
    columns = (
        Column("id", "INT64"),
        Column("tags", "STRING", "REPEATED"),
        Column("address", "RECORD", fields=(Column("city", "STRING"),)),
        Column("price", "FLOAT64"),
        *METADATA_COLUMNS,
    )
    with pytest.raises(SchemaMismatch, match=re.escape(line)):
        key_columns(columns, ("ID", name))
    assert key_columns(columns, ("ID",)) == ("id",)
