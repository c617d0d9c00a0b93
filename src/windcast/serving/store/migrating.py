"""Bringing a database to the schema of this windcast, whoever opens it first."""

from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, inspect, text

from windcast.serving.store.engine import translated
from windcast.serving.store.errors import StoreError
from windcast.serving.store.schema import HEAD, VERSION_TABLE, metadata

SCRIPTS = Path(__file__).parent / "migrations"
ADVISORY_LOCK = 0x77696E6463617374  # "windcast"; held while a PostgreSQL database is brought up to date
_alembic = Lock()  # Alembic keeps its context in module globals


def bring_up_to_date(engine: Engine) -> None:
    """Create the tables, or bring older ones up to date, in one transaction; of two that open at once, one waits.

    Raises StoreError where the database is of something else, or of a newer windcast.
    """
    where = engine.url.render_as_string(hide_password=True)
    with translated():
        if engine.dialect.name == "sqlite":
            _write_ahead(engine)
        with _alembic, engine.execution_options(immediate=True).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            version = stored_version(connection)
            if version is None:
                _refuse_foreign(connection, where)
                _create(connection)
            elif version > HEAD:
                raise StoreError(
                    f"{where} was written by a newer windcast (schema {version}, this one knows {HEAD}). "
                    "Upgrade windcast, or give another database."
                )
            elif version < HEAD:
                migrate(connection, HEAD)


def _create(connection: Connection) -> None:
    """An empty database gets what all migrations together make, without Alembic, which is slow to import."""
    metadata.create_all(connection)
    versions = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))
    versions.create(connection, checkfirst=True)
    connection.execute(versions.insert().values(version_num=HEAD))


def migrate(connection: Connection, to: str) -> None:
    """Run the migrations up or down to the schema `to` ("base": no tables) within the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    up = (stored_version(connection) or "") < to and to != "base"
    (command.upgrade if up else command.downgrade)(config, to)


def stored_version(connection: Connection) -> str | None:
    """The schema that a database has; None where it has none of windcast's."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version: Any = connection.scalar(text(f"SELECT max(version_num) FROM {VERSION_TABLE}"))  # noqa: S608
    return None if version is None else str(version)


def _refuse_foreign(connection: Connection, where: str) -> None:
    """A file with tables of something else is not ours; a PostgreSQL database may be shared, but not our names."""
    tables = set(inspect(connection).get_table_names()) - {VERSION_TABLE}
    foreign = tables if connection.dialect.name == "sqlite" else tables & set(metadata.tables)
    if foreign:
        raise StoreError(f"{where} holds tables of something else ({', '.join(sorted(foreign)[:5])}). Give another.")


def _write_ahead(engine: Engine) -> None:
    """Readers do not wait for the writer, and a commit costs one sync. The file keeps the mode."""
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA journal_mode = WAL")
