"""Cutting records into batches, and the ids that follow from what is in them. Pure.

The cut is a function of the records from a position on, so a resumed run rebuilds the same batches; the id is a
function of everything that makes a batch what it is, so equal ids mean equal rows. Nothing here knows of time except
`ingest_time_us`, which is handed in once and then travels with the batch.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice, repeat
from typing import cast

from ingestor.decode import canonical_json
from ingestor.descriptor import METADATA_FIELDS
from ingestor.encode import Rejection
from ingestor.pages import JsonValue, SourceRequest
from ingestor.unread import Unread, record_digest
from state.events import DIGEST_SIZE, BatchAttempted, Position

Encode = Callable[[object], bytes | Rejection]


def _before(kind: bytes) -> bytes:
    """Return what stands before a digest in what a batch id is the hash of."""
    return len(kind).to_bytes(4, "big") + kind + DIGEST_SIZE.to_bytes(4, "big")


_BEFORE_ROW, _BEFORE_REJECTED = _before(b"row"), _before(b"rejected")


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a batch ends: after `rows` records or before the record that would take it over `bytes` encoded bytes."""

    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record that is no row: its place in the batch, its original and why."""

    index: int
    record: JsonValue
    rejection: Rejection


@dataclass(frozen=True, slots=True)
class Segment:
    """Where a stretch of a batch's records comes from: the record at `index` of the batch and those after it are
    `records()[offset]` and those after it.
    """

    index: int
    offset: int
    records: Callable[[], tuple[JsonValue, ...]]
    request: SourceRequest | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A batch being filled. `outcomes` holds, in source order, each record's row or its rejection."""

    start: Position
    end: Position
    outcomes: tuple[bytes | RejectedRecord, ...] = ()
    size_bytes: int = 0
    tail: tuple[JsonValue, ...] = ()
    """The draft's records of the page at `end.cursor`; empty when the draft ends between pages."""
    segments: tuple[Segment, ...] = ()
    within: Position | None = None
    """The same place as `end`, said within the last page: a page's end gets its other name, the start of the next page,
    only once the source tells of a next page."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A cut batch: what the ledger says of it, and what goes on the wire and into the bucket."""

    attempted: BatchAttempted
    rows: tuple[bytes, ...]
    """Serialized rows, metadata columns included, in source order."""
    rejected: tuple[RejectedRecord, ...]
    digests: bytes
    """Packed row digests of `rows`, 16 bytes each."""
    indexes: Sequence[int] = ()
    """The index of each of `rows` in the batch."""
    segments: tuple[Segment, ...] = ()

    @property
    def batch_id(self) -> str:
        """The content-addressed id."""
        return self.attempted.batch_id

    @property
    def request(self) -> SourceRequest | None:
        """The request that brought the batch's first record, where it is known."""
        return self.segments[0].request if self.segments else None

    def original(self, index: int) -> JsonValue:
        """Return the source record at an index of the batch, decoded again from its page."""
        segment = next(s for s in reversed(self.segments) if s.index <= index)
        return segment.records()[segment.offset + index - segment.index]


def row_digest(row: bytes) -> bytes:
    """Identify what was sent: 16 bytes of SHA-256 over the serialized row without the metadata columns."""
    return hashlib.sha256(row).digest()[:DIGEST_SIZE]


def row_digests(rows: Iterable[bytes]) -> list[bytes]:
    """Return `row_digest` of each row, without a call for each."""
    sha256 = hashlib.sha256
    return [sha256(row).digest()[:DIGEST_SIZE] for row in rows]


def fill(draft: Draft, rest: Unread, encode: Encode, limits: Limits) -> tuple[Draft, Unread, bool]:
    """Take records of one page into the draft until it is full or the page is used up.

    Returns:
        The draft, what is left of the page, and whether the draft is full.
    """
    outcomes, size, most = list(draft.outcomes), draft.size_bytes, limits.bytes
    records, before, take = rest.records, rest.offset - len(outcomes), outcomes.append
    for record in islice(records, rest.offset, rest.offset + max(0, limits.rows - len(outcomes))):
        outcome = encode(record)
        if isinstance(outcome, bytes):
            taken: bytes | RejectedRecord = outcome
            size_after = size + len(outcome)
        else:
            taken = RejectedRecord(len(outcomes), record, outcome)
            size_after = size + len(canonical_json(record))
        if size_after > most and outcomes:
            full = True
            break
        take(taken)
        size = size_after
    else:
        full = len(outcomes) >= limits.rows
    offset = before + len(outcomes)
    rest_after = replace(rest, offset=offset)
    passed = rest.exhausted and (rest.page.trail is None or bool(rest.page.records))
    end = rest_after.position if offset > rest.offset or passed else draft.end
    tail = _tail_before(draft, rest) + records[rest.offset : offset]
    tail = tail[max(0, len(tail) - end.taken) :]
    within = end if rest.page.trail is not None else Position(rest.page.cursor, rest.taken + offset)
    segment = Segment(len(draft.outcomes), rest.offset, rest.originals, rest.page.request)
    segments = (*draft.segments, segment) if offset > rest.offset else draft.segments
    return Draft(draft.start, end, tuple(outcomes), size, tail, segments, within), rest_after, full


