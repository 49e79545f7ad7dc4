"""Rejected records: looked at, repaired, sent as what they are: one row each of the batch they came with.

A repaired row has the batch's id and ingest time and the record's own index, so replaying it twice shows nothing twice.
Two things could show a row that nobody vouches for, and both are refused: a repair of a record whose row is in the
table after all (BigQuery named it refused, yet an unanswered request had written it), and a second, different repair.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import DescriptorProto

from ingestor.batch import Encode, RejectedRecord, metadata_prefix, row_digest
from ingestor.encode import Rejection
from ingestor.lognames import LogName
from ingestor.outcome import fingerprint, normalised
from ingestor.rejected_records import parsed_lines
from ingestor.replay_append import Appended, KeepAlive
from ingestor.replay_one import BatchReplay, error_text
from ingestor.replay_ports import ReplayPorts
from ingestor.replay_rows import with_index
from state.errors import Refused
from state.events import ReplayStarted
from state.journal import Document
from state.ops import OpsLedger
from state.transitions import OF_RECORDS, refusal


@dataclass(frozen=True, slots=True)
class OpenRecord:
    """A rejected record. `state` is open, claimed (a repair is under way or its answer was lost), landed, discarded."""

    record: RejectedRecord
    state: str


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one line of a repair.

    Attributes:
        number: of the line in the file, from 1; 0 for a record replayed as it lies in the bucket.
        index: the record's row index, -1 where the line does not say.
        state: landed, already (the same repair landed before), planned (dry run), or failed.
        reason: why it failed, and `field` where.
    """

    number: int
    index: int
    state: str
    reason: str = ""
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of a repair. `open_records` are those of the batch that are neither replayed nor discarded.

    `version` is that of lane `ops` where its end is written; 0 when nothing was written.
    """

    batch_id: str
    lines: tuple[Line, ...]
    open_records: int
    version: int = 0

    @property
    def ok(self) -> bool:
        """Whether no line failed."""
        return all(line.state != "failed" for line in self.lines)


@dataclass(frozen=True, slots=True)
class _Encoded:
    number: int
    index: int
    row: bytes


class Repairs:
    """Lists, replays and discards rejected records."""

    def __init__(self, ports: ReplayPorts, one: BatchReplay) -> None:
        self._ports, self._one = ports, one

    def records(self, batch_id: str) -> tuple[OpenRecord, ...]:
        """Return the batch's rejected records by index. Raises `Refused` without such a batch, `DeadLetterError`."""
        batch = self._batch(batch_id)
        repairs, discarded = batch.get("repairs", {}), set(batch.get("discarded_indexes", ()))
        found = {
            item.index: item
            for rejection in batch.get("rejections", ())
            for item in self._ports.rejected.read(rejection["object"], rejection["generation"])
            if item.index in rejection["indexes"]
        }
        return tuple(
            OpenRecord(item, "discarded" if index in discarded else repairs.get(str(index), {}).get("state", "open"))
            for index, item in sorted(found.items())
        )

    def replay(  # noqa: PLR0913 - who, what and why
        self,
        batch_id: str,
        lines: bytes | None,
        *,
        actor: str,
        reason: str,
        dry_run: bool,
        keep_alive: KeepAlive = lambda: None,
    ) -> Repaired:
        """Encode the repaired lines, or without any the open records as they are, and append those that are rows now.

        Raises:
            Refused: the batch or a record is not one that may be repaired, or a row landed after all; nothing is sent.
            ConfigurationError, SchemaMismatch: today's message cannot be used.
            DeadLetterError, BigQueryUnavailable, AppendError: a service cannot be reached.
        """
        ops = self._ports.open_ops("")
        if not dry_run:
            self._one.publish(ops)
        batch, (encode, schema) = self._batch(batch_id), self._ports.message()
        parsed = list(_lines(lines)) if lines is not None else self._as_they_are(batch_id)
        encoded, failed = _encoded(batch, parsed, encode)
        self._require_absent(batch, encoded)
        if dry_run:
            _require_allowed(batch, encoded, actor, reason)
            planned = [Line(each.number, each.index, _planned(batch, each)) for each in encoded]
            return Repaired(batch_id, _sorted([*failed, *planned]), batch.get("open_records", 0))
        sent, version = self._send(ops, batch, encoded, schema, (actor, reason), keep_alive) if encoded else ([], 0)
        return Repaired(batch_id, _sorted([*failed, *sent]), self._batch(batch_id).get("open_records", 0), version)

    def discard(self, batch_id: str, indexes: Sequence[int], *, actor: str, reason: str) -> Document:
        """Close records without repairing them. Return the batch's document."""
        ops = self._ports.open_ops("")
        self._one.publish(ops)
        return ops.discard_records(batch_id, indexes, actor=actor, reason=reason)

    def _batch(self, batch_id: str) -> Document:
        found = self._ports.journal.read_batch(batch_id)
        if found is None:
            raise Refused(f"batch {batch_id} is not known; find it with `ingestor batches list`")
        return found

    def _as_they_are(self, batch_id: str) -> list[tuple[int, RejectedRecord | str]]:
        return [(0, each.record) for each in self.records(batch_id) if each.state in {"open", "claimed"}]

    def _require_absent(self, batch: Document, encoded: Sequence["_Encoded"]) -> None:
        """Ask the table whether a row is there already. A repair claimed before may be: it is the same row."""
        repairs = batch.get("repairs", {})
        strange = [each.index for each in encoded if str(each.index) not in repairs]
        if not strange or batch.get("status") not in OF_RECORDS[ReplayStarted.TYPE]:
            return
        landed = self._ports.query(landed_query(self._ports.table_name, batch, strange))
        if landed:
            index = landed[0]["row_index"]
            raise Refused(
                f"batch {batch['batch_id']}: row {index} of {len(landed)} landed after all though it was rejected; "
                "nothing was sent: run `ingestor reconcile`, then discard the record"
            )

    def _send(  # noqa: PLR0913, PLR0917 - what, and who wants it
        self,
        ops: OpsLedger,
        batch: Document,
        encoded: Sequence["_Encoded"],
        schema: DescriptorProto,
        who: tuple[str, str],
        keep_alive: KeepAlive,
    ) -> tuple[list[Line], int]:
        batch_id, token, (actor, reason) = batch["batch_id"], self._ports.token(), who
        digests = {each.index: row_digest(each.row) for each in encoded}
        numbers = {each.index: each.number for each in encoded}
        claimed = ops.claim_records(batch_id, digests, token=token, actor=actor, reason=reason)
        self._ports.log(LogName.REPLAY_STARTED, batch_id=batch_id, actor=actor, rows=len(claimed.indexes))
        prefix = metadata_prefix(batch_id, batch["ingest_time_us"])
        rows = {e.index: with_index(prefix, e.row, e.index) for e in encoded if e.index in claimed.indexes}
        appended, refused = self._append(rows, schema, keep_alive)
        landed = {index: digests[index] for index in rows if index not in refused}
        written: Document = claimed.document
        if landed:
            written = ops.records_landed(batch_id, landed, token=token, actor=actor)
        if refused and not appended.unknown:
            said, text = appended.outcome, next(iter(refused.values()))
            written = ops.records_failed(
                batch_id, refused, token=token, actor=actor, code=said.code, error=text, fingerprint=fingerprint(said)
            )
        self._log_end(batch_id, actor, landed, refused, appended)
        kept = "; it is in doubt: replay the same repair again" if appended.unknown else ""
        already = [Line(n, index, "already") for index, n in numbers.items() if index not in rows]
        failed = [Line(numbers[index], index, "failed", f"{text}{kept}") for index, text in refused.items()]
        lines = [*already, *failed, *(Line(numbers[index], index, "landed") for index in landed)]
        return lines, written.get("ops_version") or 0

    def _append(
        self, rows: Mapping[int, bytes], schema: DescriptorProto, keep_alive: KeepAlive
    ) -> tuple[Appended, dict[int, str]]:
        """Append the rows. Return the answer, and those that are not in the table, by row index, with the reason."""
        appended, indexes = self._ports.append(tuple(rows.values()), schema, keep_alive), tuple(rows)
        refused = {indexes[at]: " ".join(text.split()) for at, text in appended.refused.items()}
        return appended, refused if appended.landed else dict.fromkeys(rows, error_text(appended)) | refused

    def _log_end(
        self, batch_id: str, actor: str, landed: Mapping[int, bytes], refused: Mapping[int, str], told: Appended
    ) -> None:
        if refused:
            fields = {"code": told.outcome.code, "error": normalised(next(iter(refused.values())))}
            self._ports.log(
                LogName.REPLAY_FAILED, "WARNING", batch_id=batch_id, actor=actor, rows=len(refused), **fields
            )
        if landed or not refused:
            self._ports.log(LogName.REPLAY_SUCCEEDED, batch_id=batch_id, actor=actor, rows=len(landed))


