"""URLs of requests: parameters put in, and what may be shown of them. Pure."""

from collections.abc import Mapping
from urllib.parse import unquote_plus, urlencode, urlsplit, urlunsplit

_SHOWN_URL = 400


def with_params(url: str, params: Mapping[str, str]) -> str:
    """Return `url` with its own query kept as written and `params` added; those of the same name are replaced."""
    parts = urlsplit(url)
    own = [piece for piece in parts.query.split("&") if piece and unquote_plus(piece.partition("=")[0]) not in params]
    query = "&".join([*own, urlencode(params)] if params else own)
    return urlunsplit(parts._replace(query=query, fragment=""))


def public_url(url: str, cursor_param: str) -> str:
    """Return `url` for a message: no user, no password, and of the query only names and the cursor's value."""
    parts = urlsplit(url)
    pieces = []
    for piece in parts.query.split("&"):
        name, equals, _ = piece.partition("=")
        pieces.append(piece if unquote_plus(name) == cursor_param else name + ("=..." if equals else ""))
    query = "&".join(pieces)
    shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))
    return shown if len(shown) <= _SHOWN_URL else shown[: _SHOWN_URL - 3] + "..."


def origin(url: str) -> tuple[str | None, int | None]:
    """Return host and port of a URL, the scheme's own port when it names none."""
    parts = urlsplit(url)
    return parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
