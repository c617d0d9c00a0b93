"""The registry: whole bundles, one champion, every move on record, a way back; whatever is broken, nothing is lost."""

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from windcast.errors import BundleError, ConfigError, TrackingError
from windcast.registry import champions as module
from windcast.registry import pointer
from windcast.registry.bundles import MANIFEST, Bundle
from windcast.registry.champions import Champions

pytest.importorskip("mlflow", reason="MLflow is not installed (extra track)")
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # MLflow's own
FARM = "simulation"


@pytest.fixture
def registry(runs: Path) -> Champions:
    return Champions(FARM, runs / "registry")


def test_a_registered_bundle_is_a_copy_and_the_same_one_has_one_version(registry: Champions, forest: Bundle) -> None:
    entry = registry.register(forest.folder)
    assert registry.register(forest.folder) == entry
    assert registry.champion() is None
    copy = registry.bundle(entry)
    assert copy.folder.is_relative_to(registry.place)
    assert copy.manifest == forest.manifest


def test_a_registered_bundle_that_was_altered_is_refused(registry: Champions, forest: Bundle) -> None:
    entry = registry.register(forest.folder)
    manifest = registry.place / entry.key / pointer.BUNDLE / MANIFEST
    manifest.chmod(0o644)
    manifest.write_text(manifest.read_text().replace('"trained_until": "2020-02', '"trained_until": "2020-01'))
    with pytest.raises(BundleError, match="manifest was changed"):
        registry.promote(entry, instead_of=None)
    assert registry.champion() is None


def test_the_pointer_follows_the_alias_and_rollback_goes_back_step_by_step(
    registry: Champions,
    forest: Bundle,
    curve: Bundle,
) -> None:
    first, second = registry.register(curve.folder), registry.register(forest.folder)
    registry.promote(first, instead_of=None)
    registry.promote(second, instead_of=first, reason="the first is too slow", forced=True)
    assert registry.champion() == second
    pointed = pointer.read(registry.registry, FARM)
    assert (pointed.version, pointed.key, pointed.checksum) == (second.version, second.key, second.checksum)
    assert registry.rollback("it failed at night").after == first.key
    assert registry.champion() == first
    assert pointer.read(registry.registry, FARM).key == first.key
    with pytest.raises(TrackingError, match="no champion before"):
        registry.rollback()
    kinds = [(move.kind, move.version, move.reason) for move in registry.moves()]
    assert kinds == [
        ("promoted", first.version, ""),
        ("forced", second.version, "the first is too slow"),
        ("rolled back", first.version, "it failed at night"),
    ]


def test_what_was_promoted_after_a_rollback_goes_back_to_where_it_stood(
    registry: Champions,
    forest: Bundle,
    curve: Bundle,
) -> None:
    first, second = registry.register(curve.folder), registry.register(forest.folder)
    registry.promote(first, instead_of=None)
    registry.promote(second, instead_of=first)
    registry.rollback()
    registry.promote(second, instead_of=first)
    assert registry.rollback().after == first.key


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(
    registry: Champions,
    forest: Bundle,
    curve: Bundle,
) -> None:
    entries = [registry.register(bundle.folder) for bundle in (forest, curve)]
    outcomes: list[str] = []
    together = threading.Barrier(2)

    def promoting(place: int) -> None:
        own = Champions(FARM, registry.registry)
        together.wait()
        try:
            own.promote(entries[place], instead_of=None)
            outcomes.append("moved")
        except TrackingError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=promoting, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won, told = sorted(outcomes)
    assert won == "moved"
    assert "another promotion moved the champion meanwhile, from none to version" in told
    assert len(registry.moves()) == 1
    champion = registry.champion()
    assert champion is not None
    assert champion.key == registry.moves()[0].after == pointer.read(registry.registry, FARM).key


