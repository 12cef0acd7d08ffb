# `make quickstart` and `make test` do everything from nothing, the virtual environment included.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
VLLM_VENV ?= .venv-vllm
PEER_VENV ?= .venv-peer
export RAY_USAGE_STATS_ENABLED = 0
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help quickstart test test-slow test-vllm test-crds lint bench-dataplane bench-train bench-engines bench-long-plan bench-soak bench-quality bench-forecast bench-autoscaling clean

help:
	@sed -n 's/^## //p' Makefile

## make quickstart       train a small booster on the samples and boost the sample corpus, on a Ray cluster of its own
quickstart: $(VENV)/.installed
	@$(BIN)/python jobs/quickstart.py

## make test             all tests but the slow ones
test: $(VENV)/.installed
	$(BIN)/python -m pytest -m "not slow and not vllm"

## make test-slow        clusters disturbed for real (needs root, iproute2 and prometheus) and what has to be compiled (TESTS=PATH: some of it)
test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m "slow and not vllm and not crds" $(TESTS)

## make test-vllm        the vLLM engine, with the CPU build of vLLM in a virtual environment of its own
test-vllm: $(VLLM_VENV)/.installed
	$(VLLM_VENV)/bin/python -m pytest -m vllm

## make test-crds        the Kubernetes manifests against KubeRay's CRDs (MIDB_RAY_KUBERAY_CRDS=FOLDER)
test-crds: $(VENV)/.installed
	$(BIN)/python -m pytest -m crds

## make lint             style and types
lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

## make bench-dataplane  a million pairs through everything but a model, beside plain pyarrow
bench-dataplane: $(VENV)/.installed
	$(BIN)/python benchmarks/dataplane.py

## make bench-train      training steps beside the Hugging Face Trainer, and with and without Ray Train (REVISIONS=PATH: real rows)
bench-train: $(VENV)/.installed
	$(BIN)/python benchmarks/training.py $(if $(REVISIONS),--revisions $(REVISIONS))

## make bench-engines    our job beside vLLM alone, ray.data.llm and a plain transformers loop
bench-engines: $(VLLM_VENV)/.installed
	$(VLLM_VENV)/bin/python benchmarks/engines.py $(if $(MODEL),--model $(MODEL)) $(if $(INPUT),--input $(INPUT))

## make bench-long-plan  200,000 small shards through one pool: does anything grow with the plan? (SHARDS=20000: fewer)
bench-long-plan: $(VENV)/.installed
	$(BIN)/python benchmarks/long_plan.py $(if $(SHARDS),--shards $(SHARDS))

## make bench-soak       two million pairs while engine actors are killed: nothing lost, nothing doubled (PAIRS=100000: fewer)
bench-soak: $(VENV)/.installed
	$(BIN)/python benchmarks/soak.py $(if $(PAIRS),--pairs $(PAIRS))

## make bench-quality    faults found, untouched pairs, languages, separation, and speed beside datatrove (DATA=PATH)
bench-quality: $(VENV)/.installed $(PEER_VENV)/.installed
	$(BIN)/python benchmarks/quality.py --data $(DATA) --peer $(PEER_VENV)/bin/python $(QUALITY)

## make bench-forecast   forecasts from pilots of 2 % beside the whole runs (DATA=PATH, ROWS=4800: fewer)
bench-forecast: $(VENV)/.installed
	$(BIN)/python benchmarks/forecast.py --data $(DATA) $(if $(ROWS),--rows $(ROWS)) $(FORECAST)

## make bench-autoscaling nodes from none to four and back while a pool of one to four engines boosts; draws docs/autoscaling.svg
bench-autoscaling: $(VENV)/.installed
	$(BIN)/python benchmarks/autoscaling.py $(if $(ROWS),--rows $(ROWS))

## make clean            remove the virtual environments and the quickstart's runs
clean:
	rm -rf $(VENV) $(VLLM_VENV) $(PEER_VENV) runs/quickstart

$(VLLM_VENV)/.installed: pyproject.toml requirements-vllm.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-vllm.txt
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(PEER_VENV)/.installed: benchmarks/quality_peer.txt
	$(PYTHON) -m venv $(PEER_VENV)
	$(PEER_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/quality_peer.txt
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
