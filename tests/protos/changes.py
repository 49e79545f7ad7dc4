"""Sixty and more changes of a message: what it was when the table was made, what it is now, what that means."""

import re
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_tools import protoc

PROTO = Path(__file__).parents[2] / "proto"
BQ = "(gen_bq_schema.bigquery)"


@dataclass(frozen=True)
class Change:
    """A change: bodies of the message before and after, the verdict, and what a plan says of the table's columns.

    `record` is one of the message after, as JSON text, with values for what is new.
    """

    old: str
    new: str
    verdict: str
    plan: str = ""
    record: str = ""


A = "optional int64 a = 1;"
B = "optional string b = 2;"
R = "message R { optional int64 x = 1; } optional R r = 3;"
RS = "message R { optional int64 x = 1; } repeated R r = 3;"
E = "enum E { E_NONE = 0; E_ONE = 1; } optional E e = 4;"
FITS, ADDITIVE, INCOMPATIBLE = "fits", "additive", "incompatible"


def typed(type_: str, declared: str = "string", name: str = "b", number: int = 2) -> str:
    return f'optional {declared} {name} = {number} [{BQ}.type_override = "{type_}"];'


def with_option(line: str, option: str) -> str:
    return line.replace(";", f" [{BQ}.{option}];")


CHANGES: dict[str, Change] = {
    # Nothing that the table would notice
    "nothing": Change(A + B, A + B, FITS),
    "fields in another order": Change(A + B, B + A, FITS),
    "other numbers": Change(A + B, "optional int64 a = 8; optional string b = 9;", FITS),
    "a narrower integer": Change(A, "optional int32 a = 1;", FITS),
    "a wider integer": Change("optional int32 a = 1;", A, FITS),
    "unsigned to signed": Change("optional uint32 a = 1;", A, FITS),
    "float to double": Change("optional float a = 1;", "optional double a = 1;", FITS),
    "presence given up": Change(A, "int64 a = 1;", FITS),
    "a wrapper for an optional scalar": Change("google.protobuf.Int64Value a = 1;", A, FITS),
    "text declared for a date": Change(typed("DATE", "int32"), typed("DATE"), FITS),
    "milliseconds declared": Change(
        typed("TIMESTAMP", "int64"),
        f'optional int64 b = 2 [{BQ}.type_override = "TIMESTAMP", (ingestor.options.field).time_unit = '
        "TIME_UNIT_MILLISECONDS];",
        FITS,
    ),
    "another spelling of the type": Change(typed("INTEGER", "string"), typed("INT64", "string"), FITS),
    "into a oneof": Change(A + B, "oneof o { int64 a = 1; string b = 2; }", FITS),
    "a map for a list of entries": Change(
        "message Entry { optional string key = 1; optional int64 value = 2; } repeated Entry m = 3;",
        "map<string, int64> m = 3;",
        FITS,
    ),
    "the record's message renamed": Change(
        R, R.replace("R {", "Other {").replace("optional R", "optional Other"), FITS
    ),
    "letters of a name in other case": Change("optional int64 Amount = 1;", "optional int64 amount = 1;", FITS),
    "a value more in an enum": Change(E, E.replace("E_ONE = 1;", "E_ONE = 1; E_TWO = 2;"), FITS),
    "a value less in an enum": Change(E.replace("E_ONE = 1;", "E_ONE = 1; E_TWO = 2;"), E, FITS),
    "an enum whose column holds names": Change("optional string e = 4;", E, FITS),
    "an integer whose column was widened": Change(typed("NUMERIC", name="a", number=1), A, FITS),
    "required now": Change(A, with_option(A, "require = true"), FITS),
    "renamed, with the column's name kept": Change(A, f'optional int64 alpha = 1 [{BQ}.name = "a"];', FITS),
    # Fields that go
    "a field dropped": Change(A + B, A, FITS),
    "a list dropped": Change(A + "repeated string b = 2;", A, FITS),
    "a record dropped": Change(A + R, A, FITS),
    "a nested field dropped": Change(R.replace("x = 1;", "x = 1; optional int64 y = 2;"), R, FITS),
    "a field ignored": Change(A + B, A + with_option(B, "ignore = true"), FITS),
    "a record emptied": Change(A + R, A + "message R {} optional R r = 3;", FITS),
    # Fields that come
    "a field added": Change(A, A + B, ADDITIVE, "add b STRING", '{"b": "x"}'),
    "a field added in front": Change(A, B + A, ADDITIVE, "add b STRING", '{"b": "x"}'),
    "a list added": Change(A, A + "repeated string b = 2;", ADDITIVE, "add b REPEATED STRING", '{"b": ["x"]}'),
    "a record added": Change(A, A + R, ADDITIVE, "add r RECORD", '{"r": {"x": 1}}'),
    "a list of records added": Change(A, A + RS, ADDITIVE, "add r REPEATED RECORD", '{"r": [{"x": 1}]}'),
    "a nested field added": Change(
        R, R.replace("x = 1;", "x = 1; optional string y = 2;"), ADDITIVE, "add r.y STRING", '{"r": {"y": "x"}}'
    ),
    "a field added in a list of records": Change(
        RS, RS.replace("x = 1;", "x = 1; optional string y = 2;"), ADDITIVE, "add r.y STRING", '{"r": [{"y": "x"}]}'
    ),
    "a record added in a record": Change(
        R,
        "message R { message S { optional int64 y = 1; } optional int64 x = 1; optional S s = 2; } optional R r = 3;",
        ADDITIVE,
        "add r.s RECORD",
        '{"r": {"s": {"y": 1}}}',
    ),
    "a required field added": Change(A, A + with_option(B, "require = true"), ADDITIVE, "add b STRING", '{"b": "x"}'),
    "a field without presence added": Change(A, A + "string b = 2;", ADDITIVE, "add b STRING", '{"b": "x"}'),
    "a map added": Change(A, A + "map<string, int64> b = 2;", ADDITIVE, "add b REPEATED RECORD", '{"b": {"x": 1}}'),
    "an enum added": Change(A, A + E, ADDITIVE, "add e INT64", '{"e": "E_ONE"}'),
    "a timestamp added": Change(
        A, A + typed("TIMESTAMP"), ADDITIVE, "add b TIMESTAMP", '{"b": "2013-01-01T00:00:00Z"}'
    ),
    "a date added": Change(A, A + typed("DATE"), ADDITIVE, "add b DATE", '{"b": "2013-01-01"}'),
    "a decimal added": Change(A, A + typed("NUMERIC"), ADDITIVE, "add b NUMERIC", '{"b": "1.5"}'),
    "JSON added": Change(A, A + typed("JSON"), ADDITIVE, "add b JSON", '{"b": {"c": 1}}'),
    "a field renamed": Change(A, "optional int64 z = 1;", ADDITIVE, "add z INT64", '{"z": 1}'),
    "a column renamed": Change(A, f'optional int64 a = 1 [{BQ}.name = "z"];', ADDITIVE, "add z INT64", '{"a": 1}'),
    "JSON names": Change(
        "optional int64 two_words = 1;",
        "option (gen_bq_schema.bigquery_opts).use_json_names = true; optional int64 two_words = 1;",
        ADDITIVE,
        "add twoWords INT64",
        '{"two_words": 1}',
    ),
    "an extra column": Change(
        A, f'option (gen_bq_schema.bigquery_opts).extra_fields = "z:DATE"; {A}', ADDITIVE, "add z DATE", '{"a": 1}'
    ),
    "moved into a record": Change(
        A + B,
        A + "message R { optional string b = 1; } optional R r = 3;",
        ADDITIVE,
        "add r RECORD",
        '{"r": {"b": "x"}}',
    ),
    # What may be NULL now
    "no longer required": Change(with_option(A, "require = true"), A, ADDITIVE, "let a be NULL", "{}"),
    "a required field dropped": Change(
        with_option(A, "require = true") + B, B, ADDITIVE, "let a be NULL", '{"b": "x"}'
    ),
    "no longer required inside": Change(
        R.replace("x = 1;", f"x = 1 [{BQ}.require = true];"), R, ADDITIVE, "let r.x be NULL", '{"r": {}}'
    ),
    # What says more of a column, and blocks nothing
    "described": Change(A, with_option(A, 'description = "first"'), FITS, "describe a"),
    "a default": Change(A, with_option(A, 'default_value_expression = "7"'), FITS, "set the default of a to 7"),
    "tagged": Change(A, with_option(A, 'policy_tags = "t"'), FITS, "tag a with t"),
    # What no adding mends
    "integer to text": Change(A, "optional string a = 1;", INCOMPATIBLE),
    "text to a date": Change(B, typed("DATE"), INCOMPATIBLE),
    "integer to a decimal": Change(A, typed("NUMERIC", name="a", number=1), INCOMPATIBLE),
    "a timestamp to civil time": Change(typed("TIMESTAMP"), typed("DATETIME"), INCOMPATIBLE),
    "one value to a list": Change(A, "repeated int64 a = 1;", INCOMPATIBLE),
    "a list to one value": Change("repeated int64 a = 1;", A, INCOMPATIBLE),
    "a value to a record": Change("optional int64 r = 3;", R, INCOMPATIBLE),
    "a record to JSON": Change(R, typed("JSON", name="r", number=3), INCOMPATIBLE),
    "a record to a list of records": Change(R, RS, INCOMPATIBLE),
    "another type inside": Change(R, R.replace("int64 x", "string x"), INCOMPATIBLE),
    "a field added and another retyped": Change(A, B + "optional string a = 1;", INCOMPATIBLE),
    "a range of something else": Change(typed("RANGE<DATE>"), typed("RANGE<TIMESTAMP>"), INCOMPATIBLE),
    "an enum that insists on numbers, whose column holds names": Change(
        "optional string e = 4;", E.partition("optional")[0] + typed("INT64", "E", "e", 4), INCOMPATIBLE
    ),
    "an enum whose column is made for names": Change(
        E, E.partition("optional")[0] + typed("STRING", "E", "e", 4), INCOMPATIBLE
    ),
}


