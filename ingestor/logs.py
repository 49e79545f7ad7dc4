"""Structured logs: one JSON object a line, only names of `lognames`, never a record's value.

`configure` is called once per process and returns the root `Log`; `bind` makes one for a run. A `Log` is immutable and
may be used by any thread; a line is written with one call, so lines of several threads never mix.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO, Unpack

import orjson

from ingestor.lean import without
from ingestor.lognames import (
    ALWAYS,
    BOUND,
    FIELDS,
    MESSAGES,
    TEXTS,
    TRACE,
    TRACEBACK,
    WITHOUT_TEXT,
    Bound,
    LogName,
)

with without("rich", "better_exceptions"):  # for lines on a terminal; ours are JSON
    import structlog
    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

LONGEST_TEXT = 1000
"""Characters of a text field that are kept; Cloud Logging takes 256 KiB an entry, a person reads far less."""


class Log:
    """Writes events, each with what is bound to it."""

    def __init__(self, logger: FilteringBoundLogger, level: int, bound: Mapping[str, Any]) -> None:
        self._logger = logger
        self._level = level
        self._bound = bound

    def bind(self, **bound: Unpack[Bound]) -> "Log":
        """Return a log whose every line carries these fields too.

        Raises:
            TypeError: a name is not in `lognames.Bound`.
        """
        _refuse(set(bound) - BOUND, "cannot be bound to a log")
        return Log(self._logger, self._level, {**self._bound, **bound})

    def __call__(
        self,
        name: LogName,
        severity: str = "INFO",
        *,
        exception: BaseException | None = None,
        **fields: Any,  # noqa: ANN401  # the run's port has this shape; names and types are checked below
    ) -> None:
        """Write one event; of `exception` only the traceback is written, and only at level DEBUG.

        Raises:
            TypeError: a field is not in `lognames.Fields` or of another type, or a text was given to an event that must
                not have one.
        """
        _refuse({field for field in fields if field not in FIELDS}, f"is not a field of {name.value}")
        _refuse({field for field, value in fields.items() if not isinstance(value, FIELDS[field])}, "has another type")
        if name in WITHOUT_TEXT:
            _refuse(set(fields) & TEXTS, f"may quote a record's value and is not a field of {name.value}")
        extra = {field: _short(value) for field, value in fields.items()}
        if exception is not None and self._level <= logging.DEBUG:
            extra[TRACEBACK] = "".join(traceback.format_exception(exception))
        self._logger.log(logging.getLevelNamesMapping()[severity], name.value, **{**self._bound, **extra})


class _LibraryLines(logging.Handler):
    """Turns what libraries log into events."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001  # a library's broken format string must not end a run
            text = str(record.msg)
        exception = record.exc_info[1] if record.exc_info else None
        if exception is not None:
            text = f"{text} ({type(exception).__name__})"
        severity = _severity(record.levelno)
        self._log(LogName.LIBRARY_MESSAGE, severity, exception=exception, logger=record.name, text=text)


def configure(
    service: str,
    pipeline: str,
    level: str = "INFO",
    stream: TextIO | None = None,
    *,
    now: Callable[[], datetime] | None = None,
) -> Log:
    """Set up logging of this process and return its log.

    Warnings and errors of libraries, and Python's own warnings, become events as well; anything below WARNING of theirs
    is dropped at every level, because it may quote URLs and payloads. `stream` is standard output when None.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    lock = threading.Lock()

    def write(line: str) -> None:
        with lock:
            out = stream or sys.stdout
            out.write(line + "\n")
            out.flush()

    logger = structlog.wrap_logger(
        _Lines(write),
        processors=[_stamped(now or _utc_now), structlog.processors.JSONRenderer(_dumped)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    log = Log(logger, number, {"service": service, "pipeline": pipeline})
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _LibraryLines)]:
        root.removeHandler(old)
    root.addHandler(_LibraryLines(log))
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    return log


class _Lines:
    """The end of structlog's chain: a finished line, whatever its severity."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = write


def _stamped(now: Callable[[], datetime]) -> Callable[[WrappedLogger, str, EventDict], EventDict]:
    def stamp(_: WrappedLogger, method: str, given: EventDict) -> EventDict:
        trace = given.pop("trace", None)
        line: dict[str, Any] = {**dict.fromkeys(ALWAYS), **given}
        line["severity"] = method.upper()
        line["time"] = now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line["message"] = MESSAGES[LogName(given["event"])]
        return line | ({TRACE: trace} if trace else {})

    return stamp


def _dumped(line: EventDict, **_: object) -> str:
    try:
        return orjson.dumps(line).decode()
    except TypeError:  # a lone surrogate or a number beyond 64 bits: still one line of JSON
        return orjson.dumps({name: _plain(value) for name, value in line.items()}).decode()


def _plain(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value if value is None or isinstance(value, bool | float) else ascii(value)[:LONGEST_TEXT]


def _short(value: object) -> object:
    if not isinstance(value, str):
        return value
    return value if len(value) <= LONGEST_TEXT else value[: LONGEST_TEXT - 3] + "..."


def _severity(level: int) -> str:
    if level >= logging.CRITICAL:
        return "CRITICAL"
    return "ERROR" if level >= logging.ERROR else "WARNING"


def _refuse(names: set[str], why: str) -> None:
    if names:
        raise TypeError(f"{', '.join(sorted(names))} {why}: see ingestor.lognames")


def _utc_now() -> datetime:
    return datetime.now(UTC)
