"""A browser for the tests of the pages: Chromium of this machine, driven by Playwright, which downloads nothing."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, sync_playwright

from tests.conftest import NOT_RUN
from tests.ui.site import Site, furnished, served

EXECUTABLES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first is Chromium without its window: the same pages for less than half of the time."""
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AXE = (Path(__file__).parent / "vendor" / "axe-core-4.14.1.min.js").read_text()
TIMEOUT_MS = 60_000
"""Slack for a busy machine; nothing waits for as long."""
Opened = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for the session. Without one the tests are skipped with a notice, or fail where they must run."""
    executable = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    if executable is None:
        missing = "Chromium is not installed: `apt-get install chromium-headless-shell`"
        if os.environ.get("REQUIRE_EMULATORS") == "1":
            pytest.fail(f"REQUIRE_EMULATORS=1, but {missing}", pytrace=False)
        pytest.skip(f"{NOT_RUN}{missing}")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=executable, args=list(FLAGS), timeout=TIMEOUT_MS)


@pytest.fixture
def site() -> Iterator[Site]:
    """A pipeline that failed in every way, served; whoever calls is an operator."""
    with served(furnished()) as found:
        yield found


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    """Open a page in a browser context of its own. At the end: no error on a console, no violation of the policy, no
    script of a stranger, nothing asked of another host, no fault of the service.
    """
    contexts, wrong = list[Any](), list[str]()

    def open_page(url: str, *, refusals: int = 0, **context: Any) -> Page:
        """Return the page at the address; `refusals` of its requests are to be answered with a 4xx."""
        contexts.append(browser.new_context(**context))
        page: Page = contexts[-1].new_page()
        page.set_default_timeout(TIMEOUT_MS)
        host, left = urlsplit(url).netloc, [refusals]

        def hear(message: ConsoleMessage) -> None:
            if message.type == "error" and "the server responded with a status of 4" in message.text and left[0]:
                left[0] -= 1
            elif message.type in {"error", "warning"}:
                wrong.append(message.text)

        def look(response: Response) -> None:
            if response.status >= 500 or urlsplit(response.url).netloc != host:
                wrong.append(f"{response.status} {response.url}")

        page.on("console", hear)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"a script said {dialog.message}"))
        page.on("response", look)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def violations(page: Page, *rules: str) -> list[str]:
    """Return what axe-core finds on the page that is serious or critical: by all its rules, or by these."""
    page.evaluate(AXE)
    run = "rules => axe.run(document, {resultTypes: ['violations'], ...(rules.length ? {runOnly: rules} : {})})"
    found = page.evaluate(run, rules)
    return [
        f"{each['id']}: {node['target']} {node.get('failureSummary', '')}"
        for each in found["violations"]
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"]
    ]
