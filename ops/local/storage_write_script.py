"""The script: which requests are not answered as they should be, and what happens instead.

A script is a list of rules. Each request goes to the first rule that matches it and has times left; without one the
request is served by the service's own rules. In a file: one JSON object a line, or one JSON array, or
`{"rules": [...]}`. The format is described in docs/storage-write-server.md.
"""

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ops.local.storage_write_actions import Action, ScriptError, action_from, known_only

_ON = frozenset({"request", "from", "per", "stream", "contains", "probability", "seed"})
PER = ("all", "stream", "connection")


@dataclass
class Rule:
    """One rule: all its conditions must hold. `hits` counts how often it was obeyed."""

    do: Action
    name: str = ""
    requests: frozenset[int] = frozenset()
    first: int = 1
    per: str = "all"
    stream: str = "*"
    contains: Any = None
    probability: float = 1.0
    seed: int = 0
    times: int | None = None
    hits: int = 0
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - no secret

    def matches(self, seen: "Seen") -> list[int] | None:
        """Return the indexes of the rows that the rule is about, None when it doesn't match; chance comes last."""
        number = seen.numbers[self.per]
        if self.times is not None and self.hits >= self.times:
            return None
        if number < self.first or (self.requests and number not in self.requests):
            return None
        if not fnmatchcase(seen.stream, self.stream):
            return None
        rows = [] if self.contains is None else _rows_with(self.contains, seen.messages())
        if (self.contains is not None and not rows) or self._random.random() >= self.probability:
            return None
        return rows


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as rules see it. `messages` decodes its rows by the writer schema, only when a rule asks."""

    numbers: Mapping[str, int]
    stream: str
    messages: Callable[[], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a rule wants; `rows` are the indexes of the rows that hold the value it looks for."""

    rule: str
    action: Action
    rows: list[int]


class Script:
    """Rules that may be replaced at any time; request numbers begin at 1 and begin anew with a new script."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._numbers: Counter[str] = Counter()

    def play(self, rules: Iterable[Rule | Mapping[str, Any]]) -> None:
        """Replace all rules and count requests from 1 again.

        Raises:
            ScriptError: a rule makes no sense; the old script stays.
        """
        parsed = _parsed(rules)
        with self._lock:
            self._rules = parsed
            self._numbers.clear()

    def add(self, rules: Iterable[Rule | Mapping[str, Any]]) -> None:
        """Put rules after those that are there; counting goes on.

        Raises:
            ScriptError: a rule makes no sense.
        """
        parsed = _parsed(rules)
        with self._lock:
            self._rules = [*self._rules, *parsed]

    def decide(self, stream: str, connection: int, messages: Callable[[], Sequence[Any]]) -> Decision | None:
        """Count a request and return what the script wants with it."""
        with self._lock:
            counted = {"all": "all", "stream": f"stream {stream}", "connection": f"connection {connection}"}
            self._numbers.update(counted.values())
            seen = Seen({per: self._numbers[key] for per, key in counted.items()}, stream, messages)
            for position, rule in enumerate(self._rules, 1):
                rows = rule.matches(seen)
                if rows is not None:
                    rule.hits += 1
                    return Decision(rule.name or f"rule {position}", rule.do, rows)
        return None

    def hits(self) -> list[dict[str, Any]]:
        """Return each rule's name and how often it was obeyed."""
        with self._lock:
            return [{"rule": rule.name or f"rule {n}", "hits": rule.hits} for n, rule in enumerate(self._rules, 1)]


def read_script(text: str) -> list[Rule]:
    """Return the rules of a file's text.

    Raises:
        ScriptError: it is neither JSON nor JSON lines, or a rule makes no sense.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError:
        try:
            document = [json.loads(line) for line in text.splitlines() if line.strip()]
        except json.JSONDecodeError as error:
            raise ScriptError(f"the script is neither JSON nor one JSON object a line: {error}") from error
    return _parsed(rules_of(document))


def rules_of(document: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401 - whatever the JSON says
    """Return the rules of a JSON document: one, several, or `{"rules": [...]}`.

    Raises:
        ScriptError: it is none of these.
    """
    if isinstance(document, Mapping):
        document = document["rules"] if set(document) == {"rules"} else [document]
    if not isinstance(document, list) or not all(isinstance(each, Mapping) for each in document):
        raise ScriptError('a script is a list of rules, each like {"on": {"request": 3}, "do": {"end": "UNAVAILABLE"}}')
    return document


def rule_from(document: Mapping[str, Any]) -> Rule:
    """Return the rule of its JSON form.

    Raises:
        ScriptError: it makes no sense; one line says what.
    """
    known_only("rule", document, {"name", "on", "do", "times"})
    on: Mapping[str, Any] = document.get("on", {})
    known_only("on", on, _ON)
    if "do" not in document:
        raise ScriptError('a rule says what to "do"')
    numbers, per, times = on.get("request", []), on.get("per", "all"), document.get("times", "always")
    if per not in PER:
        raise ScriptError(f"per is one of {', '.join(PER)}, not {per!r}")
    return Rule(
        do=action_from(document["do"]),
        name=str(document.get("name", "")),
        requests=frozenset(map(_count, numbers if isinstance(numbers, list) else [numbers])),
        first=_count(on.get("from", 1)),
        per=per,
        stream=str(on.get("stream", "*")),
        contains=on.get("contains"),
        probability=float(on.get("probability", 1.0)),
        seed=int(on.get("seed", 0)),
        times=None if times == "always" else _count(times),
    )


def _parsed(rules: Iterable[Rule | Mapping[str, Any]]) -> list[Rule]:
    return [rule if isinstance(rule, Rule) else rule_from(rule) for rule in rules]


def _count(number: Any) -> int:  # noqa: ANN401 - whatever the JSON says
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ScriptError(f"requests and times are counted from 1, not {number!r}")
    return number


def _rows_with(contains: Any, messages: Sequence[Any]) -> list[int]:  # noqa: ANN401 - likewise
    wanted = contains if isinstance(contains, Mapping) else {"": contains}
    asked = [(path, {_key(each) for each in _as_list(values)}) for path, values in wanted.items()]
    return [
        index
        for index, message in enumerate(messages)
        if message is not None and all(_holds(message, path, values) for path, values in asked)
    ]


def _holds(message: Any, path: str, wanted: set[tuple[bool, Any]]) -> bool:  # noqa: ANN401 - made at run time
    head, _, rest = path.partition(".")
    for field_set, value in message.ListFields():
        if head and field_set.name != head:
            continue
        for each in value if field_set.is_repeated else [value]:
            if field_set.message_type is not None:
                if _holds(each, rest, wanted):
                    return True
            elif not rest and wanted & _leaf_keys(field_set, each):
                return True
    return False


def _leaf_keys(field_set: Any, value: Any) -> set[tuple[bool, Any]]:  # noqa: ANN401 - likewise
    keys = {_key(value)}
    if field_set.enum_type is not None:
        keys |= {_key(label.name) for label in field_set.enum_type.values if label.number == value}
    if isinstance(value, bytes):
        keys.add(_key(value.decode("utf-8", "replace")))
    return keys


def _key(value: Any) -> tuple[bool, Any]:  # noqa: ANN401 - likewise
    return isinstance(value, bool), value


def _as_list(values: Any) -> list[Any]:  # noqa: ANN401 - likewise
    return values if isinstance(values, list) else [values]
