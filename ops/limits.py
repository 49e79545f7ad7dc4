"""How often one caller may ask: enough for a person and a script, not for a loop that went wrong.

Counted per e-mail and process in a moving window; callers who are refused cost a signature check and are not counted.
"""

from flask import Flask, g, request
from flask_limiter import Limiter

from ops.auth import acting_email

READS, CHANGES = "3000 per minute", "300 per minute"
"""Pages ask several times a second while a replay is shown live."""


def limit(app: Flask, reads: str = READS, changes: str = CHANGES) -> None:
    """Answer 429 with `Retry-After` beyond these; the caller is known by then (`ops.auth.guard`)."""
    limiter = Limiter(
        key_func=acting_email,
        application_limits=[lambda: changes if request.method == "POST" else reads],
        application_limits_per_method=True,
        storage_uri="memory://",
        strategy="moving-window",
        headers_enabled=True,
    )
    limiter.request_filter(lambda: "caller" not in g)  # the platform's probes, see `ops.auth.anybody`
    limiter.init_app(app)
