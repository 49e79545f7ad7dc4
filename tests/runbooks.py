"""Runbooks as data: their fences, and the commands in these.

```bash``` is executed against the local stack by `tests/e2e/test_runbooks.py`; `# exit 4` behind a command says which
exit codes are to be expected there, without it 0. ```shell``` holds commands of Google's own tools, which need a
project.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "ops" / "runbooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.md"))
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_EXIT = re.compile(r"\s+# exit ([\d, or]+)$")
_VARIABLE = re.compile(r"\$([A-Z_]+)")


@dataclass(frozen=True)
class Command:
    """A line of a runbook: the section it stands in, its words, and the exit codes that are right there."""

    section: str
    line: str
    codes: frozenset[int]

    def words(self, **values: str) -> list[str]:
        """Return the words as a shell would pass them, with these variables.

        Raises:
            KeyError: a variable is not given.
        """
        return shlex.split(_VARIABLE.sub(lambda found: values[found.group(1)], self.line))


def commands(name: str, language: str) -> Iterator[Command]:
    """Yield the commands of a runbook's fences of one language, in order."""
    text = (FOLDER / f"{name}.md").read_text()
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        section, body = part.split("\n", 1)
        for found, block in _FENCE.findall(body):
            for line in block.splitlines() if found == language else ():
                codes = _EXIT.search(line)
                expected = map(int, re.findall(r"\d+", codes.group(1))) if codes else [0]
                yield Command(section, _EXIT.sub("", line), frozenset(expected))


def languages(name: str) -> set[str]:
    """Return the languages of a runbook's fences."""
    return {language for language, _ in _FENCE.findall((FOLDER / f"{name}.md").read_text())}
