"""Locks against other hosts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from harness.history.columns import words

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "locks",
        sa.Column("name", words(), nullable=False),
        sa.Column("token", words(), nullable=False),
        sa.Column("taken", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_locks"),
    )
