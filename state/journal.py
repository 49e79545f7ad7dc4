"""The port behind which the ledger is stored, small enough that every adapter passes one contract suite.

A `Journal` belongs to one pipeline. One `commit` is one atomic write: the entry is *created* at its version, the index
documents it changes are merged, and, when given, the lane's snapshot is replaced under the token it was read with.
Everything clever (nonces, refolding, snapshots, hashes) lives above, in `state.ledger`, once for all adapters.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from state.views import Views

Document = Mapping[str, Any]
"""Plain values only: str, int, bool, None, bytes, lists and mappings of them."""

Token = object
"""Opaque proof of which write of a document was read (Firestore: its update time)."""

Time = Literal["attempted_at_us", "dead_at_us"]
"""What batches are listed by: when they were attempted (all have it) or when they were dead-lettered."""


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

    `batches`, `runs` and `receipts` map a document's id to the fields to merge into it (created when absent; other
    fields stay). `batch_tokens` names those of `batches` that must still be as they were read, `held` documents of
    these batches as they were read, where trouble may be known of them already (`state.troubled`). `snapshot` replaces
    the lane document; `snapshot_token` is the token it was last read or written with, None when it must not exist yet.
    `expire_at_us` is when the entry may be aged out; None: never. An index document may carry `expire_at_us` itself,
    None again when it must stay; adapters store it as the native type their TTL needs.
    """

    lane: str
    entry: Entry
    batches: Mapping[str, Document] = field(default_factory=dict)
    runs: Mapping[str, Document] = field(default_factory=dict)
    receipts: Mapping[str, Document] = field(default_factory=dict)
    batch_tokens: Mapping[str, Token] = field(default_factory=dict)
    held: Mapping[str, Document] = field(default_factory=dict)
    snapshot: Document | None = None
    snapshot_token: Token | None = None
    expire_at_us: int | None = None

    def __post_init__(self) -> None:
        if unchanged := self.batch_tokens.keys() - self.batches.keys():
            raise ValueError(f"tokens of batches that the commit does not change: {', '.join(sorted(unchanged))}")

    @property
    def indexes(self) -> "Mapping[Kind, Mapping[str, Document]]":
        """The index documents that it changes, by kind."""
        return {"batches": self.batches, "runs": self.runs, "receipts": self.receipts}

    @property
    def writes(self) -> int:
        """How many documents it writes, but for what a store keeps apart (`state.troubled`)."""
        return 1 + len(self.batches) + len(self.runs) + len(self.receipts) + (self.snapshot is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchQuery:
    """Which batches to list: those that agree with everything given.

    `run` is the run that attempted them. They come newest first by `by`; `since_us` (included) and `until_us` (not
    included) bound that time, in microseconds since 1970. Both times are written once, so paging is stable: `after` is
    the `page_key` of the last batch of the page before.
    """

    status: str | None = None
    lane: str | None = None
    run: str | None = None
    fingerprint: str | None = None
    by: Time = "attempted_at_us"
    since_us: int | None = None
    until_us: int | None = None
    after: str | None = None

    @property
    def equals(self) -> dict[str, str]:
        """The fields that must have these values."""
        asked = {"status": self.status, "lane": self.lane, "attempted_run": self.run, "fingerprint": self.fingerprint}
        return {name: value for name, value in asked.items() if value is not None}

    @property
    def goes_by_trouble(self) -> bool:
        """Whether it is of batches that were set aside, by what is kept of them apart (`state.troubled`): which run
        attempted a batch is not, because a dead letter of a batch carried over does not know it.
        """
        return self.by == "dead_at_us" and self.run is None

    def following(self, last: Document) -> "BatchQuery":
        """Return the query of the page after the one that ends with this batch."""
        return replace(self, after=page_key(last[self.by], last["batch_id"]))


def page_key(at_us: int, key: str) -> str:
    """Return where a page ends whose last document has this time and id."""
    return f"{at_us:020d}~{key}"


def from_page_key(text: str) -> tuple[int, str]:
    """Return the time and the id that a page key holds.

    Raises:
        ValueError: it is no page key.
    """
    at_us, separator, key = text.partition("~")
    if not (separator and key and at_us.isdecimal()):
        raise ValueError(f"{text!r} is no page of this list; start again from the first page")
    return int(at_us), key


@dataclass(frozen=True, slots=True)
class Committed:
    """The commit was applied. `snapshot_token` is set when it replaced the snapshot; `writes` counts documents."""

    writes: int
    snapshot_token: Token | None = None


Kind = Literal["batches", "runs", "receipts"]
"""The index documents, by the collection that they are of."""


@dataclass(frozen=True, slots=True)
class IndexDocument:
    """An index document as it was read, `row_digests` left out, and the token of that reading."""

    key: str
    document: Document
    token: Token


ALL_BATCHES = BatchQuery()


class Journal(Views, Protocol):
    """Storage of one pipeline's lanes and indexes; what only people ask of it stands in `Views`.

    Every method raises `LedgerUnavailable` when the store cannot be reached in bounded time (about 10 s a call, no
    hidden retries on `commit`).
    """

    def commit(self, commit: Commit) -> Committed:
        """Apply all of it or nothing.

        Raises:
            VersionConflict: the version exists, or the snapshot or a batch is not the one its token names.
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

    def read_batch_for_update(self, batch_id: str) -> tuple[Document, Token] | None:
        """Return what `read_batch` does, and the token that a change must present to rest on it."""

    def list_batches(self, query: BatchQuery = ALL_BATCHES, *, limit: int = 100) -> Sequence[Document]:
        """Return index documents without `row_digests`, as `BatchQuery` says. Each has `batch_id` and the time asked.

        Raises:
            ValueError: `after` is no page key.
        """

    def read_receipt(self, receipt: str) -> Document | None:
        """Return a receipt's document, or None."""

    def list_receipts(self, *, limit: int = 100, after: str | None = None) -> Sequence[Document]:
        """Return receipts without their `batch_ids`, newest first by `opened_at_us`, those after that page key.

        Raises:
            ValueError: `after` is no page key.
        """

    def read_run(self, run_id: str) -> Document | None:
        """Return a run's document, or None."""

    def list_runs(
        self, *, limit: int = 100, before: str | None = None, lane: str | None = None, status: str | None = None
    ) -> Sequence[Document]:
        """Return run documents, newest first (run ids sort by start): those before `before`, of this lane, in this
        status. Each has `run_id`.
        """

    def read_index(self, kind: Kind, *, limit: int, after: str | None = None) -> Sequence[IndexDocument]:
        """Return index documents in order of their keys: those after the key `after`."""

    def mend(self, kind: Kind, key: str, fields: Document, *, token: Token | None, gone: Collection[str] = ()) -> None:
        """Merge fields into one index document, and take those that are `gone` out, for `state.rebuild` alone.

        `token` is that of `read_index`, None when the document must not exist yet. Where a store keeps batches with
        trouble apart (`state.troubled`), a change that names a batch's `batch_id` carries all that is kept of it there.

        Raises:
            VersionConflict: the document is not the one that the token names.
            OutcomeUnknown: no answer, or one that does not tell.
        """

    def create_skip(self, skip_id: str, document: Document, expire_at_us: int) -> None:
        """Note a trigger that found a live run. Creating the same id twice changes nothing."""

    def close(self) -> None:
        """Release connections. Idempotent."""
