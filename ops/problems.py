"""Errors as answers: `application/problem+json` (RFC 9457) under `/api`, a short page elsewhere.

`detail` is one line for people: what, where, what to do next. It never holds a traceback or a record's value.
"""

from http import HTTPStatus
from typing import Any

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from ingestor.callers import FORBIDDEN, CallerRefused
from ingestor.certificates import CertificatesUnavailable
from ingestor.errors import AppendError, BigQueryUnavailable, DeadLetterError, IngestorError
from ingestor.lognames import LogName
from ingestor.problems import problem
from ops.service import service
from state.errors import LedgerError, LedgerUnavailable, OutcomeUnknown

_UNAVAILABLE = (
    LedgerUnavailable,
    OutcomeUnknown,
    BigQueryUnavailable,
    AppendError,
    DeadLetterError,
    CertificatesUnavailable,
)


class Problem(Exception):  # noqa: N818 - the standard's word
    """An answer that is an error, with what the standard's fields say."""

    def __init__(self, status: int, detail: str, **members: Any) -> None:  # noqa: ANN401 - plain JSON values
        super().__init__(detail)
        self.status, self.detail, self.members = status, detail, members


def answer_errors(app: Flask) -> None:
    """Turn every error that a view raises into an answer."""

    def answered(error: Exception) -> Response:
        status, detail, members = _told(error)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            service().log(
                LogName.LIBRARY_MESSAGE,
                "ERROR",
                exception=error,
                logger=__name__,
                text=f"{type(error).__name__}: {detail}",
            )
        response = problem(status, detail, **members) if request.path.startswith("/api/") else _page(status, detail)
        if isinstance(error, HTTPException):
            for name, value in error.get_headers():
                if name not in {"Content-Type", "Content-Length"}:
                    response.headers.setdefault(name, value)
        return response

    app.register_error_handler(Exception, answered)


def _told(error: Exception) -> tuple[int, str, dict[str, Any]]:
    match error:
        case Problem():
            return error.status, error.detail, error.members
        case CallerRefused():
            return error.status, error.told, {"code": error.code} if error.status == FORBIDDEN else {}
        case HTTPException():
            return error.code or 500, error.description or HTTPStatus(error.code or 500).phrase, {}
        case IngestorError() | LedgerError():
            is_away = isinstance(error, _UNAVAILABLE)
            return HTTPStatus.SERVICE_UNAVAILABLE if is_away else HTTPStatus.CONFLICT, str(error), {}
        case _:
            return HTTPStatus.INTERNAL_SERVER_ERROR, "this is a fault of the service; its log has the details", {}


def _page(status: int, detail: str) -> Response:
    text = render_template("error.html", title=f"{status} {HTTPStatus(status).phrase}", detail=detail)
    return Response(text, status, mimetype="text/html")
