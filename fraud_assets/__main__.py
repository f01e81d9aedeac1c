"""`python -m fraud_assets` is the `fraud` command."""

from fraud_assets.cli.main import main

main()