def _tail_before(draft: Draft, rest: Unread) -> tuple[JsonValue, ...]:
    """Return the records before those of `rest` that a position in its page may have to remember."""
    if draft.end.cursor == rest.page.cursor or rest.page.trail is not None:
        return draft.tail
    return rest.prior


def batch_id(pipeline: str, lane: str, epoch: int, start: Position, digests: bytes) -> str:
    """Return 32 hex digits: 16 bytes of SHA-256 over all arguments, each length-prefixed so that none runs together.

    `digests` is what `framed` returns of the batch's records.
    """
    cursor = b"" if start.cursor is None else b"=" + start.cursor.encode("utf-8", "surrogatepass")
    place = (pipeline.encode(), lane.encode(), str(epoch).encode(), cursor, str(start.taken).encode())
    parts = [len(part).to_bytes(4, "big") + part for part in place]
    return hashlib.sha256(b"".join((*parts, digests))).hexdigest()[:32]


def framed(rows: Sequence[bytes], rejected: Mapping[int, bytes]) -> bytes:
    """Return, in source order, of each record whether it is a row and its digest, each length-prefixed.

    `rows` are row digests; `rejected` are record digests by the record's index in the batch.
    """
    if not rejected:
        return _BEFORE_ROW.join((b"", *rows))
    left = iter(rows)
    return b"".join(
        [
            _BEFORE_REJECTED + rejected[index] if index in rejected else _BEFORE_ROW + next(left)
            for index in range(len(rows) + len(rejected))
        ]
    )


def cut(pipeline: str, lane: str, epoch: int, draft: Draft, ingest_time_us: int) -> Batch:
    """Close the draft: give it its id and its rows their metadata columns."""
    outcomes = draft.outcomes
    sent, rejected = cast("tuple[bytes, ...]", outcomes), dict[int, RejectedRecord]()
    indexes: Sequence[int] = range(len(outcomes))
    if RejectedRecord in map(type, outcomes):
        rejected = {item.index: item for item in outcomes if isinstance(item, RejectedRecord)}
        sent = tuple(item for item in outcomes if isinstance(item, bytes))
        indexes = [index for index in indexes if index not in rejected]
    digests = row_digests(sent)
    of_rejected = {index: record_digest(item.record) for index, item in rejected.items()}
    identity = batch_id(pipeline, lane, epoch, draft.start, framed(digests, of_rejected))
    prefix, varints = metadata_prefix(identity, ingest_time_us), _varints(len(outcomes))
    places = map(varints.__getitem__, indexes) if rejected else varints
    rows = tuple(map(b"".join, zip(sent, repeat(prefix), places, strict=False)))
    attempted = BatchAttempted(
        batch_id=identity,
        epoch=epoch,
        start=draft.start,
        end=draft.end,
        rows=len(rows),
        rejected=len(rejected),
        bytes=sum(map(len, rows)),
        ingest_time_us=ingest_time_us,
        tail=b"".join(map(record_digest, draft.tail)),
    )
    return Batch(attempted, rows, tuple(rejected.values()), b"".join(digests), indexes, draft.segments)


def metadata_prefix(identity: str, ingest_time_us: int) -> bytes:
    """Return the wire bytes of `_ingest_batch_id` and `_ingest_time` and the tag of `_ingest_row_index`.

    Serialized messages concatenate, so a row followed by this and its index' varint is a row of the writer schema.
    """
    encoded = identity.encode()
    return b"".join(
        (
            _varint(METADATA_FIELDS["_ingest_batch_id"] << 3 | 2) + _varint(len(encoded)) + encoded,
            _varint(METADATA_FIELDS["_ingest_time"] << 3) + _varint(ingest_time_us & (1 << 64) - 1),
            _varint(METADATA_FIELDS["_ingest_row_index"] << 3),
        )
    )


def _varints(count: int) -> tuple[bytes, ...]:
    """Return the varints of 0, 1, 2 and so on, `count` of them or more."""
    return _first_varints(1 << count.bit_length())


@cache
def _first_varints(count: int) -> tuple[bytes, ...]:
    return tuple(map(_varint, range(count)))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte, the wire format's varint
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
