"""What is still to take of a page: records taken before are recognised by digest. Pure.

A position is a cursor and how many records taken before the page at that cursor may hold again; their digests, in the
order of taking, are its boundary. A page's trail names positions between its records where a cursor is more than a
page's name.
"""

import hashlib
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ingestor.decode import canonical_json
from ingestor.pages import JsonValue, Page, Trail
from state.events import DIGEST_SIZE, Position


@dataclass(frozen=True, slots=True)
class Unread:
    """What is still to take of a page. `taken` of its records were taken before `records[offset]`."""

    page: Page
    records: tuple[JsonValue, ...]
    taken: int = 0
    offset: int = 0
    again: Callable[[], tuple[JsonValue, ...]] | None = None
    """Yields `records` again; None: they are kept."""
    indexes: Sequence[int] = ()
    """The places of `records` in the page."""
    earliest: Sequence[int] = ()
    """For each place in the page: the lowest index among the remembered digests of the known records from there on,
    `taken` when there is none. Only of a page with a trail.
    """
    prior: tuple[JsonValue, ...] = ()
    """The known records of a whole page: the first position named after it remembers them too."""

    @property
    def originals(self) -> Callable[[], tuple[JsonValue, ...]]:
        """Yields `records`, decoded again where the page can."""
        kept = self.records
        return self.again or (lambda: kept)

    @property
    def exhausted(self) -> bool:
        """Whether every record is taken."""
        return self.offset >= len(self.records)

    @property
    def position(self) -> Position:
        """Where the next record stands; at the start of the next page when this one is done and has one."""
        if self.page.trail is not None:
            return self._on(self.page.trail)
        if self.exhausted and self.page.next_cursor is not None:
            return Position(self.page.next_cursor)
        return Position(self.page.cursor, self.taken + self.offset)

    def _on(self, trail: Trail) -> Position:
        """Return the place that the trail names. `taken` counts back, in the order of taking, to the first record that
        the page at the new cursor may hold again.
        """
        count = len(self.page.records) if self.exhausted else (self.indexes[self.offset - 1] + 1 if self.offset else 0)
        cursor, left_out = trail.after(count)
        if cursor == self.page.cursor:
            return Position(cursor, self.taken + self.offset)
        first_known = self.earliest[left_out] if self.earliest else self.taken
        if first_known < self.taken:
            return Position(cursor, self.taken - first_known + self.offset)
        return Position(cursor, self.offset - bisect_left(self.indexes, left_out, 0, self.offset))


def record_digest(record: JsonValue) -> bytes:
    """Recognise a source record read again: 16 bytes of SHA-256 over its canonical JSON."""
    return hashlib.sha256(canonical_json(record)).digest()[:DIGEST_SIZE]


def unread(page: Page, boundary: bytes) -> tuple[Unread, int, int]:
    """Drop the records of a page that were taken before, recognised by digest as a multiset.

    Returns:
        What is left to take, the number of records dropped, and the number of remembered digests that the page no
        longer holds (records changed or gone at the source).
    """
    records = tuple(page.records)
    if not boundary:
        reread = page.reread
        again = (lambda: tuple(reread())) if reread else None
        return Unread(page, records, again=again, indexes=range(len(records))), 0, 0
    remembered = len(boundary) // DIGEST_SIZE
    places: defaultdict[bytes, deque[int]] = defaultdict(deque)
    for place in range(remembered):
        places[boundary[place * DIGEST_SIZE : (place + 1) * DIGEST_SIZE]].append(place)
    found = [places[digest].popleft() if places.get(digest) else None for digest in map(record_digest, records)]
    fresh = tuple(index for index, place in enumerate(found) if place is None)
    known = len(records) - len(fresh)
    rest = Unread(page, tuple(records[index] for index in fresh), remembered, indexes=fresh)
    if page.trail is not None:
        rest = replace(rest, earliest=_lowest_from_each(found, remembered))
    if page.whole:
        prior = tuple(record for record, place in zip(records, found, strict=True) if place is not None)
        rest = replace(rest, taken=known, prior=prior)
    return rest, known, remembered - known


def _lowest_from_each(found: Sequence[int | None], none: int) -> tuple[int, ...]:
    lowest, backwards = none, [none]
    for place in reversed(found):
        lowest = lowest if place is None else min(lowest, place)
        backwards.append(lowest)
    return tuple(reversed(backwards))


def moved(rest: Unread, boundary: bytes) -> bool:
    """Whether a page that is counted to no longer begins with the record that was taken last."""
    trail = rest.page.trail
    if trail is None or not trail.counts or not boundary:
        return False
    return not rest.page.records or (bool(rest.indexes) and rest.indexes[0] == 0)


def boundary_after(rest: Unread, boundary: bytes) -> bytes:
    """Return the digests of what was taken before the page's end and the next page may hold again."""
    if rest.page.trail is None:
        return b""
    end = replace(rest, offset=len(rest.records)).position
    needed = end.taken if end.cursor == rest.page.next_cursor else 0
    own = rest.records[max(0, len(rest.records) - needed) :] if needed else ()
    digests = boundary + b"".join(map(record_digest, own))
    return digests[len(digests) - needed * DIGEST_SIZE :]
