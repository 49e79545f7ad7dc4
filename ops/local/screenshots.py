"""`make screenshots`: the pictures of the operators' pages in docs/images, taken of what `make dev` shows.

`python -m ops.local.screenshots URL` takes them of pages that are up already.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.local.process import ROOT, ServiceError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES = ROOT / "docs" / "images"
EXECUTABLES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
TIMEOUT_MS = 60_000
MOST_BYTES = 200_000
"""A picture in the repository is smaller than this."""
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: its file's name, the page, the links followed from there, the browser's settings."""

    name: str
    path: str
    follow: tuple[str, ...] = ()
    light: bool = True
    phone: bool = False
    height: int = 800


DEAD = "main tbody a[href^='/batches/']"
SHOTS = (
    Shot("page-health", "/"),
    Shot("page-health-dark", "/", light=False),
    Shot("page-failures", "/failures", height=520),
    Shot("page-batch", "/batches?status=DEAD_LETTERED", follow=(DEAD,)),
    Shot("page-records", "/records", follow=("main tbody a[href*='/records?']",), height=1020),
    Shot("page-phone", "/", phone=True),
)


def take(url: str, to: Path = IMAGES) -> list[Path]:
    """Take them all of the pages at `url`; return the files, none larger than `MOST_BYTES`."""
    to.mkdir(parents=True, exist_ok=True)
    with _browser() as browser:
        return [_take(browser, url.rstrip("/"), shot, to / f"{shot.name}.png") for shot in SHOTS]


def _take(browser: "Browser", url: str, shot: Shot, path: Path) -> Path:
    context = browser.new_context(color_scheme="light" if shot.light else "dark", **_size(shot))
    try:
        page: Page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(url + shot.path, wait_until="networkidle")
        for link in shot.follow:
            page.goto(url + str(page.locator(link).first.get_attribute("href")), wait_until="networkidle")
        page.screenshot(path=path, animations="disabled")
    finally:
        context.close()
    if path.stat().st_size >= MOST_BYTES:
        raise ServiceError(f"{path.name} has {path.stat().st_size:,} bytes: a picture has less than {MOST_BYTES:,}")
    return path


def _size(shot: Shot) -> dict[str, Any]:
    return PHONE if shot.phone else {"viewport": {"width": 1200, "height": shot.height}}


@contextmanager
def _browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - of the development environment only

    executable = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    if executable is None:
        raise ServiceError("no Chromium on this machine: `apt-get install chromium-headless-shell`, then again")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS), timeout=TIMEOUT_MS)
        yield browser
        browser.close()


if __name__ == "__main__":
    for taken in take(sys.argv[1]):
        print(f"{taken.relative_to(ROOT)} {taken.stat().st_size:,} bytes")
