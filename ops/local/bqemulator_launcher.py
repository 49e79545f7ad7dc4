"""Starts bqemulator with its faults mended. Runs inside the emulator's own virtual environment, not in ours.

    .local/bqemulator/bin/python bqemulator_launcher.py HOME [bqemulator's options for `start`]

What is mended, each seen to go wrong without it (bqemulator 1.4.0):

1. One DuckDB connection serves all threads, so a query over REST beside an append can hang for ever. Each thread but
   the main one gets a cursor of its own.
2. A column of type RECORD loses its fields on the append path.
3. Every append copies the whole table into a snapshot for `FOR SYSTEM_TIME AS OF`: time and memory grow with the
   square of the rows. Nothing here travels in time, so none is taken.
4. An open append connection occupies a thread of a pool of processors + 4: on two processors the seventh connection
   waits until another one ends. The pool is made larger than any test.
5. Every value of a row is looked at by a dozen questions about its type, in Python: most of the time of an append and
   of a result. Plain values of plain columns, which need no change, go by column.
"""

import importlib
import importlib.util
import os
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

CONNECTIONS = 512
SETTINGS = {
    "BQEMU_ENABLE_FORMAT_EXTENSIONS": "false",  # Avro is of no use here, and installing it asks the network
    "BQEMU_WRITE_API_MAX_REQUEST_BYTES": "20000000",  # the emulator still has the limit of before 2026
    "BQEMU_LOG_LEVEL": "warning",
}


def place_spatial_extension(home: Path) -> None:
    """Put the extension file of its wheel where DuckDB looks for it, so that no network is asked.

    Raises:
        SystemExit: the wheel is not installed.
    """
    spec = importlib.util.find_spec("duckdb_extension_spatial")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("duckdb-extension-spatial is not installed beside bqemulator: run `make stack`")
    duckdb = importlib.import_module("duckdb")
    platform = duckdb.execute("PRAGMA platform").fetchone()[0]
    for source in Path(spec.submodule_search_locations[0]).glob("extensions/*/spatial.duckdb_extension"):
        target = home / ".duckdb" / "extensions" / source.parent.name / platform / source.name
        if target.exists() and target.stat().st_size == source.stat().st_size:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(f".{os.getpid()}")
        shutil.copyfile(source, draft)
        draft.rename(target)


def give_each_thread_a_cursor() -> None:
    """Mend fault 1. The main thread keeps the connection itself: functions are registered on it."""
    engine = importlib.import_module("bqemulator.storage.engine").DuckDBEngine
    original = engine.connection.fget
    cursors = threading.local()

    def connection(self: Any) -> Any:  # noqa: ANN401 - types of the other environment
        main = original(self)
        if threading.current_thread() is threading.main_thread():
            return main
        if getattr(cursors, "owner", None) is not main:
            cursors.own, cursors.owner = main.cursor(), main
            cursors.own.execute("SET TimeZone = 'UTC'")
        return cursors.own

    engine.connection = property(connection)


def keep_fields_of_records() -> None:
    """Mend fault 2 by the projection that the emulator's own insertAll uses."""
    servicer: Any = importlib.import_module("bqemulator.grpc_api.write_servicer")
    tabledata = importlib.import_module("bqemulator.api.routes.tabledata")

    def table_arrow_schema(table: Any) -> Any:  # noqa: ANN401 - types of the other environment
        return tabledata._build_arrow_schema(tabledata._fields_raw_from_schema(table.schema_.fields))  # noqa: SLF001

    servicer._table_arrow_schema = table_arrow_schema  # noqa: SLF001


def take_no_snapshots() -> None:
    """Mend fault 3; whoever listens for changed tables still hears of them."""
    snapshots = importlib.import_module("bqemulator.versioning.snapshots")

    def record_change(self: Any, *table: str) -> None:  # noqa: ANN401 - types of the other environment
        self._events.publish(snapshots.TableDataChanged(*table))

    snapshots.SnapshotManager.record_change = record_change


def serve_many_connections() -> None:
    """Mend fault 4: the server is built without a pool of its own, so hand one in."""
    aio: Any = importlib.import_module("grpc.aio")
    build = aio.server
    aio.server = lambda *args, **kwargs: build(ThreadPoolExecutor(CONNECTIONS), *args, **kwargs)


def pass_plain_values() -> None:
    """Mend 5: the same tables and results from fewer steps; what is not plain goes through the emulator's own code."""
    servicer: Any = importlib.import_module("bqemulator.grpc_api.write_servicer")
    bridge: Any = importlib.import_module("bqemulator.storage.arrow_bridge")
    arrow: Any = importlib.import_module("pyarrow")
    read_all = servicer.proto_rows_to_arrow_table
    coerce, format_any = bridge._coerce_to_arrow_value, bridge._format_bq_value  # noqa: SLF001
    of = arrow.types
    plain = {"int": (of.is_integer, of.is_timestamp), "str": (of.is_string,), "float": (of.is_floating,)}

    def read_plain(decoder: Any, rows: list[bytes], schema: Any) -> Any:  # noqa: ANN401 - types of the other environment
        fields = decoder._descriptor.fields  # noqa: SLF001
        if any(field.is_repeated or field.message_type or not field.has_presence for field in fields):
            return read_all(decoder, rows, schema)
        parse = decoder._message_class.FromString  # noqa: SLF001
        found = [{field.name: value for field, value in parse(row).ListFields()} for row in rows]
        arrays = {}
        for column in schema:
            values = [row.get(column.name) for row in found]
            kinds = set(map(type, values)) - {type(None)}
            if any(not any(fits(column.type) for fits in plain.get(kind.__name__, ())) for kind in kinds):
                values = [coerce(value, column.type) for value in values]
            arrays[column.name] = arrow.array(values, type=column.type)
        return arrow.table(arrays, schema=schema)

    def format_plain(value: Any, arrow_type: Any, *, field: Any = None) -> Any:  # noqa: ANN401 - likewise
        if type(value) is str:
            return value
        return str(value) if type(value) is int else format_any(value, arrow_type, field=field)

    servicer.proto_rows_to_arrow_table, bridge._format_bq_value = read_plain, format_plain  # noqa: SLF001


def main() -> None:
    """Prepare the home directory, mend, and hand over to the emulator's command line."""
    home, *options = sys.argv[1:]
    os.environ.update(SETTINGS, HOME=home)
    place_spatial_extension(Path(home))
    give_each_thread_a_cursor()
    keep_fields_of_records()
    take_no_snapshots()
    serve_many_connections()
    pass_plain_values()
    importlib.import_module("bqemulator.cli").main(["start", *options])


if __name__ == "__main__":
    main()
