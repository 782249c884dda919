"""Run by Alembic: applies the steps on the connection that `migrations.upgrade` hands over."""

from alembic import context

from vtn.storage.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
context.run_migrations()
