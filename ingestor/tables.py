"""BigQuery's metadata through its REST client: read, create and extend tables and views.

Every call ends in bounded time: `CALL_S` an attempt, no new attempt after `RETRY_S`, so at most their sum. What goes
wrong becomes one line: `BigQueryUnavailable` when it could not be asked, `SchemaMismatch` when it says no.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

import requests
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry
from google.auth import exceptions as auth_exceptions
from google.auth.credentials import AnonymousCredentials

from ingestor import emulated
from ingestor.columns import Column, Table
from ingestor.errors import BigQueryUnavailable, SchemaMismatch
from ingestor.lean import without
from ingestor.table_fields import column_read, field_of, merged, table_read

with without("pandas", "pyarrow"):
    from google.cloud import bigquery

CALL_S = 10.0
"""Time for one attempt of one call."""

RETRY_S = 10.0
"""No new attempt starts later than this after the first."""

Answer = TypeVar("Answer")

_TRANSIENT = (
    exceptions.TooManyRequests,
    exceptions.InternalServerError,
    exceptions.BadGateway,
    exceptions.ServiceUnavailable,
    exceptions.GatewayTimeout,
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
)

RECORDED = ("tableReference", "type", "schema", "timePartitioning", "clustering")
"""What `record` keeps of a table's resource: nothing that changes when rows are written."""

UPDATE_ATTEMPTS = 8
"""A change of a table that somebody else changed meanwhile is made anew on what they left, at most so often."""


class _ChangedMeanwhile(Exception):  # noqa: N818 - a step of the retry, never seen outside
    pass


