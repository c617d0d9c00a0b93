"""La Haute Borne, France: four Senvion MM82, 8.2 MW, 2014 and 2015, embedded in the package. Weather is reanalysis.

Data: ENGIE, Etalab Open Licence 2.0, through the examples of OpenOA 3.2; `embedded/LA_HAUTE_BORNE.md` tells what was
changed and why. ERA5 and MERRA-2 were never forecasts: they count as known in advance, and every score says so.
"""

from datetime import timedelta
from importlib.resources import files

import polars as pl

from windcast.data.farm import FarmData
from windcast.errors import ConfigError

CAPACITY_MW = 8.2
VARIABLES = (
    "wind_speed_100m_era5",
    "wind_direction_100m_era5",
    "temperature_2m_era5",
    "pressure_surface_era5",
    "wind_speed_10m_merra2",
    "wind_direction_10m_merra2",
    "wind_speed_50m_merra2",
    "wind_direction_50m_merra2",
)
TABLES = {60: "hourly", 10: "10min"}


def load(*, resolution_minutes: int = 60, weather: tuple[str, ...] = ("era5", "merra2")) -> FarmData:
    """The farm at 60 or 10 minutes, with the reanalyses named. Raises ConfigError for others."""
    if resolution_minutes not in TABLES:
        raise ConfigError(f"data.resolution_minutes is {resolution_minutes}; La Haute Borne comes at 60 or 10.")
    for model in weather:
        if model not in ("era5", "merra2"):
            raise ConfigError(f"data.weather has '{model}'; La Haute Borne comes with era5 and merra2.")
    table = _read(f"la_haute_borne_{TABLES[resolution_minutes]}.parquet")
    reanalysis = _read("la_haute_borne_weather.parquet")
    variables = [c for c in VARIABLES if c.rpartition("_")[2] in weather]
    return FarmData(
        name="la_haute_borne",
        capacity_mw=CAPACITY_MW,
        resolution=timedelta(minutes=resolution_minutes),
        power=table.select("time", pl.col("power_mw").cast(pl.Float64).clip(0, CAPACITY_MW)),
        weather=reanalysis.select(
            "valid_time",
            pl.lit(None, pl.Datetime("us", "UTC")).alias("available_at"),
            pl.col(variables).cast(pl.Float64),
        ),
        weather_kind="reanalysis",
        availability=table.select("time", pl.col("availability").cast(pl.Float64)),
        curtailment=table.select("time", pl.col("curtailed_mw").cast(pl.Float64)),
        attribution="ENGIE, La Haute Borne, Etalab Open Licence 2.0; ERA5: Copernicus; MERRA-2: NASA.",
    )


def _read(name: str) -> pl.DataFrame:
    return pl.read_parquet((files("windcast.data") / "embedded" / name).read_bytes())
