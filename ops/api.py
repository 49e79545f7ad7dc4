"""How a route of the API is written: who may, what it answers, what can go wrong; the OpenAPI document comes of it.

A view takes `path`, `query`, `header` and `body` as models of `ops.api_requests` and returns a model of
`ops.api_answers`: what is sent is what the document says, and nothing else of the ledger's documents.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.types import ResponseDict
from pydantic import BaseModel, ValidationError

from ingestor.problems import PROBLEM
from ops.api_answers import Problem as ProblemModel
from ops.auth import operators, viewers
from ops.problems import Problem

View = TypeVar("View", bound=Callable[..., Any])
JSON = "application/json"
_SEE = {"$ref": f"#/components/schemas/{ProblemModel.__name__}"}
_USUAL = (400, 401, 403, 422, 429, 500, 503)
_OF_CHANGES = (409, 413, 415)

blueprint = APIBlueprint("api", __name__, url_prefix="/api", abp_security=[{"token": []}])
SECURITY_SCHEMES: dict[str, Any] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "an ID token of an account on AUTH_VIEWERS or AUTH_OPERATORS; with AUTH=iap the proxy sends it",
    }
}


def reads(rule: str, answer: type[BaseModel], *, may_miss: bool = False) -> Callable[[View], View]:
    """Make a view a GET route for viewers; `may_miss`: what is asked for may not exist (404)."""
    statuses = (*_USUAL, 404) if may_miss else _USUAL

    def decorate(view: View) -> View:
        blueprint.get(rule, responses={200: answer, **_problems(statuses)}, validate_response=False)(viewers(view))
        return view

    return decorate


def changes(rule: str, answers: ResponseDict, *, may_miss: bool = True) -> Callable[[View], View]:
    """Make a view a POST route for operators; `answers` are its models by status."""
    statuses = (*_USUAL, *_OF_CHANGES, *((404,) if may_miss else ()))

    def decorate(view: View) -> View:
        blueprint.post(rule, responses={**answers, **_problems(statuses)}, validate_response=False)(operators(view))
        return view

    return decorate


def answered(model: BaseModel, status: int = 200, **headers: str) -> Response:
    """Return a model as an answer."""
    return Response(model.model_dump_json(), status, headers, mimetype=JSON)


def unfit(error: ValidationError) -> Response:
    """Answer 422, naming each parameter or field and what is wrong with it; never a value, which may be a record's.

    Raises:
        Problem: always.
    """
    found = [
        {"where": ".".join(map(str, each["loc"])) or "body", "what": each["msg"]}
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    text = "; ".join(f"{each['where']}: {each['what']}" for each in found)
    raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, text[:1000], errors=found[:50])


@blueprint.before_request
def _take_each_parameter_once() -> None:
    """Refuse a parameter of the query that stands there twice: one of the two would be ignored, and nobody told."""
    found = [
        {"where": name, "what": "is given more than once"} for name, values in request.args.lists() if len(values) > 1
    ]
    if found:
        text = "; ".join(f"{each['where']}: {each['what']}" for each in found)
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, text[:1000], errors=found[:50])


@blueprint.before_request
def _take_json() -> None:
    """Refuse a body that is no JSON object before a view sees it; no body at all is the view's to judge."""
    if request.method != "POST" or not request.get_data():
        return
    if request.mimetype != JSON:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send the body as {JSON}")
    body = request.get_json(silent=True)
    if body is None:
        raise Problem(HTTPStatus.BAD_REQUEST, "the body is no JSON text (UTF-8, no NaN, no lone surrogate)")
    if not isinstance(body, dict):
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "body: should be a JSON object")


def _problems(statuses: tuple[int, ...]) -> ResponseDict:
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {PROBLEM: {"schema": _SEE}}}
        for status in statuses
    }
