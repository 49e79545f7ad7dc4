"""The image without a container engine: each step of the Dockerfile in a clean folder, and the command that it starts.

`docker build` needs an engine, which is not everywhere; the delivery workflow has one and does it. Here the Dockerfile
is read, its folders are put below a temporary one, and its RUN and COPY steps are executed there in order (`long`: they
install everything with pip). What starts, and answers the health check, is always tried.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ops.local.process import free_port

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PLACES = ("/src", "/build", "/app", "/wheels")
"""Folders that the Dockerfile makes; each becomes one below the test's own."""
GENERATED = shutil.ignore_patterns("__pycache__", "*_pb2.py", "*_pb2.pyi")
STARTED_S = 60


@dataclass(frozen=True)
class Step:
    """An instruction of the Dockerfile and the stage that it belongs to, 0 or 1."""

    stage: int
    word: str
    rest: str


def steps() -> Iterator[Step]:
    """Yield the instructions in order, continued lines joined."""
    stage = -1
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, text.splitlines()):
        word, rest = line.split(maxsplit=1)
        stage += word == "FROM"
        yield Step(stage, word, rest)


def only(word: str) -> str:
    """Return what stands behind the one instruction of this name."""
    (found,) = [step.rest for step in steps() if step.word == word]
    return found


COMMAND: list[str] = json.loads(only("CMD"))
HEALTH: list[str] = json.loads(only("HEALTHCHECK").split("CMD", 1)[1])
SETTINGS = dict(line.split("=", 1) for line in (ROOT / "ops" / "ci" / "smoke.env").read_text().splitlines())


def test_the_image_runs_as_nobody_in_particular_and_has_one_health_check() -> None:
    assert only("USER") == "10001:10001"
    assert [step.word for step in steps()].index("USER") > [step.word for step in steps()].index("RUN")
    assert HEALTH
    assert only("CMD").startswith("[")


def test_only_the_environment_reaches_the_final_image() -> None:
    copied = [step.rest for step in steps() if step.stage == 1 and step.word == "COPY"]
    assert copied == ["--from=build /app /app"]
    assert "--without-pip /app" in DOCKERFILE


def test_what_builds_the_wheel_is_pinned_as_in_the_project() -> None:
    pinned = {line for line in (ROOT / "requirements" / "build.in").read_text().splitlines() if "==" in line}
    wanted = re.search(r"^requires = \[(.*)\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert wanted
    assert pinned == set(re.findall(r'"([^"]+)"', wanted.group(1)))
    assert DOCKERFILE.count("--require-hashes") == 2


def starts_answers_and_ends(binaries: Path, folder: Path, command: list[str], environment: Mapping[str, str]) -> str:
    """Start the image's command, ask its health check until it answers, end it as Cloud Run does; return its words."""
    port = free_port()
    env = {"PATH": f"{binaries}:/usr/bin:/bin", "PORT": str(port), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(command, env=env, cwd=folder, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + STARTED_S
        while subprocess.run(HEALTH, env=env, cwd=folder, check=False, timeout=30).returncode != 0:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    return log.read_text()


@pytest.mark.parametrize("application", ["ingestor.web:create_app()", "ops.web:create_app()"])
def test_the_images_command_starts_answers_its_health_check_and_ends_on_sigterm(
    tmp_path: Path, application: str
) -> None:
    assert COMMAND[-1] == "ingestor.web:create_app()"
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    starts_answers_and_ends(
        Path(sys.executable).parent, tmp_path, [*COMMAND[:-1], application], {**SETTINGS, "HOME": str(home)}
    )
    assert [path.name for path in tmp_path.iterdir() if path.name not in {"home", "log"}] == []
    assert list(home.iterdir()) == []


def test_without_settings_the_command_says_what_is_missing_and_ends(tmp_path: Path) -> None:
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PORT": str(free_port())}
    done = subprocess.run(COMMAND, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "GCP_PROJECT_ID: is missing" in done.stderr


def moved(text: str, folder: Path) -> str:
    """Return a step with the image's folders put below another one."""
    return re.sub(rf"(?<![\w.])({'|'.join(PLACES)})\b", lambda found: f"{folder}{found.group(1)}", text)


def execute(step: Step, folder: Path) -> None:
    """Do what docker would do of a step of the first stage."""
    source = folder / "src"
    if step.word == "RUN":
        env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PIP_NO_INPUT": "1"}
        command = ["/bin/sh", "-euc", moved(step.rest, folder)]
        subprocess.run(command, env=env, cwd=source, check=True, timeout=900)
    elif step.word == "COPY":
        *names, target = step.rest.split()
        for name in names:
            place = source / (target if len(names) == 1 else name)
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place, ignore=GENERATED)
            else:
                shutil.copy(ROOT / name, place)


@pytest.mark.long
def test_every_step_of_the_dockerfile_in_a_clean_folder_makes_an_environment_that_serves(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for step in steps():
        if step.stage == 0:
            execute(step, tmp_path)
    app = tmp_path / "app"
    assert not (app / "bin" / "pip").exists()
    files = {path.name for path in (app / "lib").rglob("*_pb2.py") if path.parent.name == "ingestor_protos"}
    assert {"flights_pb2.py", "ingestor_pb2.py"} <= files
    work = tmp_path / "work"
    work.mkdir()
    starts_answers_and_ends(app / "bin", work, COMMAND, SETTINGS)
    version = subprocess.run(
        [app / "bin" / "ingestor", "--version"], cwd=work, capture_output=True, text=True, check=True
    )
    assert "version" in version.stdout
