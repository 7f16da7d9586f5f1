# Everything sets itself up: Python 3.11 or newer and make are enough. `make help` lists what there is.

VENV ?= .venv
CONFIG ?= configs/demo.yaml
PIP_FLAGS ?= --quiet --disable-pip-version-check
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The first of these that runs and is new enough.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

# Hundreds of processes start here, and what they import takes longer to compile than to run.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help env sandbox demo study test test-all test-services server deploy docs docs-serve lint format clean clean-env

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

env: $(STAMP) ## the environment in .venv, from constraints.txt

# --no-compile: bytecode is made for what is used alone, which halves the installation. Here, and not when it is used
# first: in a sandbox nothing can be written, and every process there would make it again.
IMPORTED := "torch._dynamo, torch.distributed.tensor, transformers.trainer, accelerate, peft" \
	"prefect.main, prefect.server.api.server, sympy.parsing.latex, math_verify, datasets, lm_eval.evaluator, \
	matplotlib.pyplot, pyarrow.parquet, scipy.optimize"
$(STAMP): constraints.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found; install one, or: make PYTHON=/path/to/python3.11"; exit 2; }
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@$(MAKE) --no-print-directory sandbox
	@echo "installing the pinned environment into $(VENV): two to four minutes, once"
	@$(BIN)/python -m pip install $(PIP_FLAGS) --no-compile -c constraints.txt -e '.[dev]' \
		2> $(VENV)/pip.log || { cat $(VENV)/pip.log; exit 1; }
	@for modules in $(IMPORTED); do $(BIN)/python -c "import $$modules" 2>> $(VENV)/pip.log & done; wait
	@touch $(STAMP)

# Never an error: without bubblewrap the pipeline runs in tier 2. The first attempt needs no network where the
# package is at hand; without package lists, or with old ones, the second does.
APT_INSTALL := apt-get -o Acquire::Retries=0 -o Acquire::http::Timeout=15 -o DPkg::Lock::Timeout=60 \
	install -y --no-install-recommends bubblewrap
sandbox: ## bubblewrap, which isolates programs under test: installed where that may be done, else named
	@if command -v bwrap > /dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		mkdir -p $(VENV); export DEBIAN_FRONTEND=noninteractive; \
		if { $(APT_INSTALL) || { apt-get update && $(APT_INSTALL); }; } > $(VENV)/apt.log 2>&1 < /dev/null; \
		then echo "installed bubblewrap: programs under test run isolated in tier 1"; \
		else echo "bubblewrap could not be installed ($(VENV)/apt.log): programs under test run in tier 2;" \
			"later: apt-get install bubblewrap"; fi; \
	else echo "no bubblewrap: programs under test run in tier 2; for tier 1: sudo apt-get install bubblewrap"; fi

demo: $(STAMP) ## the whole pipeline on the small model, at most 10 minutes on 2 cores; again: seconds
	@$(BIN)/tad run $(CONFIG)

study: $(STAMP) ## the paper's tables on the small model: 15 variants, 3 seeds, 6 decoders; for one GPU
	@$(BIN)/tad study configs/study-tiny.yaml

test: $(STAMP) ## the quick tests
	@$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test-all: $(STAMP) ## also the tests that take minutes
	@$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m 'not gpu and not services'

test-services: $(STAMP) ## tests that need PostgreSQL, Chromium and an S3 server: installed, started, stopped again
	@$(BIN)/python tests/services/run.py

server: $(STAMP) ## a Prefect server whose restart no run notices; SERVER_FLAGS='--host 0.0.0.0'
	@PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=$${PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE:-flows.leases} \
		$(BIN)/prefect server start $(SERVER_FLAGS)

deploy: $(STAMP) ## work pools, deployments, automation, on the server of PREFECT_API_URL; docs/cluster.md
	@$(BIN)/python deployments/deploy.py

MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs
$(VENV)/.docs-installed: $(STAMP)
	@$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[docs]'
	@touch $@

docs: $(VENV)/.docs-installed ## the pages and the library's names as a site, in site/
	@$(MKDOCS) build --quiet --site-dir site

docs-serve: $(VENV)/.docs-installed ## the same while pages change, on port 8000
	@$(MKDOCS) serve

lint: $(STAMP) ## ruff, formatting, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy --config-file benchmarks/mypy.ini benchmarks/*.py

format: $(STAMP) ## mend what can be mended by itself
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## caches; artifacts in runs/ stay
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist site
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

clean-env: clean ## the environment too
	@rm -rf $(VENV) *.egg-info
