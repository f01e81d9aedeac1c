# Everything needs only Python 3.11 and make; .venv is made on the way.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SPARK := build/spark
HIVE := build/hive
PORT ?= 10000
# what runs on each HiveServer2; `make test-hive HIVE_TESTS='…'` runs less
HIVE_TESTS ?= tests/conformance tests/hiveserver2
# `make test-spark-stream STREAM_TESTS='-m long'` judges on the workers, in seven minutes
STREAM_TESTS ?=
AIRFLOW3 := build/airflow3
AIRFLOW2 := build/airflow2
ROUND_TRIP := build/dagster-airflow

.PHONY: demo demo-hive test test-slow test-long test-hive test-hive-short test-apache-hive test-spark test-kafka test-spark-stream test-airflow test-airflow-short ui lint format clean

demo: $(READY)  ## the main job on a synthetic world, ending with the alerts
	$(BIN)/fraud demo

demo-hive: $(READY)  ## the same on an Apache Hive of this machine; needs Java 17 and Maven
	$(BIN)/fraud hive start --dir $(HIVE) --port $(PORT)
	DAGSTER_HOME=$(CURDIR)/$(HIVE)/dagster $(BIN)/fraud demo --days 7 \
		--warehouse 'hive://fraud@127.0.0.1:$(PORT)/fintech?staging=$(CURDIR)/$(HIVE)/staged' \
		|| { $(BIN)/fraud hive stop --dir $(HIVE); exit 1; }
	$(BIN)/fraud hive stop --dir $(HIVE)

test: $(READY)  ## all tests but the slow ones
	$(BIN)/python -m pytest -n 2

test-slow: $(READY)  ## whole runs, and processes that are started and killed: one of each kind
	$(BIN)/python -m pytest -n 2 -m "slow and not long"

test-long: $(READY)  ## before a release: dozens of kills, whole weeks, every command
	$(BIN)/python -m pytest -n 2 -m long

test-hive: test-apache-hive test-spark  ## what runs on a HiveServer2, on both real ones

test-hive-short: $(READY)  ## what HiveQL means, on both; a run of the graph, every table row for row, on Apache Hive
	$(MAKE) test-apache-hive HIVE_TESTS="tests/hiveserver2/test_language.py tests/hiveserver2/test_generated.py tests/hiveserver2/test_parity.py"
	$(MAKE) test-spark HIVE_TESTS="tests/hiveserver2/test_language.py tests/hiveserver2/test_generated.py"

test-apache-hive: $(READY)  ## on Apache Hive 4, which Maven brings; needs Java 17
	$(BIN)/python -m tests.services.apache_hive $(HIVE)/jars $(HIVE_TESTS) -k 'not embedded'

test-spark: $(READY) $(SPARK)/.ready  ## on Spark's Thrift Server; needs Java 17
	$(BIN)/python -m tests.services.spark $(SPARK)/bin/python $(HIVE_TESTS) -k 'not embedded'

test-kafka: $(READY)  ## topics as a source, on Apache Kafka, which Maven brings; needs Java 17
	$(BIN)/python -m tests.services.kafka build/kafka/jars -m kafka tests/fraud_assets tests/test_examples.py

test-spark-stream: $(READY) $(SPARK)/.ready  ## a topic by Spark Structured Streaming, on two workers, through kills; needs Java 17 and Maven
	$(BIN)/python -m tests.services.kafka build/kafka/jars --spark $(SPARK)/bin/python tests/hiveserver2/test_spark_stream.py $(STREAM_TESTS)

test-airflow: $(READY) $(AIRFLOW3)/.ready $(AIRFLOW2)/.ready $(ROUND_TRIP)/.ready  ## real Airflow 3.3 and 2.11, with schedulers
	for python in $(AIRFLOW3)/bin/python $(AIRFLOW2)/bin/python; do $(RUNTIME) || exit 1; done
	$(BIN)/python -m pytest tests/airflow --airflow $(AIRFLOW3) --airflow $(AIRFLOW2) --dagster-airflow $(ROUND_TRIP)

test-airflow-short: $(READY) $(AIRFLOW3)/.ready  ## imports, and one day that the scheduler began, on 3.3
	$(BIN)/python -m pytest tests/airflow/test_imports.py tests/airflow/test_day.py --airflow $(AIRFLOW3) -k "imports or remote and not hourly"

# what runs inside Airflow, tested there
RUNTIME = $$python -m pytest tests/airflow_runtime -c tests/airflow_runtime/pytest.ini --dagster-python $(BIN)/python

ui: $(READY)  ## Dagster with the demo's assets, on http://127.0.0.1:3000
	$(BIN)/fraud ui --warehouse demo

lint: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy airflow_bridge fraud_assets hive_io mock_sources

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

$(AIRFLOW3)/.ready: constraints-airflow3.txt
	$(PYTHON) -m venv $(AIRFLOW3)
	$(AIRFLOW3)/bin/python -m pip install --quiet --disable-pip-version-check -c $< apache-airflow pytest
	touch $@

$(AIRFLOW2)/.ready: constraints-airflow2.txt
	$(PYTHON) -m venv $(AIRFLOW2)
	$(AIRFLOW2)/bin/python -m pip install --quiet --disable-pip-version-check -c $< apache-airflow pytest
	touch $@

# dagster-airflow reads Airflow 2's DAGs, and needs Dagster beside it
$(ROUND_TRIP)/.ready: constraints-dagster-airflow.txt
	$(PYTHON) -m venv $(ROUND_TRIP)
	$(ROUND_TRIP)/bin/python -m pip install --quiet --disable-pip-version-check -c $< apache-airflow dagster-airflow
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo
