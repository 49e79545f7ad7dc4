"""What a request to the source shows to be let in. Values live in memory, in no `repr`, message or log."""

import base64
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from ingestor.errors import SourceError


class Credential(Protocol):
    """A credential for one run. Used by several threads."""

    header: str
    """The header that carries it, which must not follow a redirect to another host; empty for none."""

    def headers(self) -> Mapping[str, str]:
        """Return the headers to send.

        Raises:
            SourceError: the credential cannot be had; one line without any of it.
        """

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Get the credential anew after the source refused `refused`; True when there is another one to try."""


class NoCredential:
    """The source lets everybody in."""

    header = ""

    def headers(self) -> Mapping[str, str]:
        """Return none."""
        return {}

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Return False: there is nothing to get anew."""
        del refused
        return False


class HeaderCredential:
    """A header's value that is fetched when first needed, kept for the run, and fetched again when it is refused."""

    def __init__(self, header: str, fetch: Callable[[], str]) -> None:
        """Take the header's name, and a function that gets its value from where it is kept."""
        self.header = header
        self._fetch, self._lock = fetch, threading.Lock()
        self._value: str | None = None

    def headers(self) -> Mapping[str, str]:
        """Return the header."""
        with self._lock:
            if self._value is None:
                self._value = self._fetch()
            return {self.header: self._value}

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Fetch again, unless another thread just did; True when the value changed."""
        with self._lock:
            if self._value == refused.get(self.header):
                self._value = self._fetch()
            return self._value != refused.get(self.header)

    def __repr__(self) -> str:
        return f"HeaderCredential({self.header!r}, value hidden)"


def header_of(auth: str) -> str:
    """Return the header that a SOURCE_AUTH uses; empty for `none`."""
    kind, _, name = auth.partition(":")
    return {"none": "", "header": name}.get(kind, "Authorization")


def header_value(auth: str, secret: str) -> str:
    """Return the header's value that a SOURCE_AUTH makes of a secret; the line end of a file is no part of it.

    Raises:
        SourceError: the secret cannot stand in a header, or is no `user:password` for `basic`.
    """
    secret = secret.rstrip("\r\n")
    if not secret or not secret.isascii() or not secret.isprintable():
        raise SourceError("the secret at SOURCE_SECRET is empty or has characters that no header takes: store it anew")
    if auth == "basic":
        if ":" not in secret:
            raise SourceError("the secret at SOURCE_SECRET is no USER:PASSWORD, which SOURCE_AUTH=basic needs")
        return "Basic " + base64.b64encode(secret.encode()).decode()
    return f"Bearer {secret}" if auth == "bearer" else secret
