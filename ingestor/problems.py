"""Errors of the HTTP services as answers: `application/problem+json` (RFC 9457)."""

from http import HTTPStatus
from typing import Any

import orjson
from flask import Response

from ingestor.callers import UNAUTHENTICATED

PROBLEM = "application/problem+json"


def problem(status: int, detail: str, **members: Any) -> Response:  # noqa: ANN401 - plain JSON values
    """Return an error as an answer; `detail` is a line for people, without values of records."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **members}
    response = Response(orjson.dumps(body), status, mimetype=PROBLEM)
    if status == UNAUTHENTICATED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