def landed_query(table_name: str, batch: Document, indexes: Sequence[int]) -> str:
    """Return the query that tells which of these row indexes of a batch the table holds; it reads one partition."""
    wanted = ", ".join(map(str, sorted(set(indexes))))
    return (
        f"SELECT DISTINCT `_ingest_row_index` AS row_index FROM `{table_name}` "  # noqa: S608 - ids and numbers of ours
        f"WHERE `_ingest_time` = TIMESTAMP_MICROS({batch['ingest_time_us']}) "
        f"AND `_ingest_batch_id` = '{batch['batch_id']}' AND `_ingest_row_index` IN ({wanted}) ORDER BY row_index"
    )


def _lines(content: bytes) -> Iterator[tuple[int, RejectedRecord | str]]:
    """Yield each line's number with its record, or with why it is none."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            try:
                yield number, parsed_lines(line)[0]
            except ValueError as error:
                yield number, str(error).removeprefix("line 1 ")


def _encoded(
    batch: Document, parsed: Sequence[tuple[int, RejectedRecord | str]], encode: Encode
) -> tuple[list[_Encoded], list[Line]]:
    encoded, failed, seen = list[_Encoded](), list[Line](), set[int]()
    known = set(batch.get("rejected_indexes", ()))
    for number, item in parsed:
        if isinstance(item, str):
            failed.append(Line(number, -1, "failed", item))
            continue
        outcome = encode(item.record)
        if item.index in seen:
            failed.append(Line(number, item.index, "failed", "another line has the same row_index", "row_index"))
        elif item.index not in known:
            text = f"the batch rejected no record {item.index}"
            failed.append(Line(number, item.index, "failed", text, "row_index"))
        elif isinstance(outcome, Rejection):
            failed.append(Line(number, item.index, "failed", outcome.reason, outcome.field))
        else:
            encoded.append(_Encoded(number, item.index, outcome))
        seen.add(item.index)
    return encoded, failed


def _require_allowed(batch: Document, encoded: Sequence[_Encoded], actor: str, reason: str) -> None:
    """Raise what the ledger would raise at the claim."""
    claim = ReplayStarted(
        batch_id=batch["batch_id"],
        token="",
        actor=actor,
        reason=reason,
        receipt="",
        forced=False,
        indexes=tuple(each.index for each in encoded),
        digests=b"".join(row_digest(each.row) for each in encoded),
    )
    if encoded and (why := refusal(batch, claim)):
        raise Refused(why)


def _planned(batch: Document, each: _Encoded) -> str:
    repair = batch.get("repairs", {}).get(str(each.index), {})
    is_same = repair.get("digest") == row_digest(each.row).hex()
    return "already" if is_same and repair.get("state") == "landed" else "planned"


def _sorted(lines: Sequence[Line]) -> tuple[Line, ...]:
    return tuple(sorted(lines, key=lambda line: (line.number, line.index)))
