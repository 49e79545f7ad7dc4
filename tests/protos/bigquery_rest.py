"""A little of BigQuery's REST API in memory: tables with ETags, and the refusals that evolution meets."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from ingestor.tables import Tables

PREFIX = "/bigquery/v2/projects/p/datasets/d/tables/"


class BigQueryRest:
    """Serves one dataset `p.d`. `before_update` is called with a table's name before each update is looked at."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.conflicts = 0
        self.before_update: Callable[[str], None] = lambda _: None
        self.lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Request,), {"rest": self}))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._opened: list[Tables] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for opened in self._opened:
            opened.close()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def open(self) -> Tables:
        """Return the dataset as the real service's, through this server."""
        opened = Tables("p", "d", f"127.0.0.1:{self._http.server_address[1]}")
        opened._connected()
        opened._emulator_host = None  # from here on as with BigQuery itself
        self._opened.append(opened)
        return opened

    def put(self, name: str, **resource: Any) -> None:
        """Make or change a table; its ETag changes."""
        with self.lock:
            reference = {"projectId": "p", "datasetId": "d", "tableId": name}
            known = self.tables.get(name, {"tableReference": reference, "type": "TABLE", "etag": "0"})
            self.tables[name] = {**known, **resource, "etag": str(int(known["etag"]) + 1)}

    def fields(self, name: str) -> list[dict[str, Any]]:
        """The columns of a table."""
        found: list[dict[str, Any]] = self.tables[name]["schema"]["fields"]
        return found

    def update(self, name: str, etag: str | None, wanted: dict[str, Any]) -> tuple[int, Any]:
        """Answer an update as BigQuery does."""
        self.before_update(name)
        if etag is not None and etag != self.tables[name]["etag"]:
            self.conflicts += 1
            return 412, "Precondition Failed"
        refused = _refusal(self.fields(name), wanted["schema"]["fields"])
        if refused:
            return 400, refused
        self.put(name, **wanted)
        return 200, self.tables[name]


def _refusal(present: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> str:
    known = {field["name"].lower(): field for field in present}
    for field in wanted:
        old = known.pop(field["name"].lower(), None)
        if old is None and field.get("mode") == "REQUIRED":
            return f"Provided Schema does not match. Cannot add required fields to an existing schema ({field['name']})"
        if old is None and "defaultValueExpression" in field:
            return f"Cannot add a column with a default value to an existing table ({field['name']})"
        if old is not None and old["type"] != field["type"]:
            return f"Field {field['name']} has changed type from {old['type']} to {field['type']}"
        inner = _refusal(old.get("fields", []), field.get("fields", [])) if old is not None else ""
        if inner:
            return inner
    return f"Field {next(iter(known))} is missing in new schema" if known else ""


class _Request(BaseHTTPRequestHandler):
    rest: BigQueryRest

    def do_GET(self) -> None:
        name = self._name()
        found = self.rest.tables.get(name)
        self._answer(*((200, found) if found else (404, f"Not found: Table p:d.{name}")))

    def do_PATCH(self) -> None:
        name = self._name()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(*self.rest.update(name, self.headers.get("If-Match"), body))

    def _name(self) -> str:
        name = self.path.partition("?")[0].removeprefix(PREFIX)
        self.rest.requests.append((self.command, name))
        return name

    def _answer(self, status: int, body: Any) -> None:
        said = body if isinstance(body, dict) else {"error": {"code": status, "message": body, "errors": []}}
        data = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Say nothing."""
