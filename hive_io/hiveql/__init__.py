"""The dialect: HiveQL that means one thing, embedded (DuckDB), on Apache Hive and on Spark."""
