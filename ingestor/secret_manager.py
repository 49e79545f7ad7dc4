"""The source's secret from Secret Manager, by Google's client. The value is returned and kept nowhere else."""

from typing import Any

import google_crc32c
import grpc
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import GoogleAuthError
from google.cloud import secretmanager_v1
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import SecretManagerServiceGrpcTransport

from ingestor.errors import SourceError

TIMEOUT_S = 20.0
_REMEDIES = {
    "NotFound": "check SOURCE_SECRET, or add the version",
    "PermissionDenied": "grant the run's service account roles/secretmanager.secretAccessor on the secret",
    "FailedPrecondition": "enable the version, or name another one in SOURCE_SECRET",
}


def read_secret(version: str, emulator_host: str | None = None) -> str:
    """Return the text of a secret's version; `projects/P/secrets/S/versions/latest` is the newest one each time.

    Raises:
        SourceError: it cannot be read, is damaged or is no text; the message is one line without any of it.
    """
    try:
        with _client(emulator_host) as client:
            answer = client.access_secret_version(name=version, timeout=TIMEOUT_S)
    except (GoogleAPICallError, RetryError, GoogleAuthError) as error:
        kind = type(error).__name__
        remedy = _REMEDIES.get(kind, "check Secret Manager and run again")
        raise SourceError(f"the secret at SOURCE_SECRET cannot be read ({kind}): {remedy}") from None
    payload = answer.payload
    if payload.data_crc32c and payload.data_crc32c != google_crc32c.value(payload.data):
        raise SourceError("the secret at SOURCE_SECRET arrived damaged: run again")
    try:
        return str(payload.data.decode())
    except UnicodeDecodeError:
        raise SourceError("the secret at SOURCE_SECRET is no UTF-8 text: store it as text") from None


def _client(emulator_host: str | None) -> Any:  # noqa: ANN401 - the client has no types
    if emulator_host is None:
        return secretmanager_v1.SecretManagerServiceClient()
    channel = grpc.insecure_channel(emulator_host)
    return secretmanager_v1.SecretManagerServiceClient(transport=SecretManagerServiceGrpcTransport(channel=channel))
