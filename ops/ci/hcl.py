"""Our Terraform as data: what the tests and the schema check ask of it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hcl2

TERRAFORM = Path(__file__).parents[1] / "terraform"
MODULE = TERRAFORM / "ingestor"
EXAMPLE = TERRAFORM / "example"

_NOT_ARGUMENTS = frozenset({"__is_block__", "__comments__", "dynamic", "lifecycle", "provider", "count", "for_each"})
_META = frozenset({"depends_on"})
BARE = re.compile(r'^"((?:[^"\\]|\\.)*)"$')


@dataclass(frozen=True)
class Resource:
    """A resource or data source. `module` is its type without the provider, `data_…` for a data source."""

    file: str
    provider: str
    module: str
    name: str
    body: Mapping[str, Any]

    @property
    def address(self) -> str:
        """Return how an error names it."""
        return f"{self.file}: {self.module}.{self.name}"


def text_of(value: object) -> str:
    """Return a value as the file has it, a plain string without its quotes."""
    found = BARE.match(str(value))
    return found.group(1).replace('\\"', '"') if found else str(value)


@cache
def parsed(file: Path) -> Mapping[str, Any]:
    """Return a file's content as python-hcl2 has it: keys and strings keep their quotes."""
    with file.open() as stream:
        content: Mapping[str, Any] = hcl2.load(stream)
    return content


def resources(folder: Path) -> Iterator[Resource]:
    """Yield the resources and data sources of a module."""
    for file in sorted(folder.glob("*.tf")):
        content = parsed(file)
        for kind, prefix in (("resource", ""), ("data", "data_")):
            for entry in content.get(kind, []):
                for type_, named in entry.items():
                    for name, body in named.items():
                        provider = text_of(body.get("provider", "google")).strip("${}")
                        module = prefix + text_of(type_).removeprefix("google_")
                        yield Resource(file.name, provider, module, text_of(name), body)


def local_values(folder: Path) -> dict[str, Any]:
    """Return all `locals` of a module."""
    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.tf")):
        for entry in parsed(file).get("locals", []):
            found |= {key: value for key, value in entry.items() if not key.startswith("__")}
    return found


def variables(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Return a module's variables by name."""
    return {
        text_of(name): body
        for file in sorted(folder.glob("*.tf"))
        for entry in parsed(file).get("variable", [])
        for name, body in entry.items()
    }


def arguments(body: Mapping[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """Yield name, value and whether it is a block, of everything that a block gives the provider.

    A dynamic block counts as one block of its name; the block is its content.
    """
    for name, value in body.items():
        if name in _NOT_ARGUMENTS | _META:
            continue
        if (
            isinstance(value, list)
            and value
            and all(isinstance(each, dict) and "__is_block__" in each for each in value)
        ):
            yield from ((name, each, True) for each in value)
        else:
            yield name, value, False
    for entry in body.get("dynamic", []):
        for name, dynamic in entry.items():
            if not name.startswith("__"):
                yield from ((text_of(name), each, True) for each in dynamic["content"])
