"""An issuer of tokens on this machine: real keys, a real certificate endpoint, and every way to forge one."""

import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

AUDIENCE = "https://ingestor.example.com"
GOOGLE_ISSUER, IAP_ISSUER = "https://accounts.google.com", "https://cloud.google.com/iap"
VIEWER, OPERATOR, INVOKER, STRANGER = (
    "viewer@example.com",
    "operator@example.com",
    "cron@example.com",
    "who@example.com",
)


class Issuer:
    """Signs tokens (`rs256` as Google's accounts do, `es256` as IAP does) and serves its key set at `certs_url`."""

    def __init__(self) -> None:
        self.rsa_key, self.ec_key = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
        self.requests = 0
        self.certs_url = ""

    def claims(self, email: str = OPERATOR, **changed: Any) -> dict[str, Any]:
        """Return what a good token of Google's says; a change to None leaves a claim out."""
        now_s = int(time.time())
        claims = {
            "iss": GOOGLE_ISSUER,
            "aud": AUDIENCE,
            "sub": "1",
            "email": email,
            "email_verified": True,
            "iat": now_s,
            "exp": now_s + 3600,
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def rs256(self, email: str = OPERATOR, **changed: Any) -> str:
        """Return a token as an account's."""
        return jwt.encode(self.claims(email, **changed), self.rsa_key, "RS256", {"kid": "rsa"})

    def es256(self, email: str = OPERATOR, **changed: Any) -> str:
        """Return an assertion as IAP's."""
        claims = self.claims(email, **{"iss": IAP_ISSUER, "email_verified": None, **changed})
        return jwt.encode(claims, self.ec_key, "ES256", {"kid": "ec"})

    def bearer(self, email: str = OPERATOR, **changed: Any) -> dict[str, str]:
        """Return the header that carries such a token."""
        return {"Authorization": f"Bearer {self.rs256(email, **changed)}"}

    def key_set(self) -> dict[str, Any]:
        """Return the public keys."""
        keys = (
            {**jwt.algorithms.RSAAlgorithm.to_jwk(self.rsa_key.public_key(), as_dict=True), "kid": "rsa"},
            {**jwt.algorithms.ECAlgorithm.to_jwk(self.ec_key.public_key(), as_dict=True), "kid": "ec"},
        )
        return {"keys": list(keys)}

    @contextmanager
    def serving(self) -> Iterator["Issuer"]:
        """Serve the key set on loopback."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.certs_url = f"http://127.0.0.1:{server.server_port}/certs"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def unsigned(claims: Mapping[str, Any], signature: str = "", algorithm: str = "none") -> str:
    """Return a token of these claims with any text for a signature."""
    parts = (json.dumps({"alg": algorithm, "kid": "rsa", "typ": "JWT"}), json.dumps(claims))
    head, body = (base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts)
    return f"{head}.{body}.{signature}"


def _handler(issuer: Issuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.requests += 1
            body = json.dumps(issuer.key_set()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "public, max-age=3600")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
