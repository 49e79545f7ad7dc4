"""The ledger in Firestore, the production adapter.

A commit is one atomic `Commit` RPC without the client's own retries: a retry by the client would turn an answer lost
on the way into AlreadyExists, indistinguishable from somebody else's write. Every read and write is bounded; nothing
here waits on an unreachable Firestore for the client's default of minutes.
"""

import re
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError

from state.codec import entry_document
from state.errors import LedgerError, LedgerUnavailable, OutcomeUnknown, VersionConflict
from state.firestore_queries import (
    batch_from_stored,
    from_stored,
    index_query,
    stored_parts,
    taken_out,
    to_stored,
    troubled_parts,
)
from state.firestore_views import FirestoreViews, stored_entry
from state.firestore_writes import created, merged
from state.journal import (
    Commit,
    Committed,
    Document,
    IndexDocument,
    Kind,
    Snapshot,
    StoredEntry,
    Token,
)
from state.troubled import is_troubled, trouble_anew, troubled_changes

CALL_S = 10.0
"""Deadline of one RPC."""
READ_BUDGET_S = 12.0
"""Time of one read with all its tries."""
_READ_PAUSES_S = (0.1, 0.3, 1.0, 2.0, 4.0)
_NAME = "__name__"

_ONCE: Any = Retry(predicate=if_exception_type())
"""No retries. Not None: a query's stream looks up the predicate of what it was given when it breaks."""
_FINAL = {
    exceptions.PermissionDenied: "grant this service account roles/datastore.user, or the ledger's own role",
    exceptions.Unauthenticated: "check the credentials (`gcloud auth application-default login` on a laptop)",
    exceptions.InvalidArgument: "the request is refused: check FIRESTORE_DATABASE and the size of what is written",
    exceptions.FailedPrecondition: "deploy firestore.indexes.json and wait until its indexes are built",
    exceptions.NotFound: "create the database in native mode, or set FIRESTORE_DATABASE to the one meant",
    GoogleAuthError: "check the credentials (`gcloud auth application-default login` on a laptop)",
}
"""Answers that more tries do not change, each with what to check."""

_NO_DATABASE = re.compile(r"\bdatabase\b", re.IGNORECASE)
"""In a NotFound about the database, and not in one that names a document (`projects/…/databases/…`)."""

T = TypeVar("T")


def client_for(project: str, database: str) -> Any:  # noqa: ANN401 - the client has no types
    """Return a client of one database; of the emulator, without credentials, when FIRESTORE_EMULATOR_HOST is set.

    Made lazily and in the process that uses it: a gRPC client made before a fork hangs (grpc/grpc#41768).

    Raises:
        LedgerUnavailable: there are no credentials.
    """
    from google.cloud import firestore  # noqa: PLC0415 - a second of imports that a SQLite ledger does not pay

    try:
        return firestore.Client(project=project, database=database)
    except GoogleAuthError as error:
        raise LedgerUnavailable(_message("no client", error, _FINAL[GoogleAuthError])) from error


