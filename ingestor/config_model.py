"""The frozen object behind the configuration: every setting with its parser, meaning and default.

The order of the fields is the contract's. `ingestor.config.load` makes it from the environment.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingestor import config_fields as parse
from ingestor.config_fields import MIB, Parser
from ingestor.errors import ConfigurationError

_COLUMN_ID = "set letters, digits, '_' and '-'"


def _from(parser: Parser, meaning: str, *, shown: str | None = None, secret: bool = False) -> dict[str, Any]:
    return {"parse": parser, "meaning": meaning, "shown": shown, "secret": secret}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a run or a service is told from outside. Made by `load`; the constructor itself checks nothing.

    Sizes are bytes, names that end in `_s` are seconds, `_days` days.
    """

    gcp_project_id: str = field(
        metadata=_from(
            parse.text_like(
                r"(?:[a-z0-9.-]+:)?[a-z](?:[a-z0-9-]*[a-z0-9])?", "set a project id: a-z, 0-9, '-'", limit=90
            ),
            "project of the destination table",
        )
    )
    bq_dataset_id: str = field(
        metadata=_from(parse.text_like(r"[A-Za-z0-9_]+", "set letters, digits and '_'"), "dataset of the table")
    )
    bq_table_id: str = field(
        metadata=_from(parse.text_like(r"[\w-]+", _COLUMN_ID, limit=1000), "destination table (not its views)")
    )
    pipeline_id: str = field(
        default="", metadata=_from(parse.document_id, "name of the pipeline in the ledger", shown="BQ_TABLE_ID")
    )
    message_type: str = field(
        metadata=_from(
            parse.text_like(
                r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", "set a full name, such as flights.Flight"
            ),
            "full protobuf message name, such as flights.Flight",
        )
    )
    source_url: str = field(
        repr=False,
        metadata=_from(parse.http_url, "URL of the first request; may contain {partition}", secret=True),
    )
    source_records_path: str = field(
        default="",
        metadata=_from(parse.dotted, "dotted path to the array in the response; empty: the response is the array"),
    )
    source_pagination: str = field(
        default="next_cursor",
        metadata=_from(
            parse.choice("next_cursor", "next_link", "header_link", "high_water_mark", "offset", "none"),
            "how the next page is found",
        ),
    )
    source_cursor_param: str = field(
        default="cursor",
        metadata=_from(parse.text_like(r"\S+", "set the name of a query parameter"), "parameter carrying the cursor"),
    )
    source_next_path: str = field(
        default="next_cursor", metadata=_from(parse.dotted, "dotted path of the next cursor in the response")
    )
    source_cursor_field: str | None = field(
        default=None, metadata=_from(parse.dotted, "record field that high_water_mark goes by")
    )
    source_start: str | None = field(default=None, metadata=_from(str, "cursor of the very first run"))
    source_page_size_param: str = field(
        default="limit",
        metadata=_from(
            parse.text_like(r"\S*", "set the name of a query parameter"),
            "parameter carrying the page size; set but empty: none is sent",
        ),
    )
    source_page_size: int = field(default=1000, metadata=_from(parse.whole(1, 1_000_000), "records asked for a page"))
    source_max_page_bytes: int = field(
        default=64 * MIB, metadata=_from(parse.size(1024 * MIB), "a larger response is refused", shown="64 MiB")
    )
    source_timeout_s: int = field(default=30, metadata=_from(parse.whole(1, 3600), "time for one request"))
    source_max_attempts: int = field(default=6, metadata=_from(parse.whole(1, 100), "requests for one page"))
    source_rate_per_s: float | None = field(default=None, metadata=_from(parse.rate, "requests per second at most"))
    source_auth: str = field(
        default="none",
        metadata=_from(
            parse.text_like(
                r"none|bearer|basic|header:[A-Za-z0-9-]+|id_token:\S+",
                "set none, bearer, basic, header:NAME or id_token:AUDIENCE",
            ),
            "how requests are authenticated: none, bearer, basic, header:NAME, id_token:AUDIENCE",
        ),
    )
    source_secret: str | None = field(
        default=None,
        repr=False,
        metadata=_from(
            parse.text_like(
                r"projects/[^/\s]+/secrets/[^/\s]+/versions/[^/\s]+",
                "set the resource name projects/P/secrets/S/versions/V, never the secret itself",
            ),
            "Secret Manager version that holds the credential",
            secret=True,
        ),
    )
    source_partitions: int = field(default=1, metadata=_from(parse.whole(1, 10_000), "partitions, lanes 0 to n-1"))
    source_parallel_pages: int = field(default=1, metadata=_from(parse.whole(1, 64), "pages fetched at once"))
    source_overlap: int = field(default=0, metadata=_from(parse.whole(0), "seconds that high_water_mark re-reads"))
    batch_max_rows: int = field(default=5000, metadata=_from(parse.whole(1, 40_000), "rows at which a batch is cut"))
    batch_max_bytes: int = field(
        default=4 * MIB,
        metadata=_from(parse.size(15 * MIB), "encoded bytes at which a batch is cut", shown="4 MiB"),
    )
    max_in_flight: int = field(default=8, metadata=_from(parse.whole(1, 256), "batches in flight"))
    append_max_attempts: int = field(default=5, metadata=_from(parse.whole(1, 100), "appends of one batch"))
    append_timeout_s: int = field(
        default=60, metadata=_from(parse.whole(1, 3600), "no answer for this long: unknown, the connection is cut")
    )
    ledger_stale_s: int = field(
        default=180,
        metadata=_from(parse.whole(1, 86_400), "a run is taken for dead when its lane's newest entry is older"),
    )
    run_deadline_s: int = field(default=480, metadata=_from(parse.whole(1, 604_800), "stop reading after this long"))
    fuse_consecutive: int = field(default=5, metadata=_from(parse.whole(1), "refused batches in a row that stop a run"))
    fuse_ratio: float = field(default=0.2, metadata=_from(parse.ratio, "share of refused records that stops a run"))
    dead_letter_bucket: str = field(
        metadata=_from(
            parse.text_like(
                r"[a-z0-9][a-z0-9._-]+[a-z0-9]", "set the bucket's bare name, without gs:// or a path", limit=222
            ),
            "bucket of the dead letters",
        )
    )
    ledger: str = field(default="firestore", metadata=_from(parse.ledger, "firestore or sqlite:///PATH"))
    firestore_database: str = field(
        default="(default)",
        metadata=_from(
            parse.text_like(r"\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9]", "set a database id or unset it"), "database id"
        ),
    )
    ledger_retention_days: int = field(default=90, metadata=_from(parse.whole(1, 3650), "age at which entries expire"))
    auth: str = field(
        default="oidc",
        metadata=_from(parse.choice("oidc", "platform", "iap", "none"), "who verifies callers of the HTTP services"),
    )
    auth_audience: str | None = field(default=None, metadata=_from(str, "audience that tokens must name"))
    auth_invokers: tuple[str, ...] = field(default=(), metadata=_from(parse.emails, "e-mails that may start runs"))
    auth_operators: tuple[str, ...] = field(default=(), metadata=_from(parse.emails, "e-mails that may change"))
    auth_viewers: tuple[str, ...] = field(default=(), metadata=_from(parse.emails, "e-mails that may read"))
    auth_certs_url: str | None = field(
        default=None, metadata=_from(parse.http_url, "certificates of the tokens' issuer", shown="Google's")
    )
    dedup_key: tuple[str, ...] = field(default=(), metadata=_from(parse.names, "business key of the latest view"))
    mask_fields: tuple[str, ...] = field(default=(), metadata=_from(parse.names, "fields masked on operators' pages"))
    service_label: str = field(
        default="ingestor", metadata=_from(parse.text_like(r"[\w.-]+", _COLUMN_ID, limit=63), "service name in logs")
    )
    log_level: str = field(
        default="INFO",
        metadata=_from(parse.choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), "lowest severity logged"),
    )
    port: int = field(default=8080, metadata=_from(parse.whole(0, 65_535), "port of the HTTP services"))
    firestore_emulator_host: str | None = field(
        default=None, metadata=_from(parse.endpoint(url_allowed=False), "local Firestore (gRPC)")
    )
    storage_emulator_host: str | None = field(
        default=None, metadata=_from(parse.endpoint(url_allowed=True), "local Cloud Storage (REST)")
    )
    bigquery_emulator_host: str | None = field(
        default=None, metadata=_from(parse.endpoint(url_allowed=True), "local BigQuery (REST)")
    )
    bigquery_storage_emulator_host: str | None = field(
        default=None, metadata=_from(parse.endpoint(url_allowed=False), "local Storage Write API (gRPC, plaintext)")
    )
    secret_manager_emulator_host: str | None = field(
        default=None, metadata=_from(parse.endpoint(url_allowed=False), "local Secret Manager (gRPC, plaintext)")
    )
    k_service: str | None = field(default=None, metadata=_from(str, "set by Cloud Run in its services"))
    cloud_run_task_index: int | None = field(
        default=None, metadata=_from(parse.whole(0, 10_000), "set by Cloud Run in its jobs: the partition")
    )

    def __post_init__(self) -> None:
        if not self.pipeline_id:
            object.__setattr__(self, "pipeline_id", self.bq_table_id)

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
