"""Sources that say how to go on: a cursor or a link in the response, or a link in its headers. Pure."""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urljoin, urlsplit, urlunsplit

from ingestor.decode import records_at, value_at
from ingestor.pages import JsonValue
from ingestor.paging import BadCursor, PagingSettings, Reading, cursor_text, shown_cursor
from ingestor.urls import origin, with_params


class OpaqueCursors:
    """Cursors that only the source can read: nothing compares them."""

    whole = False

    def reaches(self, cursor: str, limit: str) -> bool:
        """Whether the two are equal."""
        return cursor == limit


class NextCursorPaging(OpaqueCursors):
    """The response names the next cursor; the request carries it as a query parameter."""

    def __init__(self, settings: PagingSettings) -> None:
        self._settings = settings

    def url(self, cursor: str | None) -> str:
        """Return the configured URL with its own query, the page size and the cursor."""
        settings = self._settings
        cursor = settings.start if cursor is None else cursor
        params = settings.size_params | ({} if cursor is None else {settings.cursor_param: cursor})
        return with_params(settings.url, params)

    def read(
        self, cursor: str | None, value: JsonValue, headers: Mapping[str, str], before: Reading | None = None
    ) -> Reading:
        """Read records and next cursor; an empty page that names itself again is the end of the data."""
        del headers, before  # parts of the port that others need
        settings = self._settings
        records = records_at(value, settings.records_path)
        after = cursor_text(value_at(value, settings.next_path), settings.next_path)
        asked = settings.start if cursor is None else cursor
        return _followed(records, asked, after, "SOURCE_CURSOR_PARAM and SOURCE_NEXT_PATH")


class LinkPaging(OpaqueCursors):
    """A link leads to the next page. Its cursor is the link without host, and `{name}` in it stands for what the query
    of SOURCE_URL says of a parameter: neither a key in SOURCE_URL nor a host's name gets into the ledger.
    """

    def __init__(self, settings: PagingSettings) -> None:
        self._settings = settings

    def url(self, cursor: str | None) -> str:
        """Return the page's URL at the host of SOURCE_URL, with SOURCE_URL's own query."""
        settings = self._settings
        cursor = settings.start if cursor is None else cursor
        if cursor is None:
            return with_params(settings.url, settings.size_params)
        base, (path, _, query) = urlsplit(settings.url), cursor.partition("?")
        own = _by_name(base.query)
        pieces = [own.get(piece[1:-1], piece) if piece[:1] == "{" else piece for piece in query.split("&")]
        return urlunsplit((base.scheme, base.netloc, path or base.path, "&".join(pieces), ""))

    def _cursor(self, link: str | None, cursor: str | None) -> str | None:
        """Return the cursor of a link that the page at `cursor` shows.

        Raises:
            BadCursor: it leads to another host, where the source's credentials must not go.
        """
        if link is None:
            return None
        url = urljoin(self.url(cursor), link)
        base, parts = urlsplit(self._settings.url), urlsplit(url)
        if origin(url)[0] != base.hostname or (parts.scheme == base.scheme and origin(url) != origin(base.geturl())):
            raise BadCursor(
                f"the next link leads to another host, {ascii(parts.netloc.rpartition('@')[2])[:100]}: "
                "set SOURCE_URL to the host that its links name"
            )
        own = _by_name(base.query)
        kept = [f"{{{n}}}" if own.get(n) == pieces else pieces for n, pieces in _by_name(parts.query).items()]
        return parts.path + ("?" + "&".join(kept) if kept else "")


class NextLinkPaging(LinkPaging):
    """The response holds the URL of the next page, absolute or relative, at SOURCE_NEXT_PATH."""

    def read(
        self, cursor: str | None, value: JsonValue, headers: Mapping[str, str], before: Reading | None = None
    ) -> Reading:
        """Read records and next link; an empty page that links to itself is the end of the data."""
        del headers, before
        settings = self._settings
        records = records_at(value, settings.records_path)
        link = value_at(value, settings.next_path)
        if link is not None and not isinstance(link, str):
            raise BadCursor(f"the next link at {settings.next_path!a} is no text: set SOURCE_NEXT_PATH to a URL")
        return _followed(records, cursor, self._cursor(link or None, cursor), "SOURCE_NEXT_PATH")


class HeaderLinkPaging(LinkPaging):
    """The header `Link` with `rel="next"` leads to the next page (RFC 8288)."""

    def read(
        self, cursor: str | None, value: JsonValue, headers: Mapping[str, str], before: Reading | None = None
    ) -> Reading:
        """Read the records, and the link of the headers."""
        del before
        records = records_at(value, self._settings.records_path)
        link = next_link(headers.get("Link", ""))
        return _followed(records, cursor, self._cursor(link, cursor), "the API's Link header")


def _by_name(query: str) -> dict[str, str]:
    """Return the pieces of a query as they are written, those of one name together."""
    found: dict[str, str] = {}
    for piece in filter(None, query.split("&")):
        name = piece.partition("=")[0]
        found[name] = f"{found[name]}&{piece}" if name in found else piece
    return found


_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[^\s;=,"]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)')
_PARAM = re.compile(r';\s*([^\s;=,"]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?')


def next_link(header: str) -> str | None:
    """Return the target of the first link of a Link header whose relations include `next` (RFC 8288, section 3)."""
    return next((target for target, relations in _links(header) if "next" in relations), None)


def _links(header: str) -> Iterator[tuple[str, list[str]]]:
    for target, params in _LINK.findall(header):
        said = [quoted or plain for name, quoted, plain in _PARAM.findall(params) if name.lower() == "rel"]
        yield target.strip(), said[0].lower().split() if said else []  # of several `rel` the first one counts


def _followed(records: list[JsonValue], cursor: str | None, after: str | None, checked: str) -> Reading:
    if after is None or after != cursor:
        return Reading(records, after)
    if records:
        raise BadCursor(
            f"the page at cursor {shown_cursor(after)} names itself as the next one but has records "
            f"({len(records)}): check {checked}, the source seems to ignore them"
        )
    return Reading(records, None)