class FirestoreJournal(FirestoreViews):
    """A `Journal` under `pipelines/{pipeline}` of a client's database. Safe across threads and processes.

    `sleep` and `monotonic` pace the tries of a read.
    """

    def __init__(
        self,
        client: Any,  # noqa: ANN401 - the client has no types
        pipeline: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._root = client.collection("pipelines").document(_id(pipeline))
        self._sleep = sleep
        self._monotonic = monotonic

    def commit(self, commit: Commit) -> Committed:
        """See `Journal.commit`."""
        batch = self._client.batch()
        entry = self._entry(commit.lane, commit.entry.version)
        batch._add_write_pbs([created(entry._document_path, _entry_fields(commit))])  # noqa: SLF001 - see state.firestore_writes
        for kind, documents in commit.indexes.items():
            for key, fields in documents.items():
                self._merge(batch, self._document(kind, key), fields, commit, kind)
        for key, fields in troubled_changes(commit).items():
            self._merge_troubled(batch, key, fields)
        if commit.snapshot is not None:
            self._replace_snapshot(batch, commit)
        results = self._commit(batch, f"lane {commit.lane} version {commit.entry.version}")
        return Committed(len(results), results[-1].update_time if commit.snapshot is not None else None)

    def _commit(self, batch: Any, what: str) -> Any:  # noqa: ANN401 - the client has no types
        try:
            return batch.commit(retry=_ONCE, timeout=CALL_S)
        except (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError) as error:
            raise _of_commit(what, error) from error

    def _merge(self, batch: Any, reference: Any, fields: Document, commit: Commit, kind: str) -> None:  # noqa: ANN401
        """Names of fields hold no dots, so that an update and a merge write whole fields."""
        kept, unset = stored_parts(kind, fields)
        token = commit.batch_tokens.get(reference.id) if kind == "batches" else None
        if token is not None:
            changes = {**kept, **taken_out(unset)}
            batch.update(reference, changes, option=self._client.write_option(last_update_time=token))
        else:
            batch._add_write_pbs([merged(reference._document_path, kept, unset)])  # noqa: SLF001 - likewise

    def _merge_troubled(self, batch: Any, key: str, fields: Document) -> None:  # noqa: ANN401
        kept, gone = troubled_parts(fields)
        batch._add_write_pbs([merged(self._document("troubled", key)._document_path, kept, gone)])  # noqa: SLF001 - likewise

    def _replace_snapshot(self, batch: Any, commit: Commit) -> None:  # noqa: ANN401
        """Last of the commit. The state is one field, so that an update replaces it whole."""
        reference = self._lane(commit.lane)
        fields = {"lane": commit.lane, "version": commit.entry.version, "state": commit.snapshot}
        if commit.snapshot_token is None:
            batch.create(reference, fields)
        else:
            batch.update(reference, fields, option=self._client.write_option(last_update_time=commit.snapshot_token))

    def read_snapshot(self, lane: str) -> Snapshot | None:
        """See `Journal.read_snapshot`."""
        found = self._get(self._lane(lane))
        if not found.exists:
            return None
        document = found.to_dict()
        return Snapshot(document["version"], document["state"], found.update_time)

    def read_entry(self, lane: str, version: int) -> StoredEntry | None:
        """See `Journal.read_entry`."""
        found = self._get(self._entry(lane, version))
        return stored_entry(found) if found.exists else None

    def read_entries(self, lane: str, first: int, limit: int) -> Sequence[StoredEntry]:
        """See `Journal.read_entries`."""
        start = {_NAME: self._entry(lane, first)}
        journal = self._lane(lane).collection("journal")
        return [stored_entry(found) for found in self._list(journal.order_by(_NAME).start_at(start).limit(limit))]

    def read_lanes(self) -> Sequence[str]:
        """See `Journal.read_lanes`."""
        return sorted(found.id for found in self._list(self._root.collection("lanes").select(["version"])))

    def read_batch(self, batch_id: str) -> Document | None:
        """See `Journal.read_batch`."""
        found = self.read_batch_for_update(batch_id)
        return found[0] if found else None

    def read_batch_for_update(self, batch_id: str) -> tuple[Document, Token] | None:
        """See `Journal.read_batch_for_update`."""
        found = self._get(self._document("batches", batch_id))
        return (batch_from_stored(found.to_dict()), found.update_time) if found.exists else None

    def read_index(self, kind: Kind, *, limit: int, after: str | None = None) -> Sequence[IndexDocument]:
        """See `Journal.read_index`. A token is a document's update time."""
        found = self._list(index_query(self._root.collection(kind), kind, after, limit))
        read = batch_from_stored if kind == "batches" else from_stored
        return [IndexDocument(each.id, read(each.to_dict()), each.update_time) for each in found]

    def mend(self, kind: Kind, key: str, fields: Document, *, token: Token | None, gone: Collection[str] = ()) -> None:
        """See `Journal.mend`."""
        batch, reference = self._client.batch(), self._document(kind, key)
        kept, unset = stored_parts(kind, fields)
        if token is None:
            batch.create(reference, kept)
        else:
            changes = {**kept, **taken_out([*gone, *unset])}
            batch.update(reference, changes, option=self._client.write_option(last_update_time=token))
        if kind == "batches" and "batch_id" in fields and (token is not None or is_troubled(fields)):
            self._merge_troubled(batch, key, trouble_anew(key, fields))
        self._commit(batch, f"{kind} {key}")

    def create_skip(self, skip_id: str, document: Document, expire_at_us: int) -> None:
        """See `Journal.create_skip`."""
        fields = to_stored({**document, "expire_at_us": expire_at_us})
        reference = self._document("skips", skip_id)

        def create(timeout: float) -> None:
            try:
                reference.create(fields, retry=_ONCE, timeout=timeout)
            except exceptions.AlreadyExists:
                return

        self._bounded(f"skip {skip_id}", create)

    def close(self) -> None:
        """See `Journal.close`."""
        api = self._client._firestore_api_internal  # noqa: SLF001 - the client has no close of its own
        if api is not None:
            api.transport.close()

    def _lane(self, lane: str) -> Any:  # noqa: ANN401
        return self._root.collection("lanes").document(_id(lane))

    def _document(self, collection: str, key: str) -> Any:  # noqa: ANN401
        return self._root.collection(collection).document(_id(key))

    def _entry(self, lane: str, version: int) -> Any:  # noqa: ANN401
        return self._lane(lane).collection("journal").document(f"{version:012d}")

    def _get(self, reference: Any) -> Any:  # noqa: ANN401
        return self._bounded(reference.path, lambda timeout: reference.get(retry=_ONCE, timeout=timeout))

    def _get_all(self, references: Sequence[Any], fields: Sequence[str] | None = None) -> list[Any]:
        """Read documents by their names, in this order; those that are not there are left out."""

        def read(timeout: float) -> dict[Any, Any]:
            asked = self._client.get_all(references, field_paths=fields, retry=_ONCE, timeout=timeout)
            return {found.reference.path: found for found in asked if found.exists}

        found = self._bounded("documents by name", read) if references else {}
        return [found[reference.path] for reference in references if reference.path in found]

    def _list(self, query: Any) -> list[Any]:  # noqa: ANN401
        return self._bounded("a list", lambda timeout: list(query.stream(retry=_ONCE, timeout=timeout)))

    def _bounded(self, what: str, call: Callable[[float], T]) -> T:
        """Make a call that may be repeated, until it succeeds, is refused for good, or its budget is spent."""
        started = self._monotonic()
        for pause_s in (*_READ_PAUSES_S, None):
            try:
                left_s = READ_BUDGET_S - (self._monotonic() - started)
                return call(min(CALL_S, max(left_s, 1.0)))
            except (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError) as error:
                hint = _hint(error)
                is_spent = pause_s is None or self._monotonic() - started + pause_s > READ_BUDGET_S
                if hint is not None or is_spent:
                    advice = hint or "check the network, or FIRESTORE_EMULATOR_HOST, and run again"
                    raise LedgerUnavailable(_message(what, error, advice)) from error
            self._sleep(pause_s or 0.0)
        raise AssertionError("unreachable: the last try raises")


def _of_commit(what: str, error: Exception) -> LedgerError:
    """Classify the failure of a commit; what does not say that nothing was written is unknown."""
    if isinstance(error, exceptions.AlreadyExists | exceptions.FailedPrecondition):
        return VersionConflict(f"{what}: somebody else wrote")
    if isinstance(error, exceptions.NotFound) and not _NO_DATABASE.search(str(error)):
        return VersionConflict(f"{what}: the snapshot is gone")
    hint = _hint(error)
    if hint is not None:
        return LedgerUnavailable(_message(what, error, hint))
    return OutcomeUnknown(_message(what, error, "look at the version"))


def _hint(error: Exception) -> str | None:
    return next((hint for kind, hint in _FINAL.items() if isinstance(error, kind)), None)


def _message(what: str, error: Exception, advice: str) -> str:
    reason = " ".join(str(error).split())[:200]
    return f"Firestore, {what}: {type(error).__name__} ({reason}); {advice}"


def _id(name: str) -> str:
    """Return the name as a document's id; a path in it would lead out of the pipeline."""
    if not name or "/" in name or name in {".", ".."} or (name.startswith("__") and name.endswith("__")):
        raise ValueError(f"{name!r} cannot name a document: it is empty, holds a slash, is dots or __wrapped__")
    return name


def _entry_fields(commit: Commit) -> dict[str, Any]:
    expiry = {} if commit.expire_at_us is None else {"expire_at_us": commit.expire_at_us}
    return to_stored({**entry_document(commit.entry), **expiry})
