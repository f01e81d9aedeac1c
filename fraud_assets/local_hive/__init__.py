"""An Apache Hive on this machine, for development and tests."""
