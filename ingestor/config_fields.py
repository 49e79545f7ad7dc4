"""How the text of one variable becomes a value: the types that the settings share.

Whatever pydantic cannot say in a pattern or a bound is a function here; it returns the value or raises `wrong`.
"""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field
from pydantic_core import PydanticCustomError

MIB = 1024 * 1024


def wrong(what: str, remedy: str | None = None) -> PydanticCustomError:
    """Return the error that says `what` is wrong with a value; the remedy is the setting's description unless given."""
    return PydanticCustomError("unusable", "{what}", {"what": what, "remedy": remedy})


def size_text(value: int) -> str:
    """Return a size the way a person writes it, rounded to a tenth: `4 MiB`, `1.5 KiB`."""
    return ByteSize(value).human_readable(separator=" ").replace(".0 ", " ")


def _text_like(pattern: str, what: str) -> BeforeValidator:
    def check(value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(pattern, value, re.IGNORECASE):
            raise wrong(what)
        return value

    return BeforeValidator(check)


def _parts(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _http_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not text.isprintable() or " " in text:
        raise wrong("should be an absolute http or https URL")
    return text


def _document_id(text: str) -> str:
    if text in {".", ".."} or re.fullmatch(r"__.*__", text):
        raise wrong("is reserved: should not be '.', '..' or '__name__'")
    if len(text.encode()) > 200:  # noqa: PLR2004  # leaves room in the 1,024 bytes of an object's name
        raise wrong("should have at most 200 bytes")
    return text


_LOWER, _UPPER = BeforeValidator(str.lower), BeforeValidator(str.upper)

Whole = Annotated[int, _text_like(r"[+-]?[0-9]{1,18}", "should be a whole number, in digits only")]
Size = Annotated[
    ByteSize, _text_like(r"[0-9]{1,18}\s*(B|[KMG]iB)?", "should be bytes or a size such as 4 MiB"), Field(gt=0)
]
Text = Annotated[str, Field(pattern=r"^[^[:cntrl:]]+$")]
Word = Annotated[str, Field(pattern=r"^\S*$", max_length=1024)]
Label = Annotated[str, Field(pattern=r"^[\w.-]+$", max_length=63)]
Names = Annotated[tuple[Text, ...], BeforeValidator(_parts)]
Emails = Annotated[tuple[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")], ...], BeforeValidator(_parts)]
DottedPath = Annotated[str, Field(pattern=r"^[^.]+(\.[^.]+)*$", max_length=1024)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
HostPort = Annotated[str, Field(pattern=r"^[^/\s]+:[0-9]{1,5}$")]
RestHostPort = Annotated[str, Field(pattern=r"^(https?://)?[^/\s]+:[0-9]{1,5}/?$")]
ProjectId = Annotated[str, Field(pattern=r"^([a-z0-9.-]+:)?[a-z]([a-z0-9-]*[a-z0-9])?$", max_length=90)]
Dataset = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$", max_length=1024)]
Table = Annotated[str, Field(pattern=r"^[\w-]+$", max_length=1000)]
MessageType = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$", max_length=1024)]
Bucket = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]+[a-z0-9]$", max_length=222)]
Database = Annotated[str, Field(pattern=r"^(\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9])$")]
DocumentId = Annotated[str, Field(pattern=r"^[\w.-]+$"), AfterValidator(_document_id)]
"""A name that is a Firestore document id and the first part of a bucket's object names; the rules are Firestore's."""
Ledger = Annotated[str, Field(pattern=r"^(firestore|sqlite:///.*[^/])$")]
SourceAuth = Annotated[str, Field(pattern=r"^(none|bearer|basic|header:[A-Za-z0-9-]+|id_token:\S+)$")]
SecretVersion = Annotated[str, Field(pattern=r"^projects/[^/\s]+/secrets/[^/\s]+/versions/[^/\s]+$")]
Pagination = Annotated[Literal["next_cursor", "next_link", "header_link", "high_water_mark", "offset", "none"], _LOWER]
Auth = Annotated[Literal["oidc", "platform", "iap", "none"], _LOWER]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], _UPPER]
