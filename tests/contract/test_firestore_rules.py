"""`firestore.rules`: whoever comes without a server's credentials reaches nothing of the ledger."""

import json
import urllib.error
import urllib.request
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator

import pytest

OWNER = {"Authorization": "Bearer owner"}
"""What Google's server clients send to the emulator: it stands for IAM, which the rules do not concern."""
SIGNED_IN = (
    ".".join(
        urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in (
            {"alg": "none"},
            {"sub": "someone", "user_id": "someone", "iss": "https://securetoken.google.com/p"},
        )
    )
    + "."
)
"""A user of an app, as the emulator takes one: its tokens need no signature."""
ENTRY = {"fields": {"version": {"integerValue": "1"}}}
PATHS = (
    "pipelines/flights",
    "pipelines/flights/lanes/0",
    "pipelines/flights/lanes/0/journal/000000000001",
    "pipelines/flights/batches/b",
    "pipelines/flights/runs/r",
    "pipelines/flights/receipts/r",
    "anything/else",
)


def send(method: str, url: str, body: object, headers: dict[str, str]) -> int:
    data = json.dumps(body).encode() if body is not None else None
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers}, method=method)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - likewise
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


@pytest.fixture
def documents(firestore_host: str) -> Iterator[str]:
    root = f"http://{firestore_host}/v1/projects/r{uuid.uuid4().hex[:20]}/databases/(default)/documents"
    for path in PATHS:
        assert send("PATCH", f"{root}/{path}", ENTRY, OWNER) == 200
    yield root
    for path in PATHS:
        assert send("GET", f"{root}/{path}", None, OWNER) == 200, "still there"


@pytest.mark.firestore
@pytest.mark.parametrize("headers", [{}, {"Authorization": f"Bearer {SIGNED_IN}"}], ids=["no token", "signed in"])
def test_nobody_reads_lists_writes_or_deletes_without_a_servers_credentials(
    documents: str, headers: dict[str, str]
) -> None:
    refused = {401, 403}
    for path in PATHS:
        assert send("GET", f"{documents}/{path}", None, headers) in refused
        assert send("PATCH", f"{documents}/{path}", ENTRY, headers) in refused
        assert send("DELETE", f"{documents}/{path}", None, headers) in refused
        assert send("GET", f"{documents}/{path.rpartition('/')[0]}", None, headers) in refused
    query = {"structuredQuery": {"from": [{"collectionId": "journal", "allDescendants": True}]}}
    assert send("POST", f"{documents}:runQuery", query, headers) in refused
