"""Every resource, block and argument of our Terraform against the schema of Google's provider.

The schema is read from the CDK for Terraform packages (`ops/ci/provider_schema.py`), because the provider itself cannot
be downloaded everywhere, and with it `terraform validate`; what is checked here is what that would check of arguments.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ops.ci.hcl import (
    EXAMPLE,
    MODULE,
    TERRAFORM,
    Resource,
    arguments,
    local_values,
    parsed,
    resources,
    text_of,
    variables,
)
from ops.ci.provider_schema import extract

GOLDEN = Path(__file__).parents[1] / "golden" / "provider" / "google-6.50.0.json"
PACKAGES = ("cdktf-cdktf-provider-google==16.12.1", "cdktf-cdktf-provider-google-beta==16.12.1")
SCHEMA: Mapping[str, Any] = json.loads(GOLDEN.read_text())
RESOURCES = list(resources(MODULE))
_REFERENCE = re.compile(r"\b(data\.)?google_(\w+)\.(\w+)(?:\[[^\]]+\])?\.(\w+)")


def problems(where: str, body: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the provider would not take of a block."""
    given = set()
    for name, value, is_block in arguments(body):
        given.add(name)
        if name not in known:
            yield f"{where}: no argument {name}"
        elif is_block and "block" not in known[name]:
            yield f"{where}: {name} is no block"
        elif is_block:
            yield from problems(f"{where}.{name}", value, known[name]["block"])
        elif "block" in known[name] and known[name]["block"]:
            yield f"{where}: {name} must be a block"
        elif (
            (allowed := known[name].get("values")) and (literal := text_of(value)) not in allowed and "$" not in literal
        ):
            yield f"{where}: {name} = {literal} is none of {allowed}"
    yield from (f"{where}: {name} is missing" for name, one in known.items() if one["required"] and name not in given)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: f"{one.module}.{one.name}")
def test_the_provider_has_every_argument_that_a_resource_gives_and_gets_every_one_that_it_needs(
    resource: Resource,
) -> None:
    known = SCHEMA[resource.provider][resource.module]
    assert list(problems(resource.address, resource.body, known["arguments"])) == []


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"name": '"x"', "colour": 1}, ["x: no argument colour"]),
        ({}, ["x: name is missing"]),
        ({"name": '"x"', "kind": '"C"'}, ["x: kind = C is none of ['A', 'B']"]),
        ({"name": '"x"', "inner": [{"__is_block__": True, "deep": 1}]}, ["x.inner: no argument deep"]),
        ({"name": '"x"', "inner": 3}, ["x: inner must be a block"]),
        ({"name": [{"__is_block__": True}]}, ["x: name is no block"]),
        ({"name": '"x"', "dynamic": [{'"nothing"': {"content": [{"a": 1}]}}]}, ["x: no argument nothing"]),
    ],
)
def test_what_a_provider_would_refuse_is_found(body: dict[str, Any], found: list[str]) -> None:
    known = {
        "name": {"required": True},
        "kind": {"required": False, "values": ["A", "B"]},
        "inner": {"required": False, "block": {"shallow": {"required": False}}},
    }
    assert list(problems("x", body, known)) == found


def test_references_name_resources_of_ours_and_attributes_of_theirs() -> None:
    declared = {(each.module, each.name): SCHEMA[each.provider][each.module] for each in RESOURCES}
    wrong = []
    for file in sorted(MODULE.glob("*.tf")):
        for data, module, name, attribute in _REFERENCE.findall(file.read_text()):
            schema = declared.get((f"data_{module}" if data else module, name))
            if schema is None or attribute not in {*schema["attributes"], *schema["arguments"]}:
                wrong.append(f"{file.name}: google_{module}.{name}.{attribute}")
    assert wrong == []


def test_variables_and_locals_that_are_named_exist_and_those_that_exist_are_named() -> None:
    for folder in (MODULE, EXAMPLE):
        text = "\n".join(file.read_text() for file in folder.glob("*.tf"))
        assert set(re.findall(r"\bvar\.(\w+)", text)) == set(variables(folder))
        assert set(re.findall(r"\blocal\.(\w+)", text)) == set(local_values(folder))


def test_the_schema_is_that_of_the_version_that_the_module_asks_for() -> None:
    versions = {one["version"] for provider in SCHEMA.values() for one in provider.values()}
    assert versions == {"6.50.0"}
    for folder in (MODULE, EXAMPLE):
        (block,) = [entry for file in folder.glob("*.tf") for entry in parsed(file).get("terraform", [])]
        wanted = {text_of(one["version"]) for one in block["required_providers"][0].values() if isinstance(one, dict)}
        assert wanted == {"~> 6.50"}


def test_the_schema_has_the_resources_in_use_and_no_others() -> None:
    in_use = {(each.provider, each.module) for each in RESOURCES}
    assert {(provider, module) for provider, known in SCHEMA.items() for module in known} == in_use


def test_a_new_user_has_at_most_ten_variables_to_fill_in_and_every_variable_is_described() -> None:
    for folder in (MODULE, EXAMPLE):
        needed = [name for name, body in variables(folder).items() if "default" not in body]
        assert len(needed) <= 10
        assert all(text_of(body["description"]) for body in variables(folder).values())
    needed_here = {name for name, body in variables(EXAMPLE).items() if "default" not in body}
    filled_in = parsed(EXAMPLE / "terraform.tfvars.example")
    assert needed_here <= set(filled_in) <= set(variables(EXAMPLE))


def test_the_module_gets_what_it_needs_from_the_example() -> None:
    (module,) = parsed(EXAMPLE / "main.tf")["module"]
    (given,) = module.values()
    needed = {name for name, body in variables(MODULE).items() if "default" not in body}
    assert needed <= set(given)
    assert set(given) - {"source", "__is_block__", "__comments__"} <= set(variables(MODULE))
    outputs = {text_of(name) for entry in parsed(MODULE / "outputs.tf")["output"] for name in entry}
    used = set(re.findall(r"module\.ingestor\.(\w+)", (EXAMPLE / "outputs.tf").read_text()))
    assert used <= outputs


@pytest.mark.long
def test_the_recorded_schema_is_what_the_packages_say(tmp_path: Path) -> None:
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(tmp_path), *PACKAGES]
    subprocess.run(download, check=True, timeout=600)
    assert extract(tmp_path) == SCHEMA


def test_terraform_is_in_one_file_a_family() -> None:
    assert TERRAFORM.is_dir()
    families = {"accounts", "alerts", "audit", "bigquery", "bucket", "dashboard", "firestore", "iam", "jobs", "metrics"}
    assert families <= {file.stem for file in MODULE.glob("*.tf")}
