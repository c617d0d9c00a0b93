"""La Haute Borne, leads 1 to 48 h, with reanalysis in place of forecasts: better than any live forecast can be."""

from measure import Measurement

from windcast.configs import settings
from windcast.evaluation.backtest import backtest
from windcast.evaluation.leaderboard import leaderboard

DATA = "La Haute Borne, 2015-07 to 2015-12, reanalysis"


def run() -> list[Measurement]:
    chosen = settings([])
    farm = chosen.farm()
    apart = {name: settings([f"model={name}"]).document["model"] for name in ("gbm", "forest", "mlp")}
    models = apart | chosen.contenders()
    result = backtest(farm, chosen.task(farm), models, chosen.plan(farm))
    rows = []
    for one in leaderboard(result).iter_rows(named=True):
        name = one["model"]
        rows += [
            _row(f"CRPS of {name}", one["crps"], "% of capacity"),
            _row(f"NMAE of {name}", one["nmae"], "% of capacity"),
            _row(f"coverage of the 90 % band of {name}", one["coverage_90"], "%"),
            _row(f"training of {name}", one["fit_seconds"], "s"),
        ]
    return rows


def _row(name, value, unit) -> Measurement:
    return Measurement(name=name, value=value, unit=unit, data=DATA)
