"""Records in Weights & Biases, offline: a folder that holds the run, without an account, a prompt or a network."""

from dataclasses import replace
from pathlib import Path

import pytest
from test_tracking import TRACKED, to

from windcast.registry.tracking import sending, spool

pytest.importorskip("wandb", reason="the extra wandb is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # its own


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No account, and a home of its own."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    for name in ("HOME", "NETRC", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


def test_an_offline_record_is_a_folder_that_holds_the_run_once(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<p>report</p>")
    destination = to(tmp_path, "wandb")
    number = spool.write(destination, replace(TRACKED, files={"report.html": str(tmp_path / "report.html")}))
    cut_short = tmp_path / "wandb" / f"offline-run-20200101_000000-{number}"
    cut_short.mkdir(parents=True)
    (outcome,) = sending.send(tmp_path)
    assert outcome.error is None
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    assert folder != cut_short
    assert (folder / "files" / "report.html").read_text() == "<p>report</p>"
    assert (folder / "files" / spool.RECORD).is_file()
    log = (folder / f"run-{number}.wandb").read_bytes()
    for word in (b"hill", b"rounds", b"lead/gbm/crps", b"lead_minutes", b"fitted_until", b"memory_mb"):
        assert word in log
    assert not any(file.is_symlink() for file in (folder / "files").rglob("*"))
    assert spool.entries(tmp_path)[0].state.startswith("W&B project windcast, offline")
    assert list(sending.send(tmp_path)) == []


def test_online_without_an_account_says_what_to_do_and_asks_nothing(tmp_path: Path) -> None:
    spool.write(replace(to(tmp_path, "wandb"), mode="online"), TRACKED)
    (outcome,) = sending.send(tmp_path)
    assert outcome.error is not None
    assert "wandb login" in outcome.error
    assert len(spool.pending(tmp_path)) == 1
