"""Imports point one way, and what decides knows no client. import-linter checks the packages (`make check`); here each
single import statement is looked at, late ones included, because import-linter cannot tell `google.protobuf` from
`google.cloud`."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("state", "ingestor", "ops")
PURE = (
    "state.codec",
    "state.events",
    "state.fold",
    "state.index",
    "state.ops_index",
    "state.receipts",
    "state.transitions",
    "ingestor.answers",
    "ingestor.entries",
    "ingestor.envelope",
    "ingestor.outcome_rules",
    "ingestor.progress",
    "ingestor.sending",
    "ingestor.signals",
    "ingestor.batch",
    "ingestor.binding",
    "ingestor.convert",
    "ingestor.convert_time",
    "ingestor.schema_compare",
    "ingestor.unknown",
    "ingestor.wire",
    "ingestor.columns",
    "ingestor.cutting",
    "ingestor.decode",
    "ingestor.encode",
    "ingestor.encode_fast",
    "ingestor.encode_plan",
    "ingestor.encode_values",
    "ingestor.hear",
    "ingestor.loop",
    "ingestor.outcome",
    "ingestor.marks",
    "ingestor.paging",
    "ingestor.paging_links",
    "ingestor.paging_marks",
    "ingestor.paging_places",
    "ingestor.proto_guess",
    "ingestor.source_guess",
    "ingestor.unread",
    "ingestor.urls",
    "ingestor.timestamps",
)
CLIENTS = ("google.cloud", "google.api_core", "google.auth", "grpc", "requests", "urllib3", "flask", "sqlite3")
EFFECTS = ("socket", "subprocess", "threading", "time", "random", "secrets", "os")


def _file(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((each for each in candidates if each.is_file()), None)


def _imports(source: str) -> Iterator[str]:
    """Yield the full name of everything imported, wherever in the file the statement stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _reached(module: str) -> dict[str, str]:
    """Everything that a module imports directly or through modules of ours, each with the module that imports it."""
    reached: dict[str, str] = {}
    todo, seen = [module], {module}
    while todo:
        importer = todo.pop()
        path = _file(importer)
        assert path is not None, f"{importer} is no module"
        for name in _imports(path.read_text()):
            reached.setdefault(name, importer)
            ours = next(
                (each for each in (name, name.rpartition(".")[0]) if _within(each, LAYERS) and _file(each)), None
            )
            if ours and ours not in seen:
                seen.add(ours)
                todo.append(ours)
    return reached


@pytest.mark.parametrize("path", [p for layer in LAYERS for p in sorted((ROOT / layer).rglob("*.py"))], ids=_name)
def test_no_module_imports_from_a_layer_above_its_own(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    above = LAYERS[LAYERS.index(layer) + 1 :]
    assert [name for name in _imports(path.read_text()) if _within(name, above)] == []


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_reaches_no_client_library_and_no_effect(module: str) -> None:
    wrong = {name: importer for name, importer in _reached(module).items() if _within(name, (*CLIENTS, *EFFECTS))}
    assert wrong == {}


def test_every_module_that_the_import_contract_calls_pure_is_looked_at_here() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    named = {module for contract in contracts for module in contract.get("source_modules", [])}
    assert named <= set(PURE)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import google.cloud.firestore", ["google.cloud.firestore"]),
        ("from google.cloud import firestore", ["google.cloud.firestore"]),
        ("def late():\n    from grpc import Channel", ["grpc.Channel"]),
        ("if TYPE_CHECKING:\n    import requests", ["requests"]),
    ],
)
def test_an_import_is_seen_in_whatever_form_it_is_written(source: str, found: list[str]) -> None:
    assert list(_imports(source)) == found
