"""A module for each migration, in the form of Alembic."""
