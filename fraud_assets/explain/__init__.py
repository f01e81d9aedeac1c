"""Explains why a transaction was flagged or not, from the SQL that judged it."""
