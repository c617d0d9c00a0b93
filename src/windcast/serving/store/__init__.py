"""The store of the live service: every version of every value, every forecast issued, and the farms.

    store = Store.open("windcast.db")        # or postgresql://user@host/database

Every call is one transaction and safe from any thread; several processes may share a database.
"""

from typing import Self

from windcast.serving.store.engine import connect
from windcast.serving.store.errors import StoreError, StoreUnavailable, UnknownFarm, VersionConflict
from windcast.serving.store.forecasts import Forecasts
from windcast.serving.store.ingest import Ingest
from windcast.serving.store.migrating import bring_up_to_date
from windcast.serving.store.reading import Reading
from windcast.serving.store.records import FarmRecord, ForecastEntry, Page, Receipt, StoredForecast


class Store(Ingest, Reading, Forecasts):
    """See the parts: Farms, Ingest, Reading, Forecasts."""

    @classmethod
    def open(cls, url: str) -> Self:
        """A store at a PostgreSQL URL or in an SQLite file (path or URL), created or brought up to date if need be.

        Raises StoreError where the address or the database is of something else, damaged or of a newer windcast, and
        StoreUnavailable where it does not answer.
        """
        engine = connect(url)
        try:
            bring_up_to_date(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)


__all__ = [
    "FarmRecord",
    "ForecastEntry",
    "Page",
    "Receipt",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "StoredForecast",
    "UnknownFarm",
    "VersionConflict",
]
