"""Fraud detection as Dagster assets: sources, features, rules, alerts."""
