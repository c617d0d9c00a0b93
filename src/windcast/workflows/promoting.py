"""Promotion: a challenger judged beside the champion on issue times that neither has seen; the alias moved, or not."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from windcast.configs import Settings, farm_of
from windcast.data.farm import FarmData, Times
from windcast.data.windows import build_windows
from windcast.errors import ConfigError, DataContractError, TaskError, unknown_name
from windcast.evaluation import gate
from windcast.evaluation.backtest import issue_times, training_windows
from windcast.evaluation.gate import CRITERIA, Costs, Criteria, Finding
from windcast.evaluation.leaderboard import REFERENCES
from windcast.evaluation.scores import crps
from windcast.models.base import build
from windcast.registry import pointer, production
from windcast.registry.bundles import MANIFEST, Bundle, open_bundle
from windcast.registry.champions import Champions, Entry, Move
from windcast.registry.spans import seen_by, unseen
from windcast.registry.tracking import spool
from windcast.workflows.answering import smoke_test
from windcast.workflows.jobs import Progress, quiet
from windcast.workflows.verdicts import Verdict

TIMED = 7  # forecasts, of which the quickest is the latency: the others wait for other programs
SHORTEST_REASON = 10  # characters


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What to promote. run: a folder with a bundle, or a tracked name. runs, registry: folders. farm: a description of
    the farm's data; None for the bundle's own. since: the first issue time to compare on; None for the first unseen.
    reason: required with force.
    """

    run: str
    runs: Path = Path("runs")
    registry: Path = Path("runs") / "registry"
    farm: Path | None = None
    since: datetime | None = None
    force: bool = False
    reason: str = ""
    command: str = ""
    criteria: Criteria = field(default_factory=lambda: CRITERIA)

    def __post_init__(self) -> None:
        if self.force and len(self.reason.strip()) < SHORTEST_REASON:
            raise ConfigError("--force needs --reason with a sentence that will stand in the history.")
        if len(self.reason) > 2000:
            raise ConfigError(f"--reason has {len(self.reason):,} characters; keep it below 2,000.")


def promote(asked: Asked, *, on_progress: Progress = quiet) -> tuple[Verdict, Path]:
    """Registers the run's bundle, judges it, moves the alias if it passes or is forced, and writes the verdict.

    Returns the verdict and its folder.
    Raises WindcastError where there is nothing to judge: no such run, a broken or newer bundle, no database. Nothing is
    moved then.
    """
    folder, tags = found(asked.run, asked.runs)
    bundle = open_bundle(folder)
    champions = Champions(str(bundle.manifest["farm"]), asked.registry)
    on_progress("registering", 0, 5)
    entry = champions.register(folder)
    reigning = champions.champion()
    if reigning == entry:
        raise ConfigError(f"{asked.run}: is the champion of {champions.farm} already, as version {entry.version}.")
    challenger = champions.bundle(entry)
    champion = None if reigning is None else champions.bundle(reigning)
    findings, facts = examined(asked, challenger, champion, tags, on_progress)
    passed = gate.passes(findings)
    barred = [finding for finding in findings if finding.vital and not finding.passed]
    moving = passed or (asked.force and not barred)
    move: Move | None = None
    if moving:
        forced = not passed
        move = champions.promote(entry, instead_of=reigning, reason=asked.reason if forced else "", forced=forced)
    verdict = Verdict(
        farm=champions.farm,
        promoted=moving,
        forced=moving and not passed,
        reason=asked.reason if asked.force else "",
        challenger=_told(entry),
        champion=None if reigning is None else _told(reigning),
        findings=findings,
        facts=facts,
        made=datetime.now(UTC).isoformat(timespec="seconds") if move is None else move.time,
        command=asked.command,
    )
    written = verdict.write(champions.place / entry.key)
    on_progress("done", 5, 5)
    return verdict, written


def rollback(farm: str | None, registry: Path, reason: str = "") -> Move:
    """farm: may be None where the registry has one. Raises ConfigError or BundleError, naming the farms, otherwise."""
    known = sorted(file.parent.name for file in registry.glob(f"*/{pointer.POINTER}"))
    if farm is None and len(known) > 1:
        raise ConfigError(f"{registry}: several farms have a champion; say which: {', '.join(known)}.")
    if farm is None and not known:
        raise ConfigError(f"{registry}: no farm has a champion. Make one with `windcast promote`.")
    chosen = pointer.slug(farm or known[0])
    if chosen not in known:
        raise ConfigError(unknown_name("farm in the registry", chosen, known))
    return Champions(chosen, registry).rollback(reason)


def examined(
    asked: Asked, challenger: Bundle, champion: Bundle | None, tags: dict[str, str], on_progress: Progress
) -> tuple[list[Finding], dict[str, Any]]:
    """The findings, and what they were found on."""
    farm = _farm(asked, challenger)
    findings = [contract(challenger, champion, farm)]
    if not findings[0].passed:
        return findings, {}
    seen = [seen_by(challenger, "the challenger", recorded=tags)]
    if champion is not None:
        seen.append(seen_by(champion, "the champion"))
    facts: dict[str, Any] = {"seen": {one.name: one.to_dict() for one in seen}}
    on_progress("spans", 1, 5)
    every = _issue_times(challenger, farm)
    try:
        times = unseen(every, *seen, since=asked.since, least=timedelta(days=asked.criteria.least_days))
    except TaskError as error:
        findings.append(Finding(name="unseen issue times", passed=False, said=str(error)))
    else:
        facts |= {"from": str(times[0]), "until": str(times[-1]), "issue_times": len(times)}
        said = f"{len(times):,} from {str(times[0])[:16]} to {str(times[-1])[:16]} UTC, after all that either has seen."
        findings.append(Finding(name="unseen issue times", passed=True, said=said))
        on_progress(f"forecasting {len(times):,} issue times", 2, 5)
        findings += _compared(challenger, champion, farm, times, asked.criteria)
    on_progress("size and latency", 3, 5)
    last = _moment(every[-1])
    if champion is not None:
        findings += gate.costs(costs_of(challenger, farm, last), costs_of(champion, farm, last), asked.criteria)
    on_progress("smoke test", 4, 5)
    return [*findings, smoke_test(challenger, farm, last)], facts


