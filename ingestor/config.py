"""The configuration: one frozen object, read once from the environment, with every problem in one report.

`load` is the only reader of the environment in the project. The fields of `Config` are the contract's table; a field's
name is its variable's in lower case. An empty variable counts as unset, except where a field's meaning says otherwise.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from difflib import SequenceMatcher
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ingestor import config_fields as parse
from ingestor.config_fields import Wrong
from ingestor.config_model import Config
from ingestor.errors import ConfigurationError

NOT_BUILT: Mapping[str, str | None] = {
    "SOURCE_PAGINATION": "next_cursor",
    "SOURCE_CURSOR_FIELD": None,
    "SOURCE_RATE_PER_S": None,
    "SOURCE_AUTH": "none",
    "SOURCE_SECRET": None,
    "SOURCE_PARTITIONS": "1",
    "SOURCE_PARALLEL_PAGES": "1",
    "SOURCE_OVERLAP": "0",
    "DEDUP_KEY": None,
    "MASK_FIELDS": None,
}
"""Variables whose work is not built yet, each with the only value it may have (None: only unset).

What is listed here is refused instead of ignored; whoever builds a thing takes its line out.
"""

LEDGER_COMMIT_AND_MARGIN_S = 20
"""What five sixths of the stale time must leave beside the append timeout (the contract's number): a ledger commit
times out after 10 s, and as much again is margin. The last sixth is the heartbeat's."""

_TYPO_PREFIXES = ("SOURCE_", "BATCH_", "LEDGER_", "DEAD_LETTER", "APPEND_", "FUSE_", "BQ_")
_TYPO_LIKENESS = 0.78
"""SequenceMatcher ratio: finds a lost suffix or a swapped word, leaves SOURCE_DATE_EPOCH and the like alone."""
_OTHERS_VARIABLES = frozenset({"SOURCE_DIR"})


def load(environ: Mapping[str, str] | None = None) -> Config:
    """Read the configuration from `environ`, the process's own environment when None.

    Raises:
        ConfigurationError: one line per problem, `VARIABLE: what is wrong (value): what to set`, all of them at once.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for setting in fields(Config):
        variable = setting.name.upper()
        try:
            _read(setting, environ.get(variable), values)
        except Wrong as wrong:
            problems[variable] = _line(setting, environ.get(variable), wrong)
    for variable, unsupported in _not_built(environ):
        problems.setdefault(variable, _line(_SETTINGS[variable], environ[variable], unsupported))
    for variable, line in _cross_problems(values):
        problems.setdefault(variable, line)
    _refuse([*problems.values(), *_typos(environ)])
    return Config(**values)


def describe() -> list[tuple[str, str, str]]:
    """Return (variable, meaning, default) of every setting in the contract's order, for documentation."""
    return [(s.name.upper(), s.metadata["meaning"], _default_text(s)) for s in fields(Config)]


_SETTINGS: Mapping[str, Field[Any]] = {setting.name.upper(): setting for setting in fields(Config)}
_EMPTY_IS_A_VALUE = frozenset({"PIPELINE_ID", "SOURCE_PAGE_SIZE_PARAM"})


def _read(setting: "Field[Any]", raw: str | None, values: dict[str, Any]) -> None:
    text = (raw or "").strip()
    if text or (raw is not None and setting.name.upper() in _EMPTY_IS_A_VALUE):
        if any(character in text for character in "\r\n\0"):
            raise Wrong("holds a line break", "set one line")
        values[setting.name] = setting.metadata["parse"](text)
    elif setting.default is MISSING:
        raise Wrong("is missing", f"set the {setting.metadata['meaning']}")


def _line(setting: "Field[Any]", raw: str | None, wrong: Wrong) -> str:
    shown = "" if not (raw or "").strip() or setting.metadata["secret"] else f" ({_short(raw or '')})"
    if setting.name == "source_url" and raw:
        shown = f" ({_short(_public_url(raw))})"
    return f"{setting.name.upper()}: {wrong.what}{shown}: {wrong.remedy}"


def _short(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:77] + "...")  # noqa: PLR2004  # a line of a terminal


def _public_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rpartition("@")[2], "", ""))
    except ValueError:
        return "not shown"


def _default_text(setting: "Field[Any]") -> str:
    if setting.metadata["shown"] is not None:
        return str(setting.metadata["shown"])
    if setting.default is MISSING:
        return "required"
    return "" if setting.default in (None, ()) else str(setting.default)


def _not_built(environ: Mapping[str, str]) -> Iterator[tuple[str, Wrong]]:
    for variable, supported in NOT_BUILT.items():
        if environ.get(variable, "").strip() not in {"", supported}:
            remedy = f"leave it unset or set {supported}" if supported else "leave it unset"
            yield variable, Wrong("not supported by this version yet", remedy)


def _cross_problems(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    stale_s, timeout_s = values.get("ledger_stale_s", 180), values.get("append_timeout_s", 60)
    least_s = 6 * (timeout_s + LEDGER_COMMIT_AND_MARGIN_S) // 5 + 1
    if stale_s < least_s:
        line = (
            f"LEDGER_STALE_S: five sixths of it do not exceed APPEND_TIMEOUT_S + {LEDGER_COMMIT_AND_MARGIN_S} "
            f"({stale_s} with APPEND_TIMEOUT_S={timeout_s}): set {least_s} or more, or lower APPEND_TIMEOUT_S"
        )
        yield "LEDGER_STALE_S", line
    if "pipeline_id" not in values and "bq_table_id" in values:
        try:
            parse.document_id(values["bq_table_id"])
        except Wrong as wrong:
            yield "PIPELINE_ID", f"PIPELINE_ID: BQ_TABLE_ID, its default, {wrong.what}: {wrong.remedy}"


def _typos(environ: Mapping[str, str]) -> Iterator[str]:
    for variable in sorted(environ):
        if variable in _SETTINGS or variable in _OTHERS_VARIABLES or not variable.startswith(_TYPO_PREFIXES):
            continue
        likeness, known = max((SequenceMatcher(None, variable, known).ratio(), known) for known in _SETTINGS)
        if likeness >= _TYPO_LIKENESS:
            yield f"{variable}: is not a variable of the ingestor: set {known}, or unset it"


def _refuse(problems: list[str]) -> None:
    if problems:
        raise ConfigurationError("\n".join(problems))


__all__ = ["NOT_BUILT", "Config", "describe", "load"]
