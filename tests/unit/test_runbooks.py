"""Commands in runbooks exist: ours by the command line's own tree, Google's by the trees that the gcloud CLI ships."""

import ast
import json
import os
import re
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from ingestor.cli import cli
from ops.local import firestore_emulator
from tests.runbooks import NAMES, commands, languages

GLOBAL_FLAGS = {"--project", "--format", "--location", "--region"}
BQ_GLOBAL_FLAGS = {"--project_id"}


def google_sdk() -> Path:
    """Return the folder of the gcloud CLI, or skip: the trees of its commands are in it."""
    jar = firestore_emulator.jar()
    root = next((one for one in jar.parents if (one / "data" / "cli").is_dir()), None) if jar else None
    if root is None and os.environ.get("REQUIRE_EMULATORS") == "1":
        pytest.fail("REQUIRE_EMULATORS=1, but the gcloud CLI is not installed")
    if root is None:
        pytest.skip("did not run: the gcloud CLI is not installed")
    return root


@cache
def gcloud_tree() -> Mapping[str, Any]:
    """Return gcloud's commands and flags, from the file of its shell completion."""
    text = (google_sdk() / "data" / "cli" / "gcloud_completions.py").read_text()
    found: Mapping[str, Any] = ast.literal_eval(text.split("STATIC_COMPLETION_CLI_TREE = ", 1)[1])
    return found


def gcloud_problem(words: list[str]) -> str | None:
    """Say why gcloud would refuse these words, or None."""
    node = gcloud_tree()
    rest = list(words)
    while rest and rest[0] in node["commands"]:
        node = node["commands"][rest.pop(0)]
    if node["commands"]:
        return f"no such command: {' '.join(words)}"
    flags = {word.split("=", 1)[0] for word in rest if word.startswith("--")}
    unknown = flags - set(node["flags"]) - set(gcloud_tree()["flags"]) - GLOBAL_FLAGS
    return f"no such flags: {', '.join(sorted(unknown))}" if unknown else None


def ours_problem(words: list[str]) -> str | None:
    """Say why our command line would refuse these words, or None."""
    found: click.Command = cli
    rest = list(words)
    while isinstance(found, click.Group):
        if not rest or rest[0] not in found.commands:
            return f"no such command: {' '.join(words)}"
        found = found.commands[rest.pop(0)]
    options = {name for parameter in found.params for name in parameter.opts if name.startswith("-")}
    unknown = {word.split("=", 1)[0] for word in rest if word.startswith("--")} - options
    return f"no such options: {', '.join(sorted(unknown))}" if unknown else None


@pytest.mark.parametrize("name", NAMES)
def test_every_command_of_ours_exists(name: str) -> None:
    for command in commands(name, "bash"):
        words = shlex.split(command.line)
        assert words[0] == "ingestor", command.line
        assert ours_problem(words[1:]) is None


@pytest.mark.parametrize("name", NAMES)
def test_every_command_of_googles_exists(name: str) -> None:
    bq = json.loads((google_sdk() / "data" / "cli" / "bq.json").read_text())
    for command in commands(name, "shell"):
        tool, *words = shlex.split(command.line)
        if tool == "gcloud":
            assert gcloud_problem(words) is None, command.line
        elif tool == "bq":
            assert words[0] in bq["commands"], command.line
        else:
            assert tool == "terraform", command.line


@pytest.mark.parametrize("name", NAMES)
def test_every_runbook_can_be_checked_and_verified_with_commands(name: str) -> None:
    assert languages(name) <= {"bash", "shell"}
    assert {"Check", "Verify"} <= {command.section for command in commands(name, "bash")}


def test_what_does_not_exist_is_found() -> None:
    assert gcloud_problem(["scheduler", "jobs", "jump", "x"])
    assert gcloud_problem(["scheduler", "jobs", "run", "x", "--fast"])
    assert gcloud_problem(["scheduler", "jobs", "run", "x", "--location=y"]) is None
    assert ours_problem(["batches", "explode"])
    assert ours_problem(["status", "--fast"])
    assert ours_problem(["status", "--json"]) is None


def test_variables_of_commands_are_explained() -> None:
    said = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    used = {
        found
        for name in NAMES
        for language in ("bash", "shell")
        for command in commands(name, language)
        for found in re.findall(r"\$\{?([A-Z_]+)", command.line)
    }
    assert {variable for variable in used if f"`{variable}`" not in said} == set()
