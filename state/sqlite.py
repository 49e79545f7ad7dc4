"""The ledger in one SQLite file: the embedded default, safe across threads and processes of one machine."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from state.codec import canonical, entry_document, entry_from_document, from_canonical
from state.errors import LedgerUnavailable, OutcomeUnknown, VersionConflict
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
    from_page_key,
)
from state.sqlite_schema import prepare
from state.sqlite_views import SqliteViews, batches_where

BUSY_S = 10.0
"""How long a call waits for another process's commit before it gives up."""

_UPSERTS: Mapping[Kind, str] = {
    "batches": """INSERT INTO batches (pipeline, id, status, lane, document, row_digests, revision)
        VALUES (:pipeline, :id, :status, :lane, :content, :digests, 1)
        ON CONFLICT DO UPDATE SET status = excluded.status, lane = excluded.lane, document = excluded.document,
            row_digests = coalesce(excluded.row_digests, row_digests), revision = revision + 1""",
    "runs": """INSERT INTO runs (pipeline, id, document) VALUES (:pipeline, :id, :content)
        ON CONFLICT DO UPDATE SET document = excluded.document""",
    "receipts": """INSERT INTO receipts (pipeline, id, document, opened_at_us)
        VALUES (:pipeline, :id, :content, :opened_at_us)
        ON CONFLICT DO UPDATE SET document = excluded.document, opened_at_us = excluded.opened_at_us""",
}
_LIST_RUNS = """
SELECT document FROM runs WHERE pipeline = :pipeline AND (:before IS NULL OR id < :before)
    AND (:lane IS NULL OR json_extract(CAST(document AS TEXT), '$.lane') = :lane)
    AND (:status IS NULL OR json_extract(CAST(document AS TEXT), '$.status') = :status)
    ORDER BY id DESC LIMIT :limit
"""


