import io
import json
import logging
import threading
import time
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ingestor.lognames import ALWAYS, FIELDS, MESSAGES, LogName
from ingestor.logs import LONGEST_TEXT, Log, configure

CONTRACT_EVENTS = """run.started run.skipped run.finished run.failed page.read page.retried
record.rejected batch.attempted batch.committed batch.retried batch.dead_lettered batch.superseded deadletter.failed
fuse.blown replay.started replay.succeeded replay.failed batch.discarded schema.mismatch reconcile.difference
auth.refused"""
CONTRACT_FIELDS = """batch_id rows bytes attempts latency_ms code checkpoint
lag_s in_doubt oldest_in_doubt_s dead_lettered_open balanced"""
NOW = datetime(2013, 1, 1, 12, 0, 0, 7, tzinfo=timezone(timedelta(hours=5)))


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    level, show = root.level, warnings.showwarning
    yield
    logging.captureWarnings(capture=False)
    warnings.showwarning = show
    for ours in [handler for handler in root.handlers if type(handler).__module__ == configure.__module__]:
        root.removeHandler(ours)
    root.setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def configured(stream: io.StringIO, level: str = "INFO") -> Log:
    return configure("ingestor", "flights", level, stream, now=lambda: NOW)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_the_contracts_fields_first(stream: io.StringIO) -> None:
    log = configured(stream).bind(lane="0", run_id="r1")
    log(LogName.BATCH_COMMITTED, batch_id="b", rows=5, checkpoint=None)
    assert stream.getvalue().count("\n") == 1
    (line,) = lines(stream)
    assert tuple(line)[: len(ALWAYS)] == ALWAYS
    assert line == {
        "severity": "INFO",
        "time": "2013-01-01T07:00:00.000007Z",
        "event": "batch.committed",
        "message": MESSAGES[LogName.BATCH_COMMITTED],
        "service": "ingestor",
        "pipeline": "flights",
        "lane": "0",
        "run_id": "r1",
        "batch_id": "b",
        "rows": 5,
        "checkpoint": None,
    }


def test_every_event_that_has_a_name_is_logged_somewhere() -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for package in ("ingestor", "ops")
        for path in Path(package).glob("*.py")
        if path.name != "lognames.py"
    )
    assert [name for name in LogName if f"LogName.{name.name}" not in code] == []


