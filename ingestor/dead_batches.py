"""Dead batches in the bucket: one object each, named after the batch, so that setting it aside twice is one object."""

from google.cloud import storage  # type: ignore[attr-defined]  # a namespace package without types
from ingestor_protos.ingestor_pb2 import DeadLetterBatch

from ingestor.bucket import RETRY_BUDGET_S, Bucket
from ingestor.envelope import DeadBatch, Origin, UnreadableEnvelope, metadata_of, object_name, opened, same_rows, sealed
from ingestor.errors import DeadLetterError

CONTENT_TYPE = "application/x-protobuf"


class DeadBatches:
    """The bucket's `batches/` of one pipeline."""

    def __init__(self, client: storage.Client, bucket: str, *, retry_budget_s: float = RETRY_BUDGET_S) -> None:
        self._bucket = Bucket(client, bucket, retry_budget_s=retry_budget_s)

    def store(self, origin: Origin, dead: DeadBatch) -> tuple[str, int]:
        """Return the object's name and generation once it is durable.

        An object of that name is the same batch, written by an earlier attempt or by a zombie, when it holds the same
        rows; why it was set aside may differ, and the first one stays.

        Raises:
            DeadLetterError: it is not durable, or the name holds other rows; one line says why.
        """
        envelope = sealed(origin, dead)
        name = object_name(envelope.pipeline, envelope.batch_id, envelope.ingest_time_us)
        generation = self._bucket.create(name, envelope.SerializeToString(), CONTENT_TYPE, metadata_of(envelope))
        if generation is None:
            content, generation = self._bucket.read(name)
            if not same_rows(self._opened(name, content), envelope):
                raise DeadLetterError(
                    f"{name} in bucket {self._bucket.name} holds other rows than batch {envelope.batch_id}: "
                    "nothing was changed; look whether another system writes to this bucket"
                )
        return name, generation

    def load(self, name: str, generation: int | None = None) -> DeadLetterBatch:
        """Return the dead batch of an object that `store` named, checked; its rows are `envelope.rows_of(it)`.

        Raises:
            ObjectGone: the object, or this generation of it, is not in the bucket any more.
            DeadLetterError: it cannot be read, or is no dead batch of a known version.
        """
        content, _ = self._bucket.read(name, generation)
        return self._opened(name, content)

    def _opened(self, name: str, content: bytes) -> DeadLetterBatch:
        try:
            return opened(content)
        except UnreadableEnvelope as error:
            raise DeadLetterError(
                f"{name} in bucket {self._bucket.name} cannot be read as a dead batch: {error}; "
                "compare the object's generation with the ledger's"
            ) from None
