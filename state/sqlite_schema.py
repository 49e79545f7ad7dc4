"""The tables of a ledger file, made on first use; a file made by an older version gains what it lacks."""

import contextlib
import sqlite3

_VERSION = 2
_TABLES = """
CREATE TABLE IF NOT EXISTS lanes (
    pipeline TEXT, lane TEXT, version INTEGER NOT NULL, document BLOB NOT NULL,
    PRIMARY KEY (pipeline, lane)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS journal (
    pipeline TEXT, lane TEXT, version INTEGER, document BLOB NOT NULL, created_at_us INTEGER NOT NULL,
    expire_at_us INTEGER, PRIMARY KEY (pipeline, lane, version));
CREATE TABLE IF NOT EXISTS batches (
    pipeline TEXT, id TEXT, status TEXT, lane TEXT, document BLOB NOT NULL, row_digests BLOB,
    PRIMARY KEY (pipeline, id));
CREATE TABLE IF NOT EXISTS runs (
    pipeline TEXT, id TEXT, document BLOB NOT NULL, PRIMARY KEY (pipeline, id));
CREATE TABLE IF NOT EXISTS receipts (
    pipeline TEXT, id TEXT, document BLOB NOT NULL, opened_at_us INTEGER, PRIMARY KEY (pipeline, id));
CREATE TABLE IF NOT EXISTS skips (
    pipeline TEXT, id TEXT, document BLOB NOT NULL, expire_at_us INTEGER NOT NULL, PRIMARY KEY (pipeline, id));
"""
_COMPUTED = "GENERATED ALWAYS AS (json_extract(CAST(document AS TEXT), '$.{name}')) VIRTUAL"
_ADDED = {
    "revision": "INTEGER NOT NULL DEFAULT 0",
    **{
        name: f"{kind} {_COMPUTED.format(name=name)}"
        for name, kind in (
            ("attempted_run", "TEXT"),
            ("fingerprint", "TEXT"),
            ("attempted_at_us", "INTEGER"),
            ("dead_at_us", "INTEGER"),
        )
    },
}
"""Columns of `batches` that the first ledgers did not have, each with how it is made."""
_INDEXES = """
CREATE INDEX IF NOT EXISTS batches_by_attempt ON batches (pipeline, attempted_at_us, id);
CREATE INDEX IF NOT EXISTS batches_by_status_and_attempt ON batches (pipeline, status, attempted_at_us, id);
CREATE INDEX IF NOT EXISTS batches_by_death ON batches (pipeline, dead_at_us, id) WHERE dead_at_us IS NOT NULL;
"""


def prepare(connection: sqlite3.Connection) -> None:
    """Make what is missing, in one transaction: processes that make one file at once wait for each other.

    Raises:
        sqlite3.Error: the file is no ledger, cannot be written, or is held by another process for too long.
    """
    if connection.execute("PRAGMA user_version").fetchone()[0] == _VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    with contextlib.closing(connection.cursor()) as cursor:
        try:
            for statement in _TABLES.split(";"):
                cursor.execute(statement)
            held = {row[1] for row in cursor.execute("PRAGMA table_xinfo(batches)")}
            for name, kind in _ADDED.items():
                if name not in held:
                    cursor.execute(f"ALTER TABLE batches ADD COLUMN {name} {kind}")
            for statement in _INDEXES.split(";"):
                cursor.execute(statement)
            cursor.execute(f"PRAGMA user_version = {_VERSION}")
        except BaseException:
            connection.rollback()
            raise
    connection.execute("COMMIT")
