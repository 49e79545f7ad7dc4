"""What a person presses, from the list to the end of it; with a script and without."""

import pytest
from playwright.sync_api import expect

from ingestor.callers import Caller, Callers, Request
from ops.page_words import words
from tests.dead import REFUSED
from tests.ui.conftest import Opened
from tests.ui.site import Site, config, furnished, served

SCRIPTED = pytest.mark.parametrize("scripted", [True, False], ids=["with a script", "without"])


@SCRIPTED
def test_from_the_failures_to_a_plan_to_a_replay_of_all_that_failed_alike(
    site: Site, opened: Opened, *, scripted: bool
) -> None:
    page = opened(f"{site.url}/", java_script_enabled=scripted)
    page.get_by_role("link", name="All failures").click()
    row = page.get_by_role("row").filter(has_text="Cannot convert")
    expect(row.get_by_role("link", name="7 batches with fingerprint")).to_be_visible()
    row.get_by_role("link", name="Plan or discard").click()
    expect(page.get_by_role("heading", name="Plan: 7 batches")).to_be_visible()
    assert [site.desk.status(each) for each in site.groups["first"]] == ["DEAD_LETTERED"] * 7
    page.get_by_label("Reason for the replay").fill("the column is wider now")
    page.get_by_role("button", name="Replay 7 batches").click()
    expect(page.get_by_role("heading", name="Replay replay-")).to_be_visible()
    if not scripted:  # with one the page goes on by itself
        page.get_by_role("button", name="Go on").click()
    expect(page.locator(".head .status")).to_have_text("done")
    assert {site.desk.status(each) for each in site.groups["first"]} == {"COMMITTED"}
    assert {site.desk.status(each) for each in site.groups["second"]} == {"DEAD_LETTERED"}
    assert {said.status for said in site.desk.statements if said.batch_id in site.groups["first"]} == {"COMMITTED"}
    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_role("cell", name="the column is wider now").first).to_be_visible()


@SCRIPTED
def test_filters_survive_opening_a_batch_and_acting_on_it(site: Site, opened: Opened, *, scripted: bool) -> None:
    page = opened(f"{site.url}/batches", java_script_enabled=scripted)
    page.get_by_label("Status").select_option("DEAD_LETTERED")
    page.get_by_label("Lane").fill("0")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("9 batches in all")).to_be_visible()
    filtered, batch_id = page.url, site.groups["second"][0]
    page.get_by_role("link", name=batch_id[:12]).click()
    page.get_by_role("link", name="Plan a replay").click()
    page.get_by_label("Reason").fill("again")
    page.get_by_role("button", name="Replay this batch").click()
    expect(page.get_by_text("Replayed: its rows are in the view.")).to_be_visible()
    expect(page.locator(".head .status")).to_have_text(words("COMMITTED"))
    page.get_by_role("link", name="Back").click()
    assert page.url == filtered
    expect(page.get_by_label("Lane")).to_have_value("0")
    expect(page.get_by_text("8 batches in all")).to_be_visible()


@SCRIPTED
def test_a_record_is_repaired_in_place_tried_and_replayed(site: Site, opened: Opened, *, scripted: bool) -> None:
    page = opened(f"{site.url}/records", java_script_enabled=scripted, refusals=2)
    page.get_by_role("link", name="Repair the records").click()
    record = page.get_by_role("article", name="Record 1")
    other = page.get_by_role("article", name="Record 2").get_by_role("textbox", name="The record")
    other.fill("{half done")
    spoiled = record.get_by_role("textbox", name="The record").input_value()
    record.get_by_role("button", name="Try encode").click()
    expect(record.get_by_role("status")).to_contain_text("dep_time")
    record.get_by_role("textbox", name="The record").fill("{broken")
    record.get_by_label("Reason").fill("a typing error")
    record.get_by_role("button", name="Try encode").click()
    expect(record.get_by_role("alert")).to_contain_text("no JSON at line 1, column 2")
    expect(record.get_by_label("Reason")).to_have_value("a typing error")
    if scripted:  # only the record that is tried is shown anew
        expect(other).to_have_value("{half done")
    else:
        assert page.url.endswith("#r1"), "the page opens at the record"
    expect(record.get_by_role("textbox", name="The record")).to_have_value("{broken")
    record.get_by_role("textbox", name="The record").fill(spoiled.replace('"early"', "545"))
    record.get_by_role("button", name="Try encode").click()
    expect(record.get_by_role("status")).to_contain_text("It encodes")
    assert site.desk.table.rows == []
    record.get_by_role("button", name="Replay repaired").click()
    expect(page.get_by_text("Replayed: record 1 is in the view")).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(1)
    (row,) = site.desk.table.rows
    assert b"N2SECRET" in row, "what is masked comes from the original"
    page.get_by_role("link", name="Show all").click()
    expect(page.get_by_role("article", name="Record 1")).to_contain_text(
        f"_ingest_batch_id = '{site.with_records}' AND _ingest_row_index = 1"
    )


