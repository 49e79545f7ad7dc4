"""Write the documents that follow from code: `configuration.md` from the settings, `cli.md` from the commands,
`outcomes.md` from the table of outcomes, `permissions.md` from that of permissions, `figures.md` and `cost.md` from
what was measured and the list prices.

python -m docs.generate            write them
python -m docs.generate --check    exit 1 when a written one is stale
"""  # noqa: INP001 - a script beside what it writes, not a package

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from docs import figures_page, outcomes_page, permissions_page
from ingestor.cli import cli
from ingestor.config import describe

HERE = Path(__file__).parent
WIDTH = 100
MARK = "<!-- Written by `make docs`; change the code, not this file. -->"
NO_EFFECT = ("AUTH", "PORT", "K_SERVICE")
"""Settings of what is not built yet that every value passes, by the beginning of their names."""

CONFIGURATION = f"""{MARK}
# Configuration

Everything is set by environment variables, read once at the start. An empty variable counts as unset. All problems are
reported at once, one a line with what to set instead, and the command ends with exit code 2. Sizes are bytes or written
like `4 MiB`. A variable that looks like a misspelt one of these is refused too, and so is what is not built yet.

| variable | meaning | default |
|---|---|---|
"""

CLI = f"""{MARK}
# Command line

`make setup` installs the command as `.venv/bin/ingestor`; `python -m ingestor` is the same. Its settings stand in
[configuration.md](configuration.md). An error is one line: what, where, and what to do next; a traceback is shown only
at `LOG_LEVEL=DEBUG`.

| exit code | means |
|---|---|
| 0 | done; also skipped, because another run is alive on the lane |
| 2 | configuration or schema refuses |
| 3 | the run failed, or a replay failed in part |
| 4 | a check found a difference |
| 64 | wrong usage |
| 130 | interrupted before the run began |

`run --json` prints the run's summary as its last line. `records` = `rows_committed` + `rows_rejected` +
`rows_dead_lettered` + `rows_known` + `rows_in_doubt` + `rows_superseded`, and `balanced` says whether that holds.
"""


def configuration() -> str:
    """Return the text of `configuration.md`."""
    return CONFIGURATION + "".join(f"| `{name}` | {text} | {default} |\n" for name, text, default in _settings())


def _settings() -> Iterator[tuple[str, str, str]]:
    for name, meaning, default in describe():
        note = _note(name)
        yield name, _cell(f"{meaning}{f' (**{note}**)' if note else ''}"), _cell(_default(default))


def _default(text: str) -> str:
    return text if text in {"", "required"} else f"`{text}`"


def _note(name: str) -> str:
    return "no effect yet" if name.startswith(NO_EFFECT) else ""


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def command_line() -> str:
    """Return the text of `cli.md`."""
    return CLI + "".join(
        f"\n## {path}\n\n```text\n{_help(path, command)}\n```\n" for path, command in commands(cli, "ingestor")
    )


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, each with the words that call it, in the order of `--help`."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _help(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path, terminal_width=WIDTH, max_content_width=WIDTH)
    context.help_option_names = ["-h", "--help"]
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def documents() -> Mapping[Path, str]:
    """Return every generated document as it should be."""
    return {
        HERE / "configuration.md": configuration(),
        HERE / "cli.md": command_line(),
        figures_page.FIGURES_PAGE: figures_page.figures(),
        figures_page.COST_PAGE: figures_page.costs(),
        outcomes_page.PAGE: outcomes_page.page(),
        HERE / "permissions.md": f"{MARK}\n{permissions_page.page()}",
    }


def stale() -> list[str]:
    """Return the names of the documents that are not what the code says."""
    return [path.name for path, text in documents().items() if not path.exists() or path.read_text() != text]


def main() -> int:
    """Write or check."""
    if "--check" in sys.argv[1:]:
        found = stale()
        if found:
            click.echo(f"docs/ is stale: {', '.join(found)}: run `make docs`", err=True)
        return 1 if found else 0
    for path, text in documents().items():
        path.write_text(text)
        click.echo(f"docs/{path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
