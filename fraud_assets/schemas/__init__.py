"""Schemas of all tables: columns, types, keys and claims."""
