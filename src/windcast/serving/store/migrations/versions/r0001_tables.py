"""Farms, power, weather and forecasts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "farms",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("capacity_mw", sa.Double(), nullable=False),
        sa.Column("resolution", sa.BigInteger(), nullable=False),
        sa.Column("variables", sa.Text(), nullable=False),
        sa.Column("weather_kind", sa.Text(), nullable=False),
        sa.Column("interval", sa.Text(), nullable=False),
        sa.Column("attribution", sa.Text(), nullable=False),
        sa.Column("grace", sa.BigInteger(), nullable=False),
        sa.Column("issue_on_arrival", sa.Boolean(), nullable=False),
        sa.Column("issue_every", sa.BigInteger()),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("newest_power", sa.BigInteger()),
        sa.Column("newest_weather", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_farms"),
        sa.UniqueConstraint("name", name="uq_farms_name"),
    )
    for name, value in (
        ("power", sa.Column("value", sa.Double())),
        ("weather", sa.Column("value", sa.Text(), nullable=False)),
    ):
        op.create_table(
            name,
            sa.Column("farm_id", ID, nullable=False),
            sa.Column("time", sa.BigInteger(), nullable=False),
            sa.Column("available_at", sa.BigInteger(), nullable=False),
            value,
            sa.Column("received_at", sa.BigInteger(), nullable=False),
            sa.Column("revision", sa.BigInteger(), nullable=False),
            sa.PrimaryKeyConstraint("farm_id", "time", "available_at", name=f"pk_{name}"),
            sa.ForeignKeyConstraint(["farm_id"], ["farms.id"], name=f"fk_{name}_farm_id"),
            sqlite_with_rowid=False,
        )
    op.create_table(
        "forecasts",
        sa.Column("id", ID, nullable=False),
        sa.Column("farm_id", ID, nullable=False),
        sa.Column("issue_time", sa.BigInteger(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("bundle_checksum", sa.Text(), nullable=False),
        sa.Column("after", ID),
        sa.Column("quantiles", sa.LargeBinary(), nullable=False),
        sa.Column("rung", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.LargeBinary()),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_forecasts"),
        sa.ForeignKeyConstraint(["farm_id"], ["farms.id"], name="fk_forecasts_farm_id"),
        sa.ForeignKeyConstraint(["after"], ["forecasts.id"], name="fk_forecasts_after"),
        sa.UniqueConstraint("farm_id", "issue_time", "revision", "bundle_checksum", name="uq_forecasts_farm_id"),
    )
    op.create_index("ix_forecasts_farm_id_issue_time_id", "forecasts", ["farm_id", "issue_time", "id"])


def downgrade() -> None:
    for name in ("forecasts", "weather", "power", "farms"):
        op.drop_table(name)
