"""Charts show what they are given, name their axes with units, and survive what data can do to them."""

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from matplotlib import image as plt_image
from matplotlib.collections import PolyCollection
from matplotlib.dates import date2num
from matplotlib.font_manager import FontProperties
from matplotlib.patches import StepPatch
from small_backtests import ALL, NAIVE, renamed, small

from windcast.data.task import PERCENTILES
from windcast.data.windows import build_windows
from windcast.evaluation import charts
from windcast.evaluation.charts import embed, raster, style
from windcast.evaluation.failure import Failures, failures, forecast_speed
from windcast.evaluation.leaderboard import by_lead
from windcast.evaluation.reliability import reliability
from windcast.models.forecast import Rung


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def steps_of(figure):
    return [patch for patch in figure.axes[0].patches if isinstance(patch, StepPatch)]


def words_of(figure):
    return " ".join(text.get_text() for text in figure.texts)


def signs_of(figure):
    """The labels of what is drawn, each of which stands in the legend."""
    labels = [patch.get_label() for patch in steps_of(figure)]
    assert [text.get_text() for text in figure.texts][-len(labels) :] == labels
    return labels


def test_a_fan_chart_draws_the_quantiles_of_its_row_over_the_intervals_they_are_for():
    forecast = small(levels=PERCENTILES).forecasts["power_curve"]
    figure = charts.fan_chart(forecast, 5)
    *bands, median = steps_of(figure)
    assert signs_of(figure) == ["98 % band", "90 % band", "80 % band", "50 % band", "median forecast"]
    for band, tail in zip(bands, (0.01, 0.05, 0.1, 0.25), strict=True):
        np.testing.assert_array_equal(band.get_data().values, forecast.quantile(1 - tail)[5])
        np.testing.assert_array_equal(band.get_data().baseline, forecast.quantile(tail)[5])
    np.testing.assert_array_equal(median.get_data().values, forecast.median[5])
    edges = median.get_data().edges
    assert edges[0] == date2num(forecast.issue_times[5])
    np.testing.assert_allclose(edges[1:], date2num(forecast.valid_times[5]))


def test_bands_darken_from_the_widest_to_the_narrowest():
    figure = charts.fan_chart(small(levels=PERCENTILES).forecasts["persistence"], 0)
    lightness = [sum(band.get_facecolor()[:3]) for band in steps_of(figure)[:-1]]
    assert lightness == sorted(lightness, reverse=True)
    assert min(-np.diff(lightness)) > 0.1


def test_bands_that_the_levels_do_not_reach_are_not_drawn():
    figure = charts.fan_chart(small(NAIVE, levels=(0.25, 0.5, 0.75)).forecasts["persistence"], 0)
    assert signs_of(figure) == ["50 % band", "median forecast"]


def test_past_power_ends_and_the_truth_begins_at_the_issue_time():
    result = small()
    forecast = result.forecasts["power_curve"]
    past = np.arange(12.0)
    figure = charts.fan_chart(forecast, 2, past_power=past, observed=result.observed[2], title="A hill for $5 and $6")
    issue = date2num(forecast.issue_times[2])
    known, truth = steps_of(figure)[-2:]
    assert known.get_data().edges[-1] == truth.get_data().edges[0] == issue
    np.testing.assert_array_equal(known.get_data().values, past)
    np.testing.assert_allclose(truth.get_data().values, result.observed[2])
    assert signs_of(figure)[-2:] == ["measured, known then", "measured afterwards"]
    assert figure.axes[0].lines[0].get_xdata()[0] == issue
    assert forecast.issue_times[2].item().strftime("issued %d %b %Y %H:%M UTC") in words_of(figure)
    assert "$5 and" in charts.inline(figure, name="x", alt="$5 and").replace("\\", "")


def test_past_power_at_given_times_leaves_gaps_where_there_is_none():
    forecast = small().forecasts["persistence"]
    times = forecast.issue_times[0] - np.array([5, 4, 1], "timedelta64[h]")
    figure = charts.fan_chart(forecast, 0, past_power=[1, 2, 3], past_times=times)
    data = steps_of(figure)[-1].get_data()
    np.testing.assert_array_equal(data.values, [1, 2, np.nan, np.nan, 3])
    np.testing.assert_allclose(data.edges[0], date2num(times[0] - np.timedelta64(1, "h")))
    np.testing.assert_allclose(data.edges[-1], date2num(times[-1]))


