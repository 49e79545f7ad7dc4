"""Tables change under their ETag, as BigQuery lets them change; a preflight that passed costs one read from then on."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ingestor import ddl, schema
from ingestor.columns import METADATA_COLUMNS, Column, Table, columns_of
from ingestor.errors import SchemaMismatch
from ingestor.table_fields import field_of, table_of
from ingestor.tables import UPDATE_ATTEMPTS
from tests.protos.bigquery_rest import BigQueryRest
from tests.protos.samples import described

A = {"name": "a", "type": "INTEGER", "mode": "NULLABLE"}
ORDER = described("shop.Order")


@pytest.fixture
def rest() -> Iterator[BigQueryRest]:
    with BigQueryRest() as rest:
        rest.put("t", schema={"fields": [A]})
        yield rest


def resource(columns: tuple[Column, ...]) -> dict[str, Any]:
    return {"fields": [field_of(column).to_api_repr() for column in columns]}


def dataset(rest: BigQueryRest, columns: tuple[Column, ...], query: str | None = None) -> None:
    """Table, ledger table and view as `schema apply` leaves them."""
    daily = {"type": "DAY", "field": "_ingest_time"}
    rest.put("t", schema=resource(columns), timePartitioning=daily, clustering={"fields": ["_ingest_batch_id"]})
    rest.put("t_ledger", schema=resource(ddl.ledger_columns()), clustering={"fields": ["batch_id"]})
    text = query or ddl.dedup_query("p", "d", "t", columns)
    rest.put("t_dedup", schema=resource(columns), type="VIEW", view={"query": text, "useLegacySql": False})


def test_of_two_changes_at_once_neither_undoes_the_other(rest: BigQueryRest) -> None:
    both_have_read = threading.Barrier(2, timeout=10)
    waiting = threading.local()

    def wait_for_the_other(_: str) -> None:
        if rest.conflicts == 0 and len(rest.fields("t")) == 1 and not getattr(waiting, "done", False):
            waiting.done = True
            both_have_read.wait()

    rest.before_update = wait_for_the_other
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(rest.open().update_columns, "t", (Column(name, "STRING"),)) for name in "bc"]:
            done.result(timeout=20)
    assert sorted(field["name"] for field in rest.fields("t")) == ["a", "b", "c"]
    assert rest.conflicts >= 1


def test_a_table_that_others_change_all_the_time_is_given_up_in_bounded_time(rest: BigQueryRest) -> None:
    rest.before_update = rest.put
    with pytest.raises(SchemaMismatch, match="is being changed by others all the time; try again later"):
        rest.open().update_columns("t", (Column("b", "STRING"),))
    assert rest.conflicts == UPDATE_ATTEMPTS


def test_a_new_column_gets_its_default_after_it_is_there_and_its_tag_and_description_at_once(
    rest: BigQueryRest,
) -> None:
    column = Column("b", "STRING", "REQUIRED", "what it is", policy_tag="tag", default="'x'")
    rest.open().update_columns("t", (column,))
    assert [method for method, _ in rest.requests] == ["GET", "PATCH", "GET", "PATCH"]
    assert rest.fields("t") == [
        A,
        {
            "name": "b",
            "type": "STRING",
            "mode": "NULLABLE",
            "description": "what it is",
            "policyTags": {"names": ["tag"]},
            "defaultValueExpression": "'x'",
        },
    ]


def test_what_bigquery_refuses_is_one_line(rest: BigQueryRest) -> None:
    def grow(_: str) -> None:  # without a new ETag, so that the update is looked at
        rest.tables["t"]["schema"] = {"fields": [A, {**A, "name": "late"}]}

    rest.before_update = grow
    with pytest.raises(SchemaMismatch, match=r"refuses what was asked of p\.d\.t: .*Field late is missing") as refused:
        rest.open().update_columns("t", (Column("b", "STRING"),))
    assert "\n" not in str(refused.value)


def test_nothing_is_written_where_nothing_is_to_be_changed(rest: BigQueryRest) -> None:
    rest.open().update_columns("t", (Column("A", "INT64"),))
    assert rest.requests == [("GET", "t")]


def test_ranges_and_policy_tags_are_read_as_they_are_written(rest: BigQueryRest) -> None:
    columns = (*columns_of(described("annotated.Every")), Column("p", "STRING", policy_tag="t", default="'x'"))
    rest.put("t", schema=resource(columns))
    table = rest.open().read("t")
    assert table is not None
    assert table.columns == columns


def test_a_preflight_that_passed_costs_one_read_while_the_table_stays(rest: BigQueryRest) -> None:
    dataset(rest, columns_of(ORDER))
    tables, fitted = rest.open(), dict[tuple[str, str, str, str], Table]()
    schema.preflight(tables, "t", ORDER, fitted)
    assert rest.requests == [("GET", "t"), ("GET", "t_ledger"), ("GET", "t_dedup")]
    rest.requests.clear()
    schema.preflight(tables, "t", ORDER, fitted)
    assert rest.requests == [("GET", "t")]
    schema.preflight(tables, "t", ORDER)
    assert len(rest.requests) == 4


def test_a_remembered_preflight_does_not_hide_a_change_of_table_or_message(rest: BigQueryRest) -> None:
    dataset(rest, columns_of(ORDER))
    tables, fitted = rest.open(), dict[tuple[str, str, str, str], Table]()
    schema.preflight(tables, "t", ORDER, fitted)
    with pytest.raises(SchemaMismatch, match="column keep: table has none"):
        schema.preflight(tables, "t", described("annotated.LeftOut"), fitted)
    rest.put("t", schema=resource(columns_of(ORDER)[1:]))
    with pytest.raises(SchemaMismatch, match="column total: table has none"):
        schema.preflight(tables, "t", ORDER, fitted)


def test_a_view_that_shows_what_the_table_lacks_is_refused_until_it_is_replaced(rest: BigQueryRest) -> None:
    columns = columns_of(ORDER)
    dataset(rest, columns, ddl.dedup_query("p", "d", "t", columns, ["gone"]))
    tables = rest.open()
    with pytest.raises(SchemaMismatch, match=r"view t_dedup shows gone, which the table lacks; .*schema apply"):
        schema.preflight(tables, "t", ORDER)
    assert schema.plan(tables, "t", ORDER) == ["replace view t_dedup"]


def test_a_view_without_the_table_s_other_columns_serves_and_apply_would_replace_it(rest: BigQueryRest) -> None:
    columns = columns_of(ORDER)
    dataset(rest, columns)
    rest.put("t", schema=resource((*columns, Column("others", "STRING"))))
    tables = rest.open()
    schema.preflight(tables, "t", ORDER)
    assert schema.plan(tables, "t", ORDER) == ["replace view t_dedup"]
    dataset(rest, columns)
    assert schema.plan(tables, "t", ORDER) == []


def test_clustering_by_something_else_is_a_note_and_partitioning_a_refusal(rest: BigQueryRest) -> None:
    dataset(rest, columns_of(ORDER))
    rest.put("t", clustering={"fields": ["id"]})
    tables = rest.open()
    comparison = schema.check(tables, "t", ORDER)
    assert comparison.verdict == "fits"
    assert [each.text for each in comparison.differences] == [
        (
            "table t: table is clustered by id, wanted is by _ingest_batch_id; queries of the view cost more; "
            "`bq update --clustering_fields=_ingest_batch_id t` changes that"
        )
    ]
    rest.put("t", timePartitioning={"type": "HOUR", "field": "_ingest_time"})
    assert schema.check(tables, "t", ORDER).verdict == "incompatible"
    with pytest.raises(SchemaMismatch, match="choose another BQ_TABLE_ID"):
        schema.plan(tables, "t", ORDER)


def test_a_recorded_table_is_compared_as_the_live_one(rest: BigQueryRest) -> None:
    dataset(rest, columns_of(ORDER)[1:])
    recorded = rest.open().record("t")
    assert set(recorded) == {"tableReference", "type", "schema", "timePartitioning", "clustering"}
    live = [each.text for each in schema.check(rest.open(), "t", ORDER).differences if each.text.startswith("table t,")]
    offline = schema.check_recorded(table_of(recorded), ORDER)
    assert (
        [each.text for each in offline.differences]
        == live
        == ["table t, column total: table has none, message wants RECORD; add the column"]
    )
    assert METADATA_COLUMNS[0].name in {field["name"] for field in recorded["schema"]["fields"]}
    with pytest.raises(SchemaMismatch, match="doesn't exist"):
        rest.open().record("nowhere")


def test_a_table_name_that_differs_is_warned_of() -> None:
    message = described("annotated.Extra")
    assert schema.warnings("extra", message)[0].startswith("extra_fields")
    assert schema.warnings("other", message)[0] == ("the option `table_name` says extra; rows go to BQ_TABLE_ID, other")
