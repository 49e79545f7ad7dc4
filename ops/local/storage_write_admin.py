"""The Storage Write server's admin over HTTP: rows and requests out, script and tables in.

GET  /tables                  names of the tables
GET  /tables/P.D.T/rows       rows as JSON: dates and times in ISO 8601, NUMERIC as text, BYTES in base64
POST /tables                  {"P.D.T": columns or REST schema, ...}; null drops a table
GET  /requests                every request that came and what its client heard
GET  /script                  rules and how often each was obeyed
POST /script                  replace the script;  POST /rules  add to it
POST /clear                   forget rows and requests
POST /reachable               true or false: whether clients can connect
"""

import base64
import json
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import date, time
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from ops.local.process import HOST
from ops.local.storage_write_actions import ScriptError
from ops.local.storage_write_columns import ColumnError
from ops.local.storage_write_script import rules_of
from ops.local.storage_write_server import StorageWriteServer
from ops.local.storage_write_tables import TableError


class Admin:
    """Serves the admin of `server` on `port` (0: a free one) until closed."""

    def __init__(self, server: StorageWriteServer, port: int = 0) -> None:
        self._http = _Server((HOST, port), type("Bound", (_AdminRequest,), {"server_of_rows": server}))
        self.port: int = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="admin", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away in the middle of an answer."""


class _AdminRequest(BaseHTTPRequestHandler):
    """Speaks HTTP for the server; the methods' names are the standard library's."""

    protocol_version = "HTTP/1.1"
    server_of_rows: StorageWriteServer

    def do_GET(self) -> None:
        """Tell rows, tables, requests, rules."""
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/tables/") and path.endswith("/rows"):
            self._answer(lambda: self.server_of_rows.rows(path.removeprefix("/tables/").removesuffix("/rows")))
        else:
            server = self.server_of_rows
            known = {"/tables": server.tables, "/requests": server.requests, "/script": server.hits}
            self._answer(known.get(path))

    def do_POST(self) -> None:
        """Change tables, rules, reachability; forget."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server = self.server_of_rows
        known: dict[str, Callable[[Any], None]] = {
            "/tables": lambda document: declare_all(server, document),
            "/script": lambda document: server.play(rules_of(document)),
            "/rules": lambda document: server.add(rules_of(document)),
            "/clear": lambda _: server.clear(),
            "/reachable": lambda document: server.set_reachable(reachable=bool(document)),
        }
        change = known.get(urlsplit(self.path).path)
        self._answer(None if change is None else partial(_change, change, body))

    def _answer(self, ask: Callable[[], Any] | None) -> None:
        if ask is None:
            self._send(HTTPStatus.NOT_FOUND, {"error": f"there is nothing at {self.path}"})
            return
        try:
            self._send(HTTPStatus.OK, ask())
        except TableError as error:
            self._send(HTTPStatus.NOT_FOUND, {"error": str(error)})
        except (ScriptError, ColumnError, json.JSONDecodeError, TypeError, AttributeError) as error:
            self._send(HTTPStatus.BAD_REQUEST, {"error": str(error)})

    def _send(self, status: HTTPStatus, document: Any) -> None:  # noqa: ANN401 - any JSON
        body = json.dumps(plain(document)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing; GET /requests tells."""


def _change(change: Callable[[Any], None], body: bytes) -> None:
    change(json.loads(body or b"null"))


def declare_all(server: StorageWriteServer, document: Any) -> None:  # noqa: ANN401 - any JSON
    """Declare the tables of a JSON object of columns by `P.D.T`; null drops one.

    Raises:
        ColumnError: it is no such object, or a column can't be.
        TableError: a name is not `P.D.T`.
    """
    if not isinstance(document, Mapping):
        raise ColumnError('tables are an object {"PROJECT.DATASET.TABLE": [columns]}')
    for name, columns in document.items():
        if columns is None:
            server.drop(name)
        else:
            server.declare(name, columns)


def plain(value: Any) -> Any:  # noqa: ANN401 - any value of a row
    """Return the value in JSON's types."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> Any:  # noqa: ANN401 - likewise
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal) or (isinstance(value, float) and not math.isfinite(value)):
        return str(value)
    return value