class SqliteJournal(SqliteViews):
    """A `Journal` in the file at `path` (`:memory:` for one that is gone with it), made on first use.

    `now_s` is the server's clock: this machine's, in seconds since 1970. Documents are stored as canonical JSON; row
    digests have a column of their own, which lists do not read. Nothing ages out of a file.

    Raises:
        LedgerUnavailable: the file cannot be opened or made.
    """

    def __init__(self, path: str | Path, pipeline: str, *, now_s: Callable[[], float] = time.time) -> None:
        self._path, self._pipeline, self._now_s = str(path), pipeline, now_s
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = _connect(self._path)

    def commit(self, commit: Commit) -> Committed:
        """See `Journal.commit`."""
        with self._transaction() as connection:
            self._create_entry(connection, commit)
            self._replace_snapshot(connection, commit)
            for batch_id, token in commit.batch_tokens.items():
                self._check_token(connection, batch_id, token)
            for kind, documents in commit.indexes.items():
                for key, fields in documents.items():
                    self._write(connection, kind, key, {**self._stored(connection, kind, key), **fields})
        return Committed(commit.writes, commit.entry.version if commit.snapshot is not None else None)

    def _check_token(self, connection: sqlite3.Connection, batch_id: str, token: Token) -> None:
        query = "SELECT revision FROM batches WHERE pipeline = ? AND id = ?"
        held = connection.execute(query, (self._pipeline, batch_id)).fetchone()
        if held is None or held[0] != token:
            raise VersionConflict(f"batch {batch_id}: it was changed since it was read")

    def _create_entry(self, connection: sqlite3.Connection, commit: Commit) -> None:
        document = canonical(entry_document(commit.entry))
        key = (self._pipeline, commit.lane, commit.entry.version)
        row = (*key, document, int(self._now_s() * 1e6), commit.expire_at_us)
        try:
            connection.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError as error:
            raise VersionConflict(f"lane {commit.lane}: version {commit.entry.version} exists") from error

    def _replace_snapshot(self, connection: sqlite3.Connection, commit: Commit) -> None:
        if commit.snapshot is None:
            return
        key = (self._pipeline, commit.lane)
        held = connection.execute("SELECT version FROM lanes WHERE pipeline = ? AND lane = ?", key).fetchone()
        if (held[0] if held else None) != commit.snapshot_token:
            raise VersionConflict(f"lane {commit.lane}: its snapshot was replaced since it was read")
        row = (*key, commit.entry.version, canonical(commit.snapshot))
        connection.execute("INSERT OR REPLACE INTO lanes VALUES (?, ?, ?, ?)", row)

    def _write(self, connection: sqlite3.Connection, kind: Kind, key: str, document: dict[str, Any]) -> None:
        """Write a whole index document. A batch's row digests stay as they are unless it brings some."""
        digests = document.pop("row_digests", None)
        row = {**document, "pipeline": self._pipeline, "id": key, "content": canonical(document), "digests": digests}
        asked = {
            name: row.get(name) for name in ("pipeline", "id", "status", "lane", "content", "digests", "opened_at_us")
        }
        connection.execute(_UPSERTS[kind], asked)

    def _stored(self, connection: sqlite3.Connection, table: str, key: str) -> dict[str, Any]:
        query = f"SELECT document FROM {table} WHERE pipeline = ? AND id = ?"  # noqa: S608 - a table of ours
        row = connection.execute(query, (self._pipeline, key)).fetchone()
        return dict(from_canonical(row[0])) if row else {}

    def read_snapshot(self, lane: str) -> Snapshot | None:
        """See `Journal.read_snapshot`."""
        rows = self._read(
            "SELECT version, document FROM lanes WHERE pipeline = :pipeline AND lane = :lane", {"lane": lane}
        )
        return Snapshot(rows[0][0], from_canonical(rows[0][1]), rows[0][0]) if rows else None

    def read_entry(self, lane: str, version: int) -> StoredEntry | None:
        """See `Journal.read_entry`."""
        found = self.read_entries(lane, version, 1)
        return found[0] if found and found[0].entry.version == version else None

    def read_entries(self, lane: str, first: int, limit: int) -> Sequence[StoredEntry]:
        """See `Journal.read_entries`."""
        query = """SELECT document, created_at_us FROM journal
            WHERE pipeline = :pipeline AND lane = :lane AND version >= :first ORDER BY version LIMIT :limit"""
        rows = self._read(query, {"lane": lane, "first": first, "limit": limit})
        now_s = self._now_s()
        return [StoredEntry(entry_from_document(from_canonical(row[0])), now_s - row[1] / 1e6) for row in rows]

    def read_lanes(self) -> Sequence[str]:
        """See `Journal.read_lanes`."""
        return [row[0] for row in self._read("SELECT lane FROM lanes WHERE pipeline = :pipeline ORDER BY lane", {})]

    def read_batch(self, batch_id: str) -> Document | None:
        """See `Journal.read_batch`."""
        found = self.read_batch_for_update(batch_id)
        return found[0] if found else None

    def read_batch_for_update(self, batch_id: str) -> tuple[Document, Token] | None:
        """See `Journal.read_batch_for_update`."""
        query = "SELECT document, row_digests, revision FROM batches WHERE pipeline = :pipeline AND id = :id"
        rows = self._read(query, {"id": batch_id})
        if not rows:
            return None
        digests = {} if rows[0][1] is None else {"row_digests": rows[0][1]}
        return {**from_canonical(rows[0][0]), **digests}, rows[0][2]

    def list_batches(self, query: BatchQuery = ALL_BATCHES, *, limit: int = 100) -> Sequence[Document]:
        """See `Journal.list_batches`."""
        where, values = batches_where(query)
        return self._list("batches", query.by, where, values, limit=limit, after=query.after)

    def _list(  # noqa: PLR0913 - what a page is
        self, table: str, by: str, where: list[str], values: dict[str, object], *, limit: int, after: str | None
    ) -> Sequence[Document]:
        """Return a page of a table, newest first. All names in the query are ours."""
        if after is not None:
            values["at_us"], values["id"] = from_page_key(after)
            where = [*where, f"({by}, id) < (:at_us, :id)"]
        conditions = " AND ".join(["pipeline = :pipeline", *where])
        query = f"SELECT document FROM {table} WHERE {conditions} ORDER BY {by} DESC, id DESC LIMIT :limit"  # noqa: S608
        return [from_canonical(row[0]) for row in self._read(query, {**values, "limit": limit})]

    def read_receipt(self, receipt: str) -> Document | None:
        """See `Journal.read_receipt`."""
        rows = self._read("SELECT document FROM receipts WHERE pipeline = :pipeline AND id = :id", {"id": receipt})
        return dict(from_canonical(rows[0][0])) if rows else None

    def list_receipts(self, *, limit: int = 100, after: str | None = None) -> Sequence[Document]:
        """See `Journal.list_receipts`."""
        found = self._list("receipts", "opened_at_us", [], {}, limit=limit, after=after)
        return [{name: value for name, value in receipt.items() if name != "batch_ids"} for receipt in found]

    def read_run(self, run_id: str) -> Document | None:
        """See `Journal.read_run`."""
        rows = self._read("SELECT document FROM runs WHERE pipeline = :pipeline AND id = :id", {"id": run_id})
        return dict(from_canonical(rows[0][0])) if rows else None

    def list_runs(
        self, *, limit: int = 100, before: str | None = None, lane: str | None = None, status: str | None = None
    ) -> Sequence[Document]:
        """See `Journal.list_runs`."""
        values = {"limit": limit, "before": before, "lane": lane, "status": status}
        return [from_canonical(row[0]) for row in self._read(_LIST_RUNS, values)]

    def read_index(self, kind: Kind, *, limit: int, after: str | None = None) -> Sequence[IndexDocument]:
        """See `Journal.read_index`. A token is the document as it is stored."""
        query = f"""SELECT id, document FROM {kind} WHERE pipeline = :pipeline AND id > :after
            ORDER BY id LIMIT :limit"""  # noqa: S608 - a table of ours
        rows = self._read(query, {"after": after or "", "limit": limit})
        return [IndexDocument(key, from_canonical(stored), stored) for key, stored in rows]

    def mend(self, kind: Kind, key: str, fields: Document, *, token: Token | None, gone: Collection[str] = ()) -> None:
        """See `Journal.mend`."""
        query = f"SELECT document FROM {kind} WHERE pipeline = ? AND id = ?"  # noqa: S608 - a table of ours
        with self._transaction() as connection:
            found = connection.execute(query, (self._pipeline, key)).fetchone()
            if (found[0] if found else None) != token:
                raise VersionConflict(f"{kind} {key}: it was changed since it was read")
            held = dict(from_canonical(found[0])) if found else {}
            whole = {**{name: value for name, value in held.items() if name not in gone}, **fields}
            self._write(connection, kind, key, whole)

    def create_skip(self, skip_id: str, document: Document, expire_at_us: int) -> None:
        """See `Journal.create_skip`."""
        row = (self._pipeline, skip_id, canonical(document), expire_at_us)
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO skips VALUES (?, ?, ?, ?)", row)

    def close(self) -> None:
        """See `Journal.close`."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection inside one write transaction: all of it is durable at the end, or nothing."""
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            try:
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                if connection.in_transaction:
                    connection.rollback()
                raise OutcomeUnknown(f"ledger file {self._path}: {error}") from error

    def _read(self, query: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        with self._open() as connection:
            return connection.execute(query, {**values, "pipeline": self._pipeline}).fetchall()

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._connection is None:
                raise LedgerUnavailable(f"ledger file {self._path} is closed")
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise LedgerUnavailable(f"ledger file {self._path}: {error}; {_CHECK}") from error


_CHECK = "check that it is a ledger, writable, on a local disk with room, and that no other process holds it"


def _connect(path: str) -> sqlite3.Connection:
    """Open the file, make it when absent. WAL lets readers and one writer work at once; FULL survives a power cut."""
    deadline = time.monotonic() + BUSY_S
    try:
        if path != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise LedgerUnavailable(f"ledger file {path}: {error}; {_CHECK}") from error
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            prepare(connection)
        except (
            sqlite3.Error
        ) as error:  # two processes making one file: the busy timeout does not cover the change to WAL
            if "locked" not in str(error) or time.monotonic() > deadline:
                connection.close()
                raise LedgerUnavailable(f"ledger file {path}: {error}; {_CHECK}") from error
            time.sleep(0.01)
        else:
            return connection
