"""The configuration: one frozen object, read once from the environment, with every problem in one report.

`load` is the only reader of the environment in the project. An empty variable counts as unset, except where a
setting's meaning says otherwise.
"""

import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ingestor.config_model import Config
from ingestor.config_source import source_problems
from ingestor.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_DESCRIPTIONS = {name.upper(): field.description for name, field in Config.model_fields.items()}
_EMPTY_IS_A_VALUE = frozenset({"PIPELINE_ID", "SOURCE_PAGE_SIZE_PARAM"})
_TYPO_PREFIXES = ("SOURCE_", "BATCH_", "LEDGER_", "DEAD_LETTER", "APPEND_", "FUSE_", "BQ_")
_TYPO_LIKENESS = 0.78
"""difflib's ratio: finds a lost suffix or a swapped word, leaves SOURCE_DATE_EPOCH and the like alone."""
_OTHERS_VARIABLES = frozenset({"SOURCE_DIR"})
_SHOWN_CHARACTERS = 80
_NO_DESTINATION = {
    "GCP_PROJECT_ID": "unset",
    "BQ_DATASET_ID": "unset",
    "BQ_TABLE_ID": "unset",
    "MESSAGE_TYPE": "unset.Unset",
    "DEAD_LETTER_BUCKET": "unset",
}
"""What stands in for the required settings of a destination that is not used."""


def load(environ: Mapping[str, str] | None = None) -> Config:
    """Read the configuration from `environ`, the process's own environment when None.

    Raises:
        ConfigurationError: one line per problem, `VARIABLE: what is wrong (value): what to set`, all of them at once.
    """
    environ = os.environ if environ is None else environ
    texts = {variable: environ[variable].strip() for variable in _DESCRIPTIONS if variable in environ}
    problems = list(_typos(environ))
    try:
        config = Config.model_validate({v: text for v, text in texts.items() if text or v in _EMPTY_IS_A_VALUE})
    except ValidationError as error:
        problems = [*map(_line, error.errors()), *problems]
    else:
        problems += source_problems(config)
    if problems:  # raised out here so that no traceback carries pydantic's error, which knows the values
        raise ConfigurationError("\n".join(problems))
    return config


def load_for_source(environ: Mapping[str, str] | None = None) -> Config:
    """Read the configuration for looking at the source alone: what the destination needs may be missing.

    Raises:
        ConfigurationError: as `load`.
    """
    environ = os.environ if environ is None else environ
    return load({**_NO_DESTINATION, **environ})


def describe() -> list[tuple[str, str, str]]:
    """Return (variable, meaning, default) of every setting in the contract's order, for documentation."""
    settings = Config.model_json_schema()["properties"]
    return [(v, about["description"], _text(about.get("default", "required"))) for v, about in settings.items()]


def _text(default: object) -> str:
    return "" if default in (None, []) else str(default)


def _line(error: "ErrorDetails") -> str:
    variable = str(error["loc"][0]).upper()  # pydantic names a default's error after the field
    remedy = error.get("ctx", {}).get("remedy") or f"set the {_DESCRIPTIONS[variable]}"
    if error["type"] == "missing":
        return f"{variable}: is missing: {remedy}"
    what = error["msg"][0].lower() + error["msg"][1:]
    return f"{variable}: {what}{_shown(variable, str(error['input']))}: {remedy}"


def _shown(variable: str, text: str) -> str:
    if variable == "SOURCE_URL":
        text = _public_url(text)
    if not text or variable == "SOURCE_SECRET":
        return ""
    shown = ascii(text)
    return f" ({shown if len(shown) <= _SHOWN_CHARACTERS else shown[: _SHOWN_CHARACTERS - 3] + '...'})"


def _public_url(text: str) -> str:
    """Return the URL without user, password and query; nothing when they cannot be told from the rest."""
    front, *query = re.split(r"[?#]", text, maxsplit=1)
    return "" if "@" in "".join(query) else re.sub(r"^(\w+://)?.*@", r"\1", front, flags=re.DOTALL)


def _typos(environ: Mapping[str, str]) -> Iterator[str]:
    for variable in sorted(environ.keys() - _DESCRIPTIONS.keys() - _OTHERS_VARIABLES):
        if variable.startswith(_TYPO_PREFIXES):
            for known in get_close_matches(variable, _DESCRIPTIONS, n=1, cutoff=_TYPO_LIKENESS):
                yield f"{variable}: is not a variable of the ingestor: set {known}, or unset it"


__all__ = ["Config", "describe", "load", "load_for_source"]
