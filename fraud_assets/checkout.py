"""Location of the checkout that this package runs from."""

from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
"""Root of the repository, which holds `workspace.yaml`, `tests/` and `fraud_assets/rules`."""