def test_a_fan_chart_says_what_it_stands_on_only_if_that_is_less_than_everything():
    fresh = small().forecasts["power_curve"]
    assert "time (UTC)" in [text.get_text() for text in charts.fan_chart(fresh, 0).texts]
    rung = fresh.rung.copy()
    rung[0, 4:] = Rung.OLDER_RUN
    said = words_of(charts.fan_chart(replace(fresh, rung=rung), 0)).replace("\n", " ")
    assert "2 of 6 lead times: the newest weather run is missing" in said
    rung[:] = Rung.NO_POWER
    said = words_of(charts.fan_chart(replace(fresh, rung=rung, reanalysis=True), 0)).replace("\n", " ")
    assert "No recent power; from weather alone. The weather is reanalysis" in said


@pytest.mark.parametrize("size", [style.WIDE, (5.0, 3.9)])
@pytest.mark.parametrize("past", [None, np.arange(30.0) % 10])
def test_everything_around_a_fan_chart_stands_on_the_page_and_apart(size, past):
    result = small(levels=PERCENTILES)
    forecast = replace(result.forecasts["power_curve"], reanalysis=True)
    figure = charts.fan_chart(forecast, 0, past_power=past, observed=result.observed[0], title="A hill", size=size)
    boxes = {text.get_text(): text.get_window_extent() for text in figure.texts}
    page = figure.bbox
    for said, box in boxes.items():
        assert page.x0 <= box.x0 < box.x1 <= page.x1, said
        assert page.y0 <= box.y0 < box.y1 <= page.y1, said
        others = [other for other, beside in boxes.items() if other != said and box.overlaps(beside)]
        assert not others or said.startswith(("issued", "capacity")), (said, others)


def test_ticks_stand_where_the_data_say():
    figure = charts.fan_chart(small().forecasts["persistence"], 0, past_power=np.zeros(24))
    axes = figure.axes[0]
    texts = {text.get_text(): text for text in figure.texts}
    for said, text in texts.items():
        x, y = axes.transData.inverted().transform(text.get_transform().transform(text.get_position()))
        if said.isdecimal():
            assert y == pytest.approx(float(said))
        if said in ("12:00", "18:00"):
            assert x % 1 == pytest.approx(int(said[:2]) / 24)
    assert {"2", "10", "12:00", "18:00"} <= set(texts)


def test_a_picture_is_the_pixels_that_matplotlib_draws_but_for_the_edges_of_letters():
    def figure():
        result = small(levels=PERCENTILES)
        return charts.fan_chart(result.forecasts["power_curve"], 0, observed=result.observed[0], title="A hill")

    content = io.BytesIO()
    figure().savefig(content, format="png", dpi=100)
    content.seek(0)
    theirs = plt_image.imread(content)[..., :3]
    for _ in range(2):  # drawn with texts that are kept, too
        ours = plt_image.imread(io.BytesIO(style.png(figure())))
        assert ours.shape == theirs.shape
        differing = np.abs(ours - theirs).max(axis=2) > 0.05
        assert differing.mean() < 0.02
        assert abs(ours.mean() - theirs.mean()) < 1e-3


def test_pictures_drawn_at_once_in_several_threads_are_the_same():
    forecasts = small().forecasts
    names = [*forecasts] * 6
    alone = {name: style.png(charts.fan_chart(forecasts[name], 0, title=name)) for name in forecasts}
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda name: style.png(charts.fan_chart(forecasts[name], 0, title=name)), names)
        assert list(together) == [alone[name] for name in names]
    assert len(set(alone.values())) == len(alone)


def test_what_is_kept_of_texts_does_not_grow_with_their_number():
    forecast = small().forecasts["persistence"]
    for place in range(60):
        style.png(charts.fan_chart(forecast, 0, title=f"farm {place}" * 3))
    assert raster._text.cache_info().currsize <= raster.TEXTS
    longest = raster._text("W" * raster.SHORT, FontProperties(family=style.FONT, size=11), 0, (0, 0, 0, 1), 100)[0]
    assert longest.nbytes * raster.TEXTS < 32_000_000


