"""The run service: Cloud Scheduler calls `POST /run`, and all work is done before the answer.

`gunicorn 'ingestor.web:create_app()' --workers 1 --threads 8 --timeout 0 --graceful-timeout 8`. Cloud Run throttles the
processor outside requests and may send the same tick twice, also while the first is still running: the journal lets
one run have a lane, the others answer `skipped`. On SIGTERM the runs of this process settle what is in flight, end as
partial and answer; what they cannot settle in time stays in doubt for the next run. Nothing is opened before the first
request, because a gRPC client made before a fork hangs (grpc/grpc#41768).
"""

import signal
import threading
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

import orjson
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from ingestor.callers import FORBIDDEN, Caller, CallerRefused, Callers, Request, require_same_site
from ingestor.certificates import CertificatesUnavailable
from ingestor.config import Config, load
from ingestor.errors import IngestorError
from ingestor.lean import give_back, tune_for_runs
from ingestor.lognames import LogName
from ingestor.logs import Log, configure
from ingestor.problems import problem
from ingestor.summary import failed_summary
from ingestor.triggers import trace, trigger
from state.errors import LedgerError
from state.journal import Journal

if TYPE_CHECKING:
    from ingestor.run import Result, Run

STOP_GRACE_S = 4.0
"""What batches in flight get after SIGTERM; gunicorn waits 8 s for the answer, Cloud Run 10 s for the process."""
LARGEST_BODY = 64 * 1024
"""Bytes of a request; Cloud Scheduler's body is not read."""
OPEN = frozenset({"/health", "/ready"})
"""Paths that probes of the platform ask without a token; `/ready` names what is missing only to invokers."""


class RunService:
    """Runs the pipeline, as often as asked and as many lanes at once as asked. Shared by all threads of a process."""

    def __init__(self, config: Config, log: Log) -> None:
        self.config, self.log = config, log
        self._lock = threading.Lock()
        self._journal: Journal | None = None
        self._runs: set[Run] = set()
        self._stopped_by: str | None = None

    @property
    def journal(self) -> Journal:
        """The ledger, opened at first use."""
        from ingestor.bootstrap import open_journal  # noqa: PLC0415 - Google's clients are loaded by the worker

        with self._lock:
            if self._journal is None:
                self._journal = open_journal(self.config)
            return self._journal

    @property
    def is_stopping(self) -> bool:
        """Whether the process was asked to end: nothing is begun any more."""
        return self._stopped_by is not None

    def run(self, partition: int, *, label: str, traced: str | None) -> dict[str, Any]:
        """Run once, to the end. Return the contract's summary; a run that could not even begin has one too."""
        try:
            return self._summary(partition, label, traced)
        finally:
            give_back()

    def _summary(self, partition: int, label: str, traced: str | None) -> dict[str, Any]:
        from ingestor.bootstrap import RunBuilder  # noqa: PLC0415 - likewise

        log = self.log.bind(trace=traced) if traced else self.log
        try:
            result = self._execute(RunBuilder(self.config, self.journal, log, partition=partition).build(trigger=label))
        except (IngestorError, LedgerError) as error:
            log(LogName.RUN_FAILED, "ERROR", exception=error, status="failed", error=str(error))
            return failed_summary(str(partition), str(error))
        return result.summary

    def _execute(self, run: "Run") -> "Result":
        self._runs.add(run)
        tune_for_runs()
        try:
            if self._stopped_by is not None:
                run.stop(self._stopped_by, STOP_GRACE_S)
            return run.execute()
        finally:
            self._runs.discard(run)

    def stop(self, reason: str) -> None:
        """Ask all runs to end as partial. Callable from a signal handler: takes no lock."""
        self._stopped_by = reason
        for run in self._runs.copy():
            run.stop(reason, STOP_GRACE_S)


