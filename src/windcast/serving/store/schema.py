"""The tables. Times and durations are BIGINT microseconds, times since 1970 in UTC.

Rows of power and weather are never changed and never deleted: a correction is a row with a later available_at.
`revision` counts a farm's accepted batches; a row carries the revision of the batch that brought it.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

HEAD = "0001"
VERSION_TABLE = "windcast_version"

Id = BigInteger().with_variant(Integer, "sqlite")
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

farms = Table(
    "farms",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("bundle", Text, nullable=False),
    Column("capacity_mw", Double, nullable=False),
    Column("resolution", BigInteger, nullable=False),
    Column("variables", Text, nullable=False),  # JSON array of names
    Column("weather_kind", Text, nullable=False),
    Column("interval", Text, nullable=False),
    Column("attribution", Text, nullable=False),
    Column("grace", BigInteger, nullable=False),
    Column("issue_on_arrival", Boolean, nullable=False),
    Column("issue_every", BigInteger),
    Column("created", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    # Kept by every append, so that the newest is found without looking through the values.
    Column("newest_power", BigInteger),
    Column("newest_weather", BigInteger),
)

power = Table(
    "power",
    metadata,
    Column("farm_id", Id, ForeignKey("farms.id"), primary_key=True),
    Column("time", BigInteger, primary_key=True),
    Column("available_at", BigInteger, primary_key=True),
    Column("value", Double),  # MW, null where the value was taken back or not measured
    Column("received_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

weather = Table(
    "weather",
    metadata,
    Column("farm_id", Id, ForeignKey("farms.id"), primary_key=True),
    Column("time", BigInteger, primary_key=True),
    Column("available_at", BigInteger, primary_key=True),
    Column("value", Text, nullable=False),  # JSON array in the order of the farm's variables, null where missing
    Column("received_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

forecasts = Table(
    "forecasts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("farm_id", Id, ForeignKey("farms.id"), nullable=False),
    Column("issue_time", BigInteger, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("bundle", Text, nullable=False),
    Column("bundle_checksum", Text, nullable=False),
    Column("after", Id, ForeignKey("forecasts.id")),
    Column("quantiles", LargeBinary, nullable=False),  # [H, Q] float32, little-endian
    Column("rung", LargeBinary, nullable=False),  # [H] int8
    Column("state", LargeBinary),
    Column("document", Text, nullable=False),  # JSON object
    UniqueConstraint("farm_id", "issue_time", "revision", "bundle_checksum"),
    Index(None, "farm_id", "issue_time", "id"),
)
