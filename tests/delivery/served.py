"""A service in a process of its own, its farm's last fortnight on file, whose clock two signals move.

    python served.py BUNDLE STORE KEYS PORT

SIGUSR1: six hours pass in which nothing arrives. SIGUSR2: they did not. Scores are kept for a second, not a minute.
"""

import signal
import sys
from datetime import timedelta
from pathlib import Path

from windcast.serving import watching
from windcast.workflows.serving import Clock, address, opened, run, settings_of

HOURS = timedelta(hours=6)


def main(bundle: str, store: str, keys: str, port: str) -> None:
    watching.SCORES_KEPT = 1.0
    chosen = settings_of([Path(bundle)], store=store, keys=Path(keys), port=int(port))
    taken = address(chosen)
    service = opened(chosen, demo=True)
    clock = service.now
    assert isinstance(clock, Clock)

    def moved(number: int, _: object) -> None:
        clock.ahead += HOURS if number == signal.SIGUSR1 else -HOURS

    signal.signal(signal.SIGUSR1, moved)
    signal.signal(signal.SIGUSR2, moved)
    run(service, taken=taken, on_ready=lambda at: print(at, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
