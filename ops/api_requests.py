"""What the API takes: parameters, headers and bodies, each with its bounds. An unknown one is refused, because a filter
that is misspelt and ignored would act on everything. A query's empty value is no value: forms send those.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from ingestor.ago import microseconds

MOST_A_PAGE = 200
PLANNED_MOST = 200
"""Batches that one dry run looks at: each is read from the bucket."""
BATCH_STATUSES = ("ATTEMPTED", "COMMITTED", "DEAD_LETTERED", "SUPERSEDED", "REPLAYING", "DISCARDED")
RUN_STATUSES = ("running", "complete", "partial", "failed")
_TEXT = r"^[^\x00-\x1f\x7f]*$"


def _time(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("a time is a text: 2026-02-01T06:00:00Z, or how long ago, such as 6h")  # noqa: TRY004 - pydantic's
    return microseconds(value, datetime.now(UTC))


def _told(pattern: str) -> WithJsonSchema:
    ways = [{"type": "string", "format": "date-time"}, {"type": "string", "pattern": pattern}]
    return WithJsonSchema({"description": "RFC 3339, or how long ago: 90m, 6h, 2d, 1w", "anyOf": ways, "example": "6h"})


When = Annotated[int, BeforeValidator(_time), _told("^[0-9]{1,4}[mhdw]$")]
"""Microseconds since 1970, from a text."""
AskedWhen = Annotated[int, BeforeValidator(_time), _told("^([0-9]{1,4}[mhdw])?$")]
"""Likewise of a query, where an empty value is none."""
Reason = Annotated[
    str,
    Field(
        min_length=1,
        max_length=500,
        pattern=_TEXT,
        description="why; kept in the ledger",
        json_schema_extra={"example": "mended"},
    ),
]
Optionally = Annotated[str, Field(max_length=500, pattern=_TEXT, description="why, if there is more to say")]
Lane = Annotated[str, Field(max_length=200, pattern=r"^[0-9A-Za-z_.:-]*$", description="only of this lane")]
Fingerprint = Annotated[str, Field(pattern=r"^([0-9a-f]{12})?$", description="only those that failed alike")]
RunId = Annotated[str, Field(pattern=r"^([0-9A-Za-z][0-9A-Za-z.:-]{0,79})?$", description="only of this run")]
_NEXT = "`next` of the page before"
Page = Annotated[str, Field(pattern=r"^(00[0-9]{18}~[0-9A-Za-z.:-]{1,200})?$", description=_NEXT)]
RunPage = Annotated[str, Field(pattern=r"^([0-9A-Za-z][0-9A-Za-z.:-]{0,79})?$", description=_NEXT)]
Place = Annotated[str, Field(pattern=r"^[0-9]{0,7}$", description=_NEXT)]
Limit = Annotated[int, Field(ge=1, le=MOST_A_PAGE, description="how many at most")]
_WHOLE = BeforeValidator(lambda value: int(value) if isinstance(value, float) and value.is_integer() else value)
"""JSON has one kind of number: 3.0 is whole."""
Index = Annotated[int, Field(ge=0, le=100_000), _WHOLE]
Most = Annotated[int, Field(ge=1, le=10_000), _WHOLE]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_empty_values(cls, given: Any) -> Any:  # noqa: ANN401 - a query's parameters
        return {name: value for name, value in given.items() if value != ""} if isinstance(given, dict) else given


class PageQuery(_Query):
    """Where a list by time goes on."""

    page: Page | None = None
    limit: Limit = 50


class PlaceQuery(_Query):
    """Where the parts of one thing go on."""

    page: Place | None = None
    limit: Limit = 50


class BatchesQuery(PageQuery):
    """Which batches."""

    status: Literal["", "ATTEMPTED", "COMMITTED", "DEAD_LETTERED", "SUPERSEDED", "REPLAYING", "DISCARDED"] | None = None
    lane: Lane | None = None
    run: RunId | None = None
    fingerprint: Fingerprint | None = None
    since: AskedWhen | None = None
    until: AskedWhen | None = None


class RunsQuery(_Query):
    """Which runs."""

    page: RunPage | None = None
    limit: Limit = 50
    status: Literal["", "running", "complete", "partial", "failed"] | None = None
    lane: Lane | None = None
    since: AskedWhen | None = None
    until: AskedWhen | None = None


class BatchPath(BaseModel):
    """A batch."""

    batch_id: str = Field(pattern=r"^[0-9a-f]{32}$", json_schema_extra={"example": "0" * 32})


class RunPath(BaseModel):
    """A run."""

    run_id: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.:-]{0,79}$")


class ReconcileQuery(_Query):
    """From when on; the partitions that BigQuery reads are bounded by it."""

    since: AskedWhen | None = None


class LanePath(BaseModel):
    """A lane."""

    lane: str = Field(max_length=200, pattern=r"^[0-9A-Za-z_.:-]+$", json_schema_extra={"example": "0"})


class ReceiptPath(BaseModel):
    """A receipt."""

    receipt: str = Field(
        pattern=r"^(replay-[0-9a-f]{16}|ops-[0-9]{1,12}|lane-[0-9A-Za-z_.:-]{1,200}-[0-9]{1,12})$",
        json_schema_extra={"example": "ops-17"},
    )


class KeyHeader(BaseModel):
    """What makes a request that is sent twice act once."""

    key: str = Field(
        "",
        alias="Idempotency-Key",
        max_length=200,
        pattern=r"^[!-~]*$",
        description="your own name of this request; sent again it acts once",
    )


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ReasonBody(_Body):
    """Why."""

    reason: Reason


class GoOnBody(_Body):
    """May say why; no body is none."""

    model_config = ConfigDict(openapi_extra={"required": False})  # type: ignore[typeddict-unknown-key]  # flask-openapi3's

    reason: Optionally = ""
    forced: bool = Field(default=False, description="even what people replayed three times")

    @model_validator(mode="before")
    @classmethod
    def _no_body_is_an_empty_one(cls, given: Any) -> Any:  # noqa: ANN401 - whatever was sent
        return {} if given is None else given


class ReplayBody(ReasonBody):
    """One batch again."""

    forced: bool = Field(default=False, description="even what people replayed three times")
    dry_run: bool = Field(default=False, description="say what would happen; change nothing")


class BulkBody(_Body):
    """Many batches again, under a receipt. Filters are those of the list; all dead batches without any."""

    status: Literal["DEAD_LETTERED", "REPLAYING"] = "DEAD_LETTERED"
    since: When | None = None
    lane: Lane | None = None
    fingerprint: Fingerprint | None = None
    limit: Most | None = Field(default=None, description="at most so many, the oldest first")
    dry_run: bool = Field(
        default=False, description=f"say what would happen to the oldest {PLANNED_MOST}; change nothing"
    )
    reason: Reason


class RepairedRecord(_Body):
    """A rejected record as it should have been."""

    row_index: Index
    record: dict[str, Any] = Field(json_schema_extra={"example": {"flight": 1545}})


class RepairBody(ReasonBody):
    """Repaired records, or none for all that are open, as the bucket has them."""

    records: list[RepairedRecord] | None = Field(default=None, min_length=1, max_length=5_000)
    dry_run: bool = Field(default=False, description="encode them and say what would happen; change nothing")


class DiscardRecordsBody(ReasonBody):
    """Rejected records that nobody wants."""

    indexes: list[Index] = Field(min_length=1, max_length=5_000, json_schema_extra={"example": [3]})
