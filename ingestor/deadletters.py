"""Dead letters in the bucket: created once, never changed, never deleted by this software.

Names follow from the batch, so a repeated attempt writes the same object: `if_generation_match=0` makes the second one
fail, and an equal checksum tells that the first one is ours. A different set of rejected records under the same name
(newer code words its reasons differently) gets a name with its own content hash.
"""

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any, Protocol

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, PreconditionFailed
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[attr-defined]  # a namespace package without types
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.exceptions import RequestException

from ingestor.batch import Batch, RejectedRecord
from ingestor.decode import canonical_json
from ingestor.errors import DeadLetterError

CALL_TIMEOUT_S = 10.0
RETRY_BUDGET_S = 30.0


class RejectStore(Protocol):
    """Where the rejected records of a batch become durable."""

    def store(self, batch: Batch) -> tuple[str, int]:
        """Return the object's name and generation once it is durable.

        Raises:
            DeadLetterError: it is not; one line says why.
        """


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


def rejected_name(pipeline: str, batch_id: str, ingest_time_us: int, content_hash: str = "") -> str:
    """Return `{pipeline}/records/{yyyy}/{mm}/{dd}/{batch_id}[.{hash}].jsonl`; the date is the ingest time's, UTC."""
    day = datetime.fromtimestamp(ingest_time_us // 1_000_000, UTC).strftime("%Y/%m/%d")
    return f"{pipeline}/records/{day}/{batch_id}{'.' + content_hash if content_hash else ''}.jsonl"


def rejected_lines(rejected: tuple[RejectedRecord, ...]) -> bytes:
    """Return the rejected records as JSON lines: `row_index, stage, reason, field, record`."""
    return b"".join(
        canonical_json(
            {
                "row_index": item.index,
                "stage": item.rejection.stage,
                "reason": item.rejection.reason,
                "field": item.rejection.field,
                "record": item.record,
            }
        )
        + b"\n"
        for item in rejected
    )


class RejectedRecords:
    """The bucket's `records/` of one pipeline."""

    def __init__(self, client: storage.Client, bucket: str, pipeline: str, lane: str, run_id: str) -> None:
        self._bucket = client.bucket(bucket)
        self._pipeline, self._lane, self._run_id = pipeline, lane, run_id
        self._retry: Retry = DEFAULT_RETRY.with_timeout(RETRY_BUDGET_S)

    def check(self) -> None:
        """Look whether the bucket is there.

        A caller that may create objects but not look at the bucket gets 403 for one that exists and 404 for one that
        does not, so this needs no permission beyond those of `store`.

        Raises:
            DeadLetterError: there is no such bucket, or no answer.
        """
        try:
            self._bucket.reload(timeout=CALL_TIMEOUT_S, retry=self._retry)
        except Forbidden:
            return
        except NotFound:
            raise DeadLetterError(
                f"bucket {self._bucket.name} does not exist: create it or correct DEAD_LETTER_BUCKET"
            ) from None
        except (GoogleAPIError, RequestException) as error:
            raise self._unreachable(error) from None

    def store(self, batch: Batch) -> tuple[str, int]:
        """Make the batch's rejected records durable; storing the same ones twice is the same object."""
        content = rejected_lines(batch.rejected)
        attempted = batch.attempted
        name = rejected_name(self._pipeline, attempted.batch_id, attempted.ingest_time_us)
        try:
            generation = self._create(name, content, batch)
            if generation is None:
                other = hashlib.sha256(content).hexdigest()[:16]
                name = rejected_name(self._pipeline, attempted.batch_id, attempted.ingest_time_us, other)
                generation = self._create(name, content, batch)
        except (GoogleAPIError, RequestException) as error:
            raise self._unreachable(error) from None
        if generation is None:
            raise DeadLetterError(f"object {name} exists with other content than its name says; nothing was changed")
        return name, generation

    def _create(self, name: str, content: bytes, batch: Batch) -> int | None:
        """Create the object and return its generation; None when the name holds something else."""
        blob = self._bucket.blob(name)
        blob.metadata = {
            "batch_id": batch.batch_id,
            "pipeline": self._pipeline,
            "lane": self._lane,
            "run_id": self._run_id,
            "row_count": str(len(batch.rejected)),
        }
        try:
            blob.upload_from_string(
                content,
                content_type="application/x-ndjson",
                if_generation_match=0,
                checksum="crc32c",
                timeout=CALL_TIMEOUT_S,
                retry=self._retry,
            )
        except PreconditionFailed:
            blob.reload(timeout=CALL_TIMEOUT_S, retry=self._retry)
            if blob.md5_hash != base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode():
                return None
        generation: int = blob.generation
        return generation

    def _unreachable(self, error: Any) -> DeadLetterError:  # noqa: ANN401 - errors of two libraries
        text = " ".join(str(error).split())[:300]
        return DeadLetterError(
            f"bucket {self._bucket.name} did not take the rejected records ({text}): "
            "check that it exists and that the run may create objects in it"
        )
