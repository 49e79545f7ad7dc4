"""Objects of the dead-letter bucket: created once, never changed, never deleted by this software.

`if_generation_match=0` makes the second creation of a name fail, so a retry is safe; what the name holds then, the
caller reads and compares. Every call ends in bounded time and fails with one line.
"""

from collections.abc import Mapping
from typing import Any

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, PreconditionFailed
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage  # type: ignore[attr-defined]  # a namespace package without types
from google.cloud.storage.exceptions import InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.exceptions import RequestException

from ingestor.errors import DeadLetterError

CALL_TIMEOUT_S = 10.0
RETRY_BUDGET_S = 30.0
_FAILURES = (GoogleAPIError, GoogleAuthError, InvalidResponse, RequestException)
_SHOWN = 300


class ObjectGone(DeadLetterError):  # noqa: N818 - named after what was found
    """An object, or the generation of it that the ledger names, is not in the bucket any more."""


def storage_client(project: str, emulator_host: str | None) -> storage.Client:
    """Return a client; against an emulator (which the library finds by STORAGE_EMULATOR_HOST) without credentials."""
    if emulator_host is None:
        return storage.Client(project=project)
    endpoint = emulator_host if "://" in emulator_host else f"http://{emulator_host}"
    return storage.Client(
        project=project,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": endpoint},
    )


class Bucket:
    """The dead-letter bucket: create, read, look whether it is there. Thread-safe as the client is."""

    def __init__(self, client: storage.Client, name: str, *, retry_budget_s: float = RETRY_BUDGET_S) -> None:
        """Make no call yet. `retry_budget_s` bounds the time in which one call is tried again."""
        self.name = name
        self._bucket = client.bucket(name)
        self._retry: Retry = DEFAULT_RETRY.with_timeout(retry_budget_s)

    def check(self) -> None:
        """Look whether the bucket is there.

        A caller that may create objects but not look at the bucket gets 403 for one that exists and 404 for one that
        does not, so this needs no permission beyond those of `create`.

        Raises:
            DeadLetterError: there is no such bucket, or no answer.
        """
        try:
            self._bucket.reload(timeout=CALL_TIMEOUT_S, retry=self._retry)
        except Forbidden:
            return
        except NotFound:
            raise DeadLetterError(
                f"bucket {self.name} does not exist: create it or correct DEAD_LETTER_BUCKET"
            ) from None
        except _FAILURES as error:
            raise self._failed("did not answer", error) from None

    def create(self, name: str, content: bytes, content_type: str, metadata: Mapping[str, str]) -> int | None:
        """Return the new object's generation once it is durable; None when the name is taken.

        Raises:
            DeadLetterError: it is not durable.
        """
        blob = self._bucket.blob(name)
        blob.metadata = dict(metadata)
        try:
            blob.upload_from_string(
                content,
                content_type=content_type,
                if_generation_match=0,
                checksum="crc32c",
                timeout=CALL_TIMEOUT_S,
                retry=self._retry,
            )
        except PreconditionFailed:
            return None
        except _FAILURES as error:
            raise self._failed(f"did not take {name}", error) from None
        generation: int = blob.generation
        return generation

    def exists(self, name: str, generation: int) -> bool:
        """Tell whether this generation of an object is there.

        Raises:
            DeadLetterError: the bucket does not say.
        """
        blob = self._bucket.blob(name, generation=generation)
        try:
            return bool(blob.exists(timeout=CALL_TIMEOUT_S, retry=self._retry))
        except _FAILURES as error:
            raise self._failed(f"did not tell whether it holds {name}", error) from None

    def read(self, name: str, generation: int | None = None) -> tuple[bytes, int]:
        """Return an object's content and generation, checked against its checksum; by default the live one.

        Raises:
            ObjectGone: there is no such object or generation.
            DeadLetterError: it cannot be read.
        """
        blob = self._bucket.blob(name, generation=generation)
        try:
            if generation is None:
                blob.reload(timeout=CALL_TIMEOUT_S, retry=self._retry)
                generation = int(blob.generation)
                blob = self._bucket.blob(name, generation=generation)
            content: bytes = blob.download_as_bytes(timeout=CALL_TIMEOUT_S, retry=self._retry, checksum="crc32c")
        except NotFound:
            which = "" if generation is None else f" (generation {generation})"
            raise ObjectGone(
                f"{name}{which} is not in bucket {self.name}: restore it from soft delete, or discard the batch"
            ) from None
        except _FAILURES as error:
            raise self._failed(f"did not yield {name}", error) from None
        return content, generation

    def _failed(self, what: str, error: Any) -> DeadLetterError:  # noqa: ANN401 - errors of three libraries
        text = " ".join(str(error).split())[:_SHOWN]
        return DeadLetterError(
            f"bucket {self.name} {what} ({text}): "
            "check that it exists and that this account may create and read objects in it"
        )
