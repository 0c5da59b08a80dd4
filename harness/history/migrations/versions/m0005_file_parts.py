"""Files that move from one host of a group to others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from harness.history.columns import words

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; a server does not log what any host can send again."""
    op.create_table(
        "file_parts",
        sa.Column("host", words(100), nullable=False),
        sa.Column("sha256", words(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("sent", sa.DateTime(), nullable=False),
        sa.CheckConstraint("length(data) <= 1100000", name="ck_file_parts_data"),
        sa.CheckConstraint("number BETWEEN 0 AND 2047", name="ck_file_parts_number"),
        sa.PrimaryKeyConstraint("host", "sha256", "number", name="pk_file_parts"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE file_parts SET UNLOGGED")
        # It is compressed already.
        op.execute("ALTER TABLE file_parts ALTER COLUMN data SET STORAGE EXTERNAL")
