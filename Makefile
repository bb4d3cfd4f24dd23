# Two commands: `make demo` makes a real video, `make test` runs the tests. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv

# Every process of an engine would compile what it imports anew where this is set; empty means unset.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo up test test-postgres test-s3 test-docker test-celery test-live test-exactly-once test-faults test-slow test-browser test-n8n test-fresh check format lock benchmarks clean

help: ## This list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: $(VENV)/.base ## Make examples/ai-trends.yaml into a video
	$(BIN)/cm make examples/ai-trends.yaml

up: $(VENV)/.base ## Dagster's UI, daemon and code server
	$(BIN)/cm up

test: $(VENV)/.dev ## The tests
	$(BIN)/pytest -n 3 --dist loadfile -m "not slow and not live and not faults and not postgres and not exactly_once and not browser and not n8n and not s3 and not docker and not celery"

test-postgres: $(VENV)/.dev ## Tests on a Postgres server, whose programs must be there (apt-get install postgresql)
	$(BIN)/pytest -m postgres --timeout 400

test-s3: $(VENV)/.dev ## Videos whose artifacts are on a real S3 server and whose records are in Postgres (apt-get install postgresql)
	$(BIN)/pytest -m s3 --timeout 400

test-docker: $(VENV)/.dev ## A video in a container of its own, killed, resumed, cancelled (apt-get install docker.io docker-compose postgresql caddy)
	$(BIN)/pytest -m docker --timeout 900 -rs

test-celery: $(VENV)/.dev ## Two hosts, a queue for each stage, everything killed (root; apt-get install rabbitmq-server redis-server postgresql iproute2)
	$(BIN)/pytest -m celery --timeout 900 -s
	$(BIN)/python benchmarks/workers.py --videos 6 --seconds 4 --print-only

test-live: $(VENV)/.dev ## Tests that run whole engines and kill them
	$(BIN)/pytest -n 2 --dist loadgroup -m "live and not postgres and not s3" --timeout 400

test-exactly-once: $(VENV)/.dev ## Uploads that are killed everywhere: each ends with one post
	$(BIN)/pytest -n 2 -m exactly_once --timeout 600

test-faults: $(VENV)/.dev ## Twenty videos at once, while everything is killed at random (CM_STORM_SEED repeats a run)
	$(BIN)/pytest -m faults --timeout 900 -s

test-slow: $(VENV)/.dev ## The tests that take longer, or promtool (apt-get install prometheus)
	$(UV) pip install --python $(BIN)/python --quiet --require-hashes -r requirements/slow.lock
	$(BIN)/pytest -m slow

test-browser: $(VENV)/.dev ## The board in a real browser, the proxy (apt-get install chromium caddy); screenshots in build/screenshots
	$(UV) pip install --python $(BIN)/python --quiet --require-hashes -r requirements/browser.lock
	$(BIN)/pytest -m browser --timeout 900

test-n8n: $(VENV)/.dev ## integrations/n8n in a real n8n, installed into ~/.cache/cm-tests (npm, a C++ compiler, 2 GB, minutes)
	$(BIN)/python -m cm_assets_tests.n8n
	$(BIN)/pytest -m n8n --timeout 400

test-fresh: ## Clone into an empty folder with an empty home and make the demo, as on a new machine
	.ci/fresh

check: $(VENV)/.dev ## Format, lint, types, definitions
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/dagster definitions validate -w workspace.yaml

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

benchmarks: $(VENV)/.dev ## All benchmarks; each prints its ratios
	.ci/benchmarks

lock: $(UV) ## Renew the locked requirements
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml -o requirements/base.lock
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra dev --extra kokoro --extra postgres --extra s3 --extra celery --extra kubernetes -c requirements/base.lock pyproject.toml -o requirements/dev.lock
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra dev --extra kokoro --extra postgres --extra s3 --extra celery --extra kubernetes --extra slow -c requirements/dev.lock pyproject.toml -o requirements/slow.lock
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra dev --extra kokoro --extra postgres --extra s3 --extra celery --extra kubernetes --extra browser -c requirements/dev.lock pyproject.toml -o requirements/browser.lock
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra postgres --extra s3 --extra celery --extra kubernetes --extra notify -c requirements/dev.lock pyproject.toml -o requirements/server.lock

clean: ## Remove the environment (the videos in .cm stay)
	rm -rf $(VENV)

$(UV): requirements/uv.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cm_assets needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	@touch $@

$(VENV)/.base: $(UV) requirements/base.lock pyproject.toml
	test -e $(VENV)/.dev || $(UV) pip install --python $(BIN)/python --quiet --require-hashes -r requirements/base.lock
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --editable .
	$(BIN)/python -c 'import cm_assets.cli, cm_assets.definitions, dagster_webserver.cli, dagster._cli, dagster._daemon.cli'
	@touch $@

$(VENV)/.dev: $(VENV)/.base requirements/dev.lock
	$(UV) pip install --python $(BIN)/python --quiet --require-hashes -r requirements/dev.lock
	@touch $@
