"""Compile every `proto/*.proto` with the pinned protoc: at package build, and by `make proto`.

The generated modules land in the package `ingestor_protos`. protoc writes absolute imports between them
(`import bq_field_pb2`); they are made relative here so that the package does not spill names into the top level.
"""

import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ABSOLUTE_IMPORT = re.compile(r"^import (\w+_pb2)", re.MULTILINE)
ABSOLUTE_FROM = re.compile(r"^from (\w+_pb2) import", re.MULTILINE)


def compile_protos(root: Path) -> list[Path]:
    """Compile `root/proto/*.proto` into `root/proto/ingestor_protos` and return the generated files.

    Files of an earlier compilation are removed first, so a deleted `.proto` leaves nothing behind.

    Raises:
        SystemExit: protoc refuses a file; its own message, with file and line, is on stderr.
    """
    source, target = root / "proto", root / "proto" / "ingestor_protos"
    for stale in target.glob("*_pb2.py*"):
        stale.unlink()
    protos = sorted(str(path) for path in source.glob("*.proto"))
    includes = [f"-I{source}", f"-I{files('grpc_tools') / '_proto'}"]
    if protoc.main(["protoc", *includes, f"--python_out={target}", f"--pyi_out={target}", *protos]) != 0:
        sys.exit(2)
    generated = sorted(target.glob("*_pb2.py*"))
    for path in generated:
        text = ABSOLUTE_IMPORT.sub(r"from . import \1", path.read_text())
        path.write_text(ABSOLUTE_FROM.sub(r"from .\1 import", text))
    return generated


class ProtoBuildHook(BuildHookInterface[Any]):
    """Runs before every wheel and editable install."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate the code that the wheel ships."""
        del version, build_data
        compile_protos(Path(self.root))


if __name__ == "__main__":
    for generated_file in compile_protos(Path(__file__).parent):
        print(generated_file.relative_to(Path(__file__).parent))
