"""`ingestor schema …` as a process: exit codes, lines for people, JSON for scripts, and checks without any cloud."""

import json
import sys
from pathlib import Path
from subprocess import run
from typing import Any

from ingestor import ddl
from ingestor.columns import columns_of
from ingestor.messages import descriptor_of, message_class

FLIGHT = columns_of(descriptor_of(message_class("flights.Flight")))


def offline(*arguments: str) -> Any:
    """The command without any configuration."""
    command = [sys.executable, "-m", "ingestor", "schema", *arguments]
    return run(command, env={"PATH": ""}, capture_output=True, text=True, check=False, timeout=60)


def test_check_plan_apply_check(pipeline: Any) -> None:
    missing = pipeline.ingestor("schema", "check")
    assert missing.code == 4
    assert missing.out.splitlines() == [
        "table flights doesn't exist",
        "table flights_ledger doesn't exist",
        "view flights_dedup doesn't exist",
    ]
    assert missing.err == "ingestor: additive: run `ingestor schema plan` to see what would mend it, then `apply`\n"
    planned = pipeline.ingestor("schema", "plan")
    applied = pipeline.ingestor("schema", "apply")
    assert (planned.code, applied.code) == (0, 0)
    assert applied.out == planned.out + "done: 3 change(s)\n"
    assert pipeline.ingestor("schema", "apply").out == "nothing to do\n"
    fits = pipeline.ingestor("schema", "check")
    assert (fits.code, fits.out, fits.err) == (0, "fits\n", "")


def test_check_says_ddl_and_proto_line_and_a_script_gets_them_as_json(pipeline: Any) -> None:
    pipeline.tables.create_table(
        "flights", FLIGHT[1:], partition_column="_ingest_time", cluster_columns=["_ingest_batch_id"]
    )
    shown = pipeline.here("schema", "check")
    name = ddl.quoted(pipeline.tables.project, pipeline.tables.dataset, "flights")
    statement = f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS `year` INT64;"
    assert shown.out.splitlines()[:3] == [
        "table flights, column year: table has none, message wants INT64; add the column",
        f"    ddl: {statement}",
        "    proto: optional int32 year = 1;",
    ]
    as_json = pipeline.here("schema", "check", "--json")
    found = json.loads(as_json.out)
    assert (as_json.code, found["fits"], found["verdict"], found["warnings"]) == (4, False, "additive", [])
    first = found["differences"][0]
    assert (first["blocking"], first["mendable"], first["ddl"]) == (True, True, statement)
    refused = pipeline.run_here()
    assert refused.code == 2
    assert "column year: table has none, message wants INT64" in refused.err


def test_what_is_incompatible_is_refused_with_nothing_done(pipeline: Any) -> None:
    other = [column if column.name != "year" else type(column)("year", "STRING") for column in FLIGHT]
    pipeline.tables.create_table("flights", other, partition_column="_ingest_time")
    checked = pipeline.here("schema", "check", "--json")
    assert (checked.code, json.loads(checked.out)["verdict"]) == (4, "incompatible")
    for command in ("plan", "apply"):
        refused = pipeline.here("schema", command)
        assert refused.code == 2
        assert "column year: table has STRING, message wants INT64" in refused.err
        assert "Traceback" not in refused.err
    assert pipeline.tables.read("flights_ledger") is None


def test_a_recorded_table_is_checked_without_configuration_or_network(pipeline: Any, tmp_path: Path) -> None:
    pipeline.apply_schema()
    file = tmp_path / "flights.json"
    assert pipeline.here("schema", "record", str(file)).code == 0
    again = file.read_bytes()
    assert pipeline.here("schema", "record", str(file)).code == 0
    assert file.read_bytes() == again
    fits = offline("check", "--against", str(file), "--message", "flights.Flight")
    assert (fits.returncode, fits.stdout) == (0, "fits\n"), fits.stderr
    table = json.loads(again)
    table["schema"]["fields"] = [field for field in table["schema"]["fields"] if field["name"] != "tailnum"]
    file.write_text(json.dumps(table))
    differs = offline("check", "--against", str(file), "--message", "flights.Flight", "--json")
    assert (differs.returncode, json.loads(differs.stdout)["verdict"]) == (4, "additive")


def test_bad_use_is_one_line_with_its_exit_code(tmp_path: Path) -> None:
    empty = tmp_path / "empty.json"
    empty.write_text("{}")
    cases = [
        (("check", "--message", "flights.Flight"), 64, "--message goes with --against"),
        (("check", "--against", str(tmp_path / "absent.json")), 64, "does not exist"),
        (("check", "--against", str(empty), "--message", "flights.Flight"), 2, "no description of a table"),
        (("check", "--against", str(empty)), 2, "no description of a table"),
    ]
    for arguments, code, said in cases:
        done = offline(*arguments)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_warnings_go_beside_the_verdict_and_change_no_exit_code(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    table = {"tableReference": {"projectId": "p", "datasetId": "d", "tableId": "t"}, "schema": {"fields": []}}
    file.write_text(json.dumps(table))
    warned = offline("check", "--against", str(file), "--message", "gen_bq_schema.BigQueryFieldOptions")
    assert "warning: field require: proto3 can't tell absent from false" in warned.stderr
    assert warned.returncode == 4


def test_the_generated_encoder_can_be_read() -> None:
    shown = offline("encoder", "--message", "flights.Flight")
    assert shown.returncode == 0, shown.stderr
    assert "    if type(value) is int:\n        message.dep_time = value\n" in shown.stdout
    assert "    elif value is not None:\n        message.dep_time = whole(value)\n" in shown.stdout
    assert "message.time_hour = to_timestamp(value)" in shown.stdout
    ordered = offline("encoder", "--message", "flights.Flight", "--keys", "flight,new_upstream,depTime")
    assert "    value_0, value_1, value_2, = record.values()\n" in ordered.stdout
    assert "        message.dep_time = value_2\n" in ordered.stdout
    assert "value_1" not in ordered.stdout.replace("value_0, value_1,", "")
    assert "get(" not in ordered.stdout
    twice = offline("encoder", "--message", "flights.Flight", "--keys", "depTime,dep_time")
    assert twice.stdout.startswith("# No plan for these keys, the general one takes such records: ")
    unknown = offline("encoder", "--message", "flights.Nothing")
    assert unknown.returncode == 2
    assert "MESSAGE_TYPE 'flights.Nothing' is no message" in unknown.stderr
