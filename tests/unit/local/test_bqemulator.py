"""What the ingestor needs of the BigQuery emulator, and that its faults stay mended."""

import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery as rest
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ops.local.services import BQEMULATOR_PYTHON, LAUNCHER

PROJECT = "test-project"
FIELD = descriptor_pb2.FieldDescriptorProto
TIMEOUT_S = 60.0

type_of = {"STRING": FIELD.TYPE_STRING, "INT64": FIELD.TYPE_INT64, "TIMESTAMP": FIELD.TYPE_INT64}
COLUMNS = {
    "value": "STRING",
    "delay": "INT64",
    "at": "TIMESTAMP",
    "_ingest_batch_id": "STRING",
    "_ingest_row_index": "INT64",
    "_ingest_time": "TIMESTAMP",
}
TIME_MICROS = 1_357_034_400_000_001  # 2013-01-01T10:00:00.000001Z


def row_descriptor() -> descriptor_pb2.DescriptorProto:
    descriptor = descriptor_pb2.DescriptorProto(name="flights_Row")
    for number, (name, kind) in enumerate(COLUMNS.items(), 1):
        field_number = 100_000 + number if name.startswith("_") else number
        descriptor.field.add(name=name, number=field_number, label=FIELD.LABEL_OPTIONAL, type=type_of[kind])
    part = descriptor.nested_type.add(name="Part")
    part.field.add(name="label", number=1, label=FIELD.LABEL_OPTIONAL, type=FIELD.TYPE_STRING)
    descriptor.field.add(name="parts", number=50, label=FIELD.LABEL_REPEATED, type=FIELD.TYPE_MESSAGE, type_name="Part")
    return descriptor


def message_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="row.proto", syntax="proto2", message_type=[row_descriptor()])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("flights_Row"))


ROW = message_class()


def batch(batch_id: str, rows: int) -> list[bytes]:
    return [
        ROW(value="x", at=TIME_MICROS, _ingest_batch_id=batch_id, _ingest_row_index=index, _ingest_time=TIME_MICROS)
        .SerializeToString()
        for index in range(rows)
    ]  # fmt: skip


