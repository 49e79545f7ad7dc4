"""The smoke test of a deployment: everything that a run needs is asked for once, and nothing is written anywhere."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ingestor.encode import Rejection
from ingestor.errors import DifferenceFound, IngestorError
from ingestor.pages import Page, Source
from ingestor.paging import shown_cursor
from state.errors import LedgerError
from state.fold import LaneState

_SHOWN_FIELDS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was asked. `exit_code` is 0 when it is as it must be."""

    what: str
    text: str
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class CheckPorts:
    """The outside of a check. Each raises an `IngestorError` or `LedgerError` when a run would meet one.

    `lane` is None when the lane's ledger does not exist yet; `encode` tells a record's row or its rejection.
    """

    lane: Callable[[], LaneState | None]
    schema: Callable[[], None]
    bucket: Callable[[], None]
    source: Source
    encode: Callable[[object], bytes | Rejection]
    unknown_fields: Callable[[], Mapping[str, int]] = field(default=dict)


def check(ports: CheckPorts) -> list[Finding]:
    """Return what was found about ledger, table, bucket and source, in this order; all of it, whatever fails."""
    found: list[LaneState | None] = []
    return [
        _asked("ledger", lambda: _lane(ports, found)),
        _asked("table", lambda: _fine(ports.schema, "table, ledger table and views fit the message")),
        _asked("bucket", lambda: _fine(ports.bucket, "it is there")),
        *_source(ports, found[0] if found else None),
    ]


def _asked(what: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(what, ask())
    except (IngestorError, LedgerError) as error:
        return Finding(what, str(error), getattr(error, "EXIT_CODE", IngestorError.EXIT_CODE))


def _fine(ask: Callable[[], None], text: str) -> str:
    ask()
    return text


def _lane(ports: CheckPorts, found: list[LaneState | None]) -> str:
    state = ports.lane()
    found.append(state)
    if state is None or state.version == 0:
        return "no run yet: the first one begins at the source's start"
    at = state.checkpoint
    place = "the start" if at is None else f"{shown_cursor(at.cursor or '')} + {at.taken}"
    paused = f"; paused: {state.pause_reason}" if state.paused else ""
    return f"the next run goes on at {place}{paused}"


def _source(ports: CheckPorts, state: LaneState | None) -> Iterator[Finding]:
    pages: list[Page] = []

    def fetch() -> str:
        at = state.checkpoint if state else None
        page = ports.source.fetch(at.cursor if at else None)
        pages.append(page)
        return f"a page of {len(page.records)} records in {page.latency_ms} ms, {page.size_bytes} bytes"

    yield _asked("source", fetch)
    if pages:
        yield _encoded(ports, pages[0])


def _encoded(ports: CheckPorts, page: Page) -> Finding:
    """Encode every record. Reasons of rejections may quote values, so only the fields are named."""
    outcomes = [ports.encode(record) for record in page.records]
    rejected = Counter(outcome.field or "the record" for outcome in outcomes if isinstance(outcome, Rejection))
    rows = len(outcomes) - rejected.total()
    unknown = ports.unknown_fields()
    names = ", ".join(sorted(unknown)[:_SHOWN_FIELDS])
    ignored = f"; fields that the message lacks: {names}" if unknown else ""
    if not rejected:
        return Finding("records", f"all {rows} are rows{ignored}")
    why = ", ".join(f"{name} ({count})" for name, count in rejected.most_common(_SHOWN_FIELDS))
    text = f"{rejected.total()} of {len(outcomes)} would be rejected for {why}; correct the .proto or the source"
    return Finding("records", f"{text}{ignored}", DifferenceFound.EXIT_CODE)
