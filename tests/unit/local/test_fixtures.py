"""A test run without Java passes and says what it left out; CI refuses to leave anything out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TESTS = """
import os
import pytest

@pytest.mark.firestore
@pytest.mark.parametrize("case", [1, 2])
def test_with_firestore(case: int) -> None:
    assert os.environ["FIRESTORE_EMULATOR_HOST"]

def test_without() -> None:
    assert "FIRESTORE_EMULATOR_HOST" not in os.environ
"""


def run(folder: Path, *options: str, **environment: str) -> tuple[int, str]:
    (folder / "test_emulators.py").write_text(TESTS)
    # Only the plugins that pyproject.toml has options for: the others' imports take most of so short a session.
    plugins = ["-p", "xdist", "-p", "pytest_timeout", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    own = [*plugins, "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
    command = [sys.executable, "-m", "pytest", str(folder), *own, *options]
    ambient = {"FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "JAVA_HOME": "", "REQUIRE_EMULATORS": ""}
    ambient["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    run_environment = {**os.environ, **ambient, **environment}
    done = subprocess.run(
        command, cwd=ROOT, env=run_environment, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("workers", ["0", "2"])
def test_without_java_the_run_passes_and_ends_with_what_to_install(tmp_path: Path, workers: str) -> None:
    code, output = run(tmp_path, "-n", workers, PATH=str(tmp_path))
    assert code == 0, output
    assert "1 passed, 2 skipped" in output
    (notice,) = (line for line in output.splitlines() if line.startswith("NOTICE"))
    assert "2 tests did not run: the Firestore emulator cannot run: there is no java; install Java 11" in notice


def test_where_emulators_are_required_a_missing_one_is_an_error(tmp_path: Path) -> None:
    code, output = run(tmp_path, "-n", "0", PATH=str(tmp_path), REQUIRE_EMULATORS="1")
    assert code == 1
    assert "1 passed, 2 errors" in output
    assert "REQUIRE_EMULATORS=1, but the Firestore emulator cannot run: there is no java" in output


@pytest.mark.firestore
@pytest.mark.parametrize("workers", ["2", pytest.param("0", marks=pytest.mark.long)])
def test_with_java_the_emulator_is_in_the_environment_of_marked_tests_only(tmp_path: Path, workers: str) -> None:
    code, output = run(tmp_path, "-n", workers, JAVA_HOME=os.environ.get("JAVA_HOME", ""))
    assert code == 0, output
    assert "3 passed" in output
