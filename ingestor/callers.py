"""Who calls an HTTP service: an e-mail that a signature, or Cloud Run's own check, vouches for. Else nobody.

The modes are the contract's `AUTH`. The algorithm is this side's choice and never read from a token, so `none` and a
public key used as a shared secret are refused like any other forgery. What a refusal says to the caller is constant;
what exactly was wrong goes to the log.
"""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ingestor.certificates import Certificates
from ingestor.config import Config
from ingestor.errors import IngestorError

SKEW_S = 10
"""Two machines' clocks may differ so much; without it a fresh token is refused for being from the future."""
REMOVED_SIGNATURE = "SIGNATURE_REMOVED_BY_GOOGLE"
"""What Cloud Run puts in a token's last part once it has verified it (Cloud Run, "Service-to-service")."""
LONGEST_TOKEN = 16 * 1024
GOOGLE = ("https://accounts.google.com", "accounts.google.com")
IAP = ("https://cloud.google.com/iap",)
CERTIFICATES = {
    "oidc": "https://www.googleapis.com/oauth2/v3/certs",
    "iap": "https://www.gstatic.com/iap/verify/public_key-jwk",
}
LOCAL_CALLER = "local@localhost"
"""Who acts when AUTH is none: whoever sits at this machine."""
UNAUTHENTICATED, FORBIDDEN = 401, 403
NO_TOKEN = "the request carries no token that is valid here"  # noqa: S105 - a sentence
_REQUIRED = ["exp", "iat", "aud", "iss"]


