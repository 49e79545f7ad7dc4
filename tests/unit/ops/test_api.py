"""The API on a desk in memory: what is asked is answered, what is done is in the ledger and has a receipt."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ingestor.outcome import RowError, answered
from ingestor.reconcile import BatchBooks, Reconciliation
from ops.masking import MASK
from ops.timeline import timeline
from state.events import OPS_LANE
from state.sqlite import SqliteJournal
from state.verify import verify_lane
from tests.dead import REFUSED, Desk, batch_of, flight
from tests.unit.ops.apps import Office, application, config, office

UNKNOWN = "f" * 32
BAD = flight(1, dep_time="early")


def with_dead(count: int = 1, **settings: str) -> tuple[Office, list[str]]:
    here = office(None, **settings)
    run = here.desk.lane()
    ids = [run.dead(batch_of([flight(n), flight(n + 1)], start=f"c{n}")) for n in range(count)]
    run.finish()
    return here, ids


def with_rejected(**settings: str) -> tuple[Office, str]:
    here = office(None, **settings)
    run = here.desk.lane()
    batch_id = run.committed(batch_of([flight(0), BAD, BAD]))
    run.finish()
    return here, batch_id


def whole(here: Office) -> bool:
    return verify_lane(here.desk.journal, "flights", OPS_LANE, retention_days=90) == []


def test_a_dead_batch_is_listed_shown_planned_and_replayed_and_the_receipt_can_be_asked_for() -> None:
    here, (batch_id,) = with_dead()
    (listed,) = here.get("/api/batches?status=DEAD_LETTERED&since=&page=").json["items"]
    assert (listed["batch_id"], listed["rows"], listed["error_code"]) == (batch_id, 2, "INVALID_ARGUMENT")
    shown = here.get(f"/api/batches/{batch_id}").json
    assert [each["event"] for each in shown["history"]] == ["batch_attempted", "batch_dead_lettered"]
    assert shown["stored"]["rows"] == 2
    rows = here.get(f"/api/batches/{batch_id}/rows?limit=1").json
    assert (rows["items"][0]["flight"], rows["next"]) == (0, "1")
    assert here.get(f"/api/batches/{batch_id}/rows?page=1").json["items"][0]["flight"] == 1
    plan = here.post(f"/api/batches/{batch_id}/replay", {"reason": "look", "dry_run": True}).json
    assert (plan["outcome"]["rows"], plan["receipt"], here.desk.status(batch_id)) == (2, "", "DEAD_LETTERED")
    done = here.post(f"/api/batches/{batch_id}/replay", {"reason": "mended"}).json
    assert (done["status"], done["actor"], done["reason"], done["outcome"]["rows"]) == (
        "done",
        "local@localhost",
        "mended",
        2,
    )
    assert here.desk.status(batch_id) == "COMMITTED"
    again = here.get(f"/api/receipts/{done['receipt']}").json
    assert (again["action"], again["batch_id"], again["actor"], again["reason"], again["at_us"]) == (
        "replay",
        batch_id,
        "local@localhost",
        "mended",
        done["at_us"],
    )
    assert whole(here)


def test_a_replay_that_bigquery_refuses_is_answered_and_says_so() -> None:
    here, (batch_id,) = with_dead()
    here.desk.table.otherwise = REFUSED
    done = here.post(f"/api/batches/{batch_id}/replay", {"reason": "try"})
    assert (done.status_code, done.json["status"], done.json["outcome"]["code"]) == (200, "failed", "INVALID_ARGUMENT")
    assert here.get(f"/api/receipts/{done.json['receipt']}").json["status"] == "failed"


def test_a_row_refused_at_a_replay_is_in_the_answer_the_receipt_the_history_and_the_records() -> None:
    here, (batch_id,) = with_dead()
    here.desk.table.replies = [answered(3, "errors", row_errors=(RowError(1, 1, "too long"),))]
    done = here.post(f"/api/batches/{batch_id}/replay", {"reason": "mended"}).json
    assert (done["status"], done["outcome"]["rows"], done["outcome"]["rejected"]) == ("done", 1, 1)
    again = here.get(f"/api/receipts/{done['receipt']}").json
    assert (again["action"], again["outcome"]["rows"], again["outcome"]["rejected"]) == ("replay", 1, 1)
    steps = timeline(here.desk.journal, here.desk.journal.read_batch(batch_id) or {}).steps
    assert [(step.event, step.who) for step in steps if step.lane == OPS_LANE] == [
        (event, "local@localhost") for event in ("replay_started", "records_rejected", "replay_succeeded")
    ]
    (record,) = here.get(f"/api/batches/{batch_id}/records").json["items"]
    assert (record["row_index"], record["stage"], record["reason"]) == (1, "append", "too long")
    assert whole(here)


def test_discard_and_reopen_leave_receipts_and_the_rules_answer_409_in_words() -> None:
    here, (batch_id,) = with_dead()
    done = here.post(f"/api/batches/{batch_id}/discard", {"reason": "not wanted"}).json
    assert (done["action"], done["status"], here.desk.status(batch_id)) == ("discard", "done", "DISCARDED")
    refused = here.post(f"/api/batches/{batch_id}/replay", {"reason": "r"})
    assert (refused.status_code, refused.mimetype) == (409, "application/problem+json")
    assert "reopen it first" in refused.json["detail"]
    back = here.post(f"/api/batches/{batch_id}/reopen", {"reason": "wanted"}).json
    assert (back["action"], here.desk.status(batch_id)) == ("reopen", "DEAD_LETTERED")
    assert [here.get(f"/api/receipts/{each['receipt']}").json for each in (done, back)] == [done, back]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("replay", {"reason": "r"}),
        ("discard", {"reason": "r"}),
        ("records/discard", {"reason": "r", "indexes": [0]}),
        ("records/replay", {"reason": "r"}),
    ],
)
def test_no_action_is_taken_without_a_reason(path: str, body: dict[str, Any]) -> None:
    here, (batch_id,) = with_dead()
    for reason in (None, "", 7, "x" * 501, "two\nlines"):
        changed = {k: v for k, v in {**body, "reason": reason}.items() if v is not None}
        answer = here.post(f"/api/batches/{batch_id}/{path}", changed)
        assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
        assert "reason" in answer.json["detail"]
    assert here.desk.status(batch_id) == "DEAD_LETTERED"
    assert here.desk.journal.read_snapshot(OPS_LANE) is None


def test_a_key_makes_a_request_that_is_sent_twice_act_once() -> None:
    here, (first, second) = with_dead(2)
    here.desk.table.otherwise = REFUSED
    key = {"Idempotency-Key": "k1"}
    answers = [here.post(f"/api/batches/{first}/replay", {"reason": "r"}, headers=key).json for _ in range(3)]
    assert len(here.desk.table.requests) == 1
    assert len({answer["receipt"] for answer in answers}) == 1
    assert [answer["outcome"]["already"] for answer in answers] == [False, True, True]
    discarded = [here.post(f"/api/batches/{second}/discard", {"reason": "r"}, headers=key).json for _ in range(2)]
    assert discarded[0] == discarded[1]
    assert here.post(f"/api/batches/{second}/discard", {"reason": "r"}).status_code == 409
    reopened = [here.post(f"/api/batches/{second}/reopen", {"reason": "r"}, headers=key).json for _ in range(2)]
    assert reopened[0] == reopened[1]
    bulk = [here.post("/api/replay", {"reason": "r"}, headers=key) for _ in range(2)]
    assert bulk[0].json == bulk[1].json
    other = here.post("/api/replay", {"reason": "r", "limit": 1}, headers=key)
    assert (other.status_code, "something else" in other.json["detail"]) == (409, True)
    assert whole(here)


def test_a_bulk_replay_is_accepted_under_a_receipt_sends_nothing_yet_and_goes_on_by_further_calls() -> None:
    here, ids = with_dead(5)
    plan = here.post("/api/replay", {"reason": "r", "dry_run": True, "limit": 3})
    assert (plan.status_code, plan.json["matching"], plan.json["sendable"]) == (200, 5, 3)
    accepted = here.post("/api/replay", {"status": "DEAD_LETTERED", "reason": "mended"})
    assert (accepted.status_code, accepted.json["status"], accepted.json["counts"]["pending"]) == (202, "open", 5)
    assert (here.desk.table.requests, here.desk.status(ids[0])) == ([], "DEAD_LETTERED")
    where = accepted.headers["Location"]
    assert here.post(f"{where}/stop").json["status"] == "stopped"
    done = here.post(f"{where}/continue", {"reason": "go on"}).json
    assert (done["status"], done["counts"]["succeeded"]) == ("done", 5)
    told = here.get(f"{where}?limit=2&page=4").json
    assert [each["batch_id"] for each in told["outcome"]["items"]] == ids[4:]
    assert (told["status"], told["actor"], told["reason"]) == ("done", "local@localhost", "mended")
    (listed,) = here.get("/api/receipts").json["items"]
    assert (listed["receipt"], listed["counts"]["succeeded"]) == (told["receipt"], 5)
    nothing = here.post("/api/replay", {"reason": "r"})
    assert (nothing.status_code, nothing.json["receipt"], nothing.json["status"]) == (202, "", "done")


def test_one_request_works_on_a_bulk_replay_only_so_long() -> None:
    here, _ = with_dead(100)
    where = here.post("/api/replay", {"reason": "r"}).headers["Location"]
    first = here.post(f"{where}/continue").json
    assert (first["status"], first["counts"]["succeeded"]) == ("open", 40)
    assert here.post(f"{where}/continue").json["counts"]["succeeded"] == 80
    assert here.post(f"{where}/continue").json["status"] == "done"


def test_filters_are_those_of_the_list_and_a_misspelt_one_is_refused() -> None:
    here, ids = with_dead(4)
    run = here.desk.lane(lane="1", run_id="run-2")
    other = run.dead(batch_of([flight(9)], start="x", lane="1"))
    run.finish()
    assert [each["batch_id"] for each in here.get("/api/batches?lane=1").json["items"]] == [other]
    assert [each["batch_id"] for each in here.get("/api/batches?run=run-2").json["items"]] == [other]
    fingerprint = here.get("/api/batches?lane=1").json["items"][0]["fingerprint"]
    assert len(here.get(f"/api/batches?fingerprint={fingerprint}").json["items"]) == 5
    assert here.get("/api/batches?since=2030-01-01").json["items"] == []
    assert here.get("/api/batches?until=2020-01-01T00:00:00Z").json["items"] == []
    first = here.get("/api/batches?limit=2&status=DEAD_LETTERED").json
    rest = here.get(f"/api/batches?limit=200&status=DEAD_LETTERED&page={first['next']}").json
    found = [each["batch_id"] for each in first["items"] + rest["items"]]
    assert (sorted(found), rest["next"]) == (sorted([*ids, other]), None)
    for wrong in (
        "statis=DEAD_LETTERED",
        "status=dead",
        "since=yesterday",
        "limit=0",
        "limit=x",
        "page=~",
        "page=../x",
    ):
        answer = here.get(f"/api/batches?{wrong}")
        assert (answer.status_code, answer.mimetype) == (422, "application/problem+json"), wrong
    assert here.post("/api/replay", {"reason": "r", "fingerprnt": fingerprint}).status_code == 422
    assert here.post("/api/replay", {"reason": "r", "lane": "2", "dry_run": True}).json["matching"] == 0


def test_runs_are_listed_filtered_and_shown() -> None:
    here, ids = with_dead(2)
    run = here.desk.lane(lane="1", run_id="run-2")
    run.finish()
    assert [each["run_id"] for each in here.get("/api/runs").json["items"]] == ["run-2", "run-1"]
    assert [each["run_id"] for each in here.get("/api/runs?lane=0&status=complete").json["items"]] == ["run-1"]
    page = here.get("/api/runs?limit=1").json
    assert [each["run_id"] for each in here.get(f"/api/runs?page={page['next']}").json["items"]] == ["run-1"]
    assert here.get("/api/runs?since=2030-01-01").json == {"items": [], "next": None}
    shown = here.get("/api/runs/run-1").json
    assert (shown["run"]["status"], len(shown["batches"])) == ("complete", len(ids))


def test_what_is_not_known_is_404_and_what_is_no_id_is_422() -> None:
    here, _ = with_dead()
    for path in (f"batches/{UNKNOWN}", f"batches/{UNKNOWN}/rows", f"batches/{UNKNOWN}/records", "runs/none"):
        assert here.get(f"/api/{path}").status_code == 404
    for path in ("receipts/ops-99", "receipts/replay-0123456789abcdef"):
        assert here.get(f"/api/{path}").status_code == 404
    for action in ("replay", "discard", "reopen", "records/replay"):
        assert here.post(f"/api/batches/{UNKNOWN}/{action}", {"reason": "r"}).status_code == 404
    assert here.post("/api/receipts/replay-0123456789abcdef/continue").status_code == 404
    for path in ("batches/x", "batches/..%2f..%2fruns", "runs/%00", "receipts/__x__", "batches/" + "F" * 32):
        assert here.get(f"/api/{path}").status_code in {404, 422}, path


def test_rejected_records_are_listed_tried_repaired_and_discarded() -> None:
    here, batch_id = with_rejected()
    found = here.get(f"/api/batches/{batch_id}/records").json["items"]
    assert [(each["row_index"], each["state"], each["field"]) for each in found] == [
        (1, "open", "dep_time"),
        (2, "open", "dep_time"),
    ]
    good = {"row_index": 1, "record": {**found[0]["record"], "dep_time": 517}}
    tried = here.post(f"/api/batches/{batch_id}/records/replay", {"reason": "r", "dry_run": True, "records": [good]})
    assert [line["state"] for line in tried.json["outcome"]["lines"]] == ["planned"]
    assert here.desk.table.rows == []
    done = here.post(f"/api/batches/{batch_id}/records/replay", {"reason": "repaired", "records": [good]}).json
    assert [(line["index"], line["state"]) for line in done["outcome"]["lines"]] == [(1, "landed")]
    assert here.get(f"/api/receipts/{done['receipt']}").json["reason"] == "repaired"
    again = here.post(f"/api/batches/{batch_id}/records/replay", {"reason": "repaired", "records": [good]}).json
    assert [line["state"] for line in again["outcome"]["lines"]] == ["already"]
    key = {"Idempotency-Key": "d"}
    gone = [
        here.post(f"/api/batches/{batch_id}/records/discard", {"reason": "n", "indexes": [2]}, headers=key).json
        for _ in range(2)
    ]
    assert gone[0] == gone[1]
    states = [each["state"] for each in here.get(f"/api/batches/{batch_id}/records").json["items"]]
    assert states == ["landed", "discarded"]
    failed = here.post(
        f"/api/batches/{batch_id}/records/replay", {"reason": "r", "records": [{"row_index": 0, "record": {}}]}
    )
    assert (failed.json["status"], failed.json["receipt"]) == ("failed", "")


@pytest.mark.parametrize("rule", ["status", "reconcile", "runs", "batches", "receipts", f"batches/{'0' * 32}/rows"])
@pytest.mark.parametrize("query", ["limit=1&limit=2", "lane=a&lane=a", "since=&since=1h"])
def test_a_parameter_that_is_given_twice_is_refused(rule: str, query: str) -> None:
    here = office(None)
    refused = here.get(f"/api/{rule}?{query}")
    assert (refused.status_code, refused.mimetype) == (422, "application/problem+json")
    assert refused.json["errors"] == [{"where": query.split("=", maxsplit=1)[0], "what": "is given more than once"}]


def test_masked_fields_are_hidden_everywhere_and_survive_a_repair() -> None:
    here, batch_id = with_rejected(MASK_FIELDS="dep_time,month")
    records = here.get(f"/api/batches/{batch_id}/records")
    assert "early" not in records.text
    record = records.json["items"][0]["record"]
    assert (record["dep_time"], record["month"], records.json["items"][0]["reason"]) == (MASK, MASK, "(hidden)")
    repair = {"row_index": 1, "record": {**record, "dep_time": 517}}
    done = here.post(f"/api/batches/{batch_id}/records/replay", {"reason": "r", "records": [repair]}).json
    assert done["outcome"]["lines"][0]["state"] == "landed"
    here, (dead,) = with_dead(MASK_FIELDS="flight")
    assert here.get(f"/api/batches/{dead}/rows").json["items"][0]["flight"] == MASK


def test_a_lane_is_paused_and_resumed_by_name_with_a_reason() -> None:
    here, _ = with_dead()
    assert here.post("/api/lanes/0/pause", {}).status_code == 422
    done = here.post("/api/lanes/0/pause", {"reason": "the source is mended"}).json
    assert (done["action"], done["actor"], done["reason"]) == ("pause", "local@localhost", "the source is mended")
    assert here.get("/api/status").json["lanes"][0]["paused"] == "the source is mended"
    again = here.post("/api/lanes/0/pause", {"reason": "again"}).json
    assert (again["receipt"], "paused already" in again["outcome"]["text"]) == ("", True)
    back = here.post("/api/lanes/0/resume").json
    assert here.get("/api/status").json["lanes"][0]["paused"] is None
    told = [here.get(f"/api/receipts/{each['receipt']}").json for each in (done, back)]
    assert [(each["action"], each["reason"]) for each in told] == [("pause", "the source is mended"), ("resume", "")]
    assert here.post("/api/lanes/7/pause", {"reason": "r"}).status_code == 409
    assert here.post("/api/lanes/ops/pause", {"reason": "r"}).status_code == 409


def test_the_books_are_compared_and_a_difference_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[int | None]()

    def reconciled(_: object, __: object, ___: object, since_us: int | None) -> Reconciliation:
        asked.append(since_us)
        wrong = BatchBooks(batch_id=UNKNOWN, status="COMMITTED", rows=2, missing=1, problems=("1 row is missing",))
        return Reconciliation(since_us or 0, (wrong,))

    monkeypatch.setattr("ingestor.views.reconciliation_of", reconciled)
    found = office().get("/api/reconcile?since=2026-01-01T00:00:00Z").json
    assert (found["balanced"], found["differences"], found["totals"]["missing"]) == (False, 1, 1)
    assert found["items"][0]["problems"] == ["1 row is missing"]
    assert office().get("/api/reconcile?since=").status_code == 200
    assert asked[0] == 1_767_225_600_000_000
    assert asked[1] is not None


def test_status_says_what_a_person_asks_first() -> None:
    here, _ = with_dead(2)
    status = here.get("/api/status").json
    assert status["pipeline"] == "flights"
    assert status["dead_letters"]["DEAD_LETTERED"] == {"batches": 2}
    assert [lane["lane"] for lane in status["lanes"]] == ["0"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"reason": NaN}', "application/json", 400),
        (b'{"reason": "\\ud800"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[]", "application/json", 422),
        (b'"{}"', "application/json", 422),
        (b"reason=r", "application/x-www-form-urlencoded", 403),
        (b"{}", "text/plain", 403),
    ],
)
def test_a_body_that_is_no_json_object_is_refused_before_anything_happens(
    body: bytes, content_type: str, status: int
) -> None:
    here, (batch_id,) = with_dead()
    answer = here.post(f"/api/batches/{batch_id}/replay", data=body, content_type=content_type)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert here.desk.status(batch_id) == "DEAD_LETTERED"


def test_what_is_too_large_is_refused() -> None:
    here, (batch_id,) = with_dead()
    answer = here.post(f"/api/batches/{batch_id}/replay", data=b" " * (16 * 2**20 + 1), content_type="application/json")
    assert answer.status_code == 413


def test_a_service_that_is_away_is_503_and_a_fault_is_500_without_a_word_of_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, (batch_id,) = with_dead()
    here.desk.publish_fails = True
    assert here.post(f"/api/batches/{batch_id}/replay", {"reason": "r"}).json["status"] == "failed"
    assert here.post("/api/batches/" + batch_id + "/discard", {"reason": "r"}).status_code == 503
    monkeypatch.setattr(here.desk.journal, "read_batch", lambda _: 1 / 0)
    answer = here.get(f"/api/batches/{batch_id}")
    assert (answer.status_code, "division" in answer.text) == (500, False)
    assert [line["severity"] for line in here.events("library.message")][-1] == "ERROR"


def test_the_document_names_every_route_of_the_contract_with_examples() -> None:
    document = office().get("/api/openapi.json").json
    assert document["openapi"].startswith("3.1")
    routes = {(method, path) for path, item in document["paths"].items() for method in item}
    one, records = "/api/batches/{batch_id}", "/api/batches/{batch_id}/records"
    assert routes >= {
        ("get", "/api/status"),
        ("get", "/api/reconcile"),
        ("get", "/api/runs"),
        ("get", "/api/runs/{run_id}"),
        ("get", "/api/batches"),
        ("get", one),
        ("get", f"{one}/rows"),
        ("post", f"{one}/replay"),
        ("post", "/api/replay"),
        ("get", "/api/receipts/{receipt}"),
        ("post", "/api/receipts/{receipt}/continue"),
        ("post", "/api/receipts/{receipt}/stop"),
        ("post", f"{one}/discard"),
        ("post", f"{one}/reopen"),
        ("get", records),
        ("post", f"{records}/replay"),
    }
    bodies = [
        item["post"]["requestBody"]["content"]["application/json"]["schema"]
        for item in document["paths"].values()
        if "post" in item
    ]
    assert all("$ref" in body for body in bodies)
    schemas = document["components"]["schemas"]
    assert schemas["ReplayBody"]["properties"]["reason"]["example"]
    assert all(operation["summary"] for item in document["paths"].values() for operation in item.values())


@pytest.mark.parametrize("count", [60, pytest.param(500, marks=pytest.mark.long)])
def test_a_bulk_replay_goes_on_over_many_calls_and_instances_under_one_receipt(tmp_path: Path, count: int) -> None:
    """Each call is answered by another process's application on the same ledger file; one of them dies on the way."""
    desk = Desk()
    with closing(SqliteJournal(tmp_path / "ledger.db", "flights")) as journal:
        on_a_file: Any = journal
        desk.journal = on_a_file
        run = desk.lane()
        ids = [run.dead(batch_of([flight(n)], start=f"c{n}")) for n in range(count)]
        run.finish()
        first = application(config(), desk=desk)
        where = first.post("/api/replay", {"reason": "mended"}).headers["Location"]
        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(desk.table, "open", lambda *_: 1 / 0)
            assert first.post(f"{where}/continue").status_code == 500
        calls, receipts = 0, set[str]()
        status = "open"
        while status == "open":
            told = application(config(), desk=desk).post(f"{where}/continue").json
            status, calls = told["status"], calls + 1
            receipts.add(told["receipt"])
        assert (status, told["counts"]["succeeded"], len(receipts)) == ("done", count, 1)
        assert calls >= count // 41
        assert {desk.status(batch_id) for batch_id in ids} == {"COMMITTED"}
        assert {s.batch_id for s in desk.statements if s.status == "COMMITTED"} == set(ids)
        assert verify_lane(journal, "flights", OPS_LANE, retention_days=90) == []


@pytest.mark.parametrize("since", [-292, 0, 1.5, True, ["6h"]])
def test_a_time_that_is_no_text_is_refused_before_anything_is_chosen_by_it(since: Any) -> None:
    here, (dead,) = with_dead()
    answer = here.post("/api/replay", {"reason": "mended", "since": since})
    assert answer.status_code == 422
    assert "since" in answer.json["detail"]
    assert here.desk.status(dead) == "DEAD_LETTERED"
    assert here.post("/api/replay", {"reason": "mended", "since": None, "dry_run": True}).status_code == 200


@pytest.mark.parametrize("path", ["/api/runs?lane=Õ", "/api/batches?lane=Õ", "/api/receipts/lane-Õ-1"])
def test_a_lane_of_letters_that_no_lane_has_is_refused_as_the_document_says(path: str) -> None:
    """A JSON schema's `\\w` is ASCII, Python's is not."""
    here, _ = with_dead()
    assert here.get(path).status_code == 422
