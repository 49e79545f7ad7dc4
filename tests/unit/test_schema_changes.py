"""Each change of a message has the verdict and the plan that its table needs, and DDL and a proto line that say so."""

import pytest
from google.cloud.bigquery import SchemaField

from ingestor.columns import Column, Table, columns_of
from ingestor.schema_compare import Comparison, compare, layout
from ingestor.table_fields import column_read, field_of, merged
from tests.protos.changes import CHANGES, after, before

LAID_OUT = Table("t", (), "_ingest_time", "DAY", ("_ingest_batch_id",))


def compared(name: str) -> Comparison:
    return compare(columns_of(after(name)), Table("t", columns_of(before(name))), "`p.d.t`")


def test_there_are_sixty_changes() -> None:
    assert len(CHANGES) >= 60
    assert {change.verdict for change in CHANGES.values()} == {"fits", "additive", "incompatible"}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_has_its_verdict_and_its_plan(name: str) -> None:
    comparison = compared(name)
    assert comparison.verdict == CHANGES[name].verdict
    if comparison.verdict != "incompatible":  # of those nothing is done
        assert ", ".join(each.change for each in comparison.differences if each.change) == CHANGES[name].plan


@pytest.mark.parametrize("name", [name for name, change in CHANGES.items() if change.plan])
def test_what_the_plan_does_makes_the_table_fit_and_a_second_plan_empty(name: str) -> None:
    wanted = columns_of(after(name))
    fields = [field_of(column).to_api_repr() for column in columns_of(before(name))]
    for _ in range(2):
        fields = merged(fields, wanted)
    table = Table("t", tuple(column_read(SchemaField.from_api_repr(field)) for field in fields))
    comparison = compare(wanted, table)
    assert comparison.verdict == "fits"
    assert [each.change for each in comparison.differences if each.change] == []
    # Whoever still runs the message of before goes on.
    assert compare(columns_of(before(name)), table).verdict == "fits"


@pytest.mark.parametrize("name", [name for name, change in CHANGES.items() if change.verdict == "incompatible"])
def test_what_is_refused_says_the_way_round_it(name: str) -> None:
    fatal = [each for each in compared(name).blocking if not each.mendable]
    assert fatal
    for each in fatal:
        assert each.text.startswith("table t, column ")
        assert "change the field, or give it another name and number" in each.text
        assert "\n" not in each.text
        assert each.proto.endswith(";")


DDL = {
    "a field added": "ALTER TABLE `p.d.t` ADD COLUMN IF NOT EXISTS `b` STRING;",
    "a list added": "ALTER TABLE `p.d.t` ADD COLUMN IF NOT EXISTS `b` ARRAY<STRING>;",
    "a record added": "ALTER TABLE `p.d.t` ADD COLUMN IF NOT EXISTS `r` STRUCT<`x` INT64>;",
    "a required field added": "ALTER TABLE `p.d.t` ADD COLUMN IF NOT EXISTS `b` STRING;",
    "a nested field added": "",
    "no longer required": "ALTER TABLE `p.d.t` ALTER COLUMN `a` DROP NOT NULL;",
    "no longer required inside": "",
    "described": 'ALTER TABLE `p.d.t` ALTER COLUMN `a` SET OPTIONS(description="first");',
    "a default": "ALTER TABLE `p.d.t` ALTER COLUMN `a` SET DEFAULT 7;",
    "integer to a decimal": "ALTER TABLE `p.d.t` ALTER COLUMN `a` SET DATA TYPE NUMERIC;",
    "integer to text": "",
}
PROTO = {
    "a field added": "optional string b = 2;",
    "a map added": "map<string, int64> b = 2;",
    "a timestamp added": 'optional string b = 2 [(gen_bq_schema.bigquery).type_override = "TIMESTAMP"];',
    "integer to text": 'optional string a = 1 [(gen_bq_schema.bigquery).type_override = "INT64"];',
    "text to a date": 'optional string b = 2 [(gen_bq_schema.bigquery).type_override = "STRING"];',
    "one value to a list": "repeated int64 a = 1;",
    "a required field dropped": "",
}


@pytest.mark.parametrize("name", DDL)
def test_a_difference_carries_the_statement_that_mends_it_where_sql_has_one(name: str) -> None:
    assert [each.ddl for each in compared(name).differences] == [DDL[name]]


@pytest.mark.parametrize("name", PROTO)
def test_a_difference_carries_the_line_of_the_proto_as_it_would_fit(name: str) -> None:
    assert [each.proto for each in compared(name).differences] == [PROTO[name]]


def test_an_added_column_with_a_default_takes_two_statements() -> None:
    (found,) = compare((Column("a", "INT64", default="7"),), Table("t", ()), "`t`").differences
    assert found.ddl == (
        "ALTER TABLE `t` ADD COLUMN IF NOT EXISTS `a` INT64; ALTER TABLE `t` ALTER COLUMN `a` SET DEFAULT 7;"
    )


def test_another_order_is_told_and_blocks_nothing() -> None:
    (note,) = compared("fields in another order").differences
    assert not note.blocking
    assert not note.mendable
    assert "stand in another order" in note.text


def test_another_policy_tag_is_told_and_not_changed() -> None:
    wanted, present = Column("a", "INT64", policy_tag="new"), Column("a", "INT64", policy_tag="old")
    (note,) = compare((wanted,), Table("t", (present,))).differences
    assert (note.blocking, note.mendable) == (False, False)
    assert "table has the policy tag old, message wants new" in note.text


LAYOUTS = {
    "as it must": (LAID_OUT, [], True),
    "not partitioned": (Table("t", (), "", "", ("_ingest_batch_id",)), ["table is partitioned not by time"], False),
    "by hour": (Table("t", (), "_ingest_time", "HOUR", ("_ingest_batch_id",)), ["by HOUR on _ingest_time"], False),
    "by another column": (Table("t", (), "at", "DAY", ("_ingest_batch_id",)), ["by DAY on at"], False),
    "by load time": (Table("t", (), "_PARTITIONTIME", "DAY", ("_ingest_batch_id",)), ["on _PARTITIONTIME"], False),
    "not clustered": (Table("t", (), "_ingest_time", "DAY"), ["table is clustered not, wanted is by"], True),
    "clustered by more": (Table("t", (), "_ingest_time", "DAY", ("_ingest_batch_id", "a")), [], True),
    "clustered by another": (Table("t", (), "_ingest_time", "DAY", ("a",)), ["clustered by a"], True),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_partitioning_is_a_condition_and_clustering_a_note(name: str) -> None:
    table, said, fits = LAYOUTS[name]
    comparison = Comparison(tuple(layout(table, "_ingest_time", "_ingest_batch_id")))
    assert [part in each.text for part, each in zip(said, comparison.differences, strict=True)] == [True] * len(said)
    assert (comparison.verdict == "fits") is fits


def test_what_the_table_says_and_the_message_does_not_is_left_alone() -> None:
    present = Column("a", "INT64", description="mine", policy_tag="t", default="7")
    assert compare((Column("a", "INT64"),), Table("t", (present,))).differences == ()


def test_nothing_inside_an_added_record_is_required_or_has_a_default() -> None:
    inner = (Column("x", "INT64", "REQUIRED"), Column("y", "STRING", "REPEATED"))
    (field,) = merged([], (Column("r", "RECORD", "REQUIRED", fields=inner),))
    assert [field["mode"], *(part["mode"] for part in field["fields"])] == ["NULLABLE", "NULLABLE", "REPEATED"]