class CallerRefused(IngestorError):  # noqa: N818 - named after what happened
    """A request is not answered: `status` is 401 or 403, `code` a word for the log, the message a line for it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code

    @property
    def told(self) -> str:
        """What the caller hears: why a known caller may not, but nothing of what is wrong with a token."""
        return NO_TOKEN if self.status == UNAUTHENTICATED else str(self)


@dataclass(frozen=True, slots=True)
class Request:
    """What of a request tells who calls. `header` finds one by name, in any case; `address` is the other end's."""

    header: Callable[[str], str | None]
    address: str
    host: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: an e-mail in lower case. `is_local`: whoever sits at this machine, AUTH being none."""

    email: str
    is_local: bool = False

    def is_one_of(self, members: tuple[str, ...]) -> bool:
        """Whether the list names the caller; an empty list names nobody."""
        return self.is_local or self.email in {member.lower() for member in members}


class Callers:
    """Tells who calls, as AUTH says. Shared by all threads."""

    def __init__(self, config: Config, certificates: Certificates | None = None) -> None:
        """Take the configuration, which `Config.check_service` has looked at."""
        self._mode, self._audience = config.auth, config.auth_audience
        url = config.auth_certs_url or CERTIFICATES.get(config.auth, "")
        self._certificates = certificates or Certificates(url)

    def caller(self, request: Request) -> Caller:
        """Return who calls.

        Raises:
            CallerRefused: nothing vouches for the caller.
            CertificatesUnavailable: that cannot be told now.
        """
        match self._mode:
            case "oidc":
                return Caller(self._verified(_bearer(request), "RS256", GOOGLE, is_mail_verified=True))
            case "iap":
                assertion = request.header("X-Goog-IAP-JWT-Assertion") or ""
                return Caller(self._verified(assertion, "ES256", IAP, is_mail_verified=False))
            case "platform":
                return Caller(self._claimed(_bearer(request)))
            case _:
                return _local(request)

    def _verified(self, token: str, algorithm: str, issuers: tuple[str, ...], *, is_mail_verified: bool) -> str:
        import jwt  # noqa: PLC0415 - loaded by those who verify

        _require_sane(token)
        try:
            key = self._certificates.key(str(jwt.get_unverified_header(token).get("kid", "")))
            if key is None:
                raise CallerRefused(UNAUTHENTICATED, "key", "the token is signed with a key that the issuer has not")
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=issuers,
                leeway=SKEW_S,
                options={"require": _REQUIRED},
            )
        except (jwt.exceptions.PyJWTError, ValueError, TypeError) as error:
            raise _refused(error) from error
        return _email(claims, is_mail_verified=is_mail_verified)

    def _claimed(self, token: str) -> str:
        """Read a token that Cloud Run has verified. One that still has a signature did not pass its check."""
        import jwt  # noqa: PLC0415 - likewise

        _require_sane(token)
        if token.rpartition(".")[2] != REMOVED_SIGNATURE:
            raise CallerRefused(
                UNAUTHENTICATED,
                "signature",
                "Cloud Run has not checked this token: allow only authenticated callers",
            )
        unsigned = token.rpartition(".")[0] + "."
        try:
            claims = jwt.decode(
                unsigned,
                audience=self._audience,
                issuer=GOOGLE,
                leeway=SKEW_S,
                options={
                    "verify_signature": False,
                    "require": _REQUIRED,
                    "verify_exp": True,
                    "verify_iat": True,
                    "verify_nbf": True,
                    "verify_iss": True,
                    "verify_aud": self._audience is not None,
                },
            )
        except (jwt.exceptions.PyJWTError, ValueError, TypeError) as error:
            raise _refused(error) from error
        return _email(claims, is_mail_verified=True)


def require_same_site(header: Callable[[str], str | None], host: str) -> None:
    """Raise `CallerRefused` when a browser sends this from a page of another site. Programs send neither header."""
    site, origin = header("Sec-Fetch-Site"), header("Origin")
    if site not in {None, "same-origin", "none"} or (origin is not None and urlsplit(origin).netloc != host):
        raise CallerRefused(FORBIDDEN, "cross_site", "the request comes from a page of another site")


def _bearer(request: Request) -> str:
    """The token; Cloud Run takes it from the second header when both are there."""
    text = request.header("X-Serverless-Authorization") or request.header("Authorization") or ""
    scheme, _, token = text.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _require_sane(token: str) -> None:
    if not token:
        raise CallerRefused(UNAUTHENTICATED, "no_token", "the request carries no token")
    if len(token) > LONGEST_TOKEN or not token.isascii():
        raise CallerRefused(UNAUTHENTICATED, "malformed", "the token is none")


def _refused(error: Exception) -> CallerRefused:
    """Name what was wrong by the library's class: its text may quote the token."""
    name = type(error).__name__.removesuffix("Error").removeprefix("Invalid").removesuffix("Signature")
    return CallerRefused(
        UNAUTHENTICATED, name.lower() or "signature", f"the token does not hold: {type(error).__name__}"
    )


def _email(claims: Mapping[str, Any], *, is_mail_verified: bool) -> str:
    email = claims.get("email")
    if not isinstance(email, str) or not email:
        raise CallerRefused(UNAUTHENTICATED, "email", "the token names no e-mail")
    if is_mail_verified and claims.get("email_verified") is not True:
        raise CallerRefused(UNAUTHENTICATED, "email_unverified", "the token's e-mail is not verified")
    return email.lower()


def _local(request: Request) -> Caller:
    """AUTH=none: only this machine, asked by its own name (a page elsewhere may point its own name at loopback)."""
    is_forwarded = request.header("X-Forwarded-For") or request.header("Forwarded")
    if is_forwarded or not _is_loopback(request.address):
        raise CallerRefused(FORBIDDEN, "not_loopback", "AUTH=none answers only callers on this machine")
    name = request.host.rpartition(":")[0] if not request.host.endswith("]") and ":" in request.host else request.host
    if name.lower() != "localhost" and not _is_loopback(name.strip("[]")):
        raise CallerRefused(FORBIDDEN, "host", "AUTH=none answers only to localhost, 127.0.0.1 and [::1]")
    return Caller(LOCAL_CALLER, is_local=True)


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)