def found(run: str, runs: Path) -> tuple[Path, dict[str, str]]:
    """The folder of a run's bundle, and the tags of its record where it was tracked.

    Raises TrackingError, naming the nearest, for a run that does not exist, and ConfigError for one without a bundle.
    """
    for folder in (Path(run), runs / run):
        for place in (folder, folder / "bundle"):
            if (place / MANIFEST).is_file():
                return place, _tags(place, runs) | _tags(folder, runs)
    if Path(run).is_dir():
        raise ConfigError(f"{run}: has no bundle. Train one with: windcast train --out {run}/bundle")
    entry = spool.find(run, runs)
    for place in (Path(entry.tracked.folder), Path(entry.tracked.folder) / "bundle"):
        if (place / MANIFEST).is_file():
            return place, entry.tracked.tags
    raise ConfigError(
        f"{run}: was a {entry.tracked.kind} without a bundle. Train one: windcast train, then promote it."
    )


def _tags(folder: Path, runs: Path) -> dict[str, str]:
    """Of the newest record of this folder."""
    lain = str(folder.resolve())
    return next((e.tracked.tags for e in spool.entries(runs) if e.tracked.folder == lain), {})


def contract(challenger: Bundle, champion: Bundle | None, farm: FarmData) -> Finding:
    """Whether it forecasts what the farm's data are, and answers the question that the champion answers."""
    name, differs = "contract", ""
    try:
        challenger.check_farm(farm)
    except DataContractError as error:
        differs = str(error)
    if champion is not None and not differs:
        ours, theirs = ({**b.manifest["contract"], **_question(b)} for b in (challenger, champion))
        unlike = [key for key in theirs if ours.get(key) != theirs[key]]
        differs = "; ".join(f"{key} is {ours.get(key)}, the champion's {theirs[key]}" for key in unlike)
    said = differs or "capacity, resolution, weather, horizon and levels are those of the data and of the champion."
    return Finding(name=name, passed=not differs, said=said, vital=True)


def _question(bundle: Bundle) -> dict[str, Any]:
    task = bundle.forecaster.task
    return {"horizon": task.horizon, "levels": list(task.levels)}


def costs_of(bundle: Bundle, farm: FarmData, issue: datetime) -> Costs:
    """Of the issue time before it on, one forecast more, as the service makes it every hour."""
    known = production.fitting(bundle, farm)
    _, memory = production.advance(bundle, known, issue - bundle.forecaster.task.resolution)
    spent = []
    for _ in range(TIMED):
        began = time.perf_counter()
        production.advance(bundle, known, issue, memory)
        spent.append(1000 * (time.perf_counter() - began))
    size = sum(file.stat().st_size for file in bundle.folder.rglob("*") if file.is_file())
    return Costs(size_mb=size / 1e6, latency_ms=min(spent))


def _compared(
    challenger: Bundle, champion: Bundle | None, farm: FarmData, times: Times, criteria: Criteria
) -> list[Finding]:
    ours = production.out_of_sample(challenger, farm, times)
    observed = build_windows(farm, challenger.forecaster.task, times).target
    if champion is not None:
        return gate.judge(ours, production.out_of_sample(champion, farm, times), observed, criteria)
    first, losses, findings = _moment(times[0]), crps(ours, observed), []
    task = challenger.forecaster.task
    lessons = training_windows(farm, task, Settings(challenger.manifest["config"]).plan(farm), first)
    windows = build_windows(farm, task, times).without_target()
    for name in REFERENCES:
        reference, _ = build({"name": name}).fit(lessons).step(windows)
        theirs = crps(reference, observed)
        findings.append(gate.accuracy(ours, reference, losses, theirs, criteria, against=name))
    return findings


def _farm(asked: Asked, bundle: Bundle) -> FarmData:
    if asked.farm is not None:
        return farm_of({"source": "files", "config": str(asked.farm)})
    data = bundle.manifest["config"].get("data")
    if not data:
        raise ConfigError(
            f"{asked.run}: does not say what data it was trained on. Describe them with --farm farm.yaml."
        )
    return farm_of(data)


def _issue_times(bundle: Bundle, farm: FarmData) -> Times:
    """Every issue time of the challenger's backtest grid whose power is on file to the last lead."""
    plan, task = Settings(bundle.manifest["config"]).plan(farm), bundle.forecaster.task
    last = farm.end - task.horizon * task.resolution
    return issue_times(farm.start, last, every=plan.issue_every, offset=plan.issue_offset)


def _moment(time: np.datetime64) -> datetime:
    found: datetime = time.astype("datetime64[us]").item()
    return found.replace(tzinfo=UTC)


def _told(entry: Entry) -> dict[str, Any]:
    return {"version": entry.version, "model": entry.model, "origin": entry.origin, "checksum": entry.checksum}
