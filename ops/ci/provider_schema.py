"""What Google's Terraform provider takes, read from the packages that are generated from its published schema.

Providers cannot be downloaded everywhere; the bindings of CDK for Terraform are ordinary wheels, and every resource in
them is a class whose parameters are the provider's arguments. Nothing of a wheel is executed.

pip download --no-deps --dest .cache/provider cdktf-cdktf-provider-google==16.12.1
pip download --no-deps --dest .cache/provider cdktf-cdktf-provider-google-beta==16.12.1
python -m ops.ci.provider_schema .cache/provider > tests/golden/provider/google-6.50.0.json
"""

import ast
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ops.ci.hcl import MODULE, resources

META = frozenset({"connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioners"})
"""Parameters of every class that are Terraform's and not the provider's."""
FOLDERS = {
    "google": ("cdktf_cdktf_provider_google", ""),
    "google-beta": ("cdktf_cdktf_provider_google_beta", "google_"),
}
"""By provider: the package, and what its modules' names begin with."""
_VALUES = re.compile(r"Possible values: \[([^\]]*)\]")
_PARAMETER = re.compile(r"^\s*:param (\w+): (.*)$", re.MULTILINE)
_VERSION = re.compile(r"providers/hashicorp/google(?:-beta)?/([0-9.]+)/docs")

Schema = dict[str, Any]


def main() -> None:
    """Print the schema of every resource that our Terraform has, from the wheels in the folder that is named."""
    print(json.dumps(extract(Path(sys.argv[1])), indent=1, sort_keys=True))  # noqa: T201 - a command's output


def extract(folder: Path) -> Schema:
    """Return by provider the arguments and attributes of the resources and data sources in use.

    Raises:
        LookupError: the provider has no such resource, or its wheel is not in the folder.
    """
    wanted = {(each.provider, each.module) for each in resources(MODULE)}
    found: Schema = {provider: {} for provider, _ in wanted}
    for provider, module in sorted(wanted):
        package, prefix = FOLDERS[provider]
        (wheel,) = folder.glob(f"{package}-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            found[provider][module] = _resource(archive.read(f"{package}/{_with(prefix, module)}/__init__.py").decode())
    return found


def _with(prefix: str, module: str) -> str:
    return f"data_google_{module[5:]}" if module.startswith("data_") else f"{prefix}{module}"


def _resource(text: str) -> Schema:
    classes = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
    (main_class,) = (node for node in classes.values() if f"{node.name}Config" in classes)
    versions = set(_VERSION.findall(text))
    return {
        "version": versions.pop(),
        "arguments": dict(_arguments(classes, classes[f"{main_class.name}Config"])),
        "attributes": sorted(_attributes(main_class)),
    }


def _attributes(node: ast.ClassDef) -> Iterator[str]:
    for each in node.body:
        decorators = [ast.unparse(one) for one in each.decorator_list] if isinstance(each, ast.FunctionDef) else []
        if isinstance(each, ast.FunctionDef) and "builtins.property" in decorators and not each.name.endswith("_input"):
            yield each.name


def _arguments(classes: Mapping[str, ast.ClassDef], node: ast.ClassDef) -> Iterator[tuple[str, Schema]]:
    init = next(each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__")
    described = dict(_PARAMETER.findall(ast.get_docstring(init) or ""))
    for argument, default in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True):
        if argument.arg in META:
            continue
        hint = ast.unparse(argument.annotation) if argument.annotation else ""
        block = next((name for name in re.findall(r"\w+", hint) if name in classes), None)
        schema: Schema = {"required": default is None}
        if values := _VALUES.search(described.get(argument.arg, "")):
            schema["values"] = re.findall(r'"([^"]*)"', values.group(1))
        if block:
            schema["block"] = dict(_arguments(classes, classes[block]))
        yield argument.arg, schema


if __name__ == "__main__":
    main()