def before(name: str) -> Descriptor:
    """Return the message as it was."""
    return _pool().FindMessageTypeByName(f"{_package(name, 'old')}.Row")


def after(name: str) -> Descriptor:
    """Return the message as it is."""
    return _pool().FindMessageTypeByName(f"{_package(name, 'new')}.Row")


def _package(name: str, which: str) -> str:
    return f"changes.{re.sub('[^a-z]', '_', name.lower())}.{which}"


@cache
def _pool() -> DescriptorPool:
    imports = "".join(
        f'import "{name}.proto"; ' for name in ("bq_field", "bq_table", "ingestor_options", "google/protobuf/wrappers")
    )
    with tempfile.TemporaryDirectory() as scratch:
        for name, change in CHANGES.items():
            for which, body in (("old", change.old), ("new", change.new)):
                package = _package(name, which)
                text = f'syntax = "proto3"; package {package}; {imports} message Row {{ {body} }}'
                (Path(scratch) / f"{package}.proto").write_text(text)
        out = Path(scratch) / "changes.binpb"
        includes = [f"-I{scratch}", f"-I{PROTO}", f"-I{files('grpc_tools') / '_proto'}"]
        protos = sorted(str(path) for path in Path(scratch).glob("*.proto"))
        code = protoc.main(["protoc", *includes, "--include_imports", f"--descriptor_set_out={out}", *protos])
        assert code == 0, "protoc refuses a change; its message is on stderr"
        compiled = FileDescriptorSet.FromString(out.read_bytes())
    pool = DescriptorPool()
    for file in compiled.file:
        pool.AddSerializedFile(FileDescriptorProto.SerializeToString(file))
    return pool
