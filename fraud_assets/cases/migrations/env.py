"""Runs the migrations on the connection that `fraud_assets.cases.database` hands over, in its transaction."""

from alembic import context

from fraud_assets.cases.tables import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA)
context.run_migrations()
