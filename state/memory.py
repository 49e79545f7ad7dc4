"""The ledger in memory, gone with the process: cheap, for tests and for exploring schedules."""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from state.errors import VersionConflict
from state.journal import (
    ALL_BATCHES,
    BatchQuery,
    Commit,
    Committed,
    Document,
    IndexDocument,
    Kind,
    Snapshot,
    StoredEntry,
    Token,
)
from state.memory_views import MemoryViews, listed_page, selected


class MemoryJournal(MemoryViews):
    """A `Journal` in dictionaries under one lock. `now_s` is the server's clock, in seconds from any origin."""

    def __init__(self, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self._entries: dict[str, dict[int, tuple[Any, float]]] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._batches: dict[str, dict[str, Any]] = {}
        self._runs: dict[str, dict[str, Any]] = {}
        self._receipts: dict[str, dict[str, Any]] = {}
        self._revisions: dict[str, int] = {}
        self._skips: dict[str, Document] = {}

    def commit(self, commit: Commit) -> Committed:
        """See `Journal.commit`."""
        with self._lock:
            entries = self._entries.setdefault(commit.lane, {})
            if commit.entry.version in entries:
                raise VersionConflict(f"lane {commit.lane}: version {commit.entry.version} exists")
            for batch_id, expected in commit.batch_tokens.items():
                if self._revisions.get(batch_id) != expected:
                    raise VersionConflict(f"batch {batch_id}: it was changed since it was read")
            token = self._replace_snapshot(commit)
            entries[commit.entry.version] = (commit.entry, self._now_s())
            _merge(self._batches, commit.batches)
            _merge(self._runs, commit.runs)
            _merge(self._receipts, commit.receipts)
            self._revisions.update({batch_id: self._revisions.get(batch_id, 0) + 1 for batch_id in commit.batches})
        return Committed(commit.writes, token)

    def _replace_snapshot(self, commit: Commit) -> int | None:
        if commit.snapshot is None:
            return None
        held = self._snapshots.get(commit.lane)
        if (held.token if held else None) != commit.snapshot_token:
            raise VersionConflict(f"lane {commit.lane}: its snapshot was replaced since it was read")
        token = commit.entry.version  # only ever by a higher version, so it names the write
        self._snapshots[commit.lane] = Snapshot(commit.entry.version, commit.snapshot, token)
        return token

    def read_snapshot(self, lane: str) -> Snapshot | None:
        """See `Journal.read_snapshot`."""
        with self._lock:
            return self._snapshots.get(lane)

    def read_entry(self, lane: str, version: int) -> StoredEntry | None:
        """See `Journal.read_entry`."""
        with self._lock:
            found = self._entries.get(lane, {}).get(version)
            return StoredEntry(found[0], self._now_s() - found[1]) if found else None

    def read_entries(self, lane: str, first: int, limit: int) -> Sequence[StoredEntry]:
        """See `Journal.read_entries`."""
        with self._lock:
            entries, now_s = self._entries.get(lane, {}), self._now_s()
            versions = sorted(version for version in entries if version >= first)[:limit]
            return [StoredEntry(entries[version][0], now_s - entries[version][1]) for version in versions]

    def read_lanes(self) -> Sequence[str]:
        """See `Journal.read_lanes`."""
        with self._lock:
            return sorted(self._snapshots)

    def read_batch(self, batch_id: str) -> Document | None:
        """See `Journal.read_batch`."""
        with self._lock:
            found = self._batches.get(batch_id)
            return dict(found) if found is not None else None

    def read_batch_for_update(self, batch_id: str) -> tuple[Document, Token] | None:
        """See `Journal.read_batch_for_update`."""
        with self._lock:
            found = self._batches.get(batch_id)
            return (dict(found), self._revisions.get(batch_id)) if found is not None else None

    def list_batches(self, query: BatchQuery = ALL_BATCHES, *, limit: int = 100) -> Sequence[Document]:
        """See `Journal.list_batches`."""
        with self._lock:
            found = selected(self._batches, query)
            return listed_page(found, query.by, "batch_id", without="row_digests", limit=limit, after=query.after)

    def read_receipt(self, receipt: str) -> Document | None:
        """See `Journal.read_receipt`."""
        with self._lock:
            found = self._receipts.get(receipt)
            return dict(found) if found is not None else None

    def list_receipts(self, *, limit: int = 100, after: str | None = None) -> Sequence[Document]:
        """See `Journal.list_receipts`."""
        with self._lock:
            found = list(self._receipts.values())
            return listed_page(found, "opened_at_us", "receipt", without="batch_ids", limit=limit, after=after)

    def read_run(self, run_id: str) -> Document | None:
        """See `Journal.read_run`."""
        with self._lock:
            found = self._runs.get(run_id)
            return dict(found) if found is not None else None

    def list_runs(
        self, *, limit: int = 100, before: str | None = None, lane: str | None = None, status: str | None = None
    ) -> Sequence[Document]:
        """See `Journal.list_runs`."""
        with self._lock:
            return [
                dict(run)
                for run_id, run in sorted(self._runs.items(), reverse=True)
                if (before is None or run_id < before)
                and lane in {None, run.get("lane")}
                and status in {None, run.get("status")}
            ][:limit]

    def read_index(self, kind: Kind, *, limit: int, after: str | None = None) -> Sequence[IndexDocument]:
        """See `Journal.read_index`. A token is the document itself."""
        with self._lock:
            keys = sorted(key for key in self._documents(kind) if after is None or key > after)[:limit]
            found = [(key, self._documents(kind)[key]) for key in keys]
            return [IndexDocument(key, {n: v for n, v in doc.items() if n != "row_digests"}, doc) for key, doc in found]

    def mend(self, kind: Kind, key: str, fields: Document, *, token: Token | None, gone: Collection[str] = ()) -> None:
        """See `Journal.mend`."""
        with self._lock:
            documents = self._documents(kind)
            held = documents.get(key)
            if held is not token and held != token:
                raise VersionConflict(f"{kind} {key}: it was changed since it was read")
            left = {name: value for name, value in (held or {}).items() if name not in gone}
            documents[key] = {**left, **fields}
            if kind == "batches":
                self._revisions[key] = self._revisions.get(key, 0) + 1

    def _documents(self, kind: Kind) -> dict[str, dict[str, Any]]:
        return {"batches": self._batches, "runs": self._runs, "receipts": self._receipts}[kind]

    def create_skip(self, skip_id: str, document: Document, expire_at_us: int) -> None:
        """See `Journal.create_skip`."""
        with self._lock:
            self._skips.setdefault(skip_id, {**document, "expire_at_us": expire_at_us})

    def close(self) -> None:
        """See `Journal.close`."""


def _merge(documents: dict[str, dict[str, Any]], changes: Mapping[str, Document]) -> None:
    for key, fields in changes.items():
        documents[key] = {**documents.get(key, {}), **fields}
