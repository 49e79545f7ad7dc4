"""`ingestor source try`: guesses that the source's own answers bear out, and a .proto that takes the records shown."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ingestor.cli import cli
from ingestor.columns import columns_of
from ingestor.encode import Encoder
from ingestor.proto_guess import names_of, proto_of
from ingestor.source_guess import guess, records_path

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([{"a": 1}], ""),
        ({"items": [{"a": 1}]}, "items"),
        ({"data": {"rows": [{"a": 1}]}, "tags": ["x"]}, "data.rows"),
        ({"few": [{"a": 1}], "many": [{"a": 1}, {"a": 2}]}, "many"),
        ({"errors": [], "result": {"list": [{"a": 1}, "odd"]}}, "result.list"),
        ({"items": []}, None),
        ("text", None),
    ],
)
def test_the_records_are_found_where_the_longest_array_of_objects_is(value: object, path: str | None) -> None:
    assert records_path(value) == path


GUESSES: list[tuple[dict[str, Any], Mapping[str, str], dict[str, str]]] = [
    ({}, {"Link": '</x>; rel="next"'}, {"SOURCE_PAGINATION": "header_link"}),
    ({"next": "https://h/x?page=2"}, {}, {"SOURCE_PAGINATION": "next_link", "SOURCE_NEXT_PATH": "next"}),
    ({"paging": {"next": "/x?p=2"}}, {}, {"SOURCE_PAGINATION": "next_link", "SOURCE_NEXT_PATH": "paging.next"}),
    (
        {"next_cursor": "abc"},
        {},
        {"SOURCE_PAGINATION": "next_cursor", "SOURCE_NEXT_PATH": "next_cursor", "SOURCE_CURSOR_PARAM": "cursor"},
    ),
    (
        {"meta": {"nextPageToken": "t"}},
        {},
        {
            "SOURCE_PAGINATION": "next_cursor",
            "SOURCE_NEXT_PATH": "meta.nextPageToken",
            "SOURCE_CURSOR_PARAM": "pageToken",
        },
    ),
    ({"total": 7, "offset": 0}, {}, {"SOURCE_PAGINATION": "offset", "SOURCE_CURSOR_PARAM": "offset"}),
]


@pytest.mark.parametrize(("envelope", "headers", "settings"), GUESSES)
def test_paging_is_guessed_by_what_the_response_says(
    envelope: dict[str, Any], headers: Mapping[str, str], settings: dict[str, str]
) -> None:
    assert guess({"items": [{"a": 1}], **envelope}, headers, "items").settings == settings


@pytest.mark.parametrize(
    ("records", "field"),
    [
        (
            [{"id": 1, "updated_at": "2024-01-01T00:00:00Z"}, {"id": 2, "updated_at": "2024-01-02T00:00:00Z"}],
            "updated_at",
        ),
        ([{"id": 7, "name": "x"}, {"id": 9, "name": "a"}], "id"),
        ([{"id": 9}, {"id": 7}], None),
        ([{"id": 9}], None),
        ([{"at": True}, {"at": False}], None),
    ],
)
def test_without_a_way_to_go_on_a_rising_field_is_a_mark(records: list[dict[str, Any]], field: str | None) -> None:
    settings = guess(records, {}, "").settings
    assert settings.get("SOURCE_CURSOR_FIELD") == field
    assert settings["SOURCE_PAGINATION"] == ("none" if field is None else "high_water_mark")


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/v1/flights", ("flights", "Flight")),
        ("/", ("records", "Record")),
        ("/api/line-items/", ("line_items", "LineItem")),
        ("/v2/7", ("v2", "V2")),
    ],
)
def test_a_message_is_named_by_the_urls_path(path: str, names: tuple[str, str]) -> None:
    assert names_of(path) == names


RECORDS: list[dict[str, Any]] = [
    {
        "id": 1,
        "big": 2**63,
        "price": 1,
        "open": True,
        "name": "x",
        "at": "2024-05-01T10:00:00Z",
        "local": "2024-05-01 10:00:00",
        "day": "2024-05-01",
        "nothing": None,
        "tags": ["a", "b"],
        "owner": {"name": "n", "Name": 2, "born": "2000-01-01"},
        "lines": [{"sku": "a", "n": 1}, {"sku": "b"}],
        "mixed": 1,
        "grid": [[1], [2]],
        "holes": [1, None],
        "empty": [],
        "bare": {},
        "some-key": 1,
        "a_b": 1,
        "aB": 2,
        "9": "x",
        "Owner": 1,
    },
    {
        "id": 2,
        "big": 1,
        "price": 2.5,
        "open": False,
        "name": None,
        "at": "2024-05-01T10:00:00.5+02:00",
        "local": "2024-05-01T10:00:00.25",
        "day": "2024-05-02",
        "tags": [],
        "owner": {"name": "m"},
        "lines": [],
        "mixed": "one",
        "grid": [],
        "holes": [],
        "some-key": 2,
    },
]


def compiled(text: str, folder: Path, package: str, message: str) -> Any:
    """Compile a .proto with protoc and return its message class."""
    (folder / "guessed.proto").write_text(text)
    out = folder / "set.binpb"
    arguments = [
        f"-I{folder}",
        f"-I{ROOT / 'proto'}",
        "--include_imports",
        f"--descriptor_set_out={out}",
        "guessed.proto",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + text
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool.Add(descriptor_pb2.FileDescriptorProto.FromString(descriptor_pb2.DESCRIPTOR.serialized_pb))
    for file in files.file:
        if file.name != "google/protobuf/descriptor.proto":
            pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{message}"))


def test_the_guessed_proto_compiles_and_takes_every_record_it_was_made_of(tmp_path: Path) -> None:
    text = proto_of(RECORDS, "things", "Thing")
    message = compiled(text, tmp_path, "things", "Thing")
    encoder = Encoder(message)
    for record in RECORDS:
        assert isinstance(encoder.encode(record), bytes), (record, encoder.encode(record))
    assert not encoder.unknown_fields
    columns = {column.name: column.type for column in columns_of(message.DESCRIPTOR)}
    assert {name: columns[name] for name in ("id", "at", "day", "local", "mixed", "grid", "owner")} == {
        "id": "INT64",
        "at": "TIMESTAMP",
        "day": "DATE",
        "local": "DATETIME",
        "mixed": "JSON",
        "grid": "JSON",
        "owner": "RECORD",
    }


def test_the_guessed_proto_says_how_often_a_field_was_missing() -> None:
    text = proto_of(RECORDS, "things", "Thing")
    assert "optional string name = 5;  // null or absent in 1 of 2" in text
    assert "optional int64 id = 1;  // in every record" in text
    assert "always null here: set its type" in text
    assert "repeated string tags" in text


class _Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        rows = [{"id": number, "at": f"2024-05-01T10:00:0{number}Z"} for number in range(3)]
        body = json.dumps({"data": {"rows": rows}, "meta": {"next_cursor": "c2"}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Api) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/things"
        server.shutdown()


def try_it(*arguments: str, **env: str) -> str:
    done = CliRunner().invoke(cli, ["source", "try", *arguments], env=env, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_one_page_is_decoded_and_its_settings_and_proto_are_shown(url: str) -> None:
    found = json.loads(try_it("--json", SOURCE_URL=url))
    assert found["settings"] == {
        "SOURCE_URL": url,
        "SOURCE_RECORDS_PATH": "data.rows",
        "SOURCE_PAGINATION": "next_cursor",
        "SOURCE_NEXT_PATH": "meta.next_cursor",
        "SOURCE_CURSOR_PARAM": "cursor",
        "MESSAGE_TYPE": "things.Thing",
    }
    assert found["records"] == 3
    assert found["next"] == "The next cursor is 'c2', 1000 were asked for."
    assert "type_override" in found["proto"]


def test_what_is_set_is_kept_and_the_proto_goes_where_it_is_told(url: str, tmp_path: Path) -> None:
    target = tmp_path / "things.proto"
    text = try_it("--proto", str(target), SOURCE_URL=url, SOURCE_CURSOR_PARAM="after")
    assert "export SOURCE_CURSOR_PARAM=after" in text
    assert target.read_text().startswith('syntax = "proto3";')


def test_a_response_without_records_is_refused_in_one_line(url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ingestor", "source", "try"],
        env={"PATH": "", "SOURCE_URL": url, "SOURCE_RECORDS_PATH": "nowhere"},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "SOURCE_RECORDS_PATH" in done.stderr
