"""What every answer tells the browser: run only our own files, be framed by nobody, keep nothing.

No inline script and no inline style, anywhere: pages put them in files under `ops/static/` (htmx needs
`includeIndicatorStyles: false` and `allowEval: false`).
"""

from flask import Flask, Response, request

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Strict-Transport-Security": "max-age=31536000",
}
STATIC_CACHE = "private, max-age=3600"
"""Vendored files change only with a release, and hold nothing of anybody's."""


def secure(app: Flask) -> None:
    """Put the headers on every answer, errors included."""

    @app.after_request
    def add(response: Response) -> Response:
        response.headers.update(HEADERS)
        is_static = request.endpoint == "static" and response.status_code < 400  # noqa: PLR2004 - HTTP's errors begin here
        response.headers["Cache-Control"] = STATIC_CACHE if is_static else "no-store"
        return response
