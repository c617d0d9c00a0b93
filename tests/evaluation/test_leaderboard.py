"""The leaderboard ranks by CRPS, in percent of capacity, and says when a difference may be chance."""

from dataclasses import replace

import numpy as np
import pytest
from small_backtests import NAIVE, renamed, small

from windcast.errors import TaskError
from windcast.evaluation.leaderboard import by_lead, leaderboard, score_all
from windcast.evaluation.scores import crps


def test_models_stand_in_order_of_their_crps_and_the_weather_wins():
    board = leaderboard(small())
    assert board["crps"].is_sorted()
    assert board["model"].to_list() == ["power_curve", "persistence", "climatology"]


def test_errors_are_percent_of_capacity_and_agree_with_the_scores():
    result = small()
    scores = score_all(result)
    for row in leaderboard(result).iter_rows(named=True):
        overall = scores[row["model"]].overall
        for name in ("crps", "nmae", "nrmse", "pinball", "bias", "coverage_90", "width_90"):
            assert row[name] == pytest.approx(100 * overall[name])
        assert row["n"] == np.isfinite(result.observed).sum()


def test_skill_is_the_share_of_the_references_error_that_is_gone():
    board = {row["model"]: row for row in leaderboard(small()).iter_rows(named=True)}
    ratio = board["power_curve"]["crps"] / board["persistence"]["crps"]
    assert board["power_curve"]["skill_persistence"] == pytest.approx(100 * (1 - ratio))
    assert board["persistence"]["skill_persistence"] == 0
    assert board["persistence"]["skill_climatology"] > 0


def test_skill_is_null_without_the_reference():
    board = leaderboard(small(("power_curve", "persistence")))
    assert board["skill_climatology"].null_count() == 2
    assert board["skill_persistence"].null_count() == 0
    assert by_lead(small(("power_curve", "persistence")))["skill_climatology"].null_count() == 12


def test_the_best_has_no_p_value_and_a_plain_difference_has_a_small_one():
    p_values = leaderboard(small())["p_value"]
    assert p_values[0] is None
    assert p_values[2] < 0.01


def test_equal_models_differ_by_chance_only():
    result = small(NAIVE)
    twin = result.forecasts["persistence"]
    values = twin.values + np.random.default_rng(3).normal(0, 0.02, twin.values.shape).astype(np.float32)
    twins = replace(result, forecasts={"a": twin, "b": replace(twin, values=np.sort(np.clip(values, 0, 10)))})
    assert leaderboard(twins)["p_value"][1] > 0.01


def test_too_few_issue_times_give_no_p_value():
    result = small(NAIVE)
    few = replace(
        result, observed=result.observed[:6], forecasts={n: f.take(slice(6)) for n, f in result.forecasts.items()}
    )
    assert leaderboard(few)["p_value"].null_count() == 2


def test_bands_that_the_levels_do_not_reach_and_times_not_measured_are_null():
    board = leaderboard(renamed(small(NAIVE, levels=(0.25, 0.5, 0.75)), {}))
    for column in ("coverage_90", "width_90", "fit_seconds", "predict_seconds"):
        assert board[column].null_count() == 2
    assert leaderboard(small())["fit_seconds"].null_count() == 0


def test_a_perfect_reference_leaves_no_skill_to_speak_of():
    result = small(NAIVE)
    known = np.nan_to_num(result.observed)[..., None]
    perfect = replace(
        result.forecasts["persistence"], values=np.broadcast_to(known, result.forecasts["persistence"].values.shape)
    )
    board = leaderboard(replace(result, forecasts=result.forecasts | {"persistence": perfect}))
    assert board["model"][0] == "persistence"
    assert board["skill_persistence"].null_count() == 2


def test_by_lead_has_a_row_a_model_and_lead_whose_mean_is_the_leaderboards():
    result = small(gaps=True)
    leads, board = by_lead(result), leaderboard(result)
    assert leads["model"].unique(maintain_order=True).to_list() == list(result.forecasts)
    for row in board.iter_rows(named=True):
        mine = leads.filter(leads["model"] == row["model"])
        assert mine["lead_minutes"].to_list() == [60 * h for h in range(1, 7)]
        assert (mine["crps"] * mine["n"]).sum() / mine["n"].sum() == pytest.approx(row["crps"])
    losses = crps(result.forecasts["power_curve"], result.observed)
    assert leads.filter(leads["model"] == "power_curve")["crps"][3] == pytest.approx(100 * np.nanmean(losses[:, 3]))


def test_a_backtest_without_any_observation_is_refused():
    result = small(NAIVE)
    with pytest.raises(TaskError, match="no observed power"):
        leaderboard(replace(result, observed=np.full_like(result.observed, np.nan)))
