"""The frozen object behind the configuration: every setting with its type, default and description.

The order of the fields is the contract's. `ingestor.config.load` makes it from the environment.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from ingestor import config_fields as kind
from ingestor.config_fields import MIB, wrong
from ingestor.errors import ConfigurationError

_SAFE_CERTS = re.compile(r"https://|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?/", re.IGNORECASE)
LEDGER_COMMIT_AND_MARGIN_S = 20
"""What five sixths of the stale time must leave beside the append timeout (the contract's number): a ledger commit
times out after 10 s, and as much again is margin. The last sixth is the heartbeat's."""


class Config(BaseModel, frozen=True):
    """Everything a run or a service is told from outside. Made by `load`.

    A variable's name is its field's in upper case. Sizes are bytes, names that end in `_s` are seconds, `_days` days.
    """

    model_config = ConfigDict(alias_generator=str.upper, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    gcp_project_id: kind.ProjectId = Field(description="project of the destination table")
    bq_dataset_id: kind.Dataset = Field(description="dataset of the table")
    bq_table_id: kind.Table = Field(description="destination table (not its views)")
    pipeline_id: kind.DocumentId = Field(
        None,
        validate_default=True,
        json_schema_extra={"default": "BQ_TABLE_ID"},
        description="name of the pipeline in the ledger (unset: BQ_TABLE_ID)",
    )
    message_type: kind.MessageType = Field(description="full protobuf message name, such as flights.Flight")
    source_url: kind.HttpUrl = Field(repr=False, description="URL of the first request; may contain {partition}")
    source_records_path: kind.DottedPath = Field("", description="dotted path to the array (unset: all is the array)")
    source_pagination: kind.Pagination = Field("next_cursor", description="way to find the next page")
    source_cursor_param: kind.Word = Field("cursor", description="query parameter that carries the cursor")
    source_next_path: kind.DottedPath = Field("next_cursor", description="dotted path of the next cursor")
    source_cursor_field: kind.DottedPath | None = Field(None, description="record field that high_water_mark goes by")
    source_start: kind.Text | None = Field(None, description="cursor of the very first run, in one line")
    source_page_size_param: kind.Word = Field("limit", description="query parameter of the page size; empty: not sent")
    source_page_size: kind.Whole = Field(1000, ge=1, le=1_000_000, description="records asked for a page")
    source_max_page_bytes: kind.Size = Field(
        "64 MiB", validate_default=True, le=1024 * MIB, description="size above which a response is refused"
    )
    source_timeout_s: kind.Whole = Field(30, ge=1, le=3600, description="seconds for one request")
    source_max_attempts: kind.Whole = Field(6, ge=1, le=100, description="number of requests for one page")
    source_rate_per_s: float | None = Field(None, gt=0, description="requests per second at most, such as 2.5")
    source_auth: kind.SourceAuth = Field("none", description="none, bearer, basic, header:NAME or id_token:AUDIENCE")
    source_secret: kind.SecretVersion | None = Field(
        None, repr=False, description="Secret Manager version of the credential, never the credential itself"
    )
    source_partitions: kind.Whole = Field(1, ge=1, le=10_000, description="number of partitions, lanes 0 to n-1")
    source_parallel_pages: kind.Whole = Field(1, ge=1, le=64, description="number of pages fetched at once")
    source_overlap: kind.Whole = Field(0, ge=0, le=10**9, description="how far high_water_mark re-reads (seconds)")
    batch_max_rows: kind.Whole = Field(5000, ge=1, le=40_000, description="rows that cut a batch, 1 to 40000")
    batch_max_bytes: kind.Size = Field(
        "4 MiB", validate_default=True, le=15 * MIB, description="encoded bytes that cut a batch, at most 15 MiB"
    )
    max_in_flight: kind.Whole = Field(8, ge=1, le=256, description="number of batches in flight")
    append_max_attempts: kind.Whole = Field(5, ge=1, le=100, description="number of appends of one batch")
    append_timeout_s: kind.Whole = Field(60, ge=1, le=3600, description="seconds without an answer: unknown, then cut")
    ledger_stale_s: kind.Whole = Field(
        180, validate_default=True, ge=1, le=86_400, description="age of a lane's newest entry when its run is dead"
    )
    run_deadline_s: kind.Whole = Field(480, ge=1, le=604_800, description="seconds after which reading stops")
    fuse_consecutive: kind.Whole = Field(5, ge=1, description="number of refused batches in a row that stops a run")
    fuse_ratio: float = Field(0.2, gt=0, le=1, description="share of refused records that stops a run, such as 0.2")
    dead_letter_bucket: kind.Bucket = Field(description="bucket's bare name for dead letters, no gs://, no path")
    ledger: kind.Ledger = Field("firestore", description="ledger: firestore or sqlite:///PATH")
    firestore_database: kind.Database = Field("(default)", description="id of the Firestore database")
    ledger_retention_days: kind.Whole = Field(90, ge=1, le=3650, description="age at which entries expire")
    auth: kind.Auth = Field("oidc", description="verifier of callers of the HTTP services")
    auth_audience: kind.Text | None = Field(None, description="audience that tokens must name")
    auth_invokers: kind.Emails = Field((), description="e-mails that may start runs, separated by commas")
    auth_operators: kind.Emails = Field((), description="e-mails that may change, separated by commas")
    auth_viewers: kind.Emails = Field((), description="e-mails that may read, separated by commas")
    auth_certs_url: kind.HttpUrl | None = Field(None, description="URL of the issuer's certificates (unset: Google's)")
    dedup_key: kind.Names = Field((), description="business key of the latest view, separated by commas")
    mask_fields: kind.Names = Field((), description="fields masked on operators' pages, separated by commas")
    service_label: kind.Label = Field("ingestor", description="name of the service in logs")
    log_level: kind.LogLevel = Field("INFO", description="lowest severity logged")
    port: kind.Whole = Field(8080, ge=0, le=65_535, description="port of the HTTP services")
    firestore_emulator_host: kind.HostPort | None = Field(None, description="HOST:PORT of a local Firestore")
    storage_emulator_host: kind.RestHostPort | None = Field(None, description="[http://]HOST:PORT of local storage")
    bigquery_emulator_host: kind.RestHostPort | None = Field(None, description="[http://]HOST:PORT of local BigQuery")
    bigquery_storage_emulator_host: kind.HostPort | None = Field(None, description="HOST:PORT of local Storage Write")
    secret_manager_emulator_host: kind.HostPort | None = Field(None, description="HOST:PORT of a local Secret Manager")
    k_service: kind.Text | None = Field(None, description="name of the service, as Cloud Run sets it")
    cloud_run_task_index: kind.Whole | None = Field(None, ge=0, le=10_000, description="partition, set by Cloud Run")

    @field_validator("pipeline_id", mode="before")
    @classmethod
    def _is_the_table_unless_set(cls, value: str | None, info: ValidationInfo) -> str:
        # A table that was refused itself is told once: any name stands for it here.
        return info.data.get("bq_table_id", "table") if value is None else value

    @field_validator("ledger_stale_s")
    @classmethod
    def _outlasts_an_append(cls, stale_s: int, info: ValidationInfo) -> int:
        timeout_s = info.data.get("append_timeout_s", 0)
        least_s = 6 * (timeout_s + LEDGER_COMMIT_AND_MARGIN_S) // 5 + 1
        if stale_s < least_s:
            what = f"five sixths of it should exceed APPEND_TIMEOUT_S={timeout_s} + {LEDGER_COMMIT_AND_MARGIN_S}"
            raise wrong(what, f"set {least_s} or more, or lower APPEND_TIMEOUT_S")
        return stale_s

    @property
    def sqlite_path(self) -> Path | None:
        """The ledger's file, or None when the ledger is Firestore."""
        return Path(self.ledger.removeprefix("sqlite:///")) if self.ledger != "firestore" else None

    def source_url_of(self, partition: int) -> str:
        """Return the source's URL for one partition."""
        return self.source_url.replace("{partition}", str(partition))

    def check_service(self) -> None:
        """Check what only the HTTP services need.

        Raises:
            ConfigurationError: one line per problem.
        """
        problems = list(_service_problems(self))
        if problems:
            raise ConfigurationError("\n".join(problems))


def _service_problems(config: Config) -> Iterator[str]:
    if config.auth == "none" and config.k_service:
        yield "AUTH: must not be none on Cloud Run ('none'): set oidc, platform or iap"
    if config.auth == "platform" and not config.k_service:
        yield "AUTH: platform trusts Cloud Run's check, and this is not Cloud Run ('platform'): set oidc, iap or none"
    if config.auth in {"oidc", "iap"} and not config.auth_audience:
        yield f"AUTH_AUDIENCE: is missing with AUTH={config.auth}: set the audience that tokens must name"
    if config.auth_certs_url and not _SAFE_CERTS.match(config.auth_certs_url):
        yield "AUTH_CERTS_URL: should be https, or http on this machine: who changes them can be anybody"
