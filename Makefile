# Verbs only: each calls the gpuenv sub-command of the same name. `make help` lists them.
#
# A setting on the command line (`make gpu-shell VARIANT=name`) reaches the command as GPUENV_VARIANT, word for word
# ($(value ...), so that make does not expand a `$` inside CMD). Only the command line counts, not the
# environment: names like WORK mean other things on many clusters. `make docs` writes the names.
SETTINGS := VARIANT FLAVOR ENGINE BASE CUDA CUDA_LOCK SOURCES_DIR PREFIX CHANNELS CONDA GPUS WORK ADD PORT CMD TARGET HOSTS JOBS REQUIRE_GPU UPSTREAM LOG JSON CHECK UPGRADE YES VERBOSE N SEED
OWN := PYTHON VENV SHELL MAKEFLAGS GPUENV_%
GIVEN := $(strip $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name))))
$(foreach name,$(filter $(SETTINGS),$(GIVEN)),$(eval export GPUENV_$(name) = $$(value $(name))))
# By itself make exports what its command line sets, expanded: `CMD='$(shell ...)'` would run. Of our variables
# (`make gpu-shell GPUENV_CMD=...`) only the value goes on, as it is; what is no setting at all goes nowhere.
$(foreach name,$(filter GPUENV_%,$(GIVEN)),$(eval override export $(name) := $$(value $(name))))
unexport $(filter-out $(OWN),$(GIVEN))
# The one exception: REQUIRE_GPU counts from the environment too (`REQUIRE_GPU=1 make test-env`), because a promise that
# was overheard would look like one that was kept. Nothing else uses that name.
$(if $(filter environment,$(firstword $(origin REQUIRE_GPU))),$(eval export GPUENV_REQUIRE_GPU = $$(value REQUIRE_GPU)))
# The command names what is misspelled, or not for this verb. A make that it starts gets settings as GPUENV_* alone.
export GPUENV_MAKE_GIVEN := $(filter-out $(OWN),$(GIVEN))
export GPUENV_MAKE_GOALS := $(MAKECMDGOALS)
MAKEOVERRIDES :=

PYTHON ?= python3
VENV := .venv
RUN := @$(VENV)/bin/python -I -m gpuenv
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.PHONY: FORCE known trusted help gpu-shell images test-env conda-env venv-env explain doctor lock engine engine-stop docs bench mutation clean lint test-unit test-e2e test-broken test-attacks soak

# Any Python at hand does: nothing is prepared for a list, nor for a name that is misspelled, or not for this verb.
HELP := PYTHONHOME= PYTHONPATH=src $(PYTHON) -s -B -m gpuenv help
help: known
	@$(HELP)

# Verbs that do not run the command have it check here what they are given.
known:
	$(if $(or $(filter-out $(SETTINGS),$(GPUENV_MAKE_GIVEN)),$(and $(GPUENV_MAKE_GIVEN),$(filter lint test-unit test-e2e test-broken test-attacks soak,$(MAKECMDGOALS)))),@$(HELP) >/dev/null)

gpu-shell: $(VENV)/ready
	$(RUN) gpu-shell

test-env: $(VENV)/ready-report
	$(RUN) test-env

explain: $(VENV)/ready
	$(RUN) explain

doctor: $(VENV)/ready
	$(RUN) doctor

conda-env: $(VENV)/ready
	$(RUN) conda-env

venv-env: $(VENV)/ready
	$(RUN) venv-env

images: $(VENV)/ready
	$(RUN) images

engine: $(VENV)/ready
	$(RUN) engine

engine-stop: $(VENV)/ready
	$(RUN) engine-stop

lock: $(VENV)/ready-dev
	$(RUN) lock

docs: $(VENV)/ready
	$(RUN) docs

bench: $(VENV)/ready-dev
	$(RUN) bench

mutation: $(VENV)/ready-dev
	$(RUN) mutation

clean: $(VENV)/ready
	$(RUN) clean

lint: $(VENV)/ready-dev
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/python -m mypy
	@report=$$($(VENV)/bin/python -c "from importlinter.cli import lint_imports_command as run; run()" --no-logo --no-cache) || { echo "$$report"; exit 1; }
	@$(VENV)/bin/hadolint docker/Dockerfile docker/added/Dockerfile
	@git ls-files -z | xargs -0 grep -lIE '^#!.*\b(ba)?sh\b|^# shellcheck shell=' | xargs $(VENV)/bin/shellcheck

test-unit: $(VENV)/ready-dev
	@$(VENV)/bin/python -m pytest tests/unit -n "$${GPUENV_JOBS:-auto}" --maxprocesses 8 --dist worksteal

test-e2e: $(VENV)/ready-dev
	@$(VENV)/bin/python -m pytest tests/e2e

test-broken: $(VENV)/ready-dev
	@$(VENV)/bin/python -m pytest tests/broken

test-attacks: $(VENV)/ready-dev
	@$(VENV)/bin/python -m pytest tests/attacks

soak: $(VENV)/ready-dev
	@PYTHONPATH=tests $(VENV)/bin/python -m soak

# Each stamp is newer than its lock once the environment holds that lock. A Python that has gone (an upgrade of the
# host's) leaves a dangling link there, and $(realpath ...) empty: then it is prepared anew.
# Nothing of the user's Python (PYTHONHOME, PYTHONPATH, the user's own packages) reaches it; Python 2 knows no -I.
BOOTSTRAP := $(PYTHON) -E -s src/bootstrap.py
PREPARE := src/bootstrap.py $(if $(realpath $(VENV)/bin/python),,FORCE)
FORCE:
# Elsewhere than in the checkout it may be that of somebody else, who would be run by whoever calls make.
trusted:
	$(if $(subst $(CURDIR)/.venv,,$(abspath $(VENV))),@$(BOOTSTRAP) $(VENV))
$(VENV)/ready: src/requirements.txt $(PREPARE) | known trusted
	@$(BOOTSTRAP) $(VENV) src/requirements.txt && touch $@

# What the report's pictures are drawn with. They are no reason to test nothing: without it the report says so.
$(VENV)/ready-report: src/requirements-report.txt $(VENV)/ready
	@if PIP_RETRIES=1 $(BOOTSTRAP) $(VENV) src/requirements-report.txt; then touch $@; \
	else echo "gpuenv: going on: the report will have no pictures" >&2; fi

$(VENV)/ready-dev: src/requirements-dev.txt src/requirements-report.txt src/requirements.txt $(PREPARE) | known trusted
	@$(BOOTSTRAP) $(VENV) src/requirements-dev.txt && touch $@ $(VENV)/ready