def test_time_is_utc_wherever_the_process_runs(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        configured(stream)(LogName.RUN_STARTED)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert lines(stream)[0]["time"] == "2013-01-01T07:00:00.000007Z"


def test_lane_and_run_are_there_even_outside_a_run(stream: io.StringIO) -> None:
    configured(stream)(LogName.AUTH_REFUSED, "WARNING", reason="expired")
    (line,) = lines(stream)
    assert (line["lane"], line["run_id"], line["severity"]) == (None, None, "WARNING")


def test_a_bound_trace_has_the_name_that_cloud_logging_looks_for(stream: io.StringIO) -> None:
    configured(stream).bind(trace="projects/p/traces/t")(LogName.RUN_STARTED)
    (line,) = lines(stream)
    assert line["logging.googleapis.com/trace"] == "projects/p/traces/t"
    assert "trace" not in line


def test_binding_makes_another_log_and_leaves_the_first_alone(stream: io.StringIO) -> None:
    root = configured(stream)
    root.bind(run_id="r1")(LogName.RUN_STARTED)
    root.bind(run_id="r2")(LogName.RUN_STARTED)
    root(LogName.RUN_STARTED)
    assert [line["run_id"] for line in lines(stream)] == ["r1", "r2", None]


@pytest.mark.parametrize(
    "fields",
    [
        {"record": 1},
        {"tail_number": "N14228"},
        {"severity_": 1},
        {"time": "x"},
        {"service": "x"},
        {"rows": "N14228"},
        {"reason": {"tail": "N14228"}},
        {"checkpoint": ["N14228"]},
    ],
)
def test_a_field_that_is_not_listed_or_of_another_type_is_refused(stream: io.StringIO, fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="lognames") as raised:
        configured(stream)(LogName.PAGE_READ, **fields)
    assert "N14228" not in str(raised.value)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("field", ["reason", "error", "text"])
def test_a_rejected_records_event_takes_no_text_because_parsers_quote_values(stream: io.StringIO, field: str) -> None:
    log, quoting = configured(stream), dict[str, Any]({field: "Couldn't parse integer: N14228"})
    log(LogName.RECORD_REJECTED, "WARNING", stage="encode", field="dep_delay", row_index=3)
    with pytest.raises(TypeError, match=field):
        log(LogName.RECORD_REJECTED, "WARNING", **quoting)
    assert len(lines(stream)) == 1


def test_only_known_names_can_be_bound(stream: io.StringIO) -> None:
    names: Any = {"tail_number": "N14228"}
    with pytest.raises(TypeError, match="tail_number"):
        configured(stream).bind(**names)


@pytest.mark.parametrize(("level", "written"), [("DEBUG", 3), ("INFO", 2), ("WARNING", 1), ("ERROR", 0)])
def test_what_is_below_the_level_is_not_written(stream: io.StringIO, level: str, written: int) -> None:
    log = configured(stream, level)
    for severity in ("DEBUG", "INFO", "WARNING"):
        log(LogName.PAGE_READ, severity)
    assert len(lines(stream)) == written


def test_warnings_and_errors_of_libraries_are_events_too_and_cut_short(stream: io.StringIO) -> None:
    configured(stream).bind(run_id="r1")
    logging.getLogger("urllib3.pool").warning("odd %s", "x" * 5000)
    logging.getLogger("urllib3.pool").info("GET /?key=secret")
    logging.getLogger("grpc").error("call %d failed", 7)
    first, second = lines(stream)
    assert (first["event"], first["severity"], first["logger"]) == ("library.message", "WARNING", "urllib3.pool")
    assert first["text"].startswith("odd xxx")
    assert len(first["text"]) == LONGEST_TEXT
    assert (second["severity"], second["text"]) == ("ERROR", "call 7 failed")


def test_a_librarys_broken_format_ends_nothing(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(stream)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[-1:])  # pytest's own handlers raise
    logging.getLogger("grpc").error("broken %d", "format")
    assert [line["text"] for line in lines(stream)] == ["broken %d"]


def test_nothing_below_a_warning_of_a_library_is_written_even_at_debug(stream: io.StringIO) -> None:
    configured(stream, "DEBUG")
    logging.getLogger("urllib3.pool").setLevel(logging.DEBUG)
    logging.getLogger("urllib3.pool").debug("GET /?key=secret")
    logging.getLogger("urllib3.pool").setLevel(logging.NOTSET)
    assert stream.getvalue() == ""


def test_pythons_warnings_are_events_too(stream: io.StringIO) -> None:
    configured(stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old name", DeprecationWarning, stacklevel=1)
    (line,) = lines(stream)
    assert line["logger"] == "py.warnings"
    assert "old name" in line["text"]


@pytest.mark.parametrize(("level", "shown"), [("INFO", False), ("DEBUG", True)])
def test_a_traceback_is_written_only_at_debug(stream: io.StringIO, level: str, *, shown: bool) -> None:
    log = configured(stream, level)
    try:
        raise ValueError("N14228")  # noqa: TRY301  # the case
    except ValueError as error:
        log(LogName.RUN_FAILED, "ERROR", exception=error, error="one line")
        logging.getLogger("library").exception("call failed")
    for line in lines(stream):
        assert ("traceback" in line) is shown
        assert ("N14228" in json.dumps(line)) is shown
    assert lines(stream)[1]["text"] == "call failed (ValueError)"


@pytest.mark.parametrize(("fields", "text"), [({"cursor": "a\ud800"}, "a\\ud800"), ({"rows": 2**70}, str(2**70))])
def test_a_value_that_json_cannot_hold_still_makes_a_line(
    stream: io.StringIO, fields: dict[str, Any], text: str
) -> None:
    configured(stream)(LogName.PAGE_READ, **fields)
    (line,) = lines(stream)
    assert line[next(iter(fields))] == text
    assert line["severity"] == "INFO"


def test_a_line_break_in_a_value_does_not_break_the_line(stream: io.StringIO) -> None:
    configured(stream)(LogName.PAGE_RETRIED, reason="a\nb\u2028c")
    assert stream.getvalue().count("\n") == 1


def test_lines_of_many_threads_never_mix(stream: io.StringIO) -> None:
    log = configured(stream)

    def write(number: int) -> None:
        for _ in range(50):
            log(LogName.PAGE_READ, rows=number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line["rows"] for line in lines(stream)) == sorted(list(range(8)) * 50)


def test_configuring_twice_writes_a_librarys_line_once(stream: io.StringIO) -> None:
    configured(io.StringIO())
    configured(stream)
    logging.getLogger("library").warning("x")
    assert len(lines(stream)) == 1


def test_standard_output_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    configure("ingestor", "flights")(LogName.RUN_STARTED, trigger="cli")
    assert json.loads(capsys.readouterr().out)["trigger"] == "cli"


def test_the_contracts_names_are_all_there() -> None:
    assert set(CONTRACT_EVENTS.split()) <= {name.value for name in LogName}
    assert set(CONTRACT_FIELDS.split()) <= set(FIELDS)


def test_every_event_has_one_constant_sentence_of_its_own() -> None:
    assert set(MESSAGES) == set(LogName)
    assert len(set(MESSAGES.values())) == len(MESSAGES)
