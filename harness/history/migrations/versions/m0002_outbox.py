"""The outbox has kinds and states; results have their kernel in the cache, and CPU time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from harness.history.columns import words

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ROW = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add columns; the outbox, which no version has written before, is created anew."""
    op.add_column("results", sa.Column("kernel", words(100), nullable=False, server_default=""))
    op.add_column("results", sa.Column("cpu", sa.JSON(), nullable=False, server_default="{}"))
    op.drop_table("outbox")
    op.create_table(
        "outbox",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("night_id", _ROW, nullable=False),
        sa.Column("kind", words(20), nullable=False),
        sa.Column("recipient", words(400), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("state", words(20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", words(), nullable=False),
        sa.Column("sent", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["night_id"], ["nights.id"], name="fk_outbox_night_id"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint(
            "night_id", "recipient", "kind", name="uq_outbox_night_id_recipient_kind"
        ),
    )
    op.create_index("ix_outbox_state", "outbox", ["state"])
