"""Credentials on real requests to a real server on loopback, with secrets from a real Secret Manager client."""

import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import jwt
import pytest

from ingestor.config import load
from ingestor.credentials import HeaderCredential, header_of, header_value
from ingestor.errors import SourceError
from ingestor.logs import configure
from ingestor.pages import Source
from ingestor.secret_manager import read_secret
from ingestor.source_wiring import open_source
from ops.local.metadata_server import MetadataServer
from ops.local.secret_manager import SecretManager

SECRET = "projects/p/secrets/source"  # noqa: S105 - a name
CANARY = "canary-5f1c77"


class Guarded(ThreadingHTTPServer):
    """Answers a page to whoever shows the header it wants; otherwise 401. `elsewhere` is where it redirects to."""

    daemon_threads = True

    def __init__(self) -> None:
        self.wanted: Callable[[dict[str, str]], bool] = lambda _: True
        self.seen: list[dict[str, str]] = []
        self.elsewhere = ""
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/x"


class _Handler(BaseHTTPRequestHandler):
    server: Guarded

    def do_GET(self) -> None:
        headers = dict(self.headers.items())
        self.server.seen.append(headers)
        body, status = b'[{"n": 1}]', 200
        if self.server.elsewhere:
            body, status = b"", 302
        elif not self.server.wanted(headers):
            body, status = f"you sent {headers}".encode(), 401
        self.send_response(status)
        self.send_header("Location", self.server.elsewhere)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[Guarded]:
    with Guarded() as server:
        yield server
        server.shutdown()


@pytest.fixture
def secrets() -> Iterator[SecretManager]:
    with SecretManager() as server:
        yield server


def source(api: Guarded, secrets: SecretManager | None, auth: str, **settings: str) -> Source:
    env = {
        "GCP_PROJECT_ID": "p",
        "BQ_DATASET_ID": "d",
        "BQ_TABLE_ID": "t",
        "MESSAGE_TYPE": "flights.Flight",
        "DEAD_LETTER_BUCKET": "bucket",
        "SOURCE_URL": api.url,
        "SOURCE_AUTH": auth,
    }
    if secrets is not None:
        env |= {"SOURCE_SECRET": f"{SECRET}/versions/latest", "SECRET_MANAGER_EMULATOR_HOST": secrets.host}
    return open_source(load(env | settings))


@pytest.mark.parametrize(
    ("auth", "secret", "shown"),
    [
        ("bearer", "tok", ("Authorization", "Bearer tok")),
        ("bearer", "tok\n", ("Authorization", "Bearer tok")),
        ("basic", "user:pass:word", ("Authorization", "Basic dXNlcjpwYXNzOndvcmQ=")),
        ("header:X-Api-Key", "k1", ("X-Api-Key", "k1")),
    ],
)
def test_the_secret_is_shown_as_source_auth_says(
    auth: str, secret: str, shown: tuple[str, str], api: Guarded, secrets: SecretManager
) -> None:
    header, value = shown
    secrets.put(SECRET, secret)
    reading = source(api, secrets, auth)
    assert reading.fetch(None).records == [{"n": 1}]
    reading.fetch(None)
    reading.close()
    assert [seen[header] for seen in api.seen] == [value, value]
    assert secrets.accessed == 1


def test_a_rotated_secret_is_picked_up_when_the_old_one_is_refused(api: Guarded, secrets: SecretManager) -> None:
    secrets.put(SECRET, "old")
    reading = source(api, secrets, "bearer")
    reading.fetch(None)
    secrets.put(SECRET, "new")
    api.wanted = lambda headers: headers["Authorization"] == "Bearer new"
    assert reading.fetch(None).attempts == 1
    reading.close()
    assert [seen["Authorization"] for seen in api.seen] == ["Bearer old", "Bearer old", "Bearer new"]


def test_a_secret_that_is_refused_and_not_rotated_is_final(api: Guarded, secrets: SecretManager) -> None:
    secrets.put(SECRET, CANARY)
    api.wanted = lambda _: False
    reading = source(api, secrets, "bearer")
    with pytest.raises(SourceError, match=r"HTTP 401 .*refuses this caller: check SOURCE_AUTH") as raised:
        reading.fetch(None)
    reading.close()
    assert (len(api.seen), secrets.accessed) == (1, 2)
    assert CANARY not in str(raised.value)