class Tables:
    """The tables of one dataset. The client is built on first use, so never before a fork.

    Every method raises `BigQueryUnavailable` when BigQuery can't be reached or doesn't let us, within 20 seconds.
    """

    def __init__(self, project: str, dataset: str, emulator_host: str | None = None) -> None:
        """`emulator_host` is `host:port` of a local REST endpoint, asked without credentials."""
        self.project = project
        self.dataset = dataset
        self._emulator_host = emulator_host
        self._client: bigquery.Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, table_id: str) -> Table | None:
        """Return the table or view as it is now, or None when it (or its dataset) doesn't exist."""
        try:
            found = self._call(lambda client, bounds: client.get_table(self._name(table_id), **bounds), table_id)
        except exceptions.NotFound:
            return None
        except exceptions.BadRequest as error:
            raise self._refused(table_id, error) from error
        table = table_read(table_id, found)
        # The local emulator leaves a view's text out of this answer.
        return replace(table, query=self._view_text(table_id)) if table.is_view and not table.query else table

    def record(self, table_id: str) -> dict[str, Any]:
        """Return what there is to know of the table's shape, as the REST API says it.

        Raises:
            SchemaMismatch: there is no such table.
        """
        try:
            found = self._call(lambda client, bounds: client.get_table(self._name(table_id), **bounds), table_id)
        except exceptions.NotFound as error:
            message = f"table {self._name(table_id)} doesn't exist; run `ingestor schema apply`"
            raise SchemaMismatch(message) from error
        resource = found.to_api_repr()
        return {name: resource[name] for name in RECORDED if name in resource}

    def require_dataset(self) -> None:
        """Return when the dataset exists.

        Raises:
            SchemaMismatch: it doesn't; names the command that makes it.
        """
        where = f"{self.project}.{self.dataset}"
        try:
            self._call(lambda client, bounds: client.get_dataset(where, **bounds), "")
        except exceptions.NotFound as error:
            made = f"bq mk --dataset {self.project}:{self.dataset}"
            raise SchemaMismatch(f"dataset {where} doesn't exist; correct BQ_DATASET_ID, or run `{made}`") from error

    def create_table(
        self,
        table_id: str,
        columns: Sequence[Column],
        *,
        partition_column: str = "",
        cluster_columns: Sequence[str] = (),
    ) -> None:
        """Create the table, partitioned by day on `partition_column`; one that exists already is left as it is."""
        table = bigquery.Table(self._name(table_id), schema=[field_of(column) for column in columns])
        if partition_column:
            table.time_partitioning = bigquery.TimePartitioning("DAY", field=partition_column)
        if cluster_columns:
            table.clustering_fields = list(cluster_columns)
        self._create(table_id, table)

    def create_view(self, table_id: str, query: str) -> None:
        """Create the view, or replace its text, in one step."""
        statement = f"CREATE OR REPLACE VIEW `{self._name(table_id)}` AS\n{query}"
        self._changing(table_id, lambda client, bounds: _rows(client, statement, bounds))

    def update_columns(self, table_id: str, columns: Sequence[Column]) -> None:
        """Make the table's columns take what `columns` needs, at every level: add what is missing, let be NULL what may
        be NULL there, and set descriptions, defaults and policy tags. Nothing is taken away.

        Changes are made under the table's ETag, so of two at once neither undoes the other.

        Raises:
            SchemaMismatch: BigQuery refuses the change, or somebody else changes the table again and again.
        """
        for _ in range(UPDATE_ATTEMPTS):
            try:
                self._changing(table_id, lambda client, bounds: self._update(client, bounds, table_id, columns))
            except _ChangedMeanwhile:
                continue
            return
        raise SchemaMismatch(f"table {self._name(table_id)} is being changed by others all the time; try again later")

    def _update(
        self, client: bigquery.Client, bounds: dict[str, Any], table_id: str, columns: Sequence[Column]
    ) -> None:
        # Twice where columns are new: BigQuery takes no default for a column that it doesn't have yet.
        for _ in range(2):
            table = client.get_table(self._name(table_id), **bounds)
            present = [field.to_api_repr() for field in table.schema]
            wanted = merged(present, columns)
            if wanted == present:
                return
            table.schema = [bigquery.SchemaField.from_api_repr(field) for field in wanted]
            client.update_table(table, ["schema"], **bounds)
            if self._emulator_host:
                before = [column_read(bigquery.SchemaField.from_api_repr(field)) for field in present]
                for statement in emulated.statements(self.project, self.dataset, table_id, before, columns):
                    _rows(client, statement, bounds)

    def query(self, sql: str, *, wait_s: float = CALL_S) -> list[dict[str, Any]]:
        """Run a query and return its rows by column name; `wait_s` is the time for its result."""
        try:
            return self._call(lambda client, bounds: _rows(client, sql, bounds, wait_s), "")
        except (exceptions.BadRequest, exceptions.NotFound) as error:
            raise self._refused("", error) from error

    def close(self) -> None:
        """Release connections. Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            client.close()  # type: ignore[no-untyped-call]

    def _create(self, table_id: str, table: bigquery.Table) -> None:
        self._changing(table_id, lambda client, bounds: client.create_table(table, exists_ok=True, **bounds))

    def _view_text(self, table_id: str) -> str:
        views = f"`{self.project}.{self.dataset}`.INFORMATION_SCHEMA.VIEWS"
        rows = self.query(f"SELECT view_definition FROM {views} WHERE table_name = '{table_id}'")  # noqa: S608 (our names)
        return str(rows[0]["view_definition"]) if rows else ""

    def _changing(self, table_id: str, call: Callable[[bigquery.Client, dict[str, Any]], object]) -> None:
        try:
            self._call(call, table_id)
        except exceptions.NotFound as error:
            message = f"{self._name(table_id)} or its dataset is gone: {_line(error)}; run the command again"
            raise SchemaMismatch(message) from error
        except exceptions.PreconditionFailed as error:
            raise _ChangedMeanwhile from error
        except (exceptions.BadRequest, exceptions.Conflict) as error:
            raise self._refused(table_id, error) from error

    def _refused(self, table_id: str, error: Exception) -> SchemaMismatch:
        return SchemaMismatch(f"BigQuery refuses what was asked of {self._name(table_id)}: {_line(error)}")

    def _call(self, call: Callable[[bigquery.Client, dict[str, Any]], Answer], what: str) -> Answer:
        bounds = {"timeout": CALL_S, "retry": Retry(predicate=_is_transient, initial=0.2, maximum=2, timeout=RETRY_S)}
        try:
            return call(self._connected(), bounds)
        except (exceptions.Forbidden, exceptions.Unauthorized) as error:
            message = f"BigQuery denies access to {self._name(what)}: {_line(error)}; grant the account access to it"
            raise BigQueryUnavailable(message) from error
        except auth_exceptions.GoogleAuthError as error:
            message = f"no usable Google credentials: {_line(error)}; run `gcloud auth application-default login`"
            raise BigQueryUnavailable(message) from error
        except (*_TRANSIENT, exceptions.RetryError, requests.exceptions.RequestException) as error:
            message = f"BigQuery could not be asked about {self._name(what)}: {_line(error)}; try again later"
            raise BigQueryUnavailable(message) from error

    def _connected(self) -> bigquery.Client:
        if self._client is None:
            local: dict[str, Any] = {}
            if self._emulator_host:
                options = ClientOptions(api_endpoint=f"http://{self._emulator_host}")
                anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]
                local = {"credentials": anonymous, "client_options": options}
            self._client = bigquery.Client(project=self.project, **local)
        return self._client

    def _name(self, table_id: str) -> str:
        return f"{self.project}.{self.dataset}.{table_id}".rstrip(".")


def _rows(client: bigquery.Client, sql: str, bounds: dict[str, Any], wait_s: float = CALL_S) -> list[dict[str, Any]]:
    job = client.query(sql, job_retry=None, **bounds)
    found = job.result(job_retry=None, **{**bounds, "timeout": wait_s})
    names = [column.name for column in found.schema]
    # By place, since `items` and `values` copy every value deeply: most of the time for tens of thousands of rows.
    return [{name: row[at] for at, name in enumerate(names)} for row in found]


def _is_transient(error: Exception) -> bool:
    return isinstance(error, _TRANSIENT)


def _line(error: Exception) -> str:
    cause = error.cause if isinstance(error, exceptions.RetryError) and error.cause else error
    message = cause.message if isinstance(cause, exceptions.GoogleAPICallError) else str(cause)
    return " ".join(str(message).split())[:300].rstrip(".")
