"""What a page asks of Firestore does not grow with the ledger: counted at its client, on two sizes of one ledger."""

import time
import uuid
from contextlib import closing
from dataclasses import replace

import pytest

from bench.ops_ledger import PIPELINE, Size, begin, fill
from bench.ops_pages import AT_WORK, ENTRIES, MOST, Cost, CountedJournal, pages, service_on
from state.firestore import FirestoreJournal, client_for

FIRST = Size(dead=1_020, small=60, runs=150, actions=50)
"""As many of each as the longest list shows, or a little more: 1,000 dead batches, 144 runs, 100 entries of `ops`."""
MORE = Size(dead=1_000, small=10_000, runs=10, actions=3)
"""A tenth of what a pipeline is asked to bear."""


@pytest.mark.firestore
def test_each_page_asks_as_often_and_reads_as_much_of_a_larger_ledger(gcs_url: str) -> None:
    project = f"test-{uuid.uuid4().hex[:20]}"
    client = client_for(project, "(default)")
    grown = replace(MORE, first=FIRST.dead + FIRST.small)
    now_us = time.time_ns() // 1000
    with closing(FirestoreJournal(client, PIPELINE)) as writing:
        fill(writing, FIRST, now_us - (grown.runs + 1) * 600 * 10**6)
        with closing(CountedJournal(client_for(project, "(default)"), PIPELINE)) as journal:
            before = _costs(gcs_url, journal)
            fill(writing, grown, now_us)
            after = _costs(gcs_url, journal)
            working = begin(writing, grown.first + grown.dead + grown.small, ENTRIES, now_us)
            at_work = pages(service_on(journal, gcs_url), journal, 0, AT_WORK, working)
    assert {page: (cost.calls, cost.documents) for page, cost in after.items()} == {
        page: (cost.calls, cost.documents) for page, cost in before.items()
    }
    for page, (calls, documents) in MOST.items():
        assert after[page].calls <= calls, page
        assert after[page].documents <= documents, page
    for page, (calls, documents) in AT_WORK.items():
        assert at_work[page][1].calls <= calls, page
        assert at_work[page][1].documents <= documents, page
    assert after["/failures"].counted == FIRST.dead + grown.dead, "a count is of all, and the only thing that grows"


def _costs(gcs_url: str, journal: CountedJournal) -> dict[str, Cost]:
    return {page: cost for page, (_, cost) in pages(service_on(journal, gcs_url), journal, rounds=0).items()}
