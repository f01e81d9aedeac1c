# Everything needs only Python 3.11 and make; .venv is made on the way.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SPARK := build/spark

.PHONY: demo test test-slow test-spark ui lint format clean

demo: $(READY)  ## the main job on a synthetic world, ending with the alerts
	$(BIN)/fraud demo

test: $(READY)  ## all tests but the slow ones
	$(BIN)/python -m pytest -n 2

test-slow: $(READY)  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

test-spark: $(READY) $(SPARK)/.ready  ## the conformance suite on a real HiveServer2, Spark's; needs Java 17
	$(BIN)/python -m tests.services.spark $(SPARK)/bin/python tests/conformance -k hiveserver2

ui: $(READY)  ## Dagster with the demo's assets, on http://127.0.0.1:3000
	$(BIN)/fraud ui --warehouse demo

lint: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy fraud_assets hive_io mock_sources

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

$(SPARK)/.ready: constraints-spark.txt
	$(PYTHON) -m venv $(SPARK)
	$(SPARK)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-spark.txt pyspark
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo
