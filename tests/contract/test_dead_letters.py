"""The dead-letter bucket, against the real protocol of Cloud Storage (fake-gcs-server)."""

import hashlib
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage  # type: ignore[attr-defined]  # a namespace package without types
from google.protobuf.descriptor_pb2 import DescriptorProto
from ingestor_protos.ingestor_pb2 import DeadLetterBatch

from ingestor import envelope
from ingestor.batch import Batch, Draft, RejectedRecord, cut
from ingestor.bucket import Bucket, ObjectGone, storage_client
from ingestor.dead_batches import DeadBatches
from ingestor.decode import NonFinite
from ingestor.descriptor import fingerprint, writer_schema
from ingestor.encode import Encoder, Rejection
from ingestor.envelope import DeadBatch, Failure, Origin, position_of, rows_of
from ingestor.errors import DeadLetterError
from ingestor.messages import descriptor_of, message_class
from ingestor.outcome import answered, ended
from ingestor.outcome import fingerprint as failure_fingerprint
from ingestor.pages import SourceRequest
from ingestor.rejected_records import RejectedRecords, parsed_lines, rejected_lines
from ops.local.process import free_port
from state.events import Position

FLIGHT = message_class("flights.Flight")
INGEST_US = 1_769_990_400_123_456  # 2026-02-02T00:00:00.123456Z
DOCUMENT = Path(__file__).parents[2] / "docs" / "dead-letters.md"
CANARY = "hunter2canary"
ORIGIN = Origin(
    pipeline="flights",
    lane="0",
    run_id="r1",
    message_type="flights.Flight",
    descriptor=writer_schema(descriptor_of(FLIGHT)),
    code_version="0.1.0",
    cursor_param="cursor",
)
REFUSED = Failure.of("batch", answered(3, "Cannot convert 'x' in row 17"))


def flight_row(number: int) -> bytes:
    row = Encoder(FLIGHT).encode({"year": 2013, "month": 1, "day": number % 28 + 1, "flight": number})
    assert isinstance(row, bytes)
    return row


def cut_batch(*outcomes: bytes | str, start: str | None = "c1", ingest_us: int = INGEST_US) -> Batch:
    """Rows as bytes; a text is a record that was rejected for that reason."""
    taken = tuple(
        RejectedRecord(index, {"flight": index}, Rejection(each, "flight")) if isinstance(each, str) else each
        for index, each in enumerate(outcomes)
    )
    return cut("flights", "0", 3, Draft(Position(start, 2), Position("c2"), taken), ingest_us)


def dead(batch: Batch, failure: Failure = REFUSED, **changes: Any) -> DeadBatch:
    rejected = tuple(item.index for item in batch.rejected)
    return replace(DeadBatch(batch=batch, failure=failure, attempts=2, rejected_indexes=rejected), **changes)


BATCH = cut_batch(flight_row(1), "no number", flight_row(2), flight_row(3))
NAME = f"flights/batches/2026/02/02/{BATCH.batch_id}.binpb"
RECORDS = f"flights/records/2026/02/02/{BATCH.batch_id}.jsonl"


@pytest.fixture
def client(gcs_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_url)
    client = storage_client("test-project", gcs_url)
    yield client
    client.close()


@pytest.fixture
def batches(client: storage.Client, bucket: str) -> DeadBatches:
    return DeadBatches(client, bucket)


@pytest.fixture
def records(client: storage.Client, bucket: str) -> RejectedRecords:
    return RejectedRecords(client, bucket, "flights", "0", "r1")


def names(client: storage.Client, bucket: str) -> list[str]:
    return sorted(blob.name for blob in client.list_blobs(bucket))


# Dead batches.


