"""What people ask of the ledger and no run needs: a part of the journal's port, with its own file in each adapter.

Each answer costs as many reads as its `limit` says (lists of dead batches and of open records, in a store that keeps
these apart, twice as many), or as it names documents, whatever the age of the pipeline. A count is an aggregation:
Firestore bills one read for each 1,000 index entries that it counts (cloud.google.com/firestore/pricing, "Aggregation
queries").
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from state.journal import BatchQuery, Document, StoredEntry

CAUSE_FIELDS = (
    "batch_id",
    "fingerprint",
    "dead_kind",
    "error_code",
    "storage_error",
    "error",
    "dead_at_us",
)
"""Fields of a batch's document that tell why and when it was set aside: a hundred of them weigh little."""


def require_trouble(query: "BatchQuery") -> None:
    """Refuse to list causes of other batches than those that were set aside.

    Raises:
        ValueError: the query goes by another time, or is of one run.
    """
    if not query.goes_by_trouble:
        raise ValueError(f"causes are listed by dead_at_us and of all runs, not by {query.by} of run {query.run}")


class Waiting(NamedTuple):
    """How many batches wait for a person: `dead` ones, and `replaying` ones, whose replay is at work or died."""

    dead: int
    replaying: int


class Views(Protocol):
    """Lists and counts of one pipeline. Every method raises `LedgerUnavailable` as those of `Journal` do."""

    def count_batches(self, query: "BatchQuery") -> int:
        """Return how many batches a query finds, all of them; `after` is left out of account."""

    def count_waiting(self) -> Waiting:
        """Return how many batches are DEAD_LETTERED and how many are REPLAYING, both in one question."""

    def count_open_records(self) -> int:
        """Return how many batches have rejected records that are neither replayed nor discarded."""

    def list_open_records(self, *, limit: int = 100, after: str | None = None) -> Sequence["Document"]:
        """Return those batches without `row_digests`, the most open records first; `after` is the `page_key` of the
        last one's `open_records` and id.

        Raises:
            ValueError: `after` is no page key.
        """

    def list_causes(self, query: "BatchQuery", *, limit: int = 100) -> Sequence["Document"]:
        """Return what `list_batches` does of a query by `dead_at_us`, of each batch only `CAUSE_FIELDS`.

        Raises:
            ValueError: `after` is no page key, or the query is another, or of one run.
        """

    def read_batches(self, batch_ids: Sequence[str]) -> Sequence["Document"]:
        """Return these batches without `row_digests`, in this order; one that is not there is left out."""

    def read_troubled(self, *, limit: int, after: str | None = None) -> Mapping[str, "Document"]:
        """Return what the lists of dead batches and of open records go by (`state.troubled.trouble_of`), by batch id
        and in order of it: up to `limit` of those after the id `after`.
        """

    def read_versions(self, lane: str, versions: Sequence[int]) -> Sequence["StoredEntry"]:
        """Return the entries of these versions, in this order; one that is not there is left out."""

    def list_skips(self, *, lane: str | None = None, since_us: int = 0, limit: int = 100) -> Sequence["Document"]:
        """Return triggers that found a live run or a paused lane, newest first by `at_us`, those since `since_us`."""

    def read_newest_entry(self, lane: str) -> "StoredEntry | None":
        """Return the last entry of a lane, None when it has none."""

    def list_entries_of_people(
        self, lane: str, *, before: int | None = None, limit: int = 100
    ) -> Sequence["StoredEntry"]:
        """Return entries that no run wrote, newest first, those of a version less than `before`."""
