"""The command `ingestor source try`: one page of an API, the settings it seems to want, a `.proto` to start from."""

import json
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from ingestor.config import Config, load_for_source
from ingestor.errors import SourceError

TRY_S = 60.0
_SHOWN_RECORD = 2_000


@click.group()
def source() -> None:
    """Look at the source."""


@source.command("try")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.option("--proto", "target", type=click.Path(dir_okay=False, path_type=Path), help="Write the .proto there.")
def source_try(*, as_json: bool, target: Path | None) -> None:
    """Fetch one page by the SOURCE_ settings that are set, decode it, and guess the others.

    Needs SOURCE_URL only, writes nothing but the file of --proto, and shows a record's values on this terminal.
    """
    config = load_for_source()
    found = _found(config)
    if target is not None:
        target.write_text(found["proto"])
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"# {found['records']} records in {found['bytes']} bytes, {found['latency_ms']} ms. {found['next']}")
    for name, value in found["settings"].items():
        because = found["because"].get(name)
        click.echo(f"export {name}={shlex.quote(value)}" + (f"  # {because}" if because else ""))
    click.echo(f"\n# The first record\n{found['first'][:_SHOWN_RECORD]}\n")
    click.echo(f"# {target}\n" if target else "# proto/NAME.proto")
    click.echo(found["proto"] if target is None else "")


def _found(config: Config) -> dict[str, Any]:
    from ingestor.decode import Undecodable, records_at  # noqa: PLC0415 - the help starts without the source
    from ingestor.proto_guess import names_of, proto_of  # noqa: PLC0415 - likewise
    from ingestor.source_guess import guess, records_path  # noqa: PLC0415 - likewise
    from ingestor.source_peek import peek  # noqa: PLC0415 - likewise

    seen = peek(config, time.monotonic() + TRY_S)
    chosen = config.model_fields_set
    path = config.source_records_path if "source_records_path" in chosen else records_path(seen.value)
    if path is None:
        raise SourceError("the response holds no array of objects: check SOURCE_URL, or set SOURCE_RECORDS_PATH")
    try:
        records = records_at(seen.value, path)
    except Undecodable as error:
        raise SourceError(f"{error}: set SOURCE_RECORDS_PATH to the path of the array, or leave it unset") from None
    guessed = guess(seen.value, seen.headers, path)
    mine = {name: str(getattr(config, name.lower())) for name in guessed.settings if name.lower() in chosen}
    settings = {"SOURCE_URL": config.source_url, "SOURCE_RECORDS_PATH": path, **guessed.settings, **mine}
    package, message = names_of(urlsplit(config.source_url).path)
    return {
        "settings": {**settings, "MESSAGE_TYPE": f"{package}.{message}"},
        "because": {name: why for name, why in guessed.because.items() if name not in mine},
        "records": len(records),
        "bytes": seen.size_bytes,
        "latency_ms": seen.latency_ms,
        "next": _next(config, settings, seen.value, seen.headers),
        "first": json.dumps(records[0], indent=2, ensure_ascii=False, default=str) if records else "(none)",
        "proto": proto_of(records, package, message),
    }


def _next(config: Config, settings: Mapping[str, str], value: object, headers: Mapping[str, str]) -> str:
    """Say where the settings lead from here, or why they do not."""
    from ingestor.decode import Undecodable  # noqa: PLC0415 - likewise
    from ingestor.pagings import PAGINGS  # noqa: PLC0415 - likewise
    from ingestor.source_wiring import paging_settings  # noqa: PLC0415 - likewise

    changes = {name.lower(): text for name, text in settings.items()}
    tried = config.model_copy(update=changes)
    try:
        reading = PAGINGS[tried.source_pagination](paging_settings(tried)).read(None, value, headers)
    except (SourceError, Undecodable) as error:
        return f"These settings do not follow it: {error}"
    granted = f", {config.source_page_size} were asked for" if len(reading.records) < config.source_page_size else ""
    if reading.next_cursor is None:
        return f"This is the last page{granted}."
    return f"The next cursor is {ascii(reading.next_cursor)[:200]}{granted}."
