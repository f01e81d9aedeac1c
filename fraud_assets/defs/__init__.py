"""Assets and their checks, a module for each stage of the flow."""