def test_a_dead_batch_comes_back_whole_with_its_generation(batches: DeadBatches) -> None:
    request = SourceRequest("https://api.test/flights?cursor=c1", 200, "req-7", INGEST_US - 5)
    failure = Failure.of("systemic", ended(7, "denied", storage_error=14))
    name, generation = batches.store(ORIGIN, dead(BATCH, failure, attempts=5, request=request))
    assert name == NAME
    assert generation > 0
    found = batches.load(name, generation)
    assert rows_of(found) == BATCH.rows
    assert list(found.row_indexes) == [0, 2, 3]
    assert list(found.rejected_indexes) == [1]
    assert found.row_digests == BATCH.digests
    assert (found.pipeline, found.lane, found.run_id, found.batch_id) == ("flights", "0", "r1", BATCH.batch_id)
    assert (found.version, found.epoch, found.ingest_time_us) == (1, 3, INGEST_US)
    assert (position_of(found.start), position_of(found.end)) == (Position("c1", 2), Position("c2"))
    assert DescriptorProto.FromString(found.descriptor) == ORIGIN.descriptor
    assert (found.message_type, found.schema_fingerprint) == ("flights.Flight", fingerprint(ORIGIN.descriptor))
    assert (found.attempts, found.code_version) == (5, "0.1.0")
    assert (found.failure.kind, found.failure.code, found.failure.message) == (
        "systemic",
        "PERMISSION_DENIED",
        "denied",
    )
    assert (found.failure.storage_error, found.failure.storage_error_name) == (14, "KMS_PERMISSION_DENIED")
    assert found.failure.fingerprint == failure_fingerprint(ended(7, "denied", storage_error=14))
    assert found.failure.unknown
    assert (found.source_request.url, found.source_request.status) == (b"https://api.test/flights?cursor=c1", 200)
    assert (found.source_request.request_id, found.source_request.requested_at_us) == ("req-7", INGEST_US - 5)


def test_a_dead_batch_is_listed_with_what_an_operator_looks_for(
    batches: DeadBatches, client: storage.Client, bucket: str
) -> None:
    batches.store(ORIGIN, dead(BATCH, replace(REFUSED, message="line\nof bäd " + "x" * 999)))
    blob = client.bucket(bucket).get_blob(NAME)
    assert blob is not None
    metadata = dict(blob.metadata)
    error = metadata.pop("error")
    assert error.startswith("line of b?d xxx")
    assert len(error) == 300
    assert metadata == {
        "batch_id": BATCH.batch_id,
        "pipeline": "flights",
        "lane": "0",
        "run_id": "r1",
        "row_count": "3",
        "error_code": "INVALID_ARGUMENT",
        "attempts": "2",
        "schema_fingerprint": fingerprint(ORIGIN.descriptor),
    }
    assert blob.content_type == "application/x-protobuf"


def test_the_same_batch_twice_is_one_object_and_the_first_reason_stays(
    batches: DeadBatches, client: storage.Client, bucket: str
) -> None:
    first = batches.store(ORIGIN, dead(BATCH))
    zombie = replace(ORIGIN, run_id="r2", code_version="0.2.0")
    later = dead(BATCH, Failure.of("systemic", ended(14, "gone")), rejected_indexes=(1, 3))
    assert batches.store(zombie, later) == first
    assert names(client, bucket) == [NAME]
    assert batches.load(*first).failure.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("place", ["digests", "ingest_time"])
def test_other_rows_under_the_name_are_refused_and_nothing_is_changed(
    batches: DeadBatches, client: storage.Client, bucket: str, place: str
) -> None:
    later = cut_batch(flight_row(1), "no number", flight_row(2), flight_row(3), ingest_us=INGEST_US + 1)
    assert later.batch_id == BATCH.batch_id
    other = later if place == "ingest_time" else cut_batch(flight_row(9))
    content = envelope.sealed(ORIGIN, dead(other)).SerializeToString()
    blob = client.bucket(bucket).blob(NAME)
    blob.upload_from_string(content)
    with pytest.raises(DeadLetterError, match=f"{NAME} .* holds other rows than batch {BATCH.batch_id}: nothing was"):
        batches.store(ORIGIN, dead(BATCH))
    assert client.bucket(bucket).get_blob(NAME).generation == blob.generation


def test_a_cursor_and_an_error_that_are_no_unicode_are_kept_or_shown(batches: DeadBatches) -> None:
    batch = cut_batch(flight_row(1), start="c\ud800")
    found = batches.load(*batches.store(ORIGIN, dead(batch, replace(REFUSED, message="bad \udcff"))))
    assert position_of(found.start) == Position("c\ud800", 2)
    assert found.failure.message == "bad ?"


