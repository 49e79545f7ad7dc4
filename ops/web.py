"""The operators' service: HTTP API under `/api`, pages under `/`.

`gunicorn 'ops.web:create_app()'`, or `ingestor ops serve` on a laptop. Order of what happens to a request: size limit,
who calls and whether they may (`ops.auth`), forged by another site (`ops.csrf`), the view, headers (`ops.headers`).
"""

from collections.abc import Mapping
from typing import Any

import orjson
from flask import Flask, Response
from flask.json.provider import JSONProvider
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI

from ingestor.callers import Callers
from ingestor.config import Config, load
from ingestor.logs import configure
from ops import api, api_changes, api_reads, auth, csrf, headers, pages, problems  # noqa: F401 - their views are routes
from ops import limits as rates
from ops.api_answers import Problem
from ops.service import EXTENSION, Service

LARGEST_BODY = 16 * 1024 * 1024
"""Bytes of a request; repaired records are the largest."""


def create_app(
    config: Config | None = None,
    *,
    service: Service | None = None,
    callers: Callers | None = None,
    limits: Mapping[str, str] | None = None,
) -> Flask:
    """Return the application. Nothing is opened before a worker's first request. `limits` are those of `ops.limits`.

    Raises:
        ConfigurationError: the environment does not describe a service, every problem in one report.
    """
    config = service.config if service else config or load()
    config.check_service()
    if service is None:
        service = Service(config, configure(config.service_label, config.pipeline_id, config.log_level))
    app = OpenAPI(
        "ops",
        info=Info(title="BigQuery batch ingestor", version="1", description="Look at batches and runs; repair them."),
        doc_ui=False,
        security_schemes=api.SECURITY_SCHEMES,
        validation_error_status=422,
        validation_error_model=Problem,
        validation_error_callback=api.unfit,
    )
    app.json = StrictJson(app)
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = LARGEST_BODY
    app.extensions[EXTENSION] = service
    headers.secure(app)
    problems.answer_errors(app)
    auth.guard(app, callers or Callers(config))
    csrf.protect(app)
    rates.limit(app, **(limits or {}))
    _register(app)
    return app


class StrictJson(JSONProvider):
    """JSON of requests by orjson: no NaN, no lone surrogates, no nesting that ends the stack."""

    def dumps(self, obj: Any, **_: Any) -> str:  # noqa: ANN401 - any JSON value
        """Return the value as JSON."""
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:  # noqa: ANN401 - likewise
        """Return the value of a JSON text."""
        return orjson.loads(s)


def _register(app: OpenAPI) -> None:
    """Register the blueprints."""
    pages.install(app)
    app.register_api(api.blueprint)

    @app.get("/health", doc_ui=False)
    @auth.anybody
    def health() -> Response:
        """For the platform's probes, which carry no token."""
        return Response(app.json.dumps({"status": "ok"}), mimetype=api.JSON)

    @app.get("/api/openapi.json", doc_ui=False)
    @auth.viewers
    def openapi() -> Response:
        return Response(app.json.dumps(app.api_doc), mimetype=api.JSON)
