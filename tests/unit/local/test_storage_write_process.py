"""As a process: ports on the first line, files, the admin over HTTP, and the service of the local stack."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.local import storage_write
from ops.local.process import accepts
from ops.local.services import request_json
from ops.local.storage_write import StorageWrite, StorageWriteServer
from ops.local.storage_write_admin import Admin, plain
from tests.unit.local.storage_write_client import COLUMNS, TABLE, batches, call, rows

ROOT = Path(__file__).parents[3]
RULE = {"on": {"request": 2}, "do": {"answer": "ABORTED"}}


@pytest.fixture
def admin() -> Iterator[tuple[StorageWriteServer, str]]:
    with StorageWriteServer({TABLE: COLUMNS}) as server:
        served = Admin(server)
        yield server, f"http://127.0.0.1:{served.port}"
        served.close()


def test_the_first_line_tells_the_ports_and_the_files_are_obeyed(tmp_path: Path) -> None:
    script, tables = tmp_path / "script.jsonl", tmp_path / "tables.json"
    script.write_text(json.dumps(RULE))
    tables.write_text(json.dumps({TABLE: COLUMNS}))
    command = [sys.executable, "-m", "ops.local.storage_write", f"--script={script}", f"--tables={tables}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ports = json.loads(process.stdout.readline())
            heard = call(f"127.0.0.1:{ports['port']}", batches(rows("a"), rows("b")))
            kept: Any = request_json("GET", f"http://127.0.0.1:{ports['admin_port']}/tables/{TABLE}/rows")
        finally:
            process.kill()
    assert (heard.codes, kept) == ([0, 10], [{"name": "a", "size": 1}])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("script", '{"do": {"explode": 1}}', "do knows no explode"),
        ("tables", '{"t": []}', "write PROJECT.DATASET.TABLE"),
        ("tables", '{"p.d.t": []}', "needs columns"),
        ("tables", "[]", "tables are an object"),
        ("tables", None, "No such file"),
    ],
)
def test_a_file_that_makes_no_sense_ends_it_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str | None, reason: str
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["storage_write", f"--{name}={path}"])
        code, told = storage_write.main(), capsys.readouterr().err
    assert (code, told.count("\n")) == (2, 1)
    assert reason in told


def test_a_process_that_is_given_such_a_file_ends_with_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ops.local.storage_write", f"--script={tmp_path / 'absent'}"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)


def test_the_service_starts_with_tables_and_script_and_obeys_new_ones() -> None:
    with StorageWrite({TABLE: COLUMNS}, [RULE]) as service:
        assert call(service.host, batches(rows("a"), rows("b"))).codes == [0, 10]
        service.play([])
        service.declare({"p.d.other": COLUMNS})
        assert call(service.host, batches(rows("c"))).codes == [0]
        assert service.rows(TABLE) == [{"name": "a", "size": 1}, {"name": "c", "size": 1}]
        assert [seen["answer"] for seen in service.requests()] == ["OK", "ABORTED", "OK"]
        service.set_reachable(reachable=False)
        assert call(service.host, batches(rows("d"))).end == "UNAVAILABLE"
        service.restart()
        assert (service.rows(TABLE), service.requests()) == ([], [])
        ports = service.ports
    assert not any(map(accepts, ports))


def test_the_admin_changes_the_script_while_a_client_writes(admin: tuple[StorageWriteServer, str]) -> None:
    server, url = admin
    request_json("POST", f"{url}/script", RULE)
    request_json("POST", f"{url}/rules", [{"on": {"request": 3}, "do": {"answer": "INTERNAL"}}])
    assert call(server.host, batches(rows("a"), rows("b"), rows("c"))).codes == [0, 10, 13]
    hits: Any = request_json("GET", f"{url}/script")
    assert hits == [{"rule": "rule 1", "hits": 1}, {"rule": "rule 2", "hits": 1}]
    seen: Any = request_json("GET", f"{url}/requests")
    assert [(each["rule"], each["applied"]) for each in seen] == [("", True), ("rule 1", False), ("rule 2", False)]


def test_the_admin_declares_drops_and_forgets(admin: tuple[StorageWriteServer, str]) -> None:
    server, url = admin
    schema = {"schema": {"fields": COLUMNS}, "tableReference": {"tableId": "u"}}
    request_json("POST", f"{url}/tables", {"p.d.u": schema, TABLE: None})
    names: Any = request_json("GET", f"{url}/tables")
    assert names == ["p.d.u"]
    assert call(server.host, batches(rows("a"))).end == "NOT_FOUND"
    request_json("POST", f"{url}/clear")
    assert server.requests() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        ("GET", "/nowhere", None, 404, "nothing at /nowhere"),
        ("GET", "/tables/p.d.x/rows", None, 404, "no table p.d.x"),
        ("POST", "/script", [{"do": {"explode": 1}}], 400, "explode"),
        ("POST", "/tables", [], 400, "tables are an object"),
        ("POST", "/tables", {"p.d.x": 3}, 400, "not iterable"),
    ],
)
def test_the_admin_says_what_is_wrong(  # noqa: PLR0913, PLR0917 - a table of cases
    admin: tuple[StorageWriteServer, str], method: str, path: str, body: object, status: int, reason: str
) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        request_json(method, f"{admin[1]}{path}", body)
    with caught.value as answer:
        assert (answer.code, reason in json.load(answer)["error"]) == (status, True)


def test_rows_come_out_as_json_with_nothing_lost() -> None:
    import datetime as dt  # noqa: PLC0415
    from decimal import Decimal  # noqa: PLC0415

    from ops.local.storage_write_values import Interval  # noqa: PLC0415

    row = {
        "at": dt.datetime(2013, 1, 1, tzinfo=dt.UTC),
        "day": dt.date(2013, 1, 1),
        "time": dt.time(1, 2, 3, 4),
        "amount": Decimal("1.50"),
        "raw": b"\xff",
        "ratio": float("nan"),
        "span": Interval(1, 2, 3),
        "parts": [{"x": float("-inf"), "y": True, "z": 1.5}],
    }
    assert plain(row) == {
        "at": "2013-01-01T00:00:00+00:00",
        "day": "2013-01-01",
        "time": "01:02:03.000004",
        "amount": "1.50",
        "raw": "/w==",
        "ratio": "nan",
        "span": {"months": 1, "days": 2, "microseconds": 3},
        "parts": [{"x": "-inf", "y": True, "z": 1.5}],
    }
