"""The checkout that this package runs from."""

from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
"""The repository's root, with `workspace.yaml`, `tests/` and `fraud_assets/rules`."""