def test_a_horizon_of_one_step_is_an_area_and_not_an_invisible_point():
    result = small(horizon=1)
    figure = charts.fan_chart(result.forecasts["power_curve"], 0, observed=result.observed[0])
    for patch in steps_of(figure):
        assert np.ptp(patch.get_data().edges) == pytest.approx(1 / 24)
    leads = by_lead(result)
    for chart in (charts.crps_by_lead(leads), charts.skill_by_lead(leads)):
        assert all(line.get_marker() not in ("", "None") for line in chart.axes[0].lines[:2])


def test_lines_by_lead_are_those_of_the_frame_and_keep_their_look_from_chart_to_chart():
    leads = by_lead(small())
    error, skill = charts.crps_by_lead(leads), charts.skill_by_lead(leads)
    assert legend_of(error) == list(ALL)
    assert legend_of(skill) == ["climatology", "power_curve"]
    drawn = error.axes[0].lines[2]
    mine = leads.filter(pl.col("model") == "power_curve")
    np.testing.assert_allclose(drawn.get_ydata(), mine["crps"])
    np.testing.assert_allclose(drawn.get_xdata(), mine["lead_minutes"] / 60)
    assert skill.axes[0].lines[1].get_color() == drawn.get_color()
    assert skill.axes[0].lines[1].get_linestyle() == drawn.get_linestyle()
    assert "% of capacity" in error.axes[0].get_ylabel()


def test_lead_times_are_named_in_the_unit_that_suits_them():
    assert style.lead_axis(np.array([10.0, 180.0]))[1] == "lead time (minutes)"
    hours, name = style.lead_axis(np.array([60.0, 720.0]))
    assert (hours.tolist(), name) == ([1, 12], "lead time (hours)")
    assert [style.span(60, 720), style.span(10, 60), style.span(60, 60)] == ["1–12 h", "10–60 min", "1 h"]


def test_coverage_is_shown_for_the_bands_that_exist():
    assert legend_of(charts.coverage_by_lead(by_lead(small()), model="power_curve")) == [
        "90 % band",
        "80 % band",
        "50 % band",
    ]
    narrow = by_lead(small(NAIVE, levels=(0.25, 0.5, 0.75)))
    assert legend_of(charts.coverage_by_lead(narrow, model="persistence")) == ["50 % band"]


@pytest.mark.parametrize("groups", [1, 2, 4, 5])
def test_reliability_has_a_panel_a_group_of_leads_with_its_consistency_band(groups):
    result = small()
    found = reliability(result.forecasts["power_curve"], result.observed, lead_groups=groups)
    diagram, histogram = charts.reliability_diagram(found), charts.pit_histogram(found)
    for figure in (diagram, histogram):
        assert sum(axes.get_visible() for axes in figure.axes) == groups
    first = found.levels.filter(pl.col("lead_from_minutes") == 60)
    axes = diagram.axes[0]
    np.testing.assert_allclose(axes.lines[1].get_ydata(), 100 * first["frequency"])
    assert any(isinstance(c, PolyCollection) for c in axes.collections)
    bars = found.histogram.filter(pl.col("lead_from_minutes") == 60)
    np.testing.assert_allclose(histogram.axes[0].patches[0].get_data().values, 20 * bars["frequency"])


def test_the_power_curve_is_the_conditional_median_of_the_pairs_that_are_known():
    rng = np.random.default_rng(0)
    speed = rng.uniform(0, 20, (500, 4))
    power = np.clip(speed / 2, 0, 8)
    power[::3] = np.nan
    figure = charts.power_curve(speed, power, capacity_mw=10)
    low, high, median = figure.axes[0].lines
    np.testing.assert_allclose(median.get_ydata(), np.clip(median.get_xdata() / 2, 0, 8), atol=0.3)
    assert (low.get_ydata() <= median.get_ydata()).all()
    assert (high.get_ydata() >= median.get_ydata()).all()
    assert figure.axes[0].collections[0].get_array().sum() == np.isfinite(power).sum()
    assert not charts.power_curve([np.nan], [1.0], capacity_mw=10).axes[0].lines


