# Sekisho. `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
WORKERS ?= 2

.PHONY: help demo test check lint types layers suite bless bench lock clean install install-dev docs

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/.run: requirements/run.txt requirements/build.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/build.txt -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/build.txt -r requirements/dev.txt
	@touch $@

install: $(VENV)/.run ## the platform in a local environment
install-dev: $(VENV)/.dev ## with the tools of the developers

demo: $(VENV)/.run ## two weeks of a fictional exchange, attacked; ARGS=--exit ends by itself
	$(BIN)/sekisho demo $(ARGS)

test: $(VENV)/.dev ## the whole test suite, with its coverage; WORKERS=1 in one process
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --cov=sekisho --cov-branch --cov-report= --cov-report=json:.coverage.json $(ARGS)
	$(BIN)/python -m tests.coverage_floors .coverage.json

check: lint types layers suite ## all gates, under five minutes

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy
	$(BIN)/mypy tests bench

layers: $(VENV)/.dev
	$(BIN)/lint-imports

# What a change breaks most easily: content and its golden outputs, documents, file sizes, the property tests
# on framing, journal and tables, and a crash before and after every call of the pipeline.
SUITE = tests/content tests/model tests/ocsf tests/contract tests/docs tests/journal tests/tabular \
	tests/collect/test_syslog_framing.py tests/normalise/test_wrapping.py tests/pipeline/test_crash_everywhere.py
suite: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile -m "not slow" $(SUITE)

bless: $(VENV)/.dev ## write the golden outputs anew; the diff is the review
	$(BIN)/python -m tests.content.bless

docs: $(VENV)/.dev ## write docs/reference anew
	$(BIN)/python -m tests.docs.generate

$(VENV)/.bench: $(VENV)/.dev requirements/bench.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/bench.txt
	@touch $@

bench: $(VENV)/.bench ## every published figure; ARGS=road for one
	$(BIN)/python -m bench $(ARGS)

lock: $(VENV)/.dev ## pin the dependencies anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/run.txt
	$(BIN)/uv pip compile -q pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/dev.txt
	$(BIN)/uv pip compile -q pyproject.toml --group dev --group bench --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/bench.txt
	printf 'hatchling==1.27.0\neditables\n' | $(BIN)/uv pip compile -q - --universal --python-version 3.11 --generate-hashes --no-header -o requirements/build.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