def test_the_first_page_has_no_cursor(batches: DeadBatches) -> None:
    found = batches.load(*batches.store(ORIGIN, dead(cut_batch(flight_row(1), start=None))))
    assert position_of(found.start).cursor is None


def test_a_batch_of_the_largest_size_that_cannot_be_compressed_is_kept(batches: DeadBatches) -> None:
    noise = [b"".join(hashlib.sha256(b"%d" % (n * 4000 + i)).digest() for i in range(4000)) for n in range(100)]
    batch = cut_batch(*noise)  # 12.8 MB: more than one upload request
    assert rows_of(batches.load(*batches.store(ORIGIN, dead(batch)))) == batch.rows


def test_a_row_that_holds_another_batch_s_metadata_keeps_its_own_index(batches: DeadBatches) -> None:
    nested = BATCH.rows[0]
    found = batches.load(*batches.store(ORIGIN, dead(cut_batch("bad", nested, nested))))
    assert list(found.row_indexes) == [1, 2]


def test_no_secret_of_the_source_gets_into_an_envelope(
    batches: DeadBatches, client: storage.Client, bucket: str
) -> None:
    url = f"https://me:{CANARY}@api.test/f?token={CANARY}&cursor=c1&{CANARY[:3]}={CANARY}#{CANARY}"
    request = SourceRequest(url, 200, f"Bearer {CANARY}", INGEST_US)
    name, _ = batches.store(ORIGIN, dead(BATCH, request=request))
    blob = client.bucket(bucket).get_blob(name)
    content = blob.download_as_bytes()
    whole = content + zlib.decompress(DeadLetterBatch.FromString(content).rows) + repr(blob._properties).encode()
    assert CANARY.encode() not in whole
    assert batches.load(name).source_request.url == b"https://api.test/f?token=...&cursor=c1&hun=..."
    assert batches.load(name).source_request.request_id == ""


# Reading what is not there, or not right.


def test_a_batch_that_is_gone_is_said_with_its_generation(
    batches: DeadBatches, client: storage.Client, bucket: str
) -> None:
    name, generation = batches.store(ORIGIN, dead(BATCH))
    client.bucket(bucket).blob(name).delete()
    with pytest.raises(ObjectGone, match=rf"{name} \(generation {generation}\) is not in bucket {bucket}: restore"):
        batches.load(name, generation)
    with pytest.raises(ObjectGone, match=f"{name} is not in bucket"):
        batches.load(name)


def test_another_generation_than_the_ledger_s_is_not_taken_for_it(batches: DeadBatches) -> None:
    name, generation = batches.store(ORIGIN, dead(BATCH))
    with pytest.raises(ObjectGone):
        batches.load(name, generation + 1)


def broken(change: Callable[[DeadLetterBatch], object]) -> bytes:
    whole = envelope.sealed(ORIGIN, dead(BATCH))
    change(whole)
    return whole.SerializeToString()


def packed(*rows: bytes) -> bytes:
    return zlib.compress(DeadLetterBatch.Rows(rows=rows).SerializeToString())


