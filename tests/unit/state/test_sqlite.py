import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from state.codec import canonical
from state.errors import LedgerUnavailable, VersionConflict
from state.journal import BatchQuery
from state.sqlite import SqliteJournal
from state.verify import verify_lane
from tests.unit.state.commits import commit
from tests.unit.state.histories import LANE, PIPELINE, Clock, heartbeat, landed, started, whole_run, writer

WRITE = """
import sys
from state.errors import VersionConflict
from state.sqlite import SqliteJournal
from tests.unit.state.histories import PIPELINE, heartbeat, writer
journal = SqliteJournal(sys.argv[1], PIPELINE)
for turn in range(20):
    ledger = writer(journal, nonce=lambda: f"{sys.argv[2]}-{turn}")
    while True:
        ledger.open()
        try:
            ledger.append([heartbeat(f"{sys.argv[2]}-{turn}")], run_id=sys.argv[2])
            break
        except VersionConflict:
            pass
journal.close()
"""


def test_processes_that_make_and_write_one_file_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, str(path), name]) for name in "abc"]
    assert [process.wait(60) for process in writers] == [0, 0, 0]
    with closing(SqliteJournal(path, PIPELINE)) as journal:
        written = [event["run_id"] for stored in journal.read_entries(LANE, 1, 99) for event in stored.entry.events]
        assert sorted(written) == sorted(f"{name}-{turn}" for name in "abc" for turn in range(20))
        assert verify_lane(journal, PIPELINE, LANE) == []


def test_a_ledger_in_memory_works_like_one_in_a_file() -> None:
    with closing(SqliteJournal(":memory:", PIPELINE)) as journal:
        ledger = writer(journal)
        ledger.open()
        for events in whole_run(0):
            landed(ledger, events)
        assert verify_lane(journal, PIPELINE, LANE) == []


def test_age_is_by_the_clock_of_the_machine_that_holds_the_file(tmp_path: Path) -> None:
    clock = Clock()
    with closing(SqliteJournal(tmp_path / "ledger.db", PIPELINE, now_s=clock.read_s)) as journal:
        ledger = writer(journal, clock=Clock(0))
        ledger.open()
        landed(ledger, [started()])
        clock.sleep(100)
        landed(ledger, [heartbeat()])
        clock.sleep(20)
        assert [stored.age_s for stored in journal.read_entries(LANE, 1, 9)] == pytest.approx([120, 20])


def _folder(folder: Path) -> Path:
    return folder


def _other_file(folder: Path) -> Path:
    (folder / "notes.txt").write_text("not a ledger " * 100)
    return folder / "notes.txt"


def _below_a_file(folder: Path) -> Path:
    return _other_file(folder) / "ledger.db"


@pytest.mark.parametrize("path", [_folder, _other_file, _below_a_file])
def test_a_path_that_cannot_be_a_ledger_is_one_line(tmp_path: Path, path: object) -> None:
    assert callable(path)
    with pytest.raises(LedgerUnavailable, match=r"\Aledger file .*; check that it is a ledger, writable[^\n]*\Z"):
        SqliteJournal(path(tmp_path), PIPELINE)


def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "ledger.db", PIPELINE)
    journal.close()
    with pytest.raises(LedgerUnavailable, match="is closed"):
        journal.read_lanes()


def test_a_conflict_leaves_no_transaction_open(tmp_path: Path) -> None:
    with (
        closing(SqliteJournal(tmp_path / "l.db", PIPELINE)) as one,
        closing(SqliteJournal(tmp_path / "l.db", "q")) as two,
    ):
        ledgers = [writer(one), writer(one)]
        for ledger in ledgers:
            ledger.open()
        landed(ledgers[0], [started()])
        with pytest.raises(VersionConflict):
            landed(ledgers[1], [started()])
        other = writer(two, pipeline="q")
        other.open()
        assert landed(other, [started()]).version == 1


FIRST_FORM = """
CREATE TABLE journal (pipeline TEXT, lane TEXT, version INTEGER, document BLOB NOT NULL,
    created_at_us INTEGER NOT NULL, expire_at_us INTEGER, PRIMARY KEY (pipeline, lane, version));
CREATE TABLE batches (pipeline TEXT, id TEXT, status TEXT, lane TEXT, document BLOB NOT NULL, row_digests BLOB,
    PRIMARY KEY (pipeline, id));
CREATE INDEX batches_by_status ON batches (pipeline, status, lane, id);
"""


def test_a_file_of_the_first_form_is_read_listed_and_changed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    batch = {
        "batch_id": "b1",
        "attempted_run": "run-1",
        "attempted_at_us": 7,
        "status": "DEAD_LETTERED",
        "lane": "é\u0000",
    }
    with closing(sqlite3.connect(path)) as old:
        old.executescript(FIRST_FORM)
        values = (PIPELINE, "b1", batch["status"], batch["lane"], canonical(batch), b"1234")
        old.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)", values)
        old.commit()
    for status in ("REPLAYING", "DISCARDED"):
        with closing(SqliteJournal(path, PIPELINE)) as journal:
            assert list(journal.list_batches(BatchQuery(run="run-1", since_us=7))) == [batch]
            found = journal.read_batch_for_update("b1")
            assert found is not None
            assert found[0] == {**batch, "row_digests": b"1234"}
            version = len(journal.read_entries(LANE, 1, 9)) + 1
            change = {"b1": {"status": status}}
            journal.commit(commit(version, batches=change, batch_tokens={"b1": found[1]}))
            batch["status"] = status


def test_a_file_is_opened_while_another_process_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    SqliteJournal(path, PIPELINE).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(SqliteJournal(path, PIPELINE)) as journal:
            assert list(journal.list_batches()) == []
