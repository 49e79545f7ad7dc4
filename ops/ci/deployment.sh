#!/usr/bin/env bash
# What is deployed: Terraform, image and workflows by their linters, and the list of the image's parts.
# What needs the network (pip-audit) or a container engine (docker build) is in the delivery workflow.
set -euo pipefail
export LOG_LEVEL=ERROR
.local/checkov/bin/checkov --quiet --compact --skip-download --skip-results-upload --framework terraform dockerfile github_actions \
  -d . --skip-path .venv --skip-path .local --skip-path .cache --skip-path tests
.local/supply/bin/hadolint Dockerfile
mkdir -p .cache
.local/supply/bin/cyclonedx-py requirements --output-reproducible --of JSON -o .cache/sbom.json requirements/runtime.txt
.venv/bin/python - <<'PYTHON'
import json
parts = json.load(open(".cache/sbom.json"))["components"]
print(f"checkov and hadolint find nothing; the image has {len(parts)} Python packages (.cache/sbom.json)")
PYTHON
