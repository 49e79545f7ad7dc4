"""proto/ holds protos and its generated package, and takes no import name that belongs to another."""

import importlib.util
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import proto

ROOT = Path(__file__).parents[2]

ORDER = """\
syntax = "proto3";
package orders;
import "bq_field.proto";
message Order {
  string id = 1 [(gen_bq_schema.bigquery).description = "key"];
}
"""

FIND = """\
from ingestor.messages import field_options, message_class
found = message_class("orders.Order")
print(found.DESCRIPTOR.full_name, field_options(found.DESCRIPTOR.fields[0]).description)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what compiling and finding messages needs, so that the checkout is not touched."""
    for folder in ("proto", "ingestor"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*_pb2.py*", "__pycache__"))
    shutil.copy(ROOT / "hatch_build.py", tmp_path)
    return tmp_path


def python(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": f"{tree}:{tree / 'proto'}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


def test_import_proto_is_still_proto_plus() -> None:
    assert proto.__file__ is not None, "a namespace package: the folder proto/ hides proto-plus"
    assert metadata.packages_distributions()["proto"] == ["proto-plus"]


def test_the_folder_proto_is_no_package() -> None:
    assert not (ROOT / "proto" / "__init__.py").exists()
    assert importlib.util.find_spec("ingestor_protos") is not None


def test_a_file_dropped_in_is_compiled_and_its_message_found_by_name(tree: Path) -> None:
    (tree / "proto" / "orders.proto").write_text(ORDER)
    compiled = python(tree, "hatch_build.py")
    assert compiled.returncode == 0, compiled.stderr
    assert "proto/ingestor_protos/orders_pb2.py" in compiled.stdout.splitlines()
    found = python(tree, "-c", FIND)
    assert found.stdout == "orders.Order key\n", found.stderr


def test_a_file_taken_away_leaves_no_module_behind(tree: Path) -> None:
    (tree / "proto" / "orders.proto").write_text(ORDER)
    python(tree, "hatch_build.py")
    (tree / "proto" / "orders.proto").unlink()
    python(tree, "hatch_build.py")
    assert not (tree / "proto" / "ingestor_protos" / "orders_pb2.py").exists()
    missing = python(tree, "-c", FIND)
    assert "ConfigurationError: MESSAGE_TYPE 'orders.Order' is no message of a compiled file" in missing.stderr


def test_a_broken_file_is_refused_with_protoc_s_file_and_line(tree: Path) -> None:
    (tree / "proto" / "orders.proto").write_text(ORDER.replace("string id = 1", "text id = 1"))
    compiled = python(tree, "hatch_build.py")
    assert compiled.returncode == 2
    assert 'orders.proto:5:3: "text" is not defined.' in compiled.stderr
