"""What Alembic runs to reach the database; the connection, inside a transaction, comes from `migrations.upgrade`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
