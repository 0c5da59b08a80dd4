"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from harness.history.columns import words

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
        sa.Column("name", words(200), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_plans"),
        sa.UniqueConstraint("name", name="uq_plans_name"),
    )
    op.create_table(
        "nights",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("plan_id", _ROW, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", words(20), nullable=False),
        sa.Column("started", sa.DateTime(), nullable=False),
        sa.Column("ended", sa.DateTime(), nullable=True),
        sa.Column("compared_with", sa.Integer(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("version", words(), nullable=False),
        sa.Column("host", words(), nullable=False),
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
        sa.Column("name", words(400), nullable=False),
        sa.Column("source", words(), nullable=False),
        sa.Column("tip", words(64), nullable=False),
        sa.Column("base", words(64), nullable=False),
        sa.Column("rewritten", sa.Boolean(), nullable=False),
        sa.Column("problem", words(), nullable=False),
        sa.ForeignKeyConstraint(["night_id"], ["nights.id"], name="fk_branches_night_id"),
        sa.PrimaryKeyConstraint("id", name="pk_branches"),
        sa.UniqueConstraint("night_id", "name", name="uq_branches_night_id_name"),
    )
    op.create_table(
        "revisions",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("night_id", _ROW, nullable=False),
        sa.Column("branch", words(400), nullable=False),
        sa.Column("commit", words(64), nullable=False),
        sa.Column("parent", words(64), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("subject", words(), nullable=False),
        sa.Column("author", words(), nullable=False),
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
        sa.Column("hash", words(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_consoles"),
    )
    op.create_table(
        "results",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("night_id", _ROW, nullable=False),
        sa.Column("branch", words(400), nullable=False),
        sa.Column("cell", words(400), nullable=False),
        sa.Column("commit", words(64), nullable=False),
        sa.Column("purpose", words(20), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("status", words(20), nullable=False),
        sa.Column("kind", words(20), nullable=False),
        sa.Column("outcome", words(40), nullable=False),
        sa.Column("title", words(), nullable=False),
        sa.Column("detail", words(), nullable=False),
        sa.Column("artifact", words(64), nullable=False),
        sa.Column("configuration", words(), nullable=False),
        sa.Column("topology", words(), nullable=False),
        sa.Column("guest", words(), nullable=False),
        sa.Column("host", words(), nullable=False),
        sa.Column("accelerator", words(20), nullable=False),
        sa.Column("method", words(20), nullable=False),
        sa.Column("started", sa.DateTime(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("stages", sa.JSON(), nullable=False),
        sa.Column("frames", sa.JSON(), nullable=False),
        sa.Column("seed", words(20), nullable=True),
        sa.Column("console", words(64), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=True),
        sa.Column("run", words(), nullable=False),
        sa.Column("record_cell", words(), nullable=False),
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
        sa.Column("name", words(), nullable=False),
        sa.Column("status", words(20), nullable=False),
        sa.Column("outcome", words(40), nullable=False),
        sa.Column("reason", words(), nullable=False),
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
        sa.Column("key", words(16), nullable=False),
        sa.Column("kind", words(20), nullable=False),
        sa.Column("title", words(), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_problems_plan_id"),
        sa.PrimaryKeyConstraint("id", name="pk_problems"),
        sa.UniqueConstraint("plan_id", "key", name="uq_problems_plan_id_key"),
    )
    op.create_table(
        "judged",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("problem_id", _ROW, nullable=False),
        sa.Column("night_id", _ROW, nullable=False),
        sa.Column("classification", words(20), nullable=False),
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
        sa.Column("why_unknown", words(), nullable=False),
        sa.Column("known_issue", words(), nullable=False),
        sa.Column("why", words(), nullable=False),
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
        sa.Column("kind", words(30), nullable=False),
        sa.Column("key", words(200), nullable=False),
        sa.Column("text", words(), nullable=False),
        sa.Column("problem", words(16), nullable=False),
        sa.Column("branch", words(400), nullable=True),
        sa.Column("cell", words(400), nullable=True),
        sa.Column("commit", words(64), nullable=False),
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
        sa.Column("recipient", words(400), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", words(), nullable=False),
        sa.Column("sent", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["night_id"], ["nights.id"], name="fk_outbox_night_id"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("night_id", "recipient", name="uq_outbox_night_id_recipient"),
    )
    op.create_table(
        "incidents",
        sa.Column("id", _ROW, nullable=False),
        sa.Column("judged_id", _ROW, nullable=False),
        sa.Column("branch", words(400), nullable=False),
        sa.Column("cell", words(400), nullable=False),
        sa.Column("first_bad", words(64), nullable=False),
        sa.Column("last_good", words(64), nullable=False),
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
