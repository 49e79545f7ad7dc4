"""The port behind which the ledger is stored, small enough that every adapter passes one contract suite.

A `Journal` belongs to one pipeline. One `commit` is one atomic write: the entry is *created* at its version, the index
documents it changes are merged, and, when given, the lane's snapshot is replaced under the token it was read with.
Everything clever (nonces, refolding, snapshots, hashes) lives above, in `state.ledger`, once for all adapters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Document = Mapping[str, Any]
"""Plain values only: str, int, bool, None, bytes, lists and mappings of them."""

Token = object
"""Opaque proof of which write of a snapshot was read (Firestore: its update time)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One atomic commit of a lane's journal as it is stored. `hash` covers all the rest, `prev_hash` chains it."""

    version: int
    nonce: str
    schema_version: int
    at_us: int
    run_id: str
    events: tuple[Document, ...]
    prev_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as read back. `age_s` is by the server's clock: its read time less the entry's creation time."""

    entry: Entry
    age_s: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The lane document: the folded state at `version`, and the token that a replacement must present."""

    version: int
    document: Document
    token: Token


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What one atomic write changes.

    `batches` and `runs` map a document's id to the fields to merge into it (created when absent; other fields stay).
    `snapshot` replaces the lane document; `snapshot_token` is the token it was last read or written with, None when it
    must not exist yet. `expire_at_us` is when the entry may be aged out; None: never. An index document may carry
    `expire_at_us` itself; adapters store it as the native type their TTL needs.
    """

    lane: str
    entry: Entry
    batches: Mapping[str, Document] = field(default_factory=dict)
    runs: Mapping[str, Document] = field(default_factory=dict)
    snapshot: Document | None = None
    snapshot_token: Token | None = None
    expire_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """The commit was applied. `snapshot_token` is set when it replaced the snapshot; `writes` counts documents."""

    writes: int
    snapshot_token: Token | None = None


class Journal(Protocol):
    """Storage of one pipeline's lanes and indexes.

    Every method raises `LedgerUnavailable` when the store cannot be reached in bounded time (about 10 s a call, no
    hidden retries on `commit`).
    """

    def commit(self, commit: Commit) -> Committed:
        """Apply all of it or nothing.

        Raises:
            VersionConflict: the version exists, or the snapshot is not the one the token names.
            OutcomeUnknown: no answer, or one that does not tell; the commit may have been applied, now or later.
        """

    def read_snapshot(self, lane: str) -> Snapshot | None:
        """Return the lane document, or None when the lane never had one."""

    def read_entry(self, lane: str, version: int) -> StoredEntry | None:
        """Return one entry, or None when it does not exist (or has aged out)."""

    def read_entries(self, lane: str, first: int, limit: int) -> Sequence[StoredEntry]:
        """Return up to `limit` entries with version >= `first`, in order of version."""

    def read_lanes(self) -> Sequence[str]:
        """Return the names of the pipeline's lanes that have a snapshot, sorted."""

    def read_batch(self, batch_id: str) -> Document | None:
        """Return a batch's index document, its `row_digests` included, or None."""

    def list_batches(
        self, *, status: str | None = None, lane: str | None = None, limit: int = 100, after: str | None = None
    ) -> Sequence[Document]:
        """Return index documents without `row_digests`, by batch id, those after `after`. Each has `batch_id`."""

    def list_runs(self, *, limit: int = 100, before: str | None = None) -> Sequence[Document]:
        """Return run documents, newest first (run ids sort by start), those before `before`. Each has `run_id`."""

    def create_skip(self, skip_id: str, document: Document, expire_at_us: int) -> None:
        """Note a trigger that found a live run. Creating the same id twice changes nothing."""

    def close(self) -> None:
        """Release connections. Idempotent."""
