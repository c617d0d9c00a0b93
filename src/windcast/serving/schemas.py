"""The documents of the API, as OpenAPI describes them. What is sent is read by hand, in `bodies` and `asking`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Stamp = Annotated[str, Field(examples=["2026-07-01T06:00:00Z"], description="ISO 8601, UTC.")]
RungName = Literal["fresh", "older_run", "no_weather", "no_power", "nothing"]


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str = Field(description="One sentence: what is wrong, where, and what to do.")
    instance: str
    request_id: str


class BundleName(BaseModel):
    name: str
    checksum: str
    model: str
    trained_until: Stamp


class BundleCard(BundleName):
    """What a bundle is, what it was trained on, and what its backtest promises."""

    farm: str
    title: str
    attribution: str
    capacity_mw: float
    resolution_minutes: float
    horizon: int
    levels: list[float]
    variables: list[str]
    weather_kind: str
    interval: Literal["end", "start"]
    created: str
    scores: dict[str, float | None] = Field(description="Of its backtest; errors are fractions of capacity.")
    ladder: dict[str, list[float | None]] = Field(description="CRPS by lead on each rung, a fraction of capacity.")
    versions: dict[str, str]
    data_checksum: str


class Inputs(BaseModel):
    """What a forecast stood on."""

    rung: RungName = Field(description="The lowest rung of any lead.")
    sentence: str
    rungs: list[RungName]
    newest_power: Stamp | None
    power_age_minutes: float | None
    newest_weather: Stamp | None
    weather_age_minutes: float | None
    missing: list[str]
    backtest_crps: float | None = Field(description="What backtests measured on these rungs, a fraction of capacity.")
    backtest_crps_by_lead: list[float | None] | None


class Past(BaseModel):
    times: list[Stamp]
    power_mw: list[float | None]


class ForecastDocument(BaseModel):
    """Quantiles of power in MW: a row a lead time, a column a level."""

    id: int | None = Field(default=None, description="Of a forecast that is kept.")
    farm: str
    title: str
    bundle: BundleName
    issue_time: Stamp
    made_at: Stamp
    resolution_minutes: float
    capacity_mw: float
    interval: Literal["end", "start"]
    levels: list[float]
    valid_times: list[Stamp]
    lead_minutes: list[float]
    quantiles_mw: list[list[float]]
    inputs: Inputs
    notes: list[str]
    past: Past | None = None
    observed_mw: list[float | None] | None = None


class Forecasts(BaseModel):
    forecasts: list[ForecastDocument]


class ForecastEntry(BaseModel):
    id: int
    issue_time: Stamp
    made_at: Stamp
    bundle: str
    bundle_checksum: str
    revision: int
    rung: RungName


class Replayed(BaseModel):
    id: int
    equal: bool = Field(description="Made again from what was known then, it has the same bits.")
    largest_difference_mw: float


class Farm(BaseModel):
    name: str
    title: str
    bundle: str
    model: str | None = Field(description="null where the bundle is not served.")
    capacity_mw: float
    resolution_minutes: float
    horizon: int | None
    variables: list[str]
    weather_kind: str
    attribution: str
    interval: Literal["end", "start"]
    grace_minutes: float
    issue_on_arrival: bool
    issue_every_minutes: float | None
    trained_until: Stamp | None
    newest_power: Stamp | None
    newest_weather: Stamp | None = Field(description="When the newest became known; null where it is reanalysis.")
    latest_issue_time: Stamp | None
    revision: int
    now: Stamp = Field(description="The service's clock, against which ages are told.")


class FarmSettings(BaseModel):
    """What can be said of a farm; what is left out stays. Capacity, resolution and weather come from its bundle."""

    model_config = ConfigDict(extra="forbid", strict=True)

    bundle: str | None = Field(
        default=None, max_length=64, description="Needed for a farm that is not there yet, where several are served."
    )
    title: str | None = Field(default=None, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")
    grace_minutes: float | None = Field(
        default=None, ge=0, le=1440, description="How late a value may come and still count for the issue time before."
    )
    issue_on_arrival: bool = True
    issue_every_minutes: int | None = Field(
        default=None, ge=1, le=1440, description="Issue by the clock; divides a day."
    )


class Receipt(BaseModel):
    """What became of a batch. Sent again, it is all `repeated`."""

    farm: str
    revision: int
    added: int
    corrected: int
    repeated: int
    set_to_zero: int = Field(description="Values a little below 0, standby consumption, taken as 0.")
    set_to_capacity: int = Field(description="Values a little above the capacity, taken as it.")


class LeadScores(BaseModel):
    lead_minutes: float
    n: int
    crps: float | None
    nmae: float | None
    coverage_90: float | None = None
    backtest_crps: float | None


class ReliabilityPoint(BaseModel):
    level: float
    observed: float
    low: float | None
    high: float | None


class Scores(BaseModel):
    """How good the issued forecasts turned out. Errors are fractions of capacity.

    Of each issue time and lead, the last forecast that was made before its time counts.
    """

    farm: str
    start: Stamp
    end: Stamp
    forecasts: int = Field(description="Issue times of which a lead is measured.")
    filled_in: int = Field(description="Those of them whose forecast was made afterwards, from data on file.")
    pairs: int = Field(description="Measured leads.")
    measured_start: Stamp
    measured_end: Stamp = Field(description="First and last time at which a lead is measured: the end of its interval.")
    crps: float
    nmae: float
    bias: float
    backtest_crps: float | None
    skill_persistence: float | None
    coverage: dict[str, float | None]
    rungs: dict[str, int]
    leads: list[LeadScores]
    reliability: list[ReliabilityPoint]
    reanalysis: bool


class PowerValue(BaseModel):
    time: Stamp
    available_at: Stamp
    power_mw: float | None


class BundlePage(BaseModel):
    items: list[BundleCard]
    next: str | None


class FarmPage(BaseModel):
    items: list[Farm]
    next: str | None


class ForecastPage(BaseModel):
    items: list[ForecastEntry]
    next: str | None


class PowerPage(BaseModel):
    items: list[PowerValue]
    next: str | None


class WeatherPage(BaseModel):
    items: list[dict[str, float | str | None]] = Field(description="valid_time, available_at, and the variables.")
    next: str | None


class Health(BaseModel):
    status: Literal["ok"]


class Ready(BaseModel):
    status: Literal["ready"]
    bundles: int
    farms: int


COLUMN = {"type": "array", "items": {"type": ["number", "string", "null"]}}
COLUMNS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"anyOf": [COLUMN, {"type": ["string", "number", "null"]}]},
    "minProperties": 1,
}
QUESTION: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "bundle": {"type": "string", "description": "Needed only where several bundles are served."},
        "farm": {"type": "string", "description": "A name of your choice, given back."},
        "issue_times": {"type": "array", "items": {"type": "string"}, "description": "Default: the last known power."},
        "power": COLUMNS | {"required": ["time", "power_mw"]},
        "weather": COLUMNS | {"required": ["valid_time"]},
    },
}
QUESTIONS: dict[str, Any] = {
    "type": "object",
    "required": ["forecasts"],
    "properties": {"forecasts": {"type": "array", "items": QUESTION, "minItems": 1}},
}


def body(schema: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route that takes a table as JSON, CSV or Parquet."""
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema},
                "text/csv": {"schema": {"type": "string"}},
                "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    }


def settings_body() -> dict[str, Any]:
    """As `body`, for FarmSettings."""
    schema = {"$ref": "#/components/schemas/FarmSettings"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: the problem documents it may answer with."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    said = {
        400: "The request cannot be read",
        401: "No key, or an unknown one",
        403: "The key does not allow it",
        404: "Nothing is there",
        406: "No such format",
        409: "It contradicts what is stored",
        413: "Too large",
        415: "A content type that is not read here",
        422: "The values break the contract",
        429: "Too many requests",
        503: "For a moment not possible",
    }
    every = {401, 403, 404, 429, 503} | set(statuses)
    return {status: {"description": said[status], "content": content} for status in sorted(every)}
