# `make run` and `make test` set up what they need on a fresh Debian machine: see deploy/setup.sh.
# `make simulate SEEDS=100000` for a night; `FIRST=S` begins at another seed.
.PHONY: run test simulate torture lint check bench setup setup-test lock clean
PY := .venv/bin/python

run: setup
	@exec .venv/bin/meterline up

test: setup-test
	$(PY) -m pytest -n auto -m "not slow"
	$(PY) -m pytest -n $$(($$(nproc) + 1)) --dist loadfile -m slow

torture: setup-test
	$(PY) -m tests.torture

lint: setup-test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

check: lint
	$(PY) -m pytest -q -n auto -m "not slow" -x

bench: setup-test
	$(PY) bench/run.py

SEEDS ?= 2000
FIRST ?= 0
simulate: setup-test
	$(PY) -m tests.simulation --seeds $(SEEDS) --first $(FIRST)

setup:
	@sh deploy/setup.sh run

setup-test:
	@sh deploy/setup.sh test

lock:
	.venv/bin/python -m pip install -q uv
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml -o requirements.lock
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --group dev pyproject.toml -o requirements-dev.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
