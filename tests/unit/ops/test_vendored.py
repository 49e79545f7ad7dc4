"""What others wrote and pages serve: pinned files, as they were published, with licences; nothing comes from afar."""

import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = (ROOT / "ops/static/vendor", ROOT / "tests/ui/vendor")
OURS = sorted(path for kind in ("templates/*.html", "static/pages.*") for path in (ROOT / "ops").glob(kind))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_a_vendored_file_is_the_one_that_was_pinned(folder: Path) -> None:
    pinned = {name: digest for digest, name in map(str.split, (folder / "SHA256SUMS").read_text().splitlines())}
    licences = {path.name for path in folder.glob("*-LICENSE.txt")}
    assert {path.name for path in folder.iterdir()} == {"SHA256SUMS", *pinned, *licences}
    for name, digest in pinned.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
        package = re.match(r"(.+)-\d+\.\d+\.\d+\.", name)
        assert package, "the name says its version"
        assert f"{package[1]}-LICENSE.txt" in licences


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_pages_load_nothing_from_elsewhere_and_hold_no_inline_script_or_style(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"""(?:src|href|action)=["'](?:https?:)?//|url\(\s*["']?(?:https?:)?//""", text) == []
    if path.suffix == ".html":
        assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", text) == []
        assert re.findall(r"\|\s*safe\b|autoescape|Markup", text) == []


def test_every_form_that_changes_something_carries_the_token() -> None:
    forms = [
        (path.name, form)
        for path in OURS
        for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", path.read_text(), re.DOTALL)
    ]
    assert len(forms) >= 10
    assert [name for name, form in forms if "csrf_field()" not in form] == []