def test_a_secret_that_keeps_being_refused_is_fetched_anew_once_a_request(api: Guarded, secrets: SecretManager) -> None:
    secrets.put(SECRET, "one")
    api.wanted = lambda headers: secrets.put(SECRET, headers["Authorization"] + "x") == ""
    reading = source(api, secrets, "bearer")
    with pytest.raises(SourceError, match="HTTP 401"):
        reading.fetch(None)
    reading.close()
    assert len(api.seen) == 2


@pytest.mark.parametrize("header", ["bearer", "header:X-Api-Key"])
def test_a_redirect_to_another_host_carries_no_credential(header: str, api: Guarded, secrets: SecretManager) -> None:
    secrets.put(SECRET, CANARY)
    with Guarded() as other:
        api.elsewhere = other.url.replace("127.0.0.1", "localhost")
        reading = source(api, secrets, header)
        reading.fetch(None)
        reading.close()
        other.shutdown()
        assert CANARY in str(api.seen)
        assert CANARY not in str(other.seen)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, r"\(PermissionDenied\): grant .*secretAccessor"),
        (grpc.StatusCode.NOT_FOUND, r"\(NotFound\): check SOURCE_SECRET"),
        (grpc.StatusCode.FAILED_PRECONDITION, r"\(FailedPrecondition\): enable the version"),
        (grpc.StatusCode.INTERNAL, r"\(InternalServerError\): check Secret Manager"),
    ],
)
def test_a_secret_that_cannot_be_read_is_one_line_with_the_remedy(
    code: grpc.StatusCode, line: str, api: Guarded, secrets: SecretManager
) -> None:
    secrets.put(SECRET, CANARY)
    secrets.refuse = code
    reading = source(api, secrets, "bearer")
    with pytest.raises(SourceError, match=line) as raised:
        reading.fetch(None)
    reading.close()
    assert "\n" not in str(raised.value)
    assert api.seen == []


def test_a_secret_that_arrives_damaged_is_not_used(secrets: SecretManager) -> None:
    version = secrets.put(SECRET, CANARY)
    secrets.damaged = True
    with pytest.raises(SourceError, match="arrived damaged: run again") as raised:
        read_secret(version, secrets.host)
    assert CANARY not in str(raised.value)


def test_versions_are_found_by_number_and_latest_and_a_disabled_one_is_refused(secrets: SecretManager) -> None:
    first, second = secrets.put(SECRET, "a"), secrets.put(SECRET, "b")
    assert [read_secret(name, secrets.host) for name in (first, second, f"{SECRET}/versions/latest")] == ["a", "b", "b"]
    secrets.disable(first)
    with pytest.raises(SourceError, match="FailedPrecondition"):
        read_secret(first, secrets.host)
    secrets.disable(first, disabled=False)
    assert read_secret(first, secrets.host) == "a"
    with pytest.raises(SourceError, match="NotFound"):
        read_secret(f"{SECRET}/versions/3", secrets.host)


@pytest.mark.parametrize(
    ("auth", "secret"), [("bearer", ""), ("bearer", "\n"), ("bearer", "a\nb"), ("bearer", "é"), ("basic", "user")]
)
def test_a_secret_that_no_header_takes_is_refused_without_showing_it(auth: str, secret: str) -> None:
    with pytest.raises(SourceError, match="the secret at SOURCE_SECRET is") as raised:
        header_value(auth, secret)
    assert not secret.strip() or secret not in str(raised.value).removeprefix("the secret at SOURCE_SECRET is no USER")


def test_no_representation_shows_a_credential() -> None:
    credential = HeaderCredential(header_of("bearer"), lambda: CANARY)
    credential.headers()
    assert CANARY not in repr(credential) + str(credential)


def test_a_thread_that_comes_late_uses_what_another_one_fetched() -> None:
    values = iter(["one", "two", "three"])
    credential = HeaderCredential("X-Key", lambda: next(values))
    shown = credential.headers()
    assert credential.renew(shown)
    assert credential.renew(shown)
    assert credential.headers() == {"X-Key": "two"}


def test_the_user_and_password_of_the_url_are_shown_to_its_host(api: Guarded) -> None:
    reading = source(api, None, "none", SOURCE_URL=api.url.replace("//", "//user:pass@"))
    reading.fetch(None)
    reading.close()
    assert api.seen[0]["Authorization"] == "Basic dXNlcjpwYXNz"


