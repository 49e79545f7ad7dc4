"""The keys that an issuer signs its tokens with, fetched once and kept as long as the issuer says.

Google's libraries fetch them anew for each token. Two forms are read: a JSON web key set (RFC 7517), and an object of
PEM certificates or public keys by key id, as Google publishes them too.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ingestor.errors import IngestorError

if TYPE_CHECKING:
    import requests

FETCH_TIMEOUT_S = 10.0
LARGEST_BYTES = 1024 * 1024
SHORTEST_S, USUAL_S, LONGEST_S = 300.0, 3600.0, 86_400.0
"""Bounds of the age that the issuer may ask for, and what is kept when it does not say."""
PAUSE_S = 60.0
"""Between two fetches for a key id that is not known, so that made-up ids do not become requests to the issuer."""
STALE_S = 3600.0
"""Kept so much longer while the issuer cannot be reached."""
_MAX_AGE = re.compile(r"max-age=(\d{1,9})")


class CertificatesUnavailable(IngestorError):  # noqa: N818 - named after a state, not a fault of the caller
    """The issuer's certificates cannot be had; no caller can be told from another."""


class Certificates:
    """Public keys by key id. Used by all threads of a process; nothing is fetched before the first token."""

    def __init__(self, url: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._url, self._monotonic = url, monotonic
        self._lock = threading.Lock()
        self._keys: Mapping[str, Any] = {}
        self._fresh_until = self._asked_at = float("-inf")

    def key(self, key_id: str) -> Any:  # noqa: ANN401 - cryptography's public keys have no common type
        """Return the public key of this id, None when the issuer has none.

        Raises:
            CertificatesUnavailable: the issuer cannot be reached, and what was fetched before is too old.
        """
        with self._lock:
            now_s = self._monotonic()
            is_new = key_id not in self._keys and now_s - self._asked_at >= PAUSE_S
            if now_s >= self._fresh_until or is_new:
                self._renew(now_s)
            return self._keys.get(key_id)

    def _renew(self, now_s: float) -> None:
        may_ask = now_s - self._asked_at >= PAUSE_S or not self._keys
        try:
            if may_ask:
                self._asked_at = now_s
                self._keys, age_s = _fetched(self._url)
                self._fresh_until = now_s + age_s
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            if not self._keys or now_s >= self._fresh_until + STALE_S:
                raise CertificatesUnavailable(
                    f"certificates of {self._url} cannot be read ({type(error).__name__}); check AUTH_CERTS_URL"
                ) from error


def _fetched(url: str) -> tuple[dict[str, Any], float]:
    import requests  # noqa: PLC0415 - loaded by those who fetch

    with requests.get(url, timeout=FETCH_TIMEOUT_S, stream=True, allow_redirects=False) as response:
        if response.status_code != requests.codes.ok:
            raise ValueError(f"the issuer answers {response.status_code}")
        body = _read(response)
        found = _MAX_AGE.search(response.headers.get("Cache-Control", ""))
    age_s = min(max(float(found[1]), SHORTEST_S), LONGEST_S) if found else USUAL_S
    return parsed(body), age_s


def _read(response: "requests.Response") -> bytes:
    body = b""
    for chunk in response.iter_content(64 * 1024):
        body += chunk
        if len(body) > LARGEST_BYTES:
            raise ValueError("the issuer's answer is too large")
    return body


def parsed(body: bytes) -> dict[str, Any]:
    """Return the public keys of a key set, or of an object of PEM texts.

    Raises:
        ValueError: it is neither, or a key cannot be read.
    """
    import orjson  # noqa: PLC0415 - likewise
    from jwt import PyJWKSet  # noqa: PLC0415 - likewise
    from jwt.exceptions import PyJWTError  # noqa: PLC0415 - likewise

    found = orjson.loads(body)
    if not isinstance(found, dict) or not found:
        raise ValueError("the issuer's answer holds no keys")
    if "keys" not in found:
        return {str(key_id): _public_key(text) for key_id, text in found.items()}
    try:
        return {str(key.key_id): key.key for key in PyJWKSet.from_dict(found).keys}
    except PyJWTError as error:
        raise ValueError("the issuer's key set cannot be read") from error


def _public_key(text: object) -> Any:  # noqa: ANN401 - likewise
    from cryptography import x509  # noqa: PLC0415 - likewise
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - likewise

    pem = str(text).encode()
    return x509.load_pem_x509_certificate(pem).public_key() if b"CERTIFICATE" in pem else load_pem_public_key(pem)
