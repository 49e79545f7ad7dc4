"""Who is not let in, by real keys and a certificate endpoint on loopback: every way to come in without being asked."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ingestor.callers import NO_TOKEN, REMOVED_SIGNATURE
from ops.csrf import FIELD, HEADER
from ops.headers import CONTENT_SECURITY_POLICY
from tests.dead import batch_of, flight
from tests.tokens import AUDIENCE, GOOGLE_ISSUER, IAP_ISSUER, OPERATOR, STRANGER, VIEWER, Issuer, unsigned
from tests.unit.ops.apps import Office, office

STATUS = "/api/status"
ROLES = {"AUTH_AUDIENCE": AUDIENCE, "AUTH_OPERATORS": OPERATOR, "AUTH_VIEWERS": f"{VIEWER},Viewer2@Example.com"}
HOUR_S = 3600


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer().serving() as serving:
        yield serving


@pytest.fixture
def oidc(issuer: Issuer) -> Office:
    return office(None, **ROLES, AUTH="oidc", AUTH_CERTS_URL=issuer.certs_url)


@pytest.fixture
def iap(issuer: Issuer) -> Office:
    return office(None, **ROLES, AUTH="iap", AUTH_CERTS_URL=issuer.certs_url)


@pytest.fixture
def platform() -> Office:
    return office(None, **ROLES, AUTH="platform", K_SERVICE="ops")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def assertion(token: str) -> dict[str, str]:
    return {"X-Goog-IAP-JWT-Assertion": token}


def codes(here: Office) -> list[str]:
    return [line["code"] for line in here.events("auth.refused")]


def in_s(seconds: int) -> int:
    return int(time.time()) + seconds


# Forged, stale and foreign tokens. Each is (what is sent, the code that the log has).

Forgery = Callable[[Issuer], dict[str, str]]


def public_pem(issuer: Issuer) -> bytes:
    return issuer.rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hmac_by_public_key(issuer: Issuer) -> str:
    """The algorithm confusion: the public key used as a shared secret."""
    head = jwt.encode(issuer.claims(), "x" * 64, "HS256", {"kid": "rsa"}).rpartition(".")[0]
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        head.encode(), public_pem(issuer)
    )
    return f"{head}.{jwt.utils.base64url_encode(signature).decode()}"


def by_another_key(issuer: Issuer, key_id: str) -> str:
    return jwt.encode(issuer.claims(), rsa.generate_private_key(65537, 2048), "RS256", {"kid": key_id})


OIDC_FORGERIES: dict[str, tuple[Forgery, str]] = {
    "no token": (lambda _: {}, "no_token"),
    "another scheme": (lambda i: {"Authorization": f"Basic {i.rs256()}"}, "no_token"),
    "wrong audience": (lambda i: i.bearer(aud="https://other.example.com"), "audience"),
    "no audience": (lambda i: i.bearer(aud=None), "missingrequiredclaim"),
    "wrong issuer": (lambda i: i.bearer(iss="https://accounts.example.com"), "issuer"),
    "an issuer that begins well": (lambda i: i.bearer(iss=f"{GOOGLE_ISSUER}.evil.example"), "issuer"),
    "expired": (lambda i: i.bearer(exp=in_s(-30)), "expired"),
    "never expires": (lambda i: i.bearer(exp=None), "missingrequiredclaim"),
    "of the future": (lambda i: i.bearer(iat=in_s(60)), "immature"),
    "not yet": (lambda i: i.bearer(nbf=in_s(60)), "immature"),
    "unverified e-mail": (lambda i: i.bearer(email_verified=False), "email_unverified"),
    "e-mail verified by a word": (lambda i: i.bearer(email_verified="true"), "email_unverified"),
    "no word on the e-mail": (lambda i: i.bearer(email_verified=None), "email_unverified"),
    "no e-mail": (lambda i: i.bearer(""), "email"),
    "alg none": (lambda i: bearer(unsigned(i.claims())), "algorithm"),
    "alg None in capitals": (lambda i: bearer(unsigned(i.claims(), algorithm="None")), "algorithm"),
    "stripped signature": (lambda i: bearer(i.rs256().rpartition(".")[0] + "."), "signature"),
    "removed signature": (lambda i: bearer(f"{i.rs256().rpartition('.')[0]}.{REMOVED_SIGNATURE}"), "signature"),
    "another token's signature": (
        lambda i: bearer(f"{i.rs256().rpartition('.')[0]}.{i.rs256(VIEWER).rpartition('.')[2]}"),
        "signature",
    ),
    "another key under the id": (lambda i: bearer(by_another_key(i, "rsa")), "signature"),
    "another key, unknown id": (lambda i: bearer(by_another_key(i, "who")), "key"),
    "the other algorithm's key": (lambda i: bearer(i.es256(iss=GOOGLE_ISSUER, email_verified=True)), "algorithm"),
    "public key as secret": (lambda i: bearer(hmac_by_public_key(i)), "algorithm"),
    "no JWT": (lambda _: bearer("a.b.c"), "decode"),
    "one word": (lambda _: bearer("token"), "decode"),
    "a huge token": (lambda _: bearer("a" * 20_000), "malformed"),
    "an IAP header": (lambda i: assertion(i.es256()), "no_token"),
    "the unsigned header of IAP": (lambda _: {"X-Goog-Authenticated-User-Email": OPERATOR}, "no_token"),
}


@pytest.mark.parametrize("name", OIDC_FORGERIES)
def test_oidc_lets_nobody_in_with(name: str, oidc: Office, issuer: Issuer) -> None:
    make, code = OIDC_FORGERIES[name]
    answer = oidc.get(STATUS, headers=make(issuer))
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    assert (answer.json["detail"], "code" in answer.json) == (NO_TOKEN, False)
    assert codes(oidc) == [code]
    assert oidc.desk.journal.read_lanes() == []


IAP_FORGERIES: dict[str, tuple[Forgery, str]] = {
    "nothing": (lambda _: {}, "no_token"),
    "the unsigned header": (
        lambda _: {"X-Goog-Authenticated-User-Email": f"accounts.google.com:{OPERATOR}"},
        "no_token",
    ),
    "a bearer token": (lambda i: i.bearer(), "no_token"),
    "an account's token as assertion": (lambda i: assertion(i.rs256()), "algorithm"),
    "wrong audience": (lambda i: assertion(i.es256(aud="/projects/1/apps/other")), "audience"),
    "wrong issuer": (lambda i: assertion(i.es256(iss=GOOGLE_ISSUER)), "issuer"),
    "expired": (lambda i: assertion(i.es256(exp=in_s(-30))), "expired"),
    "alg none": (lambda i: assertion(unsigned(i.claims(iss=IAP_ISSUER))), "algorithm"),
    "stripped signature": (lambda i: assertion(i.es256().rpartition(".")[0] + "."), "signature"),
}


@pytest.mark.parametrize("name", IAP_FORGERIES)
def test_iap_lets_nobody_in_with(name: str, iap: Office, issuer: Issuer) -> None:
    make, code = IAP_FORGERIES[name]
    assert iap.get(STATUS, headers=make(issuer)).status_code == 401
    assert codes(iap) == [code]


def removed(issuer: Issuer, **changed: Any) -> dict[str, str]:
    return bearer(unsigned(issuer.claims(**changed), REMOVED_SIGNATURE, "RS256"))


PLATFORM_FORGERIES: dict[str, tuple[Forgery, str]] = {
    "nothing": (lambda _: {}, "no_token"),
    "a signature: Cloud Run's check is off": (lambda i: i.bearer(), "signature"),
    "no signature": (lambda i: bearer(unsigned(i.claims())), "signature"),
    "wrong audience": (lambda i: removed(i, aud="https://other.example.com"), "audience"),
    "wrong issuer": (lambda i: removed(i, iss="https://accounts.example.com"), "issuer"),
    "expired": (lambda i: removed(i, exp=in_s(-30)), "expired"),
    "unverified e-mail": (lambda i: removed(i, email_verified=False), "email_unverified"),
}


@pytest.mark.parametrize("name", PLATFORM_FORGERIES)
def test_platform_lets_nobody_in_with(name: str, platform: Office, issuer: Issuer) -> None:
    make, code = PLATFORM_FORGERIES[name]
    assert platform.get(STATUS, headers=make(issuer)).status_code == 401
    assert codes(platform) == [code]


def test_each_mode_lets_in_whom_it_should(oidc: Office, iap: Office, platform: Office, issuer: Issuer) -> None:
    assert oidc.get(STATUS, headers=issuer.bearer(VIEWER)).status_code == 200
    assert oidc.get(STATUS, headers=issuer.bearer("VIEWER2@example.com")).status_code == 200
    assert oidc.get(STATUS, headers=issuer.bearer(iat=in_s(8), exp=in_s(HOUR_S))).status_code == 200
    assert oidc.get(STATUS, headers=issuer.bearer(exp=in_s(-5))).status_code == 200
    assert oidc.get(STATUS, headers=issuer.bearer(iss="accounts.google.com")).status_code == 200
    assert iap.get(STATUS, headers=assertion(issuer.es256(VIEWER))).status_code == 200
    assert platform.get(STATUS, headers=removed(issuer)).status_code == 200
    assert codes(oidc) == []


def test_certificates_are_fetched_once_and_made_up_key_ids_fetch_none(issuer: Issuer) -> None:
    here = office(None, **ROLES, AUTH="oidc", AUTH_CERTS_URL=issuer.certs_url)
    before = issuer.requests
    for _ in range(5):
        assert here.get(STATUS, headers=issuer.bearer()).status_code == 200
        assert here.get(STATUS, headers=bearer(by_another_key(issuer, "made-up"))).status_code == 401
    assert issuer.requests == before + 1


def test_without_certificates_nobody_is_let_in_and_the_answer_says_why() -> None:
    here = office(None, **ROLES, AUTH="oidc", AUTH_CERTS_URL="http://127.0.0.1:9/certs")
    answer = here.get(STATUS, headers=Issuer().bearer())
    assert answer.status_code == 503
    assert "AUTH_CERTS_URL" in answer.json["detail"]


@pytest.mark.parametrize(
    "how",
    [
        {"environ_base": {"REMOTE_ADDR": "10.0.0.7"}},
        {"environ_base": {"REMOTE_ADDR": "::ffff:10.0.0.7"}},
        {"environ_base": {"REMOTE_ADDR": ""}},
        {"headers": {"Host": "ops.example.com"}},
        {"headers": {"Host": "127.0.0.1.example.com"}},
        {"headers": {"Host": "localhost.example.com:8080"}},
        {"headers": {"X-Forwarded-For": "127.0.0.1"}},
    ],
)
def test_without_authentication_only_this_machine_is_answered_under_its_own_name(how: dict[str, Any]) -> None:
    here = office()
    assert here.get(STATUS, **how).status_code == 403
    for host in ("localhost:8080", "127.0.0.1", "[::1]:8080", "[::1]"):
        assert here.get(STATUS, headers={"Host": host}).status_code == 200


# What those who are let in may do.


def test_a_stranger_sees_nothing_a_viewer_changes_nothing_an_operator_does(oidc: Office, issuer: Issuer) -> None:
    run = oidc.desk.lane()
    batch_id = run.dead(batch_of([flight(1)]))
    run.finish()
    path = f"/api/batches/{batch_id}/discard"
    assert oidc.get(STATUS, headers=issuer.bearer(STRANGER)).status_code == 403
    assert oidc.post(path, {"reason": "r"}, headers=issuer.bearer(STRANGER)).status_code == 403
    assert oidc.get(STATUS, headers=issuer.bearer(VIEWER)).status_code == 200
    assert oidc.post(path, {"reason": "r"}, headers=issuer.bearer(VIEWER)).status_code == 403
    assert oidc.desk.status(batch_id) == "DEAD_LETTERED"
    done = oidc.post(path, {"reason": "r"}, headers=issuer.bearer(OPERATOR))
    assert (done.status_code, done.json["actor"]) == (200, OPERATOR)
    assert codes(oidc) == ["not_viewer", "not_viewer", "not_operator"]
    assert oidc.get(STATUS, headers=issuer.bearer()).json["refused"] == {"not_viewer": 2, "not_operator": 1}


def test_no_view_is_open_by_accident(oidc: Office, issuer: Issuer) -> None:
    """Every route of the application, as nobody: refused; what changes something, as a viewer: refused."""
    rules = list(oidc.client.application.url_map.iter_rules())
    assert len(rules) > 20
    for rule in rules:
        path = re.sub(r"<any\((\w+)[^>]*>", r"\1", rule.rule)
        path = re.sub(r"<int:[^>]*>", "1", path)
        path = re.sub(r"<[^>]*>", "x", path)
        for method in (rule.methods or set()) - {"OPTIONS"}:
            if rule.endpoint != "health":
                assert oidc.client.open(path, method=method).status_code == 401, (method, path)
            if method == "POST":
                assert oidc.client.open(path, method=method, headers=issuer.bearer(VIEWER)).status_code == 403, path


# Requests forged by other sites.


def test_a_page_of_another_site_changes_nothing() -> None:
    here = office()
    run = here.desk.lane()
    path = f"/api/batches/{run.dead(batch_of([flight(1)]))}/discard"
    run.finish()
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none "},
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example.com"},
    ):
        assert here.post(path, {"reason": "r"}, headers=headers).status_code == 403, headers
    assert set(codes(here)) == {"cross_site"}
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}):
        assert here.post(path, {"reason": "r"}, headers=headers).json["code"] == "csrf"
    assert here.post(path, data={"reason": "r"}).json["code"] == "csrf"
    here.client.set_cookie("csrf", "known", domain="localhost")
    wrong = {"Sec-Fetch-Site": "same-origin", HEADER: "guessed"}
    assert here.post(path, {"reason": "r"}, headers=wrong).json["code"] == "csrf"
    assert here.post(path, data={"reason": "r", FIELD: "guessed"}).json["code"] == "csrf"
    assert here.post(path, {"reason": "r"}, headers={**wrong, HEADER: "known"}).status_code == 200


def test_the_cookie_is_strict_unreadable_to_scripts_and_of_this_host_alone(oidc: Office, issuer: Issuer) -> None:
    run = oidc.desk.lane()
    page = f"/batches/{run.dead(batch_of([flight(1)]))}"
    run.finish()
    cookie = oidc.get(page, headers=issuer.bearer()).headers.get("Set-Cookie", "")
    assert cookie.startswith("__Host-csrf=")
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_every_answer_says_what_a_browser_may_do_with_it(oidc: Office, issuer: Issuer) -> None:
    for answer in (
        oidc.get("/", headers=issuer.bearer()),
        oidc.get(STATUS, headers=issuer.bearer()),
        oidc.get("/nowhere", headers=issuer.bearer()),
        oidc.get(STATUS),
    ):
        assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
    assert "unsafe" not in CONTENT_SECURITY_POLICY


# Injection.

XSS = "<script>alert(1)</script>'\"><img src=x onerror=alert(1)>"


def test_markup_in_errors_values_and_cursors_is_shown_and_never_run() -> None:
    from ingestor.outcome import answered  # noqa: PLC0415 - beside its one use

    here = office()
    run = here.desk.lane()
    refused = answered(3, f"cannot take {XSS}")
    dead = run.dead(batch_of([flight(1, carrier=XSS)], start=XSS), refused)
    rejected = run.committed(batch_of([flight(2), flight(3, dep_time=XSS)], start=f"{XSS}2"))
    run.finish()
    pages = (
        "/",
        "/batches",
        f"/batches/{dead}",
        f"/batches/{rejected}",
        f"/batches/{rejected}/records",
        "/failures",
        "/runs",
        f"/batches?lane={XSS}",
        f"/batches?status={XSS}",
        f"/{XSS}",
    )
    seen = [here.get(page) for page in pages]
    assert {answer.mimetype for answer in seen} == {"text/html"}
    for page, answer in zip(pages, seen, strict=True):
        assert "<script>alert" not in answer.text, page
        assert "<img src=x" not in answer.text, page
    assert any("&lt;script&gt;" in answer.text for answer in seen)
    for path in (f"/api/batches/{dead}", f"/api/batches/{dead}/rows", f"/api/batches/{rejected}/records"):
        answer = here.get(path)
        assert (answer.mimetype, answer.status_code) == ("application/json", 200)


@pytest.mark.parametrize(
    "value", ["a\r\nSet-Cookie: x=1", "a\nb", "../../etc/passwd", "a/b", "\x00", "__all__", "a" * 5000]
)
def test_nothing_that_is_sent_becomes_a_path_or_a_header(value: str) -> None:
    here = office()
    for path in ("/api/batches/", "/api/runs/", "/api/receipts/", "/batches/", "/runs/", "/receipts/"):
        answer = here.client.get(path + value.replace("\r", "%0d").replace("\n", "%0a").replace("\x00", "%00"))
        assert answer.status_code in {404, 422, 308}, (path, answer.status_code)
        assert "x=1" not in answer.headers.get("Set-Cookie", "")
    for name in ("page", "lane", "run", "fingerprint", "status"):
        answer = here.client.get("/api/batches", query_string={name: value})
        assert answer.status_code in {200, 422}, (name, answer.status_code)
    assert here.get(STATUS, headers={"X-Request-Id": "x"}).status_code == 200


# Limits.


def test_a_caller_who_asks_too_often_is_told_to_wait_and_others_are_not(issuer: Issuer) -> None:
    from ingestor.config import load  # noqa: PLC0415 - likewise
    from tests.unit.ops.apps import BASE, application  # noqa: PLC0415 - likewise

    settings = {**BASE, **ROLES, "AUTH": "oidc", "AUTH_CERTS_URL": issuer.certs_url}
    here = application(load(settings), limits={"reads": "3 per minute", "changes": "1 per minute"})
    answers = [here.get(STATUS, headers=issuer.bearer()) for _ in range(4)]
    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    assert answers[-1].mimetype == "application/problem+json"
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert here.get(STATUS, headers=issuer.bearer(VIEWER)).status_code == 200
    changes = [here.post("/api/replay", {"reason": "r"}, headers=issuer.bearer()).status_code for _ in range(2)]
    assert changes == [202, 429]


def test_a_view_without_a_role_is_refused_to_everybody() -> None:
    here = office()
    here.client.application.add_url_rule("/forgotten", view_func=lambda: "open")
    assert here.get("/forgotten").status_code == 403
    assert codes(here) == ["no_role"]
