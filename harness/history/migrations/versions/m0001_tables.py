"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ROW = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create all tables."""
    _nights()
    _results()
    _problems()


def _nights() -> None:
    op.create_table(
        "plans",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_plans"),
        sa.UniqueConstraint("name", name="uq_plans_name"),
    )
    op.create_table(
        "nights",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("plan_id", _ROW, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("started", sa.DateTime(), nullable=False),
        sa.Column("ended", sa.DateTime(), nullable=True),
        sa.Column("compared_with", sa.Integer(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("command", sa.JSON(), nullable=False),
        sa.Column("budget", sa.Float(), nullable=True),
        sa.Column("spent", sa.Float(), nullable=False),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("cells", sa.JSON(), nullable=False),
        sa.Column("every", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_nights_plan_id"),
        sa.PrimaryKeyConstraint("id", name="pk_nights"),
        sa.UniqueConstraint("plan_id", "number", name="uq_nights_plan_id_number"),
    )
    op.create_table(
        "branches",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("night_id", _ROW, nullable=False),
        sa.Column("name", sa.String(length=400), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("tip", sa.String(length=64), nullable=False),
        sa.Column("base", sa.String(length=64), nullable=False),
        sa.Column("rewritten", sa.Boolean(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["night_id"], ["nights.id"], name="fk_branches_night_id"),
        sa.PrimaryKeyConstraint("id", name="pk_branches"),
        sa.UniqueConstraint("night_id", "name", name="uq_branches_night_id_name"),
    )
    op.create_table(
        "revisions",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("night_id", _ROW, nullable=False),
        sa.Column("branch", sa.String(length=400), nullable=False),
        sa.Column("commit", sa.String(length=64), nullable=False),
        sa.Column("parent", sa.String(length=64), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("date", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["night_id"], ["nights.id"], name="fk_revisions_night_id"),
        sa.PrimaryKeyConstraint("id", name="pk_revisions"),
        sa.UniqueConstraint(
            "night_id", "branch", "commit", name="uq_revisions_night_id_branch_commit"
        ),
    )


def _results() -> None:
    op.create_table(
        "consoles",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_consoles"),
    )
    op.create_table(
        "results",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("night_id", _ROW, nullable=False),
        sa.Column("branch", sa.String(length=400), nullable=False),
        sa.Column("cell", sa.String(length=400), nullable=False),
        sa.Column("commit", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("artifact", sa.String(length=64), nullable=False),
        sa.Column("configuration", sa.Text(), nullable=False),
        sa.Column("topology", sa.Text(), nullable=False),
        sa.Column("guest", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("accelerator", sa.String(length=20), nullable=False),
        sa.Column("method", sa.String(length=20), nullable=False),
        sa.Column("started", sa.DateTime(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("stages", sa.JSON(), nullable=False),
        sa.Column("frames", sa.JSON(), nullable=False),
        sa.Column("seed", sa.String(length=20), nullable=True),
        sa.Column("console", sa.String(length=64), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=True),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("record_cell", sa.Text(), nullable=False),
        sa.Column("shared", _ROW, nullable=True),
        sa.Column("opinions", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["night_id"], ["nights.id"], name="fk_results_night_id"),
        sa.ForeignKeyConstraint(["shared"], ["results.id"], name="fk_results_shared"),
        sa.PrimaryKeyConstraint("id", name="pk_results"),
        sa.UniqueConstraint(
            "night_id",
            "branch",
            "cell",
            "commit",
            "purpose",
            "attempt",
            name="uq_results_night_id_branch_cell_commit_purpose_attempt",
        ),
    )
    op.create_index("ix_results_artifact_cell", "results", ["artifact", "cell"], unique=False)
    op.create_index(
        "ix_results_branch_cell_night_id", "results", ["branch", "cell", "night_id"], unique=False
    )
    op.create_index("ix_results_console", "results", ["console"], unique=False)
    op.create_table(
        "test_cases",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("result_id", _ROW, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_test_cases_result_id"),
        sa.PrimaryKeyConstraint("id", name="pk_test_cases"),
        sa.UniqueConstraint("result_id", "name", name="uq_test_cases_result_id_name"),
    )


def _problems() -> None:
    op.create_table(
        "problems",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("plan_id", _ROW, nullable=False),
        sa.Column("key", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_problems_plan_id"),
        sa.PrimaryKeyConstraint("id", name="pk_problems"),
        sa.UniqueConstraint("plan_id", "key", name="uq_problems_plan_id_key"),
    )
    op.create_table(
        "judged",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("problem_id", _ROW, nullable=False),
        sa.Column("night_id", _ROW, nullable=False),
        sa.Column("classification", sa.String(length=20), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("last_night", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("boots", sa.Integer(), nullable=False),
        sa.Column("low", sa.Float(), nullable=False),
        sa.Column("high", sa.Float(), nullable=False),
        sa.Column("first_night", sa.Integer(), nullable=False),
        sa.Column("streak", sa.Integer(), nullable=False),
        sa.Column("repeats_failed", sa.Integer(), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("slots", sa.JSON(), nullable=False),
        sa.Column("culprit", sa.JSON(), nullable=True),
        sa.Column("fixed_by", sa.JSON(), nullable=True),
        sa.Column("why_unknown", sa.Text(), nullable=False),
        sa.Column("known_issue", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["night_id"], ["nights.id"], name="fk_judged_night_id"),
        sa.ForeignKeyConstraint(["problem_id"], ["problems.id"], name="fk_judged_problem_id"),
        sa.PrimaryKeyConstraint("id", name="pk_judged"),
        sa.UniqueConstraint("problem_id", "night_id", name="uq_judged_problem_id_night_id"),
    )
    op.create_index("ix_judged_night_id", "judged", ["night_id"], unique=False)
    op.create_table(
        "news",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("plan_id", _ROW, nullable=False),
        sa.Column("night_id", _ROW, nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("problem", sa.String(length=16), nullable=False),
        sa.Column("branch", sa.String(length=400), nullable=True),
        sa.Column("cell", sa.String(length=400), nullable=True),
        sa.Column("commit", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["night_id"], ["nights.id"], name="fk_news_night_id"),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_news_plan_id"),
        sa.PrimaryKeyConstraint("id", name="pk_news"),
        sa.UniqueConstraint("plan_id", "key", name="uq_news_plan_id_key"),
    )
    op.create_index("ix_news_night_id", "news", ["night_id"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("night_id", _ROW, nullable=False),
        sa.Column("recipient", sa.String(length=400), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("sent", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["night_id"], ["nights.id"], name="fk_outbox_night_id"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("night_id", "recipient", name="uq_outbox_night_id_recipient"),
    )
    op.create_table(
        "incidents",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("judged_id", _ROW, nullable=False),
        sa.Column("branch", sa.String(length=400), nullable=False),
        sa.Column("cell", sa.String(length=400), nullable=False),
        sa.Column("first_bad", sa.String(length=64), nullable=False),
        sa.Column("last_good", sa.String(length=64), nullable=False),
        sa.Column("failing_id", _ROW, nullable=False),
        sa.Column("passing_id", _ROW, nullable=True),
        sa.ForeignKeyConstraint(["failing_id"], ["results.id"], name="fk_incidents_failing_id"),
        sa.ForeignKeyConstraint(["judged_id"], ["judged.id"], name="fk_incidents_judged_id"),
        sa.ForeignKeyConstraint(["passing_id"], ["results.id"], name="fk_incidents_passing_id"),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
        sa.UniqueConstraint(
            "judged_id", "branch", "cell", name="uq_incidents_judged_id_branch_cell"
        ),
    )
