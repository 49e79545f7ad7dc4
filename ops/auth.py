"""Who may do what in the operators' service: viewers read, operators change, everybody else is refused and logged.

For those who write views:

    from ops.auth import acting_email, may_operate, operators, viewers

    @blueprint.get("/batches")
    @viewers                     # operators are viewers too
    def batches() -> str: ...

    @blueprint.post("/batches/<batch_id>/replay")
    @operators                   # the CSRF check has passed when this runs (`ops.csrf`)
    def replay(batch_id: str) -> Response:
        actions.replay(batch_id, reason=...)   # acts as `acting_email()`

Denied by default: a view with neither mark answers 403 to everybody, and what does not exist is told to viewers only.
In templates `acting_email` (a text), `may_operate` (a boolean), `csrf_token()` and `csrf_field()` are there.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, current_app, g, request

from ingestor.callers import FORBIDDEN, Caller, CallerRefused, Callers, Request
from ingestor.config import Config
from ingestor.lognames import LogName
from ops.service import service

View = TypeVar("View", bound=Callable[..., Any])
ROLE = "ingestor_role"
VIEWER, OPERATOR, ANYBODY = "viewer", "operator", "anybody"


def viewers(view: View) -> View:
    """Let viewers and operators have this view."""
    setattr(view, ROLE, VIEWER)
    return view


def operators(view: View) -> View:
    """Let only operators have this view."""
    setattr(view, ROLE, OPERATOR)
    return view


def anybody(view: View) -> View:
    """Let everybody have this view: for probes of the platform that carry no token, and tell nothing."""
    setattr(view, ROLE, ANYBODY)
    return view


def acting_email() -> str:
    """Return who calls; every action is written down under this name."""
    return str(_caller().email)


def may_operate() -> bool:
    """Whether the caller may change something; what a viewer may not press is not shown to one."""
    return _is_operator(_caller(), service().config)


def refusals() -> dict[str, int]:
    """Return how many requests this process refused, by the reason's code (`auth.refused` has them all)."""
    return dict(_counted())


def guard(app: Flask, callers: Callers) -> None:
    """Let every request of the application pass the door."""
    app.extensions["ingestor_refused"] = Counter[str]()

    @app.before_request
    def admit() -> None:
        role = _role_of_view()
        if role == ANYBODY:
            return
        try:
            g.caller = callers.caller(Request(request.headers.get, request.remote_addr or "", request.host))
            _require(g.caller, role, service().config)
        except CallerRefused as refused:
            note(refused)
            raise

    app.context_processor(lambda: {"acting_email": acting_email(), "may_operate": may_operate()} if _is_known() else {})


def note(refused: CallerRefused) -> None:
    """Log and count a refusal; with the caller's name where something vouches for it."""
    _counted()[refused.code] += 1
    actor = {"actor": g.caller.email} if _is_known() else {}
    service().log(LogName.AUTH_REFUSED, "WARNING", code=refused.code, status=str(refused.status), **actor)


def _require(caller: Caller, role: str | None, config: Config) -> None:
    is_operator = _is_operator(caller, config)
    if not is_operator and not caller.is_one_of(config.auth_viewers):
        raise CallerRefused(FORBIDDEN, "not_viewer", "you are on neither AUTH_VIEWERS nor AUTH_OPERATORS")
    if role == OPERATOR and not is_operator:
        raise CallerRefused(FORBIDDEN, "not_operator", "viewers may look, only AUTH_OPERATORS may change")
    if role is None:
        raise CallerRefused(FORBIDDEN, "no_role", "nobody may do this")


def _role_of_view() -> str | None:
    """The view's mark. What is not there, or not with this method, is for viewers to be told."""
    if request.endpoint is None or request.endpoint == "static":
        return VIEWER
    return getattr(current_app.view_functions.get(request.endpoint), ROLE, None)


def _is_operator(caller: Caller, config: Config) -> bool:
    return caller.is_one_of(config.auth_operators)


def _is_known() -> bool:
    return "caller" in g


def _caller() -> Caller:
    caller = g.caller
    assert isinstance(caller, Caller)  # noqa: S101 - said to the type checker
    return caller


def _counted() -> Counter[str]:
    found: Counter[str] = current_app.extensions["ingestor_refused"]
    return found
