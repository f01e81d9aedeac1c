"""Connectors: where raw rows come from. Each yields pages of rows as text, before any mapping."""
