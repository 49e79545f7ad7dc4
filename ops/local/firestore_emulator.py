"""Where the Firestore emulator is, found without running gcloud whenever possible, because gcloud takes seconds."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ops.local.process import LOCAL

JAR = Path("platform/cloud-firestore-emulator/cloud-firestore-emulator.jar")
MAIN_CLASS = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
OLDEST_JAVA = 11
SDK_ROOT_FILE = LOCAL / "gcloud-sdk-root"
INSTALL = (
    "install Java 11 or newer and the gcloud CLI, then run "
    "`gcloud components install cloud-firestore-emulator` (Debian: apt-get install google-cloud-cli-firestore-emulator)"
)
WITHOUT = "the Firestore emulator cannot run: {}; " + INSTALL


def java() -> str | None:
    """Return the java to run: JAVA_HOME's, else the one on the PATH."""
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")


def java_version(executable: str) -> int:
    """Return the major version, 0 when it cannot be told (the macOS stub without Java, for one)."""
    try:
        told = subprocess.run([executable, "-version"], capture_output=True, text=True, timeout=20, check=True).stderr
        return int(told.split('"')[1].split(".")[0])
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return 0


def _likely_roots() -> Iterator[Path]:
    if named := os.environ.get("CLOUDSDK_ROOT_DIR"):
        yield Path(named)
    if SDK_ROOT_FILE.exists():
        yield Path(SDK_ROOT_FILE.read_text().strip())
    if gcloud := shutil.which("gcloud"):
        yield Path(gcloud).resolve().parents[1]
    yield from map(Path, ("/usr/lib/google-cloud-sdk", "/usr/share/google-cloud-sdk", "/opt/google-cloud-sdk"))
    yield Path.home() / "google-cloud-sdk"


def jar() -> Path | None:
    """Return the emulator's jar; asks gcloud only when it is in none of the usual places, and remembers the answer."""
    for root in _likely_roots():
        if (root / JAR).is_file():
            return root / JAR
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        return None
    ask = [gcloud, "info", "--format=value(installation.sdk_root)"]
    told = subprocess.run(ask, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
    if not told or not (Path(told) / JAR).is_file():
        return None
    SDK_ROOT_FILE.parent.mkdir(parents=True, exist_ok=True)
    SDK_ROOT_FILE.write_text(told)
    return Path(told) / JAR


def missing() -> str | None:
    """Return why the emulator cannot run and what to install, or None when it can."""
    executable = java()
    if executable is None:
        return WITHOUT.format("there is no java")
    if (version := java_version(executable)) < OLDEST_JAVA:
        return WITHOUT.format(f"java is of version {version or 'unknown'}")
    if jar() is None:
        return WITHOUT.format("gcloud or its component cloud-firestore-emulator is not installed")
    return None
