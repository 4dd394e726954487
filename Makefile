# Verbs only: each calls the gpuenv sub-command of the same name. `make help` lists them.
#
# A setting on the command line (`make gpu-shell VARIANT=name`) reaches the command as GPUENV_VARIANT, word for word
# ($(value ...), so that make does not expand a `$` inside CMD). Only the command line counts, not the
# environment: names like WORK mean other things on many clusters.
SETTINGS := VARIANT FLAVOR ENGINE BASE CUDA CUDA_LOCK SOURCES_DIR PREFIX CHANNELS CONDA GPUS WORK PORT CMD TARGET HOSTS JOBS REQUIRE_GPU LOG JSON CHECK UPGRADE YES VERBOSE
$(foreach name,$(SETTINGS),$(if $(filter command,$(firstword $(origin $(name)))),$(eval export GPUENV_$(name) = $$(value $(name)))))
# The one exception: REQUIRE_GPU counts from the environment too (`REQUIRE_GPU=1 make test-env`), because a promise that
# was overheard would look like one that was kept. Nothing else uses that name.
$(if $(filter environment,$(firstword $(origin REQUIRE_GPU))),$(eval export GPUENV_REQUIRE_GPU = $$(value REQUIRE_GPU)))

PYTHON ?= python3
VENV := .venv
RUN := @$(VENV)/bin/python -I -m gpuenv
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.PHONY: FORCE help gpu-shell images test-env conda-env venv-env explain doctor lock engine engine-stop docs bench clean lint test-unit test-e2e test-broken

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo "  settings: make VERB NAME=value, with NAME one of $(SETTINGS)"
	@echo "  all of them are explained in README.md"

gpu-shell: $(VENV)/ready ## a shell inside the pinned environment, or one command with CMD="..."
	$(RUN) gpu-shell

test-env: $(VENV)/ready-report ## check the environments that this machine uses, from the inside (FLAVOR=all: cpu and gpu)
	$(RUN) test-env

explain: $(VENV)/ready ## name the root cause of a failure from its log (LOG=file, or standard input)
	$(RUN) explain

doctor: $(VENV)/ready ## say what of this machine gets in the way, how to mend it, and what to type (JSON=1: for programs)
	$(RUN) doctor

conda-env: $(VENV)/ready ## make a conda environment with the same packages (no container, no conda needed; PREFIX=folder)
	$(RUN) conda-env

venv-env: $(VENV)/ready ## make a virtual environment with the same packages on a CPython of this machine (PREFIX=folder)
	$(RUN) venv-env

images: $(VENV)/ready ## build every image that this machine can build
	$(RUN) images

engine: $(VENV)/ready ## say which container engine is used; start a private one if there is none
	$(RUN) engine

engine-stop: $(VENV)/ready ## stop the private engine
	$(RUN) engine-stop

lock: $(VENV)/ready-dev ## resolve the requirements locks anew (CHECK=1: only say whether they are current)
	$(RUN) lock

docs: $(VENV)/ready ## write the generated parts of the documentation
	$(RUN) docs

bench: $(VENV)/ready-dev ## measure speed and size against the engine alone
	$(RUN) bench

clean: $(VENV)/ready ## remove what this project made on this machine, and nothing else
	$(RUN) clean

lint: $(VENV)/ready-dev ## ruff, mypy, hadolint, shellcheck
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/hadolint docker/Dockerfile
	@git ls-files -z | xargs -0 grep -lIE '^#!.*\b(ba)?sh\b|^# shellcheck shell=' | xargs $(VENV)/bin/shellcheck

test-unit: $(VENV)/ready-dev ## the command's own tests: no engine, no network, seconds
	@$(VENV)/bin/python -m pytest tests/unit

test-e2e: $(VENV)/ready-dev ## the command through a real engine, with small images
	@$(VENV)/bin/python -m pytest tests/e2e

test-broken: $(VENV)/ready-dev ## every check of the harness seen failing: broken images, simulated hosts
	@$(VENV)/bin/python -m pytest tests/broken

# Each stamp is newer than its lock once the environment holds that lock. A Python that has gone (an upgrade of the
# host's) leaves a dangling link there, and $(realpath ...) empty: then it is prepared anew.
PREPARE := src/bootstrap.py $(if $(realpath $(VENV)/bin/python),,FORCE)
FORCE:
$(VENV)/ready: src/requirements.txt $(PREPARE)
	@$(PYTHON) src/bootstrap.py $(VENV) src/requirements.txt && touch $@

# What the report's pictures are drawn with. They are no reason to test nothing: without it the report says so.
$(VENV)/ready-report: src/requirements-report.txt $(VENV)/ready
	@if $(PYTHON) src/bootstrap.py $(VENV) src/requirements-report.txt; then touch $@; fi

$(VENV)/ready-dev: src/requirements-dev.txt src/requirements-report.txt src/requirements.txt $(PREPARE)
	@$(PYTHON) src/bootstrap.py $(VENV) src/requirements-dev.txt && touch $@ $(VENV)/ready
