"""Klim wind farm, Denmark: 35 × 600 kW, hourly 1999 to 2003, with HIRLAM forecasts 1, 2 and 3 hours ahead.

Origin: computer exercise 4 of DTU course 02427. Columns `…k` of row t are the weather for t that was available k hours
before: each becomes a weather run row with available_at = t − k, so reading `Ws1` for two hours ahead is impossible.
"""

import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from windcast.data.farm import FarmData
from windcast.data.sources import published
from windcast.errors import SourceError

FILE = "cex4WindDataInterpolated.csv"
SHA256 = "9726f37e27bd393637ce89da53cc65c3dc1bca689907f2757e85baec1e44b129"
URL = "http://www.imm.dtu.dk/courses/02427/comp_ex_4_scripts_2011.zip"
CAPACITY_MW = 21.0

# The fixed split: issue times up to and including the first learn, up to the second validate, the rest test.
TRAIN_END = datetime(2002, 1, 11, 16, tzinfo=UTC)
VALIDATION_END = datetime(2002, 6, 18, 18, tzinfo=UTC)


def load(*, path: str | Path | None = None) -> FarmData:
    """Klim from `path`, from WINDCAST_DATA/klim, from the cache, or from the publisher, always checked by sha256."""
    file = published.find(f"klim/{FILE}", path) or _fetch()
    published.check(file, SHA256)
    table = pl.read_csv(file, null_values=["NA"], infer_schema_length=None)
    time = pl.col("t").str.to_datetime("%Y-%m-%d %H:%M:%S", time_zone="UTC", time_unit="us")
    runs = [
        table.select(
            time.alias("valid_time"),
            (time - timedelta(hours=lead)).alias("available_at"),
            pl.col(f"Ws{lead}").cast(pl.Float64).alias("wind_speed"),
            pl.col(f"Wd{lead}").cast(pl.Float64).alias("wind_direction"),
            pl.col(f"T{lead}").cast(pl.Float64).alias("temperature"),
        )
        for lead in (1, 2, 3)
    ]
    return FarmData(
        name="klim",
        capacity_mw=CAPACITY_MW,
        resolution=timedelta(hours=1),
        power=table.select(time.alias("time"), pl.col("p").alias("power_mw")),
        weather=pl.concat(runs),
        attribution="DTU 02427 computer exercise 4; weather forecasts: HIRLAM.",
    )


def _fetch() -> Path:
    cached = published.cache_folder() / FILE
    if cached.is_file():
        return cached
    archive = published.download(URL, cached.with_suffix(".zip"))
    with zipfile.ZipFile(archive) as content:
        names = [n for n in content.namelist() if n.endswith(FILE)]
        if not names:
            raise SourceError(f"{URL}: holds no {FILE}; the publisher has changed it. Give a path instead.")
        part = cached.with_suffix(".part")
        part.write_bytes(content.read(names[0]))
    archive.unlink()
    return part.replace(cached)
