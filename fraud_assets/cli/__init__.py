"""The `fraud` command, one module for each command group. Nothing imports this package."""
