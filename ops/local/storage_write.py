"""A scripted Storage Write server: the real protocol on a real port, and faults on demand.

    python -m ops.local.storage_write [--script FILE] [--tables FILE] [--port 0] [--admin-port 0] [--forward HOST:PORT]

The first line tells the ports: `{"port": 20001, "admin_port": 20002}`. In the same process use `StorageWriteServer`,
as a process of its own `StorageWrite`. Both files, the admin and the conformance: docs/storage-write-server.md.
"""

import argparse
import json
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from ops.local.process import HOST, LOCAL, Service, accepts, answers
from ops.local.services import request_json
from ops.local.storage_write_actions import ScriptError
from ops.local.storage_write_admin import Admin, declare_all
from ops.local.storage_write_call import IDLE_S
from ops.local.storage_write_columns import ColumnError
from ops.local.storage_write_protocol import MAX_REQUEST_BYTES
from ops.local.storage_write_script import read_script
from ops.local.storage_write_server import StorageWriteServer
from ops.local.storage_write_tables import TableError

__all__ = ["ScriptError", "StorageWrite", "StorageWriteServer"]


class StorageWrite(Service):
    """The server as a process of its own, with its admin. `tables` and `rules` in their JSON forms."""

    name = "storage-write"
    port_count = 2

    def __init__(
        self,
        tables: Mapping[str, Any] | None = None,
        rules: Iterable[Mapping[str, Any]] = (),
        *,
        forward: str | None = None,
    ) -> None:
        super().__init__()
        self._tables, self._rules, self._forward = dict(tables or {}), list(rules), forward

    @property
    def host(self) -> str:
        """What BIGQUERY_STORAGE_EMULATOR_HOST wants."""
        return f"{HOST}:{self.ports[0]}"

    @property
    def admin(self) -> str:
        """Root of the admin."""
        return f"http://{HOST}:{self.ports[1]}"

    def play(self, rules: Iterable[Mapping[str, Any]]) -> None:
        """Replace the script."""
        self._post("script", list(rules))

    def declare(self, tables: Mapping[str, Any]) -> None:
        """Declare tables; None drops one."""
        self._post("tables", dict(tables))

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return a table's rows in JSON's types."""
        return cast("list[dict[str, Any]]", request_json("GET", f"{self.admin}/tables/{table}/rows"))

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests that came."""
        return cast("list[dict[str, Any]]", request_json("GET", f"{self.admin}/requests"))

    def set_reachable(self, *, reachable: bool) -> None:
        """While not reachable, every connection is reset at once."""
        self._post("reachable", reachable)

    def command(self) -> list[str]:
        """Run this module."""
        port, admin_port = map(str, self.ports)
        files = [f"--tables={self._file('tables', self._tables)}", f"--script={self._file('script', self._rules)}"]
        forward = ["--forward", self._forward] if self._forward else []
        return [sys.executable, "-m", __name__, "--port", port, "--admin-port", admin_port, *files, *forward]

    def ready(self) -> bool:
        """The admin answers, which is up last."""
        return accepts(self.ports[0]) and answers(f"{self.admin}/tables")

    def _file(self, name: str, content: object) -> Path:
        path = LOCAL / "logs" / f"{self.name}-{self.ports[0]}-{name}.json"
        path.write_text(json.dumps(content))
        return path

    def _post(self, what: str, document: object) -> None:
        request_json("POST", f"{self.admin}/{what}", document)


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m ops.local.storage_write", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--script", type=Path, help="rules, JSON or JSON lines")
    parser.add_argument("--tables", type=Path, help='JSON: {"PROJECT.DATASET.TABLE": [columns]}')
    parser.add_argument("--port", type=int, default=0, help="gRPC; 0 = a free one")
    parser.add_argument("--admin-port", type=int, default=0, help="HTTP; 0 = a free one")
    parser.add_argument("--forward", metavar="HOST:PORT", help="pass requests on to this Storage Write server")
    parser.add_argument("--max-request-bytes", type=int, default=MAX_REQUEST_BYTES)
    parser.add_argument("--idle-s", type=float, default=IDLE_S, help="close a connection idle for so long")
    options = parser.parse_args()
    try:
        _serve(options)
    except (ScriptError, ColumnError, TableError, OSError, json.JSONDecodeError) as error:
        print(f"storage-write: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


def _serve(options: argparse.Namespace) -> None:
    rules = read_script(options.script.read_text()) if options.script else []
    limits = {"max_request_bytes": options.max_request_bytes, "idle_s": options.idle_s}
    with StorageWriteServer(rules=rules, port=options.port, forward=options.forward, **limits) as server:
        if options.tables:
            declare_all(server, json.loads(options.tables.read_text()))
        admin = Admin(server, options.admin_port)
        print(json.dumps({"port": server.port, "admin_port": admin.port}), flush=True)
        try:
            threading.Event().wait()
        finally:
            admin.close()


if __name__ == "__main__":
    sys.exit(main())