def test_a_netrc_file_is_not_consulted(api: Guarded, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login me password {CANARY}\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    reading = source(api, None, "none")
    reading.fetch(None)
    reading.close()
    assert "Authorization" not in api.seen[0]


TRY_ID_TOKENS = """
import sys
from ingestor.id_tokens import IdTokenCredential
credential = IdTokenCredential("https://private.run.app")
first = credential.headers()
print(first["Authorization"])
print(credential.headers()["Authorization"])
print(credential.renew(first))
print(credential.headers()["Authorization"])
print(repr(credential))
"""


def on_google_cloud(metadata: MetadataServer) -> dict[str, str]:
    return {"GCE_METADATA_HOST": metadata.host, "GCE_METADATA_IP": metadata.host, "GOOGLE_APPLICATION_CREDENTIALS": ""}


def id_tokens(**env: str) -> list[str]:
    """Mint in a process of its own: google-auth reads where the metadata server is when it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", TRY_ID_TOKENS],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("where", ["metadata", "key file"])
def test_an_id_token_is_minted_for_its_audience_kept_and_renewed_when_refused(where: str, tmp_path: Any) -> None:
    with MetadataServer() as metadata:
        env = {
            "GCE_METADATA_HOST": metadata.host,
            "GCE_METADATA_IP": metadata.host,
            "GOOGLE_APPLICATION_CREDENTIALS": "",
        }
        if where == "key file":
            (tmp_path / "key.json").write_text(metadata.key_file())
            env = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json")}
        first, again, renewed, third, shown = id_tokens(**env)
        claims = jwt.decode(first.removeprefix("Bearer "), options={"verify_signature": False})
        assert claims["aud"] == "https://private.run.app"
        assert metadata.minted == ["https://private.run.app"] * 2
    assert (first == again, renewed, first == third) == (True, "True", False)
    assert "hidden" in shown
    assert first.removeprefix("Bearer ") not in shown


def test_an_id_token_near_its_end_is_minted_anew() -> None:
    with MetadataServer(lifetime_s=30) as metadata:
        env = {
            "GCE_METADATA_HOST": metadata.host,
            "GCE_METADATA_IP": metadata.host,
            "GOOGLE_APPLICATION_CREDENTIALS": "",
        }
        first, again, *_ = id_tokens(**env)
    assert first != again


FETCH = """
from ingestor.config import load_for_source
from ingestor.source_wiring import open_source
source = open_source(load_for_source())
print(source.fetch(None).records)
source.close()
"""


def test_a_private_source_is_read_with_an_id_token_that_is_renewed_when_it_is_refused(api: Guarded) -> None:
    def second(headers: dict[str, str]) -> bool:
        claims = jwt.decode(headers["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})
        return (claims["aud"], claims["jti"]) == ("https://private.run.app", "2")

    api.wanted = second
    with MetadataServer() as metadata:
        env = on_google_cloud(metadata) | {"SOURCE_URL": api.url, "SOURCE_AUTH": "id_token:https://private.run.app"}
        command = [sys.executable, "-c", FETCH]
        done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[{'n': 1}]"
    assert len(api.seen) == 2


def test_without_a_metadata_server_or_a_service_account_the_remedy_is_told(api: Guarded) -> None:
    env = {"GOOGLE_APPLICATION_CREDENTIALS": "/nonexistent.json", "SOURCE_URL": api.url, "SOURCE_AUTH": "id_token:x"}
    command = [sys.executable, "-m", "ingestor", "source", "try"]
    done = subprocess.run(command, env={"PATH": ""} | env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 3
    assert re.fullmatch(r"ingestor: no ID token for 'x': .*GOOGLE_APPLICATION_CREDENTIALS\n", done.stderr)
    assert api.seen == []


def test_the_log_of_library_messages_does_not_show_a_credential(api: Guarded, secrets: SecretManager) -> None:
    lines = io.StringIO()
    configure("test", "p", "DEBUG", lines)
    secrets.put(SECRET, CANARY)
    api.wanted = lambda _: False
    reading = source(api, secrets, "bearer")
    with pytest.raises(SourceError):
        reading.fetch(None)
    reading.close()
    assert CANARY not in lines.getvalue()
