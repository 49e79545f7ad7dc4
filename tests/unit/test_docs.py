"""What the documents say exists, and what follows from code is what the code says."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from docs import generate
from ingestor import errors
from ingestor.cli import USAGE, cli
from ingestor.config import describe, load

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "ops").glob("*/*.md")),
]
PAGES = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")
COMMAND = re.compile(r"(?:^|[\s/`])ingestor((?: [a-z][a-z-]*)+)", re.MULTILINE)
SETTING = re.compile(r"\b(?:BQ|SOURCE|BATCH|APPEND|LEDGER|FUSE|DEAD_LETTER|FIRESTORE|RUN|MESSAGE)_[A-Z_]+\b")
ARGUMENTS = {"BATCH_ID", "BATCH_IDS", "RUN_ID"}
"""Names of a command's arguments, which look like settings."""
MACHINE_PATH = re.compile(r"(?<![\w.}/])/(?:home|root|tmp|work|Users|opt|mnt|var)\b|[A-Z]:\\\\")


def code(text: str) -> Iterator[str]:
    """Yield what stands in code spans and fences, where a command is meant as one."""
    yield from (match[2] for match in FENCE.finditer(text))
    yield from SPAN.findall(FENCE.sub("", text))


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def command(words: list[str]) -> click.Command | None:
    """Return what the words call; words after a command that does something are its arguments."""
    found: click.Command | None = cli
    while words and isinstance(found, click.Group):
        found = found.commands.get(words.pop(0))
    return found


@PAGES
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    targets = [link for link in LINK.findall(path.read_text()) if "://" not in link]
    for target in targets:
        name, _, anchor = target.partition("#")
        page = path.parent / name if name else path
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target


def test_the_index_names_every_document() -> None:
    named = {link.partition("#")[0] for link in LINK.findall((ROOT / "docs" / "README.md").read_text())}
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} - named == set()


@PAGES
def test_every_make_target_that_is_named_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for text in code(path.read_text()) for target in MAKE.findall(text)}
    assert named <= targets


@PAGES
def test_every_command_that_is_named_exists(path: Path) -> None:
    named = {words for text in code(path.read_text()) for words in COMMAND.findall(text)}
    assert [words for words in sorted(named) if command(words.split()) is None] == []


@PAGES
def test_every_setting_that_is_named_exists(path: Path) -> None:
    settings = {name for name, _, _ in describe()}
    named = {name for text in code(path.read_text()) for name in SETTING.findall(text)}
    assert named - settings - ARGUMENTS == set()


@PAGES
def test_no_path_of_somebodys_machine_is_named(path: Path) -> None:
    assert MACHINE_PATH.findall(path.read_text()) == []


@pytest.mark.parametrize("path", generate.documents(), ids=lambda path: path.name)
def test_a_generated_document_is_what_the_code_says(path: Path) -> None:
    assert path.read_text() == generate.documents()[path], f"{path.name} is stale: run `make docs`"


def test_every_setting_and_every_command_is_documented() -> None:
    settings, commands = generate.configuration(), generate.command_line()
    assert [name for name, _, _ in describe() if f"\n| `{name}` |" not in settings] == []
    assert [path for path, _ in generate.commands(cli, "ingestor") if f"\n## {path}\n" not in commands] == []


def test_every_exit_code_is_documented() -> None:
    codes = {each.EXIT_CODE for each in vars(errors).values() if hasattr(each, "EXIT_CODE")} | {0, USAGE}
    assert [number for number in sorted(codes) if f"\n| {number} |" not in generate.command_line()] == []


def test_the_settings_of_the_readme_are_a_configuration() -> None:
    blocks = [textwrap.dedent(match[2]) for match in FENCE.finditer((ROOT / "README.md").read_text())]
    block = next(each for each in blocks if "export MESSAGE_TYPE" in each)
    exported = dict(word.split("=", 1) for word in shlex.split(block, comments=True) if word != "export")
    assert load(exported).source_next_path == "meta.next"


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (COMMAND, "run `.venv/bin/ingestor schema apply` now", [" schema apply"]),
        (COMMAND, ".venv/bin/ingestor run --json", [" run"]),
        (MAKE, "make demo", ["demo"]),
        (SETTING, "set `SOURCE_NEXT_PATH`", ["SOURCE_NEXT_PATH"]),
        (LINK, "see [it](docs/cli.md#a)", ["docs/cli.md#a"]),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern: re.Pattern[str], text: str, found: list[str]) -> None:
    assert pattern.findall(text) == found


@pytest.mark.parametrize("text", ["in /home/me/x", "`/tmp/x`", "(/root/y)"])
def test_a_path_of_a_machine_is_recognised(text: str) -> None:
    assert MACHINE_PATH.search(text)
