"""The same values, made and copied faster: an exploration spends a third of its time on frozen dataclasses.

`install` thaws them in its process: nothing of the code under exploration writes to one (the type checker sees to
that), so what a frozen one does besides is check each assignment while it is made. Never in a process of other tests.
"""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_copiers: dict[tuple[Any, ...], Callable[..., Any]] = {}


def replace(value: T, /, **changes: Any) -> T:
    """Return the value with these fields changed: `dataclasses.replace`."""
    copied: T = (_copiers.get((type(value), *changes)) or _copier_of(type(value), tuple(changes)))(value, **changes)
    return copied


def install() -> None:
    """Let the code under exploration use it, in this process."""
    for module in _modules():
        if getattr(module, "replace", None) is dataclasses.replace:
            module.replace = replace
        for kind in list(vars(module).values()):
            if isinstance(kind, type) and dataclasses.is_dataclass(kind) and "__setattr__" in vars(kind):
                _thaw(kind)


def _modules() -> Iterator[Any]:
    for name, module in list(sys.modules.items()):
        if name.startswith(("ingestor.", "state.", "tests.explorer.")) and module.__name__ != __name__:
            yield module


def _is_plain(kind: Any) -> bool:
    """Whether all that `kind` does when one is made is to take its fields."""
    names = [field.name for field in dataclasses.fields(kind)]
    return bool(names) and not hasattr(kind, "__post_init__") and list(inspect.signature(kind).parameters) == names


def _thaw(kind: Any) -> None:
    del kind.__setattr__, kind.__delattr__
    if not _is_plain(kind):
        return
    fields = dataclasses.fields(kind)
    is_made = {field.name for field in fields if field.default_factory is not dataclasses.MISSING}
    scope = {f"default_{f.name}": f.default for f in fields}
    scope |= {f"make_{f.name}": f.default_factory for f in fields} | {"MISSING": dataclasses.MISSING}
    has_default = [f.name in is_made or f.default is not dataclasses.MISSING for f in fields]
    heads = [f"{f.name}=default_{f.name}" if has else f.name for f, has in zip(fields, has_default, strict=True)]
    lines = [
        f"self.{f.name} = {f'make_{f.name}() if {f.name} is MISSING else ' if f.name in is_made else ''}{f.name}"
        for f in fields
    ]
    kind.__init__ = _made("__init__", f"self, {', '.join(heads)}", lines, scope)


def _copier_of(kind: Any, changes: tuple[str, ...]) -> Callable[..., Any]:
    """Return what copies a value of this kind with these fields changed."""
    names = [field.name for field in dataclasses.fields(kind)]
    copier: Callable[..., Any] = dataclasses.replace
    if _is_plain(kind) and "__setattr__" not in vars(kind) and set(changes) <= set(names):
        lines = ["_copied_ = _new_(_kind_)"]
        lines += [f"_copied_.{n} = {n if n in changes else f'_value_.{n}'}" for n in names]
        scope = {"_kind_": kind, "_new_": object.__new__}
        copier = _made("copy", ", ".join(["_value_, /", *changes]), [*lines, "return _copied_"], scope)
    return _copiers.setdefault((kind, *changes), copier)


def _made(name: str, head: str, lines: list[str], scope: dict[str, Any]) -> Callable[..., Any]:
    exec(f"def {name}({head}):\n    " + "\n    ".join(lines), scope)  # noqa: S102 - names of fields
    made: Callable[..., Any] = scope[name]
    return made
