"""Hosts of a group, and what is leased to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from harness.history.columns import words

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "hosts",
        sa.Column("name", words(100), nullable=False),
        sa.Column("role", words(), nullable=False),
        sa.Column("version", words(), nullable=False),
        sa.Column("offer", sa.JSON(), nullable=False),
        sa.Column("kernels", sa.JSON(), nullable=False),
        sa.Column("seen", sa.DateTime(), nullable=False),
        sa.Column("leaving", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_hosts"),
    )
    op.create_table(
        "leases",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("night_id", _NUMBER, nullable=False),
        sa.Column("job", words(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("host", words(100), nullable=False),
        sa.Column("cores", sa.Float(), nullable=False),
        sa.Column("memory", sa.BigInteger(), nullable=False),
        sa.Column("state", words(20), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("console", sa.LargeBinary(), nullable=True),
        sa.Column("seen", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["night_id"], ["nights.id"], name="fk_leases_night_id"),
        sa.PrimaryKeyConstraint("id", name="pk_leases"),
        sa.UniqueConstraint("night_id", "job", "attempt", name="uq_leases_night_id_job_attempt"),
    )
    op.create_index("ix_leases_host_state", "leases", ["host", "state"])
