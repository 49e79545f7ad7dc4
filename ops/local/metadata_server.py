"""Google Cloud's metadata server for this machine: it mints ID tokens for whoever asks, signed with a key of its own.

    python -m ops.local.metadata_server [--port 0]       prints host:port, for GCE_METADATA_HOST

It answers what google-auth asks for: its root (is this Google Cloud?), the account, its `identity`. Beside that it is
the token endpoint of a service account's key file: `POST /token` answers `{"id_token": ...}` for the audience that the
assertion names. Nothing checks the assertion's signature: this is for tests of the asking side.
"""

import argparse
import base64
import contextlib
import json
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ops.local.process import HOST

ACCOUNT = "ingestor@local.iam.gserviceaccount.com"
_DEFAULT = "/computeMetadata/v1/instance/service-accounts/default/"


class MetadataServer:
    """The server; a context manager. `lifetime_s` is how long a token is good, `minted` the audiences."""

    def __init__(self, port: int = 0, *, lifetime_s: int = 3600) -> None:
        """Bind to a port, 0 = a free one, and serve on a thread."""
        self.lifetime_s, self.minted = lifetime_s, list[str]()
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        handler = type("Handler", (_Handler,), {"server_state": self})
        self._http = ThreadingHTTPServer((HOST, port), handler)
        self._http.daemon_threads = True
        self.host = f"{HOST}:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def pem(self) -> str:
        """The private key."""
        kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return self._key.private_bytes(kind, form, serialization.NoEncryption()).decode()

    def key_file(self) -> str:
        """Return the text of a service account's key file whose token endpoint is this server."""
        return json.dumps({
            "type": "service_account",
            "client_email": ACCOUNT,
            "private_key": self.pem,
            "private_key_id": "1",
            "project_id": "local",
            "token_uri": f"http://{self.host}/token",
        })  # fmt: skip

    def mint(self, audience: str) -> str:
        """Return a token for an audience."""
        self.minted.append(audience)
        now = int(time.time())
        claims = {
            "iss": "https://accounts.google.com",
            "aud": audience,
            "email": ACCOUNT,
            "email_verified": True,
            "iat": now,
            "exp": now + self.lifetime_s,
            "jti": str(len(self.minted)),
        }
        return jwt.encode(claims, self.pem, algorithm="RS256", headers={"kid": "1"})

    def close(self) -> None:
        """Stop serving."""
        self._http.shutdown()
        self._http.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    server_state: MetadataServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == f"{_DEFAULT}identity" and self.headers.get("Metadata-Flavor") == "Google":
            (audience,) = parse_qs(url.query).get("audience", [""])
            self._send(self.server_state.mint(audience).encode(), "application/text")
        elif url.path == _DEFAULT:
            account = {"aliases": ["default"], "email": ACCOUNT, "scopes": []}
            self._send(json.dumps(account).encode(), "application/json")
        elif url.path in {"", "/"}:
            self._send(b"computeMetadata/\n", "application/text")
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
        claims: dict[str, Any] = json.loads(_unpadded(form["assertion"][0].split(".")[1]))
        token = self.server_state.mint(claims["target_audience"])
        self._send(json.dumps({"id_token": token}).encode(), "application/json")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        for name, value in {"Metadata-Flavor": "Google", "Content-Type": kind, "Content-Length": len(body)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing."""


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m ops.local.metadata_server")
    parser.add_argument("--port", type=int, default=0, help="0 = a free one")
    with MetadataServer(parser.parse_args().port) as server:
        print(server.host, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
