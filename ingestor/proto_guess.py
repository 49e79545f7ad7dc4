"""A `.proto` to start from, made of records. Pure.

Every field is `optional`, so that what a source leaves out is NULL, with a comment that says how often it was null or
absent. What one type does not hold (mixed types, arrays of arrays, nulls in arrays, keys without end) becomes a JSON
column, which takes anything.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ingestor.pages import JsonValue

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}([.,]\d+)?([Zz]| UTC|[+-]\d{2}(:?\d{2})?)", re.ASCII)
_DATETIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INT64 = 2**63
_MOST_KEYS, _DEEPEST = 200, 12


@dataclass(frozen=True, slots=True)
class _Type:
    """A field's declaration: its type, the column's type where it is another, and the nested message it needs."""

    name: str
    column: str = ""
    nested: Sequence[dict[str, Any]] = ()
    repeated: bool = False


_JSON = _Type("string", "JSON")


def proto_of(records: Sequence[JsonValue], package: str, message: str) -> str:
    """Return the text of a `.proto` whose message holds the objects among `records`."""
    objects = [record for record in records if isinstance(record, dict)]
    body = list(_message(message, objects, "", 0))
    imports = ['import "bq_field.proto";', ""] if any("gen_bq_schema" in line for line in body) else []
    return "\n".join(['syntax = "proto3";', "", f"package {package};", "", *imports, *body]) + "\n"


def names_of(url_path: str) -> tuple[str, str]:
    """Return a package and a message name for a URL's path: `/v1/flights` → `flights`, `Flight`."""
    last = next((part for part in reversed(url_path.split("/")) if re.search("[A-Za-z]", part)), "records")
    words = re.findall(r"[A-Za-z][A-Za-z0-9]*", last) or ["records"]
    package = "_".join(words).lower()
    single = package[:-1] if package.endswith("s") and len(package) > 1 else package
    return package, "".join(word.capitalize() for word in single.split("_"))


def _message(name: str, objects: Sequence[dict[str, Any]], indent: str, depth: int) -> Iterator[str]:
    keys = list(dict.fromkeys(key for each in objects for key in each))
    fields = dict(zip(keys, _field_names(keys), strict=True))
    taken = set(fields.values())
    yield f"{indent}message {name} {{"
    for number, key in enumerate(keys, 1):
        values = [each.get(key) for each in objects]
        type_ = _type(values, depth)
        type_name = type_.name
        if type_.nested:
            type_name = _nested_name(fields[key], taken)
            yield from _message(type_name, type_.nested, indent + "  ", depth + 1)
        label = "repeated" if type_.repeated else "optional"
        options = _options(key, fields[key], type_.column, clashing=_camel(fields[key]) in fields.keys() - {key})
        yield f"{indent}  {label} {type_name} {fields[key]} = {number}{options};  // {_seen(values)}"
    yield f"{indent}}}"


def _seen(values: Sequence[JsonValue]) -> str:
    missing = sum(value is None for value in values)
    if missing == len(values):
        return "always null here: set its type"
    return f"null or absent in {missing} of {len(values)}" if missing else "in every record"


def _options(key: str, field: str, column: str, *, clashing: bool) -> str:
    options = [f'(gen_bq_schema.bigquery).type_override = "{column}"'] if column else []
    if key != field or clashing:
        options.append(f'json_name = "{_escaped(key)}"')
    return f" [{', '.join(options)}]" if options else ""


def _escaped(text: str) -> str:
    plain = (c if c.isascii() and c.isprintable() and c not in '"\\' else None for c in text)
    return "".join(c or "".join(f"\\{byte:03o}" for byte in old.encode()) for c, old in zip(plain, text, strict=True))


def _field_names(keys: Sequence[str]) -> Iterator[str]:
    """Yield a valid name for each key, no two of them equal but for case or as JSON names: they are columns too."""
    used: set[str] = set()
    for key in keys:
        plain = key if _NAME.fullmatch(key) else re.sub(r"[^A-Za-z0-9_]+", "_", key).strip("_") or "field"
        plain = plain if _NAME.fullmatch(plain) else f"_{plain}"
        name, count = plain, 1
        while {name.lower(), _camel(name).lower()} & used:
            count += 1
            name = f"{plain}_{count}"
        used |= {name.lower(), _camel(name).lower()}
        yield name


def _camel(name: str) -> str:
    return re.sub(r"_+(.?)", lambda match: match[1].upper(), name)


def _nested_name(field: str, taken: set[str]) -> str:
    name = "".join(part[:1].upper() + part[1:] for part in field.split("_") if part) or "Value"
    while name in taken:
        name += "Value"
    taken.add(name)
    return name if _NAME.fullmatch(name) else f"_{name}"


def _type(values: Sequence[JsonValue], depth: int) -> _Type:
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, list) for value in present):
        elements = [element for value in present for element in value]
        if not elements or None in elements or any(isinstance(element, list) for element in elements):
            return _JSON
        inner = _type(elements, depth)
        return _JSON if inner == _JSON else _Type(inner.name, inner.column, inner.nested, repeated=True)
    if present and all(isinstance(value, dict) for value in present):
        keys = {key for value in present for key in value}
        fits = 0 < len(keys) <= _MOST_KEYS and depth < _DEEPEST
        return _Type("", nested=present) if fits else _JSON
    return _scalar(present)


def _scalar(present: Sequence[JsonValue]) -> _Type:
    kinds = {type(value) for value in present}
    if kinds == {bool}:
        return _Type("bool")
    if kinds == {int}:
        fits = all(-_INT64 <= value < _INT64 for value in present)
        return _Type("int64") if fits else _Type("string", "BIGNUMERIC")
    if kinds and kinds <= {int, float}:
        return _Type("double")
    if kinds == {str}:
        return _text(present)
    return _JSON


def _text(present: Sequence[str]) -> _Type:
    if all(map(_TIMESTAMP.fullmatch, present)):
        return _Type("int64", "TIMESTAMP")
    if all(map(_DATETIME.fullmatch, present)):
        return _Type("string", "DATETIME")
    return _Type("string", "DATE") if all(map(_DATE.fullmatch, present)) else _Type("string")