def test_a_promotion_beside_one_that_does_not_end_gives_up_with_a_reason(
    registry: Champions,
    forest: Bundle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry.register(forest.folder)
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    with module.held(registry.place / module.LOCK) as alone:
        assert alone
        with pytest.raises(TrackingError, match="another promotion is at work"):
            registry.champion()


def test_a_locked_database_is_said_to_be_locked(
    registry: Champions,
    forest: Bundle,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = registry.register(forest.folder)
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    with closing(sqlite3.connect(runs / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match=r"mlflow\.db: is locked"):
            registry.promote(entry, instead_of=None)
        other.execute("ROLLBACK")
    assert registry.champion() is None
    registry.promote(entry, instead_of=None)


def test_a_corrupt_database_stops_nothing_but_promotions_and_a_fresh_one_is_filled_from_disk(
    registry: Champions,
    forest: Bundle,
    curve: Bundle,
    runs: Path,
    database: Path,
) -> None:
    first, second = registry.register(curve.folder), registry.register(forest.folder)
    registry.promote(first, instead_of=None)
    registry.promote(second, instead_of=first)
    (runs / "mlflow.db").write_bytes(b"this is not a database, but long enough to be taken for one" * 100)
    with pytest.raises(TrackingError, match="no readable database"):
        Champions(FARM, registry.registry).champion()
    assert pointer.read(registry.registry, FARM).key == second.key
    shutil.copy2(database, runs / "mlflow.db")
    again = Champions(FARM, registry.registry)
    champion = again.champion()
    assert champion is not None
    assert champion.key == second.key
    assert again.rollback().after == first.key


def test_an_alias_that_was_moved_by_hand_is_the_truth(
    registry: Champions,
    forest: Bundle,
    curve: Bundle,
) -> None:
    first, second = registry.register(curve.folder), registry.register(forest.folder)
    registry.promote(first, instead_of=None)
    registry._client.set_registered_model_alias(FARM, "champion", str(second.version))
    assert registry.settle() == second
    assert pointer.read(registry.registry, FARM).key == second.key
    assert registry.moves()[-1].kind == "moved by hand"


def test_a_kill_between_alias_and_pointer_is_mended_by_the_next_look(
    registry: Champions,
    forest: Bundle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = registry.register(forest.folder)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Champions, "_point", killed)
        with pytest.raises(KeyboardInterrupt):
            registry.promote(entry, instead_of=None)
    with pytest.raises(BundleError):
        pointer.read(registry.registry, FARM)
    assert Champions(FARM, registry.registry).champion() == entry
    assert pointer.read(registry.registry, FARM).key == entry.key
    assert len(registry.moves()) == 1


def test_a_farm_without_a_champion_names_the_nearest(registry: Champions, forest: Bundle) -> None:
    with pytest.raises(BundleError, match="no farm has a champion"):
        pointer.read(registry.registry, "simulatoin")
    registry.promote(registry.register(forest.folder), instead_of=None)
    with pytest.raises(BundleError, match="Did you mean 'simulation'"):
        pointer.read(registry.registry, "simulatoin")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"farm": 1}', "\x00"])
def test_a_pointer_that_cannot_be_read_is_said_to_be_so_and_mended(
    registry: Champions,
    forest: Bundle,
    content: str,
) -> None:
    entry = registry.register(forest.folder)
    registry.promote(entry, instead_of=None)
    (registry.place / pointer.POINTER).write_text(content)
    with pytest.raises(BundleError, match="not a readable pointer"):
        pointer.read(registry.registry, FARM)
    registry.settle()
    assert pointer.read(registry.registry, FARM).key == entry.key


def test_a_pointer_never_leads_out_of_the_registry(registry: Champions, forest: Bundle) -> None:
    entry = registry.register(forest.folder)
    registry.promote(entry, instead_of=None)
    file = registry.place / pointer.POINTER
    file.write_text(json.dumps(json.loads(file.read_text()) | {"key": "../../elsewhere"}))
    with pytest.raises(BundleError, match="not the name of a bundle"):
        pointer.bundle_of(registry.registry, pointer.read(registry.registry, FARM))


def test_without_mlflow_the_registry_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sending, "installed", lambda _: False)
    with pytest.raises(ConfigError, match=r"windcast\[track\]"):
        Champions(FARM, tmp_path)
