# Everything a contributor or a newcomer runs. `make help` lists it.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
# Demo and tests start some hundred processes: compiling each of their modules anew would take a fifth of the time.
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help demo up test test-real test-kubelet bench lint types imports check lock clean

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.ready: requirements.lock pyproject.toml schemas/pyproject.toml producer/pyproject.toml consumer/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e schemas -e producer -e consumer -e .
	@touch $@

demo: $(VENV)/.ready ## the whole system on this machine, one cancellation after the other told step by step
	$(RUN) -m deploy.local demo

up: $(VENV)/.ready ## the whole system, kept running, with the commands to try
	$(RUN) -m deploy.local up

# Whole files to each worker, in the order of their paths: the slowest, end to end, first. By default files with many
# tests go first, and then one worker ends alone with the few that take minutes.
SPREAD := -n 4 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.ready ## all tests on in-memory Kafka and a simulated Kubernetes API; needs Python only
	TEST_STACK=memory $(RUN) -m pytest $(SPREAD) tests

test-real: $(VENV)/.ready ## the same on real Kafka and a real Kubernetes API; needs Java 17, Maven, Go 1.26 and Node.js
	TEST_STACK=real $(RUN) -m pytest $(SPREAD) tests/e2e tests/integration

test-kubelet: $(VENV)/.ready ## what "cancelled" proves, on real processes; needs root, Go 1.26, containerd, runc, CNI plugins, busybox
	TEST_STACK=kubelet $(RUN) -m pytest tests/kubelet

bench: $(VENV)/.ready ## commands a second beside a plain consumer and a raw echo; requests, Jobs and replay beside plain ones
	$(RUN) -m tests.bench
	$(RUN) -m tests.bench.endpoint
	$(RUN) -m tests.bench.jobs
	$(RUN) -m tests.bench.replay

lint: $(VENV)/.ready ## style
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

types: $(VENV)/.ready ## strict types
	$(VENV)/bin/mypy

imports: $(VENV)/.ready ## which package may import which
	$(VENV)/bin/lint-imports

check: lint types imports ## lint, types and imports

# The locks list third-party packages only: the three local distributions are installed from their folders. What is locked
# already stays as it is; `make lock UPGRADE=--upgrade` takes the newest versions.
UPGRADE ?=
LOCAL := evaluation-cancel-schemas evaluation-cancel-producer evaluation-cancel
COMPILE = uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(addprefix --no-emit-package ,$(LOCAL))

lock: ## resolve the dependencies, with hashes (needs uv)
	$(COMPILE) $(UPGRADE) --all-extras pyproject.toml -o requirements.lock
	$(COMPILE) $(UPGRADE) -c requirements.lock pyproject.toml -o deploy/requirements.lock

clean: ## remove what was made here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
