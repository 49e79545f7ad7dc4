"""The demo's source pages as promised, and misbehaves as told."""

from typing import Any

import pytest
import requests

from ops.local import flights
from ops.local.services import DemoApi

FIRST_DAY = "from=2013-01-01&to=2013-01-02"


def get(api: DemoApi, **parameters: object) -> requests.Response:
    query: dict[str, Any] = {"limit": 100, **parameters}
    return requests.get(f"{api.url}/flights?{FIRST_DAY}", params=query, timeout=10)


def read(api: DemoApi, url: str, limit: int) -> list[list[dict[str, Any]]]:
    pages: list[list[dict[str, Any]]] = []
    cursor = None
    with requests.Session() as session:
        while cursor or not pages:
            query: dict[str, Any] = {"limit": limit, "cursor": cursor} if cursor else {"limit": limit}
            body = session.get(url, params=query, timeout=10).json()
            pages.append(body["flights"])
            cursor = body["next_cursor"]
    assert api.counters()["counters"]["pages"] == len(pages)
    return pages


def test_the_pages_of_january_hold_every_flight_once_in_order(demo_api: DemoApi) -> None:
    pages = read(demo_api, demo_api.source_url(), 5000)
    assert [len(page) for page in pages] == [5000] * 5 + [2004]
    assert [record for page in pages for record in page] == flights.records(*flights.JANUARY)


@pytest.mark.parametrize("cursor", ["nonsense", "ZmxpZ2h0Oi0x", "ZmxpZ2h0Ojk5OTk5OTk=", "ü"])
def test_an_unknown_cursor_is_gone(demo_api: DemoApi, cursor: str) -> None:
    assert get(demo_api, cursor=cursor).status_code == 410


@pytest.mark.parametrize("parameters", [{"limit": 0}, {"limit": 10_001}, {"limit": "many"}, {"from": "yesterday"}])
def test_a_wrong_parameter_is_refused(demo_api: DemoApi, parameters: dict[str, object]) -> None:
    assert get(demo_api, **parameters).status_code == 400


@pytest.mark.parametrize(("switch", "status"), [("unavailable", 503), ("too_many_requests", 429), ("not_found", 404)])
def test_a_switch_hits_as_many_requests_as_it_says(demo_api: DemoApi, switch: str, status: int) -> None:
    demo_api.admin(**{switch: 2})
    assert [get(demo_api).status_code for _ in range(3)] == [status, status, 200]
    assert demo_api.counters()["counters"][switch] == 2


@pytest.mark.parametrize("switch", ["unavailable", "too_many_requests"])
def test_a_busy_api_says_when_to_come_back(demo_api: DemoApi, switch: str) -> None:
    demo_api.admin(**{switch: -1}, retry_after="7")
    assert [get(demo_api).headers["Retry-After"] for _ in range(2)] == ["7", "7"]


def test_a_cut_off_body_ends_the_connection(demo_api: DemoApi) -> None:
    demo_api.admin(cut_off=1)
    with pytest.raises(requests.exceptions.RequestException):
        get(demo_api)
    assert len(get(demo_api).json()["flights"]) == 100


def test_wrong_content_comes_with_status_200(demo_api: DemoApi) -> None:
    demo_api.admin(html=1)
    answer = get(demo_api)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html")


def test_the_records_can_be_absent(demo_api: DemoApi) -> None:
    demo_api.admin(records_absent=1)
    assert "flights" not in get(demo_api).json()


def test_a_cursor_can_repeat_for_ever(demo_api: DemoApi) -> None:
    demo_api.admin(repeat_cursor=-1)
    cursor = get(demo_api).json()["next_cursor"]
    assert get(demo_api, cursor=cursor).json()["next_cursor"] == cursor


def test_new_flights_appear_behind_the_last_cursor(demo_api: DemoApi) -> None:
    demo_api.admin(visible=150)
    cursor = get(demo_api).json()["next_cursor"]
    before = get(demo_api, cursor=cursor).json()
    demo_api.admin(visible=None)
    after = get(demo_api, cursor=cursor).json()
    assert (len(before["flights"]), before["next_cursor"]) == (50, None)
    assert after["flights"][:50] == before["flights"]
    assert (len(after["flights"]), after["next_cursor"] is None) == (100, False)


def test_a_record_can_be_poisoned(demo_api: DemoApi) -> None:
    clean = get(demo_api).json()["flights"]
    demo_api.admin(poison={"7": {"dep_delay": "soon"}})
    poisoned = get(demo_api).json()["flights"]
    assert [number for number in range(100) if clean[number] != poisoned[number]] == [7]
    assert poisoned[7] == {**clean[7], "dep_delay": "soon"}


def test_one_request_can_ask_for_misbehaviour_itself(demo_api: DemoApi) -> None:
    assert [get(demo_api, misbehave="not_found").status_code, get(demo_api).status_code] == [404, 200]


def test_an_unknown_switch_is_refused(demo_api: DemoApi) -> None:
    assert requests.post(f"{demo_api.url}/_admin", json={"no_such": 1}, timeout=10).status_code == 400


def test_a_killed_api_comes_back_at_the_same_address(demo_api: DemoApi) -> None:
    address = demo_api.url
    demo_api.kill()
    with pytest.raises(requests.exceptions.ConnectionError):
        get(demo_api)
    demo_api.start()
    assert (demo_api.url, get(demo_api).status_code) == (address, 200)
