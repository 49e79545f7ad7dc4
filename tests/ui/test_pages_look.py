"""Every page: readable by machines that read aloud, in light and dark, and on a phone."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import Opened, violations
from tests.ui.site import SCRIPT, Site

PAGES: dict[str, Callable[[Site], str]] = {
    "health": lambda _: "/",
    "failures": lambda _: "/failures",
    "batches": lambda _: "/batches?status=DEAD_LETTERED",
    "filters that are none": lambda _: "/batches?since=soon",
    "dead batch": lambda site: f"/batches/{site.groups['first'][0]}",
    "committed batch": lambda site: f"/batches/{site.committed}",
    "plan of one": lambda site: f"/batches/{site.groups['first'][0]}/plan",
    "plan of all": lambda _: "/plan",
    "batches with records": lambda _: "/records",
    "records": lambda site: f"/batches/{site.with_records}/records",
    "bulk replays": lambda _: "/receipts",
    "runs": lambda _: "/runs",
    "run": lambda _: "/runs/run-1",
    "reconcile": lambda _: "/reconcile",
    "reconciled": lambda _: "/reconcile?since=24h",
    "audit": lambda _: "/audit",
    "nothing there": lambda _: "/batches/unknown",
}


@pytest.mark.parametrize(("scheme", "rules"), [("light", ()), ("dark", ("color-contrast",))], ids=["light", "dark"])
def test_no_page_has_a_serious_fault_for_those_who_do_not_see_well(
    site: Site, opened: Opened, scheme: str, rules: tuple[str, ...]
) -> None:
    page = opened(f"{site.url}/", color_scheme=scheme, refusals=2)
    found = {}
    for name, path in PAGES.items():
        page.goto(site.url + path(site))
        found[name] = violations(page, *rules)
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_no_page_is_wider_than_a_phone_and_its_links_are_there(site: Site, opened: Opened) -> None:
    page = opened(f"{site.url}/", viewport={"width": 360, "height": 740}, is_mobile=True, refusals=2)
    wider = {}
    for name, path in PAGES.items():
        page.goto(site.url + path(site))
        wider[name] = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        expect(page.get_by_role("link", name="Failures", exact=True).first).to_be_visible()
    assert {name: pixels for name, pixels in wider.items() if pixels > 0} == {}


def test_the_strip_and_the_charts_are_there_with_and_without_a_script(site: Site, opened: Opened) -> None:
    with_script = opened(f"{site.url}/")
    expect(with_script.locator(".chart canvas")).to_have_count(2)
    without = opened(f"{site.url}/", java_script_enabled=False)
    expect(without.locator(".chart rect")).to_have_count(6)
    for page in (with_script, without):
        expect(page.get_by_label("Runs, oldest first").get_by_role("link")).to_have_count(3)
        expect(page.locator(".strip .c-missing").first).to_be_visible()


def test_a_keyboard_reaches_the_content_and_the_first_action(site: Site, opened: Opened) -> None:
    page = opened(f"{site.url}/batches/{site.groups['first'][0]}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    plan = page.get_by_role("link", name="Plan a replay")
    for _ in range(4):
        page.keyboard.press("Tab")
        if plan.evaluate("each => each === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Plan: batch")).to_be_visible()


def test_what_the_source_sent_is_shown_as_text_whatever_it_is(site: Site, opened: Opened) -> None:
    page = opened(f"{site.url}/batches/{site.with_records}/records")
    expect(page.locator("#r2")).to_be_visible()
    assert SCRIPT in page.locator("textarea").nth(1).input_value()
    assert page.locator("main script").count() == 0


def test_masked_fields_are_shown_nowhere(site: Site, opened: Opened) -> None:
    page = opened(f"{site.url}/")
    for path in (PAGES["dead batch"](site), PAGES["records"](site)):
        page.goto(site.url + path)
        assert "•••" in page.content()
        assert "SECRET" not in page.content()
    for path in (f"/batches/{site.groups['first'][0]}/rows.jsonl", f"/batches/{site.with_records}/records.jsonl"):
        text = page.request.get(site.url + path).text()
        assert "•••" in text
        assert "SECRET" not in text
