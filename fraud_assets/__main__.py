"""`python -m fraud_assets` runs the `fraud` command."""

from fraud_assets.cli.main import main

main()
