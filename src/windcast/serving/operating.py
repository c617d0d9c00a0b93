"""Live operation: forecasts issued from what the store knows, kept, and made again to the bit when asked."""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from weakref import WeakKeyDictionary

import numpy as np
import polars as pl
from numpy.typing import NDArray

from windcast.data.farm import FarmData
from windcast.data.windows import ARRAYS, Windows, build_windows
from windcast.models.calibration import Calibrated
from windcast.models.forecast import Forecast
from windcast.registry.production import Memory, advance, fitting, floor, reach
from windcast.serving.bodies import utc
from windcast.serving.documents import FILLED_IN, ON_TRAINING, REANALYSIS, Issued, inputs_of, past_steps
from windcast.serving.problems import Conflict, Unprocessable
from windcast.serving.shelf import Served, Shelf
from windcast.serving.store import FarmRecord, Store, StoredForecast

CACHED = 20_000  # inner forecasts kept


@dataclass(frozen=True)
class Replay:
    """equal: the forecast made again has the bits of the one that was issued. largest_mw: the greatest difference."""

    equal: bool
    largest_mw: float


class Operator:
    """Issues forecasts of the store's farms. Safe to call from several threads."""

    def __init__(self, store: Store, shelf: Shelf) -> None:
        self.store, self.shelf = store, shelf
        self.caches: WeakKeyDictionary[Served, Cache] = WeakKeyDictionary()
        self.caching = threading.Lock()

    def register(self) -> None:
        """A farm for each bundle whose farm is not in the store yet."""
        known = {record.bundle for record in self.store.farms(limit=100_000)}
        for served in self.shelf.served.values():
            if served.name not in known:
                self.store.put_farm(record_of(served))

    def served_for(self, record: FarmRecord) -> Served:
        """Raises Conflict if the farm's bundle is not served, or does not fit what is stored of the farm."""
        if record.bundle not in self.shelf.served:
            raise Conflict(f"{record.name} is forecast by bundle '{record.bundle}', which is not served. PUT another.")
        served = self.shelf.served[record.bundle]
        task = served.bundle.forecaster.task
        if (task.capacity_mw, task.resolution, served.bundle.forecaster.variables) != (
            record.capacity_mw,
            record.resolution,
            record.variables,
        ):
            raise Conflict(
                f"bundle '{record.bundle}' is of another capacity, resolution or weather than {record.name}."
            )
        return served

    def issue(
        self, name: str, issue_time: datetime | None = None, *, now: datetime, from_history: bool = False
    ) -> StoredForecast:
        """The forecast of an issue time (default: the grid time at or before now), from all that the store knows.

        Repeated with nothing new it is the forecast that is stored already. from_history: it is filled in afterwards
        from data on file, and says so.
        """
        record = self.store.farm(name)
        served = self.served_for(record)
        issue = floor(now if issue_time is None else issue_time, record.resolution)
        if issue > now:
            raise Unprocessable(f"issue_time {issue:%Y-%m-%d %H:%M} UTC has not come yet; it is {now:%Y-%m-%d %H:%M}.")
        if issue_time is not None and issue_time != issue:
            raise Unprocessable(
                f"issue_time {issue_time:%Y-%m-%d %H:%M:%S} is off the farm's {record.resolution} grid."
            )
        before = self.store.forecast_before(name, issue_time=issue, bundle_checksum=served.checksum)
        forecast, windows, memory = self._made(record, served, issue, before)
        return self.store.add_forecast(
            name,
            issue_time=issue,
            made_at=now,
            revision=record.revision,
            bundle=served.name,
            bundle_checksum=served.checksum,
            after=None if before is None else before.id,
            values=forecast.values[0],
            rung=forecast.rung[0],
            state=None if memory is None else memory.to_bytes(),
            document={
                "inputs": inputs_of(windows, forecast, served),
                "notes": [*notes_of(forecast, served, issue), *([FILLED_IN] if from_history else [])],
                "levels": list(forecast.task.levels),
                "from_history": from_history,
            },
        )

    def replay(self, stored: StoredForecast) -> Replay:
        """Makes a stored forecast again, from what the store knew then. Raises Conflict if its bundle is not served."""
        record = self.store.farm(stored.farm)
        served = self.shelf.served.get(stored.bundle)
        if served is None or served.checksum != stored.bundle_checksum:
            raise Conflict(
                f"forecast {stored.id} was made by bundle '{stored.bundle}' ({stored.bundle_checksum[:12]}), "
                "which is not served. Serve that bundle to replay it."
            )
        before = None if stored.after is None else self.store.forecast(stored.farm, id=stored.after)
        forecast, _, _ = self._made(record, served, stored.issue_time, before, revision=stored.revision, cached=False)
        equal = (
            forecast.values[0].tobytes() == stored.values.tobytes()
            and forecast.rung[0].astype(np.int8).tobytes() == stored.rung.tobytes()
        )
        return Replay(equal, float(np.abs(forecast.values[0] - stored.values).max()))

    def _made(
        self,
        record: FarmRecord,
        served: Served,
        issue: datetime,
        before: StoredForecast | None,
        *,
        revision: int | None = None,
        cached: bool = True,
    ) -> tuple[Forecast, Windows, Memory | None]:
        memory = None if before is None or before.state is None else Memory.from_bytes(before.state)
        start = reach(served.bundle, issue, memory)
        farm = self.farm(record, served, start, issue, revision=record.revision if revision is None else revision)
        predict = self.cache(served).predict if cached else None
        forecast, after = advance(served.bundle, farm, issue, memory, predict=predict)
        windows = build_windows(farm, forecast.task, forecast.issue_times).without_target()
        return forecast, windows, after

    def cache(self, served: Served) -> "Cache":
        """Of this very bundle: another that takes its name has its own, and this one goes when nobody holds it."""
        with self.caching:
            if served not in self.caches:
                self.caches[served] = Cache(served)
            return self.caches[served]

    def farm(self, record: FarmRecord, served: Served, start: datetime, issue: datetime, *, revision: int) -> FarmData:
        """What the store knows of a farm around an issue time, as models see it."""
        task = served.bundle.forecaster.task
        end = issue + (task.horizon + task.weather_lookahead) * task.resolution
        step = max(served.weather_grid[0], task.resolution)  # hours between two stamps need both
        power = self.store.power(record.name, start=start, end=issue, revision=revision)
        weather = self.store.weather(record.name, start=start - step, end=end + step, revision=revision)
        reanalysis = record.weather_kind == "reanalysis"
        farm = FarmData(
            name=record.name,
            capacity_mw=record.capacity_mw,
            resolution=record.resolution,
            power=counted(power if power["power_mw"].is_not_null().any() else power.clear(), "time", record),
            weather=newest(weather) if reanalysis else counted(weather, "valid_time", record),
            weather_kind=record.weather_kind,
            weather_resolution=served.weather_grid[0],
            interval=record.interval,
        )
        return fitting(served.bundle, farm)

    def newest(self, record: FarmRecord) -> tuple[datetime | None, datetime | None]:
        """The newest time whose power is known, and when the newest weather became known.

        None where there is none; of reanalysis, which nobody had in advance, there never is.
        """
        power, weather = self.store.newest(record.name)
        return power, None if record.weather_kind == "reanalysis" else weather

    def issued(self, stored: StoredForecast) -> Issued:
        """A stored forecast with what was measured before and, as far as it is known by now, after its issue time."""
        record = self.store.farm(stored.farm)
        served = self.shelf.served.get(stored.bundle)
        if served is None or served.checksum != stored.bundle_checksum:
            served = self.served_for(record)  # the numbers are the stored ones; task and names are the farm's
        issue = np.datetime64(stored.issue_time.replace(tzinfo=None), "us")
        step = np.timedelta64(record.resolution, "us")
        steps = past_steps(served.bundle.forecaster.task)
        past, ahead = issue + step * np.arange(1 - steps, 1), issue + step * np.arange(1, len(stored.values) + 1)
        forecast = Forecast(
            task=served.bundle.forecaster.task,
            issue_times=np.array([issue]),
            values=stored.values[None],
            rung=stored.rung[None],
            reanalysis=record.weather_kind == "reanalysis",
        )
        truth = self.store.truth(stored.farm, times=np.concatenate([past, ahead]))
        return Issued(
            served=served,
            farm=stored.farm,
            title=record.title,
            forecast=forecast,
            made_at=stored.made_at,
            inputs=stored.document["inputs"],
            interval=record.interval,
            id=stored.id,
            notes=tuple(stored.document["notes"]),
            past=(past, truth[:steps]),
            observed=truth[steps:],
        )