@contextmanager
def write_client(grpc_host: str) -> Iterator[Any]:
    # A subchannel of its own, as another process would have.
    with grpc.insecure_channel(grpc_host, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        client: Any = BigQueryWriteClient
        yield client(transport=BigQueryWriteGrpcTransport(channel=channel))


def requests(stream: str, batches: Iterable[list[bytes]]) -> Iterator[Any]:
    for position, rows in enumerate(batches):
        request = types.AppendRowsRequest.pb()()
        request.write_stream = stream
        if position == 0:
            request.proto_rows.writer_schema.proto_descriptor.CopyFrom(row_descriptor())
        request.proto_rows.rows.serialized_rows.extend(rows)
        yield request


def append(grpc_host: str, stream: str, batches: Iterable[list[bytes]]) -> list[Any]:
    metadata = [("x-goog-request-params", f"write_stream={stream}")]
    with write_client(grpc_host) as client:
        call: Any = client.transport.append_rows
        return list(call(requests(stream, batches), metadata=metadata, timeout=TIMEOUT_S))


class Table:
    """A partitioned and clustered table with our metadata columns, made through the REST client."""

    def __init__(self, hosts: Any, dataset: str) -> None:
        self.hosts = hosts
        anonymous: Any = AnonymousCredentials
        options = {"api_endpoint": f"http://{hosts.rest_host}"}
        self.client: Any = rest.Client(PROJECT, anonymous(), client_options=options)
        self.id = f"{PROJECT}.{dataset}.t"
        self.stream = f"projects/{PROJECT}/datasets/{dataset}/tables/t/streams/_default"
        part = rest.SchemaField("parts", "RECORD", "REPEATED", fields=[rest.SchemaField("label", "STRING")])
        table = rest.Table(self.id, [*(rest.SchemaField(name, kind) for name, kind in COLUMNS.items()), part])
        table.time_partitioning = rest.TimePartitioning(field="_ingest_time")
        table.clustering_fields = ["_ingest_batch_id"]
        self.client.create_table(table)

    def append(self, batches: Iterable[list[bytes]]) -> list[Any]:
        return append(self.hosts.grpc_host, self.stream, batches)

    def query(self, sql: str) -> list[dict[str, Any]]:
        return [dict(row) for row in self.client.query(sql.replace("THIS", self.id)).result()]


@pytest.fixture
def table(bigquery: Any, dataset: str) -> Iterator[Table]:
    table = Table(bigquery, dataset)
    yield table
    table.client.close()


def test_appended_rows_are_visible_at_once_with_exact_timestamps_and_nulls(table: Table) -> None:
    answers = table.append([batch("b1", 3)])
    assert [answer.error.code for answer in answers] == [0]
    rows = table.query("SELECT value, delay, UNIX_MICROS(`at`) AS `at` FROM `THIS` ORDER BY _ingest_row_index")
    assert rows == [{"value": "x", "delay": None, "at": TIME_MICROS}] * 3


def test_every_request_of_a_connection_gets_its_answer_in_order(table: Table) -> None:
    answers = table.append(batch(f"b{n}", 7) for n in range(50))
    assert len(answers) == 50
    assert table.query("SELECT COUNT(*) AS n, COUNT(DISTINCT _ingest_batch_id) AS b FROM `THIS`") == [
        {"n": 350, "b": 50}
    ]


def test_repeated_records_keep_their_fields(table: Table) -> None:
    row = ROW(value="x", parts=[{"label": "a"}, {"label": "b"}])
    table.append([[row.SerializeToString()]])
    assert table.query("SELECT parts FROM `THIS`") == [{"parts": [{"label": "a"}, {"label": "b"}]}]


def test_a_query_beside_appends_answers(table: Table) -> None:
    with ThreadPoolExecutor(1) as appender:
        appended = appender.submit(table.append, [batch(f"b{n}", 100) for n in range(40)])
        while not appended.done():
            table.query("SELECT COUNT(*) FROM `THIS`")
    assert table.query("SELECT COUNT(*) AS n FROM `THIS`") == [{"n": 4000}]


# Runs in the emulator's environment: a hang is a matter of luck, the connections it comes from are not.
CONNECTIONS = """
import sys, threading
sys.path.insert(0, sys.argv[1])
import duckdb
import bqemulator_launcher as launcher
from bqemulator.config import Settings
from bqemulator.storage.engine import DuckDBEngine
launcher.give_each_thread_a_cursor()
engine = DuckDBEngine(Settings())
engine._connection = main = duckdb.connect()
seen = []
def look():
    zone = engine.connection.execute("SELECT current_setting('TimeZone')").fetchone()[0]
    seen.append((engine.connection, engine.connection is engine.connection, zone))
for _ in range(2):
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
(first, kept, zone), (second, _, _) = seen
print(engine.connection is main, first is not main, second is not first, kept, zone)
"""


@pytest.mark.usefixtures("bigquery")
def test_each_thread_of_the_emulator_has_a_connection_of_its_own() -> None:
    folder = str(LAUNCHER.parent)
    told = subprocess.check_output([str(BQEMULATOR_PYTHON), "-c", CONNECTIONS, folder], text=True)
    assert told.split() == ["True", "True", "True", "True", "UTC"]


def test_appends_take_no_copy_of_the_table_for_time_travel(table: Table) -> None:
    table.append([batch("b1", 1)])
    (between,) = table.query("SELECT UNIX_MICROS(CURRENT_TIMESTAMP()) AS micros")
    table.append([batch("b2", 1)])
    past = f"TIMESTAMP_MICROS({between['micros']})"
    seen = table.query(f"SELECT COUNT(*) AS n FROM `THIS` FOR SYSTEM_TIME AS OF {past}")  # noqa: S608 - our own number
    assert seen == [{"n": 2}]  # the live table, for want of a copy


def test_many_connections_are_open_at_the_same_time(table: Table) -> None:
    held: list[SimpleQueue[list[bytes] | None]] = [SimpleQueue() for _ in range(24)]
    with ThreadPoolExecutor(len(held)) as appenders:
        running = [appenders.submit(table.append, iter(queue.get, None)) for queue in held]
        for number, queue in enumerate(held):
            queue.put(batch(f"b{number}", 1))
        try:
            while table.query("SELECT COUNT(*) AS n FROM `THIS`") != [{"n": len(held)}]:
                pass
        finally:
            for queue in held:
                queue.put(None)
    assert [len(appended.result()) for appended in running] == [1] * len(held)


def test_a_view_joins_the_ledger_and_shows_each_committed_row_once(table: Table) -> None:
    table.append([batch("b1", 3), batch("b1", 3), batch("b2", 2), batch("b3", 1)])
    table.query("CREATE TABLE `THIS_ledger` (batch_id STRING, version INT64, status STRING)")
    table.query(
        "INSERT INTO `THIS_ledger` VALUES ('b1', 1, 'COMMITTED'), ('b2', 1, 'COMMITTED'), ('b2', 2, 'SUPERSEDED')"
    )
    view = rest.Table(f"{table.id}_dedup")
    view.view_query = """
        SELECT r.* FROM `THIS` AS r JOIN (
            SELECT batch_id, status FROM `THIS_ledger` WHERE TRUE
            QUALIFY ROW_NUMBER() OVER (PARTITION BY batch_id ORDER BY version DESC) = 1
        ) AS l ON r._ingest_batch_id = l.batch_id AND l.status = 'COMMITTED'
        WHERE TRUE
        QUALIFY ROW_NUMBER() OVER (PARTITION BY _ingest_time, _ingest_batch_id, _ingest_row_index) = 1
    """.replace("THIS", table.id)
    table.client.create_table(view)
    rows = table.query("SELECT _ingest_batch_id AS b, _ingest_row_index AS i FROM `THIS_dedup` ORDER BY b, i")
    assert rows == [{"b": "b1", "i": index} for index in range(3)]


def test_a_missing_table_ends_the_connection_with_not_found(table: Table) -> None:
    stream = table.stream.replace("/tables/t/", "/tables/nowhere/")
    with pytest.raises(grpc.RpcError) as caught:
        append(table.hosts.grpc_host, stream, [batch("b1", 1)])
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