def test_failures_are_means_of_the_crps_by_the_hour_in_which_an_interval_begins():
    result = small()
    forecast = result.forecasts["power_curve"]
    speed = forecast_speed(build_windows(result.farm, result.task, forecast.issue_times))
    worse = replace(forecast, values=forecast.values.copy())
    begins = forecast.valid_times - np.timedelta64(1, "h")
    at_three = begins.astype("datetime64[h]").astype(int) % 24 == 3
    worse.values[at_three] = 10
    found = failures(worse, result.observed, speed)
    assert found.worst_first("hour")["hour"][0] == 3
    assert found.by_time["n"].sum() == found.by_wind["n"].sum() == result.observed.size
    assert (found.by_time["crps"] * found.by_time["n"]).sum() / result.observed.size == pytest.approx(found.overall)
    assert ((found.by_wind["speed_to"] - found.by_wind["speed_from"]) == 1).all()


def test_where_it_fails_is_darkest_at_the_worst_hour_and_pale_where_there_is_little():
    by_time = pl.DataFrame({"month": [1, 1, 7], "hour": [0, 12, 12], "n": [50, 50, 50], "crps": [2.0, 9.0, 4.0]})
    by_wind = pl.DataFrame(
        {"speed_from": [0.0, 1], "speed_to": [1.0, 2], "n": [5, 145], "crps": [3.0, 5], "enough": [False, True]}
    )
    figure = charts.where_it_fails(Failures(overall=5, by_time=by_time, by_wind=by_wind))
    heat, bars = figure.axes[0], figure.axes[1]
    cells = heat.collections[0].get_array()
    assert cells.shape == (2, 2)
    assert np.ma.is_masked(cells[1, 0])
    assert cells[0, 1] == cells.max() == 9
    assert [t.get_text() for t in heat.get_yticklabels()] == ["Jan", "Jul"]
    pale, dark = (sum(bar.get_facecolor()[:3]) for bar in bars.patches)
    assert pale > dark + 0.5
    calm = charts.where_it_fails(Failures(overall=5, by_time=by_time, by_wind=by_wind.clear()))
    assert len(calm.axes) == 2  # the heat map and its colour bar


def test_hostile_names_are_drawn_word_for_word():
    hostile = '<b>$\\frac{1}{$ & "_x"\'</b>'
    leads = by_lead(renamed(small(NAIVE), {"climatology": hostile, "persistence": "_hidden"}))
    figure = charts.crps_by_lead(leads)
    page = charts.inline(figure, name="crps", alt=f'"><script>{hostile}')
    assert "<script>" not in page
    assert "<b>" not in page
    assert len(legend_of(figure)) == 2


def test_a_chart_in_a_page_is_the_same_each_time_and_shares_no_identifier_with_others():
    leads = by_lead(small(NAIVE))
    first = charts.inline(charts.crps_by_lead(leads), name="a", alt="An alternative")
    assert first == charts.inline(charts.crps_by_lead(leads), name="a", alt="An alternative")
    second = charts.inline(charts.crps_by_lead(leads), name="b", alt="An alternative")
    names = [set(embed.IDENTIFIER.findall(svg)) for svg in (first, second)]
    assert names[0]
    assert not names[0] & names[1]
    assert set(embed.REFERENCE.findall(first)) == names[0]
    assert 'role="img" aria-label="An alternative"' in first
    assert "http" not in first


def test_a_chart_too_large_for_svg_becomes_a_picture(monkeypatch):
    monkeypatch.setattr(embed, "LARGEST_SVG", 1000)
    page = charts.inline(charts.crps_by_lead(by_lead(small(NAIVE))), name="a", alt='5 "%"')
    assert page.startswith('<img alt="5 &quot;%&quot;" src="data:image/png;base64,')


def test_drawing_changes_no_global_setting():
    before = dict(mpl.rcParams)
    charts.inline(charts.skill_by_lead(by_lead(small())), name="a", alt="")
    assert dict(mpl.rcParams) == before


def test_twelve_models_with_long_names_fit_on_a_chart():
    result = small(NAIVE)
    many = {f"a_rather_long_name_of_model_{k}": result.forecasts["persistence"] for k in range(12)}
    figure = charts.crps_by_lead(by_lead(replace(result, forecasts=many)))
    charts.inline(figure, name="a", alt="")
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in figure.axes[0].lines}
    assert len(looks) == 12
    assert figure.axes[0].get_window_extent().height > 60