BROKEN: dict[str, tuple[bytes, str]] = {
    "not protobuf": (b"\xff\xff", "it is no DeadLetterBatch"),
    "empty": (b"", "its version is 0, this software reads version 1"),
    "newer": (broken(lambda e: setattr(e, "version", 2)), "its version is 2"),
    "no zlib": (broken(lambda e: setattr(e, "rows", b"rows")), "its rows cannot be unpacked"),
    "cut zlib": (broken(lambda e: setattr(e, "rows", e.rows[:-4])), "its rows are cut off or too large"),
    "no rows": (broken(lambda e: setattr(e, "rows", zlib.compress(b"\xff"))), "its rows cannot be unpacked"),
    "a row less": (broken(lambda e: setattr(e, "rows", packed(*BATCH.rows[1:]))), "not those of its row indexes"),
    "an index": (broken(lambda e: e.row_indexes.append(9)), "not those of its row indexes"),
    "a changed row": (broken(lambda e: setattr(e, "rows", packed(b"\x08\x01" + BATCH.rows[0], *BATCH.rows[1:]))),
                      "do not have its row digests"),
    "another time": (broken(lambda e: setattr(e, "ingest_time_us", 7)), "not those of its row indexes"),
    "descriptor": (broken(lambda e: setattr(e, "descriptor", b"\xff")), "its descriptor cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_no_dead_batch_is_refused_in_one_line(
    batches: DeadBatches, client: storage.Client, bucket: str, how: str
) -> None:
    content, reason = BROKEN[how]
    client.bucket(bucket).blob(NAME).upload_from_string(content)
    with pytest.raises(DeadLetterError, match=f"{NAME} in bucket {bucket} cannot be read as a dead batch") as refused:
        batches.load(NAME)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(DeadLetterError, match="cannot be read as a dead batch"):
        batches.store(ORIGIN, dead(BATCH))


def test_rows_that_unpack_to_more_than_any_batch_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = broken(lambda _: None)
    monkeypatch.setattr(envelope, "MAX_ROWS_BYTES", 100)
    with pytest.raises(envelope.UnreadableEnvelope, match="too large"):
        envelope.opened(content)


# Rejected records.


def test_rejected_records_come_back_as_they_were(records: RejectedRecords) -> None:
    odd = {"n": NonFinite("nan"), "big": 10**400, "text": "\ud800\n\u2028", "deep": [[{"a": None}]]}
    rejected = (
        RejectedRecord(1, odd, Rejection("not a number", "n")),
        RejectedRecord(4, [1, 2], Rejection("no object")),
        RejectedRecord(9, None, Rejection("refused: 'é'", "at", "append")),
    )
    name, generation = records.store(replace(BATCH, rejected=rejected))
    assert name == RECORDS
    found = records.read(name, generation)
    assert rejected_lines(found) == rejected_lines(rejected)
    assert [item.rejection for item in found] == [item.rejection for item in rejected]
    assert [item.index for item in found] == [1, 4, 9]


def test_the_same_rejected_records_twice_are_one_object_and_a_second_set_gets_a_name_of_its_own(
    records: RejectedRecords, client: storage.Client, bucket: str
) -> None:
    first = records.store(BATCH)
    assert records.store(BATCH) == first
    refused = replace(BATCH, rejected=(RejectedRecord(3, {"flight": 3}, Rejection("out of range", None, "append")),))
    second = records.store(refused)
    assert records.store(refused) == second
    content_hash = hashlib.sha256(rejected_lines(refused.rejected)).hexdigest()[:16]
    assert names(client, bucket) == [f"{RECORDS[:-6]}.{content_hash}.jsonl", RECORDS]
    assert second[0] != first[0]
    assert records.read(*first) == BATCH.rejected
    assert records.read(*second) == refused.rejected


def test_a_set_under_the_name_of_its_hash_that_is_another_is_refused(
    records: RejectedRecords, client: storage.Client, bucket: str
) -> None:
    records.store(BATCH)
    other = replace(BATCH, rejected=(RejectedRecord(0, 1, Rejection("other")),))
    name, _ = records.store(other)
    client.bucket(bucket).blob(name).upload_from_string(b"changed by somebody")
    with pytest.raises(DeadLetterError, match="exists with other content than its name says"):
        records.store(other)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "line 2 is no JSON"),
        (b"[]", "line 2 is no object"),
        (b'{"record":1}', "line 2 has no row_index"),
        (b'{"row_index":true,"record":1}', "line 2 has no row_index"),
        (b'{"row_index":-1,"record":1}', "line 2 has no row_index"),
        (b'{"row_index":1}', "line 2 has no record"),
        (b'{"row_index":1,"record":1,"stage":"x"}', "line 2 has a stage that is neither"),
    ],
)
def test_a_line_that_is_no_rejected_record_is_named_by_its_number(line: bytes, reason: str) -> None:
    good = rejected_lines(BATCH.rejected)
    with pytest.raises(ValueError, match=reason) as refused:
        parsed_lines(good + line + b"\n")
    assert len(str(refused.value).splitlines()) == 1


