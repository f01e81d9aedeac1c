"""Assets and their checks, one module for each stage of the pipeline."""
