"""From a source to validated rows: fetch, parse, validate, quarantine, load. Knows no rule and no Dagster."""
