"""Cuts and ids: the same records give the same batches, whatever the pages; different ones never the same id."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingestor_protos import flights_pb2

from ingestor.batch import (
    Batch,
    Draft,
    Limits,
    batch_id,
    cut,
    fill,
    framed,
    metadata_prefix,
    row_digest,
    row_digests,
)
from ingestor.descriptor import writer_schema
from ingestor.encode import Encoder, Rejection
from ingestor.messages import descriptor_of
from ingestor.pages import Page
from ingestor.unread import Unread, record_digest, unread
from state.events import DIGEST_SIZE, Position
from tests.protos.samples import alone

TIME_US = 1_357_034_400_123_456


def encode(record: object) -> bytes | Rejection:
    return Rejection("bad") if record == "bad" else json.dumps(record).encode()


def pages_of(records: Sequence[Any], size: int) -> list[Page]:
    chunks = [list(records[at : at + size]) for at in range(0, len(records), size)] or [[]]
    names = [None, *(f"c{number}" for number in range(1, len(chunks)))]
    return [Page(names[at], names[at + 1] if at + 1 < len(chunks) else None, chunk) for at, chunk in enumerate(chunks)]


def batches_of(pages: Sequence[Page], limits: Limits) -> list[Batch]:
    draft, made = Draft(Position(None), Position(None)), []
    for page in pages:
        rest = Unread(page, tuple(page.records))
        while True:
            draft, rest, full = fill(draft, rest, encode, limits)
            if not full:
                break
            made.append(cut("p", "0", 0, draft, TIME_US))
            draft = Draft(draft.end, draft.end)
    if draft.outcomes:
        made.append(cut("p", "0", 0, draft, TIME_US))
    return made


RECORDS = st.lists(st.integers(0, 99) | st.just("bad"), max_size=40)


@given(records=RECORDS, size=st.integers(1, 9), rows=st.integers(1, 7), limit=st.integers(2, 30))
def test_the_cut_depends_on_the_records_and_not_on_the_pages(
    records: list[Any], size: int, rows: int, limit: int
) -> None:
    limits = Limits(rows, limit)
    shapes = [
        [(b.digests, len(b.rejected)) for b in batches_of(pages_of(records, pages), limits)] for pages in (size, 40)
    ]
    assert shapes[0] == shapes[1]


@given(records=RECORDS, size=st.integers(1, 9), rows=st.integers(1, 7))
def test_every_record_is_in_exactly_one_batch_in_source_order_and_batches_join(
    records: list[Any], size: int, rows: int
) -> None:
    made = batches_of(pages_of(records, size), Limits(rows, 10_000))
    assert sum(b.attempted.rows + b.attempted.rejected for b in made) == len(records)
    assert all(one.attempted.end == two.attempted.start for one, two in pairwise(made))
    assert all(1 <= b.attempted.rows + b.attempted.rejected <= rows for b in made)
    good = [row_digest(json.dumps(r).encode()) for r in records if r != "bad"]
    assert b"".join(b.digests for b in made) == b"".join(good)


@given(records=RECORDS, size=st.integers(1, 9), rows=st.integers(1, 7))
def test_the_tail_holds_the_digests_of_the_batchs_records_on_its_last_page(
    records: list[Any], size: int, rows: int
) -> None:
    taken = 0
    for batch in batches_of(pages_of(records, size), Limits(rows, 10_000)):
        taken += batch.attempted.rows + batch.attempted.rejected
        on_page = min(batch.attempted.end.taken, batch.attempted.rows + batch.attempted.rejected)
        expected = b"".join(record_digest(r) for r in records[taken - on_page : taken])
        assert batch.attempted.tail == expected


def test_a_batch_ends_before_the_record_that_would_take_it_over_the_bytes() -> None:
    made = batches_of(pages_of(["aaaa", "bbbb", "cccc"], 10), Limits(10, 12))
    assert [b.attempted.rows for b in made] == [2, 1]


def test_a_single_record_over_the_byte_limit_has_a_batch_of_its_own() -> None:
    made = batches_of(pages_of(["a", "b" * 50, "c"], 10), Limits(10, 12))
    assert [b.attempted.rows for b in made] == [1, 1, 1]


def test_rejected_records_keep_their_index_and_count_into_the_cut() -> None:
    made = batches_of(pages_of([1, "bad", 2, "bad"], 10), Limits(3, 10_000))
    assert [[r.index for r in b.rejected] for b in made] == [[1], [0]]
    assert [b.attempted.rows for b in made] == [2, 0]


def test_rejected_records_weigh_what_their_originals_do() -> None:
    made = batches_of(pages_of(["bad"] * 5, 10), Limits(100, 2 * len(b'"bad"')))
    assert [len(batch.rejected) for batch in made] == [2, 2, 1]


ROW, START = row_digest(b"row"), Position("c", 3)


@pytest.mark.parametrize(
    "other",
    [
        ("q", "0", 0, START, framed([ROW], {})),
        ("p", "1", 0, START, framed([ROW], {})),
        ("p", "0", 1, START, framed([ROW], {})),
        ("p", "0", 0, Position("c", 4), framed([ROW], {})),
        ("p", "0", 0, Position("d", 3), framed([ROW], {})),
        ("p", "0", 0, Position(None, 3), framed([ROW], {})),
        ("p", "0", 0, START, framed([], {0: ROW})),
        ("p", "0", 0, START, framed([ROW, ROW], {})),
        ("p", "0", 0, START, b""),
        ("p0", "", 0, START, framed([ROW], {})),
    ],
)
def test_everything_that_makes_a_batch_what_it_is_makes_its_id(other: tuple[Any, ...]) -> None:
    assert batch_id(*other) != batch_id("p", "0", 0, START, framed([ROW], {}))


def test_digests_of_many_rows_are_those_of_each() -> None:
    rows = [b"", b"row", b"x" * 5_000]
    assert row_digests(rows) == [row_digest(row) for row in rows]


def test_rows_and_rejected_records_are_framed_in_source_order() -> None:
    one, two, bad = (row_digest(each) for each in (b"1", b"2", b"3"))
    whole = framed([one], {}) + framed([], {0: bad}) + framed([two], {})
    assert framed([one, two], {1: bad}) == whole
    assert framed([one, two], {0: bad}) == framed([], {0: bad}) + framed([one, two], {})
    assert framed([one, two], {}) == framed([one], {}) + framed([two], {})


def test_the_first_page_and_a_page_with_an_empty_cursor_differ() -> None:
    assert batch_id("p", "0", 0, Position(None), b"") != batch_id("p", "0", 0, Position(""), b"")


def test_the_id_of_a_batch_never_changes_between_versions() -> None:
    digests = framed([row_digest(b"row")], {1: record_digest({"b": 1, "a": [None]})})
    assert batch_id("flights", "0", 7, Position("cursor", 42), digests) == "1fc756cfcdc32ab057b749b5056ddea0"


def test_a_row_on_the_wire_is_a_row_of_the_writer_schema_with_its_metadata() -> None:
    record = {"flight": 5, "time_hour": "2013-01-01T10:00:00Z"}
    page = Page(None, None, ["bad", *[record] * 300])
    encoder = Encoder(flights_pb2.Flight)
    draft, _, _ = fill(
        Draft(Position(None), Position(None)), Unread(page, tuple(page.records)), encoder.encode, Limits(500, 10**6)
    )
    batch = cut("p", "0", 0, draft, TIME_US)
    reader = alone(writer_schema(descriptor_of(flights_pb2.Flight)))
    rows: list[Any] = [reader.FromString(row) for row in batch.rows]
    assert {row._ingest_batch_id for row in rows} == {batch.batch_id}
    assert {row._ingest_time for row in rows} == {TIME_US}
    assert [row._ingest_row_index for row in rows] == list(range(1, 301))
    assert {row.flight for row in rows} == {5}
    assert len(batch.digests) == 300 * DIGEST_SIZE


def test_metadata_is_one_prefix_a_batch() -> None:
    assert metadata_prefix("a" * 32, TIME_US) == metadata_prefix("a" * 32, TIME_US)
    assert metadata_prefix("a" * 32, TIME_US) != metadata_prefix("a" * 32, TIME_US + 1)


BOUNDARY = [{"n": 1}, {"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("page", "fresh", "known", "changed"),
    [
        ([{"n": 1}, {"n": 1}, {"n": 2}], [], 3, 0),
        ([{"n": 1}, {"n": 1}, {"n": 2}, {"n": 3}], [{"n": 3}], 3, 0),
        ([{"n": 1}, {"n": 1}, {"n": 1}, {"n": 2}], [{"n": 1}], 3, 0),
        ([{"n": 2}, {"n": 9}, {"n": 1}, {"n": 1}], [{"n": 9}], 3, 0),
        ([{"n": 1}, {"n": 7}, {"n": 2}], [{"n": 7}], 2, 1),
        ([], [], 0, 3),
    ],
)
def test_records_taken_before_are_recognised_one_by_one(
    page: list[Any], fresh: list[Any], known: int, changed: int
) -> None:
    boundary = b"".join(map(record_digest, BOUNDARY))
    rest, known_found, changed_found = unread(Page("c", None, page), boundary)
    assert (list(rest.records), known_found, changed_found) == (fresh, known, changed)
    assert rest.taken == len(BOUNDARY)