@SCRIPTED
def test_a_record_of_a_later_page_is_tried_where_it_stands(opened: Opened, *, scripted: bool) -> None:
    with served(furnished(more_spoiled=20)) as site:
        page = opened(f"{site.url}/batches/{site.with_records}/records", java_script_enabled=scripted, refusals=1)
        page.get_by_role("link", name="Next 20 of 22").click()
        record = page.get_by_role("article", name="Record 22")
        record.get_by_role("button", name="Try encode").click()
        expect(record.get_by_role("status")).to_contain_text("dep_time")
        expect(page.get_by_role("article", name="Record 21")).to_be_visible()


@SCRIPTED
def test_a_record_is_discarded_only_with_a_reason(site: Site, opened: Opened, *, scripted: bool) -> None:
    page = opened(f"{site.url}/batches/{site.with_records}/records", java_script_enabled=scripted, refusals=1)
    record = page.get_by_role("article", name="Record 2")
    record.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("alert")).to_contain_text("reason")
    record.get_by_label("Reason").fill("a test flight")
    record.get_by_role("button", name="Discard").click()
    expect(page.get_by_text("Record 2 is discarded.")).to_be_visible()
    expect(page.get_by_role("article", name="Record 2")).to_have_count(0)


def test_many_records_are_repaired_from_a_file(site: Site, opened: Opened) -> None:
    page = opened(f"{site.url}/batches/{site.with_records}/records")
    lines = page.request.get(f"{site.url}/batches/{site.with_records}/records.jsonl").text()
    repaired = lines.replace('"early"', "545").replace('"<script>alert(1)</script>"', "17")
    page.get_by_text("Many at once").click()
    file = {"name": "repaired.jsonl", "mimeType": "application/x-ndjson", "buffer": repaired.encode()}
    page.get_by_label("File").set_input_files(file)  # type: ignore[arg-type]
    page.locator("details").get_by_role("button", name="Replay repaired").click()
    expect(page.get_by_text("Replayed: the rows are in the view")).to_be_visible()
    assert len(site.desk.table.rows) == 2


@SCRIPTED
def test_a_batch_is_discarded_with_a_reason_and_reopened(site: Site, opened: Opened, *, scripted: bool) -> None:
    batch_id = site.groups["second"][0]
    page = opened(f"{site.url}/batches/{batch_id}", java_script_enabled=scripted)
    page.get_by_text("Discard…").click()
    page.get_by_role("button", name="Discard this batch").click()
    assert site.desk.status(batch_id) == "DEAD_LETTERED", "the form wants a reason"
    page.get_by_label("Reason").fill("a test")
    page.get_by_role("button", name="Discard this batch").click()
    expect(page.get_by_text("Discarded; reopen it")).to_be_visible()
    assert site.desk.status(batch_id) == "DISCARDED"
    expect(page.get_by_role("list").filter(has_text="batch discarded")).to_be_visible()
    page.get_by_role("button", name="Reopen").click()
    expect(page.get_by_text("Open again.")).to_be_visible()
    assert site.desk.status(batch_id) == "DEAD_LETTERED"


def test_a_group_is_discarded_and_no_other(site: Site, opened: Opened) -> None:
    page = opened(f"{site.url}/failures")
    page.get_by_role("row").filter(has_text="longer than").get_by_role("link", name="Plan or discard").click()
    page.get_by_label("Reason for the discard").fill("a test")
    page.get_by_role("button", name="Discard 2").click()
    expect(page.get_by_text("No batch fits")).to_be_visible()
    assert {site.desk.status(each) for each in site.groups["second"]} == {"DISCARDED"}
    assert {site.desk.status(each) for each in site.groups["first"]} == {"DEAD_LETTERED"}


