"""Run by Alembic: applies revisions on the connection that `alembic_config` hands over, inside its transaction."""

from alembic import context

given = context.config.attributes
version_table = given["schema"].version_table
context.configure(connection=given["connection"], version_table=version_table, transactional_ddl=True)
context.run_migrations()
