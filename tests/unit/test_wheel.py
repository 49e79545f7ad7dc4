"""What `pip install .` and the container install."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
INPUTS = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "ingestor", "state", "ops", "proto")


def test_the_wheel_carries_code_compiled_from_the_protos_and_no_package_named_proto(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    generated = shutil.ignore_patterns("*_pb2.py", "*_pb2.pyi", "__pycache__")
    for name in INPUTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=generated)
        else:
            shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*build, str(tmp_path), str(source)], check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    compiled = {Path(name).stem.removesuffix("_pb2") for name in names if name.endswith("_pb2.py")}
    assert compiled == {path.stem for path in (ROOT / "proto").glob("*.proto")}
    assert not any(name.startswith("proto/") for name in names)
    assert {"ingestor/cli.py", "state/fold.py", "ops/local/stack.py"} <= set(names)
    shown = {
        str(path.relative_to(ROOT)) for kind in ("templates", "static") for path in (ROOT / "ops" / kind).rglob("*.*")
    }
    assert {"ops/templates/base.html", "ops/static/vendor/htmx-2.0.11.min.js"} <= shown <= set(names)


def test_the_dockerfile_copies_everything_that_the_build_needs() -> None:
    copied = {
        word
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    assert set(INPUTS) <= copied
    assert all((ROOT / name).exists() for name in copied)
