"""Klim, fixed test split, leads 1 to 3 h: fitted once on all before the test, forecast every hour to the end.

With PyTorch also the pool that has a patch transformer in it, and the transformer alone.
"""

from importlib.util import find_spec

from measure import Measurement

from windcast.configs import settings
from windcast.evaluation.backtest import backtest
from windcast.evaluation.scores import score

DATA = "Klim test, 2002-06-18 to 2003-04-30"
CRPS = ((2.86, 2.80), (3.93, 3.85), (4.50, 4.38))
CRPS_DEEP = (2.80, 3.85, 4.38)
NMAE = (3.95, 5.45, 6.25)


def run() -> list[Measurement]:
    chosen = settings(["data=klim"])
    farm, contenders = chosen.farm(), chosen.contenders()
    headline = list(contenders)[-1]
    if find_spec("lightning"):
        deep = settings(["data=klim", "model=nowcast_deep", "backtest.against=[patchtst]"])
        contenders |= deep.contenders()
    else:
        print("klim_accuracy: windcast[deep] is not installed: no patch transformer.")
    result = backtest(farm, chosen.task(farm), contenders, chosen.plan(farm))
    rows = []
    for name, forecast in result.forecasts.items():
        held = name == headline
        for lead, one in enumerate(score(forecast, result.observed).leads.iter_rows(named=True)):
            label = f"{name}, {lead + 1} h"
            crps, aim = CRPS[lead] if held else (CRPS_DEEP[lead] if name == "nowcast_deep" else None, None)
            rows += [
                _row(f"CRPS of {label}", 100 * one["crps"], "% of capacity", crps, aim),
                _row(f"NMAE of {label}", 100 * one["nmae"], "% of capacity", NMAE[lead] if held else None),
            ]
            covers, share = f"90 % band of {label} covers", one["coverage_90"]
            if held:
                rows.append(_row(f"{covers} at least", share, "share", 0.88, better="higher"))
                rows.append(_row(f"{covers} at most", share, "share", 0.92))
            else:
                rows.append(_row(covers, share, "share"))
    for name, seconds in result.seconds.items():
        rows.append(_row(f"training of {name}", seconds["fit"], "s", 30 if name == headline else None))
    return rows


def _row(name, value, unit, target=None, aim=None, better="lower") -> Measurement:
    return Measurement(name=name, value=value, unit=unit, target=target, aim=aim, better=better, data=DATA)
