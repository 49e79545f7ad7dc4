"""Google ID tokens for sources behind Cloud Run's or IAP's check, minted by google-auth and renewed before they expire.

The account is the run's own: on Google Cloud that of the metadata server, elsewhere the service account that
GOOGLE_APPLICATION_CREDENTIALS names.
"""

import threading
from collections.abc import Mapping
from typing import Any

import google.auth.transport.requests
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.oauth2 import id_token

from ingestor.errors import SourceError


class IdTokenCredential:
    """A bearer token for one audience. google-auth counts a token as expired some minutes before it is."""

    header = "Authorization"

    def __init__(self, audience: str) -> None:
        """Take the audience: the URL of a Cloud Run service, or the OAuth client id of IAP."""
        self._audience, self._lock = audience, threading.Lock()
        self._credentials: Any = None

    def headers(self) -> Mapping[str, str]:
        """Return the header with a token that is still good."""
        with self._lock:
            if self._credentials is None or not self._credentials.valid:
                self._mint()
            return self._shown()

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Mint another token, unless another thread just did."""
        with self._lock:
            if self._shown() == refused:
                self._mint()
            return self._shown() != refused

    def __repr__(self) -> str:
        return f"IdTokenCredential({self._audience!r}, token hidden)"

    def _shown(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._credentials.token}"}

    def _mint(self) -> None:
        request = google.auth.transport.requests.Request()
        fetch: Any = id_token.fetch_id_token_credentials  # the library has no types
        try:
            if self._credentials is None:
                self._credentials = fetch(self._audience, request)
            self._credentials.refresh(request)
        except DefaultCredentialsError:
            raise SourceError(
                f"no ID token for {self._audience!a}: there is neither a metadata server nor a service account: run on "
                "Google Cloud, or name a service account's key file in GOOGLE_APPLICATION_CREDENTIALS"
            ) from None
        except (GoogleAuthError, ValueError) as error:
            raise SourceError(
                f"no ID token for {self._audience!a} ({type(error).__name__}): check the audience in SOURCE_AUTH and "
                "the account's right to mint tokens"
            ) from None
