"""A local Apache Hive for development and tests."""