def test_what_changed_since_the_plan_is_not_acted_on(site: Site, opened: Opened) -> None:
    page = opened(f"{site.url}/plan?status=DEAD_LETTERED", refusals=1)
    site.desk.replayer().discard(site.groups["first"][0], actor="somebody else", reason="test")
    page.get_by_role("button", name="Replay 9 batches").click()
    expect(page.get_by_role("alert")).to_contain_text("The plan was of 9 batches, now there are 8")
    assert list(site.desk.journal.list_receipts()) == []
    expect(page.get_by_role("button", name="Replay 8 batches")).to_be_visible()


def test_a_bulk_replay_stops_by_itself_after_failures_in_a_row_and_goes_on_when_told(
    site: Site, opened: Opened
) -> None:
    site.desk.table.otherwise = REFUSED
    page = opened(f"{site.url}/plan?status=DEAD_LETTERED")
    page.get_by_role("button", name="Replay 9 batches").click()
    expect(page.get_by_text("three failures in a row")).to_be_visible()
    expect(page.locator(".head .status")).to_have_text("failed")
    site.desk.table.otherwise = type(REFUSED)(type(REFUSED.action).APPENDED)
    page.get_by_role("button", name="Go on nevertheless").click()
    expect(page.locator(".head .status")).to_have_text("done")
    expect(page.get_by_role("row").filter(has_text="succeeded")).to_have_count(6)


def test_a_bulk_replay_is_stopped_and_gone_on_with(site: Site, opened: Opened) -> None:
    page = opened(f"{site.url}/plan?status=DEAD_LETTERED", java_script_enabled=False)
    page.get_by_role("button", name="Replay 9 batches").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".head .status")).to_have_text("stopped")
    page.get_by_role("link", name="All bulk replays").click()
    page.get_by_role("link", name="replay-").click()
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".head .status")).to_have_text("done")


@SCRIPTED
def test_a_lane_is_paused_with_a_reason_and_resumed(site: Site, opened: Opened, *, scripted: bool) -> None:
    page = opened(f"{site.url}/", java_script_enabled=scripted)
    page.get_by_label("Reason to pause lane 0").fill("moving the table")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused: moving the table")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Paused by a person")
    page.get_by_role("button", name="Resume lane 0").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.goto(f"{site.url}/audit?lane=0")
    expect(page.get_by_role("row").filter(has_text="moving the table")).to_contain_text("local@localhost")
    expect(page.get_by_role("cell", name="resumed")).to_be_visible()


def test_a_reconciliation_names_the_batch_that_differs_first(site: Site, opened: Opened) -> None:
    page = opened(f"{site.url}/reconcile")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", name="1 batch differ")).to_be_visible()
    expect(page.locator("tbody tr").first).to_contain_text("1 of 2 rows is missing")
    page.get_by_role("link", name=site.with_records[:12]).click()
    page.get_by_role("link", name="Back").click()
    assert page.url == f"{site.url}/reconcile?since=24h"


class _Viewer(Callers):
    """Everybody is somebody who may only look."""

    def caller(self, request: Request) -> Caller:
        del request
        return Caller("vera@example.com")


def test_a_viewer_sees_everything_and_can_change_nothing(opened: Opened) -> None:
    configured = config(AUTH_VIEWERS="vera@example.com", AUTH_OPERATORS="otto@example.com")
    with served(furnished(), configured, _Viewer(configured)) as site:
        batch_id = site.groups["first"][0]
        page = opened(f"{site.url}/", refusals=4)
        expect(page.get_by_text("vera@example.com viewer")).to_be_visible()
        for path in (
            "/",
            "/failures",
            "/plan",
            f"/batches/{batch_id}",
            f"/batches/{batch_id}/plan",
            f"/batches/{site.with_records}/records",
        ):
            page.goto(site.url + path)
            assert page.locator("form[method=post]").count() == 0, path
        for path in (
            f"/batches/{batch_id}/discard",
            "/replay",
            "/lanes/0/pause",
            f"/batches/{site.with_records}/records/1",
        ):
            status = page.evaluate(
                "path => fetch(path, {method: 'POST', body: new URLSearchParams({reason: 'x'})}).then(it => it.status)",
                path,
            )
            assert status == 403, path
        assert site.desk.status(batch_id) == "DEAD_LETTERED"
