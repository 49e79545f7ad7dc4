"""Absent and null mean what the table in docs/mapping.md says, row by row; unknown fields are counted."""

import re
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc

from ingestor.descriptor import normalized
from ingestor.encode import Encoder, Rejection
from ingestor.messages import descriptor_of
from ingestor.unknown import MAX_NAME, MAX_NAMES, OTHERS
from tests.protos.samples import alone, sample

ROOT = Path(__file__).parents[2]
ROWS = re.findall(r"^\| `([^`]*?;)` \| (.*?) \| (.*?) \|$", (ROOT / "docs" / "mapping.md").read_text(), re.MULTILINE)
MEANINGS: dict[str, Any] = {"NULL": None, "`0`": 0, '`""`': "", "`false`": False, "`[]`": [], "rejected": Rejection}


@cache
def documented(declaration: str) -> type[Message]:
    """A message with the one field that the table declares."""
    imports = 'import "bq_field.proto"; import "google/protobuf/wrappers.proto"; import "google/protobuf/struct.proto";'
    body = f"message Part {{ optional int64 x = 1; }} {declaration}"
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "row.proto").write_text(f'syntax = "proto3"; package row; {imports} message Row {{ {body} }}')
        out = Path(scratch) / "row.binpb"
        includes = [f"-I{scratch}", f"-I{ROOT / 'proto'}", f"-I{files('grpc_tools') / '_proto'}"]
        assert protoc.main(["protoc", *includes, "--include_imports", f"--descriptor_set_out={out}", "row.proto"]) == 0
        compiled = FileDescriptorSet.FromString(out.read_bytes())
    pool = DescriptorPool()
    for file in compiled.file:
        pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("row.Row"))


def landed(declaration: str, record: dict[str, Any]) -> Any:
    """What BigQuery stores of the record's one field, by the writer schema alone; `Rejection` for a rejected record."""
    row = Encoder(documented(declaration)).encode(record)
    if isinstance(row, Rejection):
        return Rejection
    message = alone(normalized(descriptor_of(documented(declaration)))).FromString(row)
    (field,) = descriptor_of(type(message)).fields
    if field.is_repeated:
        return list(getattr(message, field.name))
    return getattr(message, field.name) if message.HasField(field.name) or field.has_default_value else None


def test_the_documented_table_is_read() -> None:
    assert len(ROWS) == 15
    assert {meaning for _, *meanings in ROWS for meaning in meanings} == set(MEANINGS)


@pytest.mark.parametrize(("declaration", "absent", "null"), ROWS)
def test_absent_and_null_mean_what_the_documentation_says(declaration: str, absent: str, null: str) -> None:
    found = re.search(r"(\w+) = \d+", declaration)
    assert found is not None
    for record, said in (({}, absent), ({found[1]: None}, null)):
        value = landed(declaration, record)
        assert value == MEANINGS[said]
        assert type(value) is type(MEANINGS[said])


ORDERS = "shop.Order"


def test_unknown_fields_are_counted_at_every_level_by_their_path() -> None:
    encoder = Encoder(sample(ORDERS))
    record = {
        "id": "a",
        "brand_new": 1,
        "seenAt": [],
        "samples_common_Money": "",
        "total": {"units": 1, "cents": 2},
        "lines": [{"sku": "s", "colour": "red", "price": {"tax": 1}}, {"colour": "blue"}, None],
        "fees": {"first": {"fee": 1}, "second": {"units": 1}},
    }
    encoder.encode(record)
    encoder.encode({"id": "a", "brand_new": None})
    assert dict(encoder.unknown_fields) == {
        "brand_new": 2,
        "total.cents": 1,
        "lines.colour": 2,
        "lines.price.tax": 1,
        "fees.fee": 1,
    }


def test_a_known_field_under_its_json_name_and_an_ignored_one_are_not_unknown() -> None:
    encoder = Encoder(sample("annotated.LeftOut"))
    encoder.encode({"keep": "a", "skip": "b", "skipOptional": "c", "tree": {"any": 1}, "nothing": {"any": 1}})
    assert dict(encoder.unknown_fields) == {}


@pytest.mark.parametrize("value", [[1], "text", 5, [[{}]], {"a": 1}])
def test_values_of_the_wrong_kind_are_left_to_the_encoder(value: Any) -> None:
    encoder = Encoder(sample(ORDERS))
    for field in ("lines", "fees", "total"):
        assert isinstance(encoder.encode({"id": "a", field: value}), Rejection | bytes)


def test_a_source_that_makes_up_names_fills_no_memory() -> None:
    encoder = Encoder(sample(ORDERS))
    for number in range(MAX_NAMES + 50):
        encoder.encode({"id": "a", f"name{number}": 1, "x" * 10_000: 1})
    assert len(encoder.unknown_fields) == MAX_NAMES + 1
    assert encoder.unknown_fields[OTHERS] == 51
    assert max(map(len, encoder.unknown_fields)) == MAX_NAME


def test_the_counts_can_be_read_and_not_written() -> None:
    counts: Any = Encoder(sample(ORDERS)).unknown_fields
    with pytest.raises(TypeError):
        counts["x"] = 1


def test_records_that_are_rejected_are_counted_too() -> None:
    encoder = Encoder(sample(ORDERS))
    assert isinstance(encoder.encode({"id": 5, "brand_new": 1}), Rejection)
    assert dict(encoder.unknown_fields) == {"brand_new": 1}


@pytest.mark.parametrize("value", ["STATUS_CLOSED", 99, "99", True, "", "\ud800"])
def test_an_enum_value_that_the_message_lacks_is_rejected_and_not_dropped(value: Any) -> None:
    row = Encoder(sample(ORDERS)).encode({"id": "a", "last_status": value})
    assert isinstance(row, Rejection)
    assert row.field == "last_status"


def test_bytes_that_are_no_base64_are_rejected_and_not_shortened() -> None:
    encoder = Encoder(sample("shop.Scalars"))
    assert isinstance(encoder.encode({"o_bytes": "not base64!"}), Rejection)
    assert encoder.encode({"o_bytes": "_-8"}) == encoder.encode({"o_bytes": "/+8="})


def test_a_required_field_of_proto2_is_looked_for_as_one_with_the_option() -> None:
    refused = Encoder(sample("legacy.Event")).encode({"retries": 1})
    assert isinstance(refused, Rejection)
    assert (refused.field, refused.reason) == ("id", "id is required and has no value")
