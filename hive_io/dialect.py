"""HiveQL with one meaning on every engine: the public names of `hive_io.hiveql`."""

from __future__ import annotations

from hive_io.hiveql.query import HiveQL, Value, bind, check, columns_in, literal, parse
from hive_io.hiveql.syntax import problems
from hive_io.hiveql.to_duckdb import to_duckdb
from hive_io.hiveql.to_hive import to_hive

__all__ = ["HiveQL", "Value", "bind", "check", "columns_in", "literal", "parse", "problems", "to_duckdb", "to_hive"]
