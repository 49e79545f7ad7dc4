.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
BIN := .venv/bin
# Compiled modules are kept, whatever the shell says: hundreds of processes start in the tests, and each would compile anew.
export PYTHONDONTWRITEBYTECODE :=
# Without a lock for its own environment the BigQuery emulator cannot be installed beside the Google clients.
BQEMULATOR := .local/bqemulator

help: ## Show what can be made
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: .venv/.installed proto/ingestor_protos/.compiled ## Create .venv with the locked dependencies and the command `ingestor`

.venv/.installed: requirements/dev.txt pyproject.toml hatch_build.py ops/local/install.sh
	@bash ops/local/install.sh $(PYTHON) .venv requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

proto/ingestor_protos/.compiled: $(wildcard proto/*.proto) hatch_build.py | .venv/.installed
	@$(BIN)/python hatch_build.py >/dev/null
	@touch $@

$(BQEMULATOR)/.installed: requirements/bqemulator.txt ops/local/install.sh | .venv/.installed
	@bash ops/local/install.sh $(PYTHON) $(BQEMULATOR) requirements/bqemulator.txt
	@touch $@

stack: setup $(BQEMULATOR)/.installed ## Install what the local stack needs

proto: .venv/.installed ## Compile every proto/*.proto with the pinned protoc
	@$(BIN)/python hatch_build.py
	@touch proto/ingestor_protos/.compiled

demo: stack ## Show the whole job on this machine, a crash included, and prove the result
	@$(BIN)/python -m ops.local.demo

dev: stack ## The demo, then the operators' pages on its data, with failures left in it
	@$(BIN)/python -m ops.local.demo --keep

screenshots: stack ## Take the pictures of docs/images of what `make dev` shows; needs Chromium
	@bash ops/ci/browser.sh
	@$(BIN)/python -m ops.local.demo --screenshots

test: stack ## Run the tests, emulators included; without Java those that need Firestore are skipped, with a notice
	@[ "$${REQUIRE_EMULATORS:-}" != 1 ] || bash ops/ci/browser.sh
	@$(BIN)/pytest -m "not long" --numprocesses 3 --dist worksteal

test-long: stack ## Run the tests with the larger counts; INGESTOR_KILLS=N and INGESTOR_SEED=N choose the kills
	@rm -f .local/kills.txt
	@INGESTOR_KILLS=$${INGESTOR_KILLS:-200} INGESTOR_KILL_REPORT=.local/kills.txt $(BIN)/pytest tests/e2e/test_kill.py -n0 --timeout 7200
	@INGESTOR_REPLAY_KILLS=$${INGESTOR_REPLAY_KILLS:-40} $(BIN)/pytest tests/e2e/test_replay_kill.py -n0 --timeout 7200
	@echo "Kills at random instants, at $$(git rev-parse --short HEAD) on $$(date -u +%F), for docs/proof.md:"; cat .local/kills.txt
	@INGESTOR_HISTORIES=$${INGESTOR_HISTORIES:-400} INGESTOR_HISTORY_STEPS=40 $(BIN)/pytest tests/property/test_long_histories.py -n0 --timeout 7200
	@INGESTOR_EXAMPLES=$${INGESTOR_EXAMPLES:-1000} $(BIN)/pytest tests/property/test_run_schedules.py -n0 --timeout 7200
	@$(BIN)/pytest -m long --numprocesses 2 --dist worksteal --timeout 7200 || [ $$? -eq 5 ] # 5: none is marked so

check: setup ## Lint, types, import contracts, protos, generated documents
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@bash ops/ci/protos.sh
	@$(BIN)/ingestor schema check --against tests/golden/tables/flights.json --message flights.Flight
	@$(BIN)/python -m docs.generate --check
	@$(MAKE) --no-print-directory check-deployment

.local/%/.installed: requirements/%.txt ops/local/install.sh | .venv/.installed
	@bash ops/local/install.sh $(PYTHON) .local/$* requirements/$*.txt --lazy
	@touch $@

check-deployment: setup .local/checkov/.installed .local/supply/.installed ## Lint Terraform, Dockerfile and workflows; list what is in the image
	@bash ops/ci/deployment.sh

explore-ci: setup ## Explore every schedule of up to two faults: no law may break
	@$(BIN)/python -m tests.explorer.explore --faults 2

explore: setup ## Explore every schedule of up to FAULTS faults (2), SAMPLE (5000) of three, and write docs/crash-matrix.md
	@$(BIN)/python -m tests.explorer.explore --faults $${FAULTS:-2}
	@$(BIN)/python -m tests.explorer.explore --faults 3 --sample $${SAMPLE:-5000}
	@$(BIN)/python -m tests.explorer.matrix

bench: stack .local/peers/.installed ## Measure speed, memory and ledger cost, each against a baseline in the same run
	@$(BIN)/python -m bench || missed=$$?; $(BIN)/python -m bench.charts; $(BIN)/python -m docs.generate >/dev/null; exit $${missed:-0}

docs: setup ## Write the generated documents anew from the code
	@$(BIN)/python -m docs.generate

LOCK = $(BIN)/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --quiet --custom-compile-command 'make lock'

lock: setup ## Resolve the dependencies anew and write the lock files
	@$(LOCK) --group dev pyproject.toml -o requirements/dev.txt
	@$(LOCK) pyproject.toml -o requirements/runtime.txt
	@for each in bqemulator build checkov peers supply; do $(LOCK) requirements/$$each.in -o requirements/$$each.txt; done

.PHONY: help setup stack demo dev screenshots proto lock test test-long check check-deployment explore explore-ci bench docs
