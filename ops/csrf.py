"""Forged requests from other sites are refused: the browser's word for where a request comes from, and a token.

Two independent checks of everything that is not GET, HEAD or OPTIONS:

- `Sec-Fetch-Site`, which pages cannot forge, must be `same-origin` (or `none`: typed by a person) where it is sent, and
  an `Origin` must be this host. Browsers since 2023 send both.
- A request from a browser (it sends `Sec-Fetch-Site` or `Origin`), and every form, must repeat the random value of a
  `SameSite=Strict`, `HttpOnly` cookie, in the field `csrf_token` or the header `X-CSRF-Token`. Another site can make a
  browser send the cookie, never read it; the `__Host-` prefix keeps sister domains from setting it.

A program with a bearer token that sends JSON, or nothing, needs neither: no browser can be made to send that token.
Nothing is stored, so any instance can check what another handed out.
"""

import hmac
import secrets

from flask import Flask, Response, g, request
from markupsafe import Markup

from ingestor.callers import FORBIDDEN, CallerRefused, require_same_site
from ops.auth import note
from ops.service import service

FIELD, HEADER = "csrf_token", "X-CSRF-Token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_TOKEN_BYTES = 32
_JSON = "application/json"


def csrf_token() -> str:
    """Return the value that a form of this browser must repeat."""
    if "csrf" not in g:
        g.csrf = request.cookies.get(_cookie()) or secrets.token_urlsafe(_TOKEN_BYTES)
    return str(g.csrf)


def csrf_field() -> Markup:
    """Return the hidden field for a form."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, csrf_token())


def protect(app: Flask) -> None:
    """Check every request that may change something; the caller is known and admitted by then (`ops.auth.guard`)."""

    @app.before_request
    def check() -> None:
        if request.method in SAFE:
            return
        try:
            _check()
        except CallerRefused as refused:
            note(refused)
            raise

    @app.after_request
    def keep(response: Response) -> Response:
        if "csrf" in g and g.csrf != request.cookies.get(_cookie()):
            is_secure = _is_secure()
            response.set_cookie(_cookie(), g.csrf, secure=is_secure, httponly=True, samesite="Strict", path="/")
        return response

    app.context_processor(lambda: {"csrf_token": csrf_token, "csrf_field": csrf_field})


def _check() -> None:
    require_same_site(request.headers.get, request.host)
    is_browser = "Sec-Fetch-Site" in request.headers or "Origin" in request.headers
    is_program = not is_browser and (request.mimetype == _JSON or not (request.mimetype or request.content_length))
    if not is_program and not _token_fits():
        raise CallerRefused(FORBIDDEN, "csrf", "the form's token is missing or not this browser's: load the page again")


def _token_fits() -> bool:
    kept = request.cookies.get(_cookie(), "")
    sent = request.headers.get(HEADER) or ("" if request.mimetype == _JSON else request.form.get(FIELD, ""))
    return bool(kept) and hmac.compare_digest(kept.encode(), sent.encode())


def _is_secure() -> bool:
    """On this machine (AUTH=none) pages come over plain HTTP, elsewhere over Google's front end and TLS."""
    return service().config.auth != "none"


def _cookie() -> str:
    return "__Host-csrf" if _is_secure() else "csrf"