class Cache:
    """A model's forecasts by the bytes of their windows: catching up asks for the same ones again and again."""

    def __init__(self, served: Served) -> None:
        forecaster = served.bundle.forecaster
        self.model = forecaster.model if isinstance(forecaster, Calibrated) else forecaster
        self.found: OrderedDict[bytes, tuple[NDArray[np.float32], NDArray[np.int8]]] = OrderedDict()
        self.lock = threading.Lock()
        self.most = max(10, min(CACHED, 400_000_000 // (4 * self.model.task.horizon * len(self.model.task.levels))))

    def predict(self, windows: Windows) -> Forecast:
        """As the model's own, to the bit."""
        keys = [_fingerprint(windows, row) for row in range(len(windows))]
        with self.lock:
            held = {key: self.found[key] for key in set(keys) if key in self.found}
        fresh = [row for row, key in enumerate(keys) if key not in held]
        if fresh:
            made = self.model.predict(windows.take(np.array(fresh)))
            with self.lock:
                for place, row in enumerate(fresh):
                    held[keys[row]] = self.found[keys[row]] = made.values[place].copy(), made.rung[place].copy()
                while len(self.found) > self.most:
                    self.found.popitem(last=False)
        values = np.stack([held[key][0] for key in keys])
        return Forecast.of(windows, values, np.stack([held[key][1] for key in keys]))


def _fingerprint(windows: Windows, row: int) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for name in ARRAYS:
        if name not in ("target", "free"):
            digest.update(getattr(windows, name)[row].tobytes())
    return digest.digest()


def record_of(served: Served) -> FarmRecord:
    """The farm that a bundle was trained on. A value that comes within the step counts for the step's issue time."""
    manifest, forecaster = served.bundle.manifest, served.bundle.forecaster
    return FarmRecord(
        name=served.farm,
        title=titled(str(manifest["farm"])),
        bundle=served.name,
        capacity_mw=forecaster.task.capacity_mw,
        resolution=forecaster.task.resolution,
        variables=forecaster.variables,
        weather_kind=manifest["contract"]["weather_kind"],
        interval=manifest.get("interval", "end"),
        attribution=str(manifest.get("attribution", "")),
        grace=forecaster.task.resolution,
    )


def titled(name: str) -> str:
    """la_haute_borne is La Haute Borne; a name that its owner has written with care stays."""
    return name.replace("_", " ").title() if name.islower() else name


def notes_of(forecast: Forecast, served: Served, issue: datetime) -> list[str]:
    notes = [REANALYSIS] if forecast.reanalysis else []
    return [*notes, ON_TRAINING] if issue < served.bundle.trained_until else notes


def counted(table: pl.DataFrame, key: str, record: FarmRecord) -> pl.DataFrame:
    """The versions with available_at as it counts: within the farm's grace, at the grid time before it came."""
    if not record.grace:
        return table
    came = table["available_at"].to_physical().to_numpy()
    step, grace = (int(span / timedelta(microseconds=1)) for span in (record.resolution, record.grace))
    late = came % step
    counts = pl.Series("available_at", utc((came - np.where(late <= grace, late, 0)).view("datetime64[us]")))
    return table.with_columns(counts).unique([key, "available_at"], keep="last", maintain_order=True)


def newest(weather: pl.DataFrame) -> pl.DataFrame:
    """Reanalysis: the last version of each hour, known in advance."""
    last = weather.unique("valid_time", keep="last", maintain_order=True)
    return last.with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias("available_at"))


def due(record: FarmRecord, now: datetime) -> datetime | None:
    """The last time at which a farm that issues by the clock should have issued."""
    return None if record.issue_every is None else floor(now, record.issue_every).astimezone(UTC)