def test_a_repaired_line_needs_only_its_index_and_its_record() -> None:
    repaired = b'\r\n{"row_index": 4, "record": {"flight": 4}}\r\n\n'
    assert parsed_lines(repaired) == (RejectedRecord(4, {"flight": 4}, Rejection("")),)


def test_an_object_that_holds_something_else_is_refused(
    records: RejectedRecords, client: storage.Client, bucket: str
) -> None:
    client.bucket(bucket).blob(RECORDS).upload_from_string(b"hello")
    with pytest.raises(DeadLetterError, match=f"{RECORDS} in bucket {bucket} holds no rejected records: line 1 is no"):
        records.read(RECORDS)


# The bucket.


def test_a_bucket_that_is_not_there_is_said_before_and_when_it_is_written(client: storage.Client) -> None:
    missing = f"no-such-{free_port()}"
    with pytest.raises(DeadLetterError, match=f"bucket {missing} does not exist: create it or correct DEAD_LETTER"):
        Bucket(client, missing).check()
    stores: list[Callable[[], object]] = [
        lambda: DeadBatches(client, missing).store(ORIGIN, dead(BATCH)),
        lambda: RejectedRecords(client, missing, "flights", "0", "r1").store(BATCH),
    ]
    for store in stores:
        with pytest.raises(
            DeadLetterError, match=f"bucket {missing} did not take flights/.*check that it exists"
        ) as no:
            store()
        assert "\n" not in str(no.value)


def test_a_bucket_that_is_there_passes(client: storage.Client, bucket: str) -> None:
    Bucket(client, bucket).check()


def test_a_server_that_is_down_is_one_line_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    client = storage_client("test-project", url)
    batches = DeadBatches(client, "b", retry_budget_s=0.01)
    records = RejectedRecords(client, "b", "flights", "0", "r1", retry_budget_s=0.01)
    calls: list[Callable[[], object]] = [
        lambda: batches.store(ORIGIN, dead(BATCH)),
        lambda: batches.load(NAME, 7),
        lambda: records.store(BATCH),
        lambda: records.read(RECORDS),
        records.check,
    ]
    for call in calls:
        started = time.monotonic()
        with pytest.raises(DeadLetterError, match=r"^bucket b did not ") as failed:
            call()
        assert time.monotonic() - started < 5
        assert "\n" not in str(failed.value)
    client.close()


# Without this software.


def test_the_document_s_snippet_reads_an_envelope_by_hand(
    batches: DeadBatches, client: storage.Client, bucket: str, tmp_path: Path
) -> None:
    name, _ = batches.store(ORIGIN, dead(BATCH))
    (tmp_path / "dead.binpb").write_bytes(client.bucket(bucket).blob(name).download_as_bytes())
    snippet = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert snippet is not None
    (tmp_path / "read.py").write_text(snippet[1])
    ran = subprocess.run(
        [sys.executable, "read.py", "dead.binpb"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    title, why, *rows = ran.stdout.splitlines()
    assert title == f"batch {BATCH.batch_id} of flights version 1"
    assert why == "why: batch INVALID_ARGUMENT Cannot convert 'x' in row 17"
    assert ['"_ingest_row_index": "0"' in rows[0], '"flight": "1"' in rows[0] or '"flight": 1' in rows[0]] == [True] * 2
    assert len(rows) == 3


def test_the_fields_of_the_message_keep_their_numbers() -> None:
    numbers = [field.number for field in DeadLetterBatch.DESCRIPTOR.fields]
    assert all(after - before == 1 for before, after in pairwise(numbers))
    by_name = {field.name: field.number for field in DeadLetterBatch.DESCRIPTOR.fields}
    assert {name: by_name[name] for name in ("version", "pipeline", "batch_id", "descriptor", "rows", "failure")} == {
        "version": 1, "pipeline": 2, "batch_id": 5, "descriptor": 10, "rows": 13, "failure": 17,
    }  # fmt: skip
