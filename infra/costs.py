"""The plan of a month's cost: `python -m infra.costs` prints the tables of README.md.

Unit prices are Google's public list for a region of the first tier (europe-west4, us-central1), US dollars, without
free allowances, discounts or taxes. They were not looked up live: `seen` says where a stored copy or a quotation of the
list had the price; without it, the price is unverified. What a farm needs is below, with what was measured and what
is assumed.
"""

from dataclasses import dataclass
from math import ceil

DATE = "November 2026"
HOURS = 730.0  # of a month
YEAR = 12  # months that the store has run


@dataclass(frozen=True)
class Price:
    dollars: float
    unit: str
    listed: str
    seen: str = ""


PRICES = {
    "service: vCPU": Price(0.000018, "vCPU and second", "cloud.google.com/run/pricing", "stored copy of that page"),
    "service: memory": Price(0.000002, "GiB and second", "cloud.google.com/run/pricing"),
    "training: L4": Price(0.67, "GPU and hour", "cloud.google.com/run/pricing", "articles of 2026"),
    "database: db-g1-small": Price(0.035, "hour", "cloud.google.com/sql/pricing"),
    "database: vCPU": Price(0.0413, "vCPU and hour", "cloud.google.com/sql/pricing", "article of May 2026"),
    "database: memory": Price(0.007, "GB and hour", "cloud.google.com/sql/pricing", "article of May 2026"),
    "database: disk": Price(0.17, "GB and month", "cloud.google.com/sql/pricing"),
    "database: backups": Price(0.08, "GB and month", "cloud.google.com/sql/pricing"),
    "buckets: storage": Price(0.02, "GB and month", "cloud.google.com/storage/pricing", "stored copy of that page"),
    "buckets: reads": Price(0.0000004, "operation", "cloud.google.com/storage/pricing", "stored copy of its examples"),
    "images": Price(0.10, "GB and month", "cloud.google.com/artifact-registry/pricing", "stored copy of that page"),
    "secrets": Price(0.06, "version and month", "cloud.google.com/secret-manager/pricing", "stored copy of that page"),
    "schedules": Price(0.10, "job and month", "cloud.google.com/scheduler/pricing", "stored copy of that page"),
    "internet": Price(0.12, "GB", "cloud.google.com/vpc/network-pricing", "stored copy of Cloud Storage's examples"),
}


@dataclass(frozen=True)
class Farm:
    """One hourly farm, 48 leads, 99 levels."""

    memory_gb: float = 0.037  # measured: a pool's bundle, opened; one gradient boosting takes less
    store_gb: float = 720 * 38e-6  # a month; measured: the demo's store over its forecasts, 38 kB each with its inputs
    models_gb: float = 10 * 0.017  # ten bundles in the registry, 17 MB measured
    data_gb: float = 0.5  # assumed: ten versions of 50 MB
    reads: float = 730 * 60  # of the pointer, if a mounted bucket asks once a minute (assumed)
    internet_gb: float = 720 * 4 * 0.1e-3  # assumed: four readers an hour, 100 kB each
    training_hours: float = 52 / 12 * 0.25  # assumed: once a week, a quarter of an hour; no GPU has been measured


@dataclass(frozen=True)
class Plan:
    """vcpus, memory_gib: of each of `services`, always there. database: vCPUs and GB; none is db-g1-small."""

    name: str
    farms: int
    services: int
    vcpus: int
    memory_gib: int
    database: tuple[int, float] | None


BASE_GIB = 0.17  # measured: the service that serves one bundle
PLANS = (
    Plan("asleep", 0, 0, 1, 1, None),
    Plan("at rest", 0, 1, 1, 1, None),
    Plan("10 farms", 10, 1, 1, 1, None),
    Plan("100 farms", 100, 1, 2, 5, (1, 3.75)),
    Plan("1,000 farms", 1000, 2, 6, 24, (4, 15.0)),
)


def dollars(name: str, amount: float) -> float:
    return PRICES[name].dollars * amount


def month(plan: Plan, farm: Farm) -> dict[str, float]:
    """US dollars a month for each part, after a year of storing."""
    seconds = HOURS * 3600
    stored = farm.store_gb * YEAR * plan.farms
    disk = max(10.0, ceil(stored * 1.2))
    trained = farm.training_hours * plan.farms
    machine = dollars("database: db-g1-small", HOURS)
    if plan.database is not None:
        vcpus, memory_gb = plan.database
        machine = dollars("database: vCPU", vcpus * HOURS) + dollars("database: memory", memory_gb * HOURS)
    return {
        "service": plan.services
        * (dollars("service: vCPU", plan.vcpus * seconds) + dollars("service: memory", plan.memory_gib * seconds)),
        "database": machine + dollars("database: disk", disk) + dollars("database: backups", stored),
        "training": trained
        * (dollars("training: L4", 1) + dollars("service: vCPU", 4 * 3600) + dollars("service: memory", 16 * 3600)),
        "buckets": dollars("buckets: storage", plan.farms * (farm.models_gb + farm.data_gb))
        + dollars("buckets: reads", plan.farms * farm.reads),
        "images, secrets, schedules": dollars("images", 30) + dollars("secrets", 3) + dollars("schedules", 2),
        "internet": dollars("internet", plan.farms * farm.internet_gb),
    }


def fits(plan: Plan, farm: Farm) -> bool:
    """Whether the champions of the plan's farms find room in the memory of its services."""
    each = BASE_GIB + farm.memory_gb * ceil(plan.farms / max(plan.services, 1))
    return each <= plan.memory_gib


def table() -> str:
    months = [month(plan, Farm()) for plan in PLANS]
    lines = [f"| $ a month | {' | '.join(plan.name for plan in PLANS)} |", "|---|" + "--:|" * len(PLANS)]
    lines += [f"| {part} | {' | '.join(f'{one[part]:,.0f}' for one in months)} |" for part in months[0]]
    lines.append(f"| **all** | {' | '.join(f'**{sum(one.values()):,.0f}**' for one in months)} |")
    return "\n".join(lines)


def prices() -> str:
    lines = ["| price | $ | for a | listed at | seen |", "|---|--:|---|---|---|"]
    for name, price in PRICES.items():
        shown = f"{price.dollars:.7f}".rstrip("0")
        lines.append(f"| {name} | {shown} | {price.unit} | {price.listed} | {price.seen or 'unverified'} |")
    return "\n".join(lines)


def main() -> None:
    print(f"{table()}\n\nUnit prices, {DATE}:\n\n{prices()}")


if __name__ == "__main__":
    main()