def create_app(
    config: Config | None = None, *, callers: Callers | None = None, log: Log | None = None, signals: bool = True
) -> Flask:
    """Return the application. With `signals` the process's SIGTERM also stops its runs.

    Raises:
        ConfigurationError: the environment does not describe a service, every problem in one report.
    """
    config = config or load()
    config.check_service()
    log = log or configure(config.service_label, config.pipeline_id, config.log_level)
    service = RunService(config, log)
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.extensions["ingestor"] = service
    _guard(app, service, callers or Callers(config))
    _answer_errors(app, service)
    _routes(app, service)
    if signals and threading.current_thread() is threading.main_thread():
        _stop_on_sigterm(service)
    return app


def _routes(app: Flask, service: RunService) -> None:
    @app.post("/run")
    def run() -> Response:
        if service.is_stopping:
            return problem(503, "this instance is shutting down; call again")
        partition = _partition(request.args.get("partition"), service.config.source_partitions)
        summary = service.run(
            partition,
            label=trigger(request.headers.get, g.caller.email),
            traced=trace(request.headers.get, service.config.gcp_project_id),
        )
        return _json(summary, 500 if summary["status"] == "failed" else 200)

    @app.get("/health")
    def health() -> Response:
        return _json({"status": "ok"})

    @app.get("/ready")
    def ready() -> Response:
        from ingestor.readiness import missing  # noqa: PLC0415 - likewise

        lines = missing(service.config, lambda: service.journal)
        said = {"ready": not lines, **({"missing": lines} if "caller" in g else {})}
        return _json(said, 503 if lines else 200)


def _partition(text: str | None, partitions: int) -> int:
    number = int(text) if text and text.isascii() and text.isdecimal() and len(text) < 10 else None  # noqa: PLR2004
    number = 0 if text is None else number
    if number is None or number >= partitions:
        raise _Unfit(f"partition {text!a} of {partitions}: they are numbered from 0")
    return number


class _Unfit(Exception):  # noqa: N818 - named after what was asked
    """The request asks for what is not there; its message is the answer."""


def _guard(app: Flask, service: RunService, callers: Callers) -> None:
    refused_so_far = app.extensions["ingestor_refused"] = Counter[str]()

    @app.before_request
    def admit() -> None:
        try:
            g.caller = _admitted(callers, service.config)
        except (CallerRefused, CertificatesUnavailable) as refused:
            if request.path in OPEN:
                return
            code = refused.code if isinstance(refused, CallerRefused) else "certificates"
            refused_so_far[code] += 1
            service.log(LogName.AUTH_REFUSED, "WARNING", code=code, error=str(refused))
            raise


def _admitted(callers: Callers, config: Config) -> Caller:
    """Return who calls. Raises `CallerRefused` unless it is an invoker, asking from no other site's page."""
    caller = callers.caller(Request(request.headers.get, request.remote_addr or "", request.host))
    if not caller.is_one_of(config.auth_invokers):
        raise CallerRefused(FORBIDDEN, "not_invoker", f"{caller.email} is not on AUTH_INVOKERS")
    if request.method not in {"GET", "HEAD"}:
        require_same_site(request.headers.get, request.host)
    return caller


def _answer_errors(app: Flask, service: RunService) -> None:
    @app.errorhandler(Exception)
    def answered(error: Exception) -> Response:
        match error:
            case CallerRefused():
                return problem(error.status, error.told)
            case CertificatesUnavailable():
                return problem(503, str(error))
            case _Unfit():
                return problem(400, str(error))
            case HTTPException():
                return problem(error.code or 500, error.description or "")
            case _:
                text = type(error).__name__
                service.log(LogName.LIBRARY_MESSAGE, "ERROR", exception=error, logger=__name__, text=text)
                return problem(500, "this is a fault of the service; its log has the details")

    @app.after_request
    def keep_nothing(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def _stop_on_sigterm(service: RunService) -> None:
    """Stop the runs, then do what the server does on SIGTERM (gunicorn has set its handler before it loads this)."""
    before: Callable[[int, FrameType | None], Any] | int | None = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        service.stop(signal.Signals(number).name)
        if callable(before):
            before(number, frame)
        elif before == signal.SIG_DFL:
            raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, mimetype="application/json")
