/** The scores panel: four figures, three small charts, and their numbers. */

import { byId, el, onResize, sentence } from "./dom.js";
import { coveragePlot, leadsPlot, reliabilityPlot } from "./plots.js";
import { leadText, percent } from "./view.js";
import { date, stamp } from "./when.js";

const ENOUGH = 24; // measured lead times from which on a rate says something

export function showScores(scores, title) {
  const leads = scores.leads.filter((lead) => lead.crps != null);
  const period = el(
    "p",
    { class: "quiet" },
    `${title}: ${counted(scores.forecasts, "forecast")}, ${counted(scores.pairs, "measured lead time")}, `,
    dayOf(scores.measured_start),
    " to ",
    dayOf(scores.measured_end),
    scores.filled_in ? `; ${filledIn(scores)} filled in afterwards from data on file` : "",
    scores.reanalysis ? ". The weather was reanalysis, so live errors will be larger." : "",
  );
  const charts = el(
    "div",
    { class: "charts" },
    chart("Coverage of the bands", (w, h) => coveragePlot(scores.coverage, w, h), [["due", "nominal"]]),
    scores.reliability.length && scores.pairs >= ENOUGH
      ? chart("Reliability", (w, h) => reliabilityPlot(scores.reliability, w, h), [
          ["band-90", "90 % consistency band"],
        ])
      : null,
    leads.length ? chart("CRPS by lead time", (w, h) => leadsPlot(leads, w, h), legendOf(scores)) : null,
  );
  const open = byId("scores").querySelector("details")?.open ?? false;
  const few = `Too few to judge: until ${ENOUGH} lead times are measured, these figures may be chance.`;
  const warning = scores.pairs < ENOUGH ? [el("p", {}, el("strong", {}, few))] : [];
  byId("scores").replaceChildren(period, ...warning, tiles(scores), charts, numbers(scores, open));
}

/** Where nothing has been scored yet, or the scores cannot be had: the sentence that says so. */
export function showNoScores(words) {
  byId("scores").replaceChildren(el("p", { class: "quiet" }, sentence(words)));
}

const grouped = (count) => count.toLocaleString("en-GB");
const counted = (count, name) => `${grouped(count)} ${name}${count === 1 ? "" : "s"}`;
const dayOf = (time) => stamp(new Date(time), date(new Date(time)));

function filledIn({ filled_in: count, forecasts }) {
  if (count === forecasts) return "all of them were";
  return `${grouped(count)} of them ${count === 1 ? "was" : "were"}`;
}

function tiles(scores) {
  const bias = scores.bias;
  const direction = bias > 0 ? "too high" : "too low";
  return el(
    "dl",
    { class: "tiles" },
    tile("CRPS", percent(scores.crps), against(scores.crps, scores.backtest_crps)),
    tile("NMAE", percent(scores.nmae), "error of the median, share of capacity"),
    tile("Skill", percent(scores.skill_persistence, 0), skillText(scores.skill_persistence)),
    tile("Bias", percent(bias), bias ? `the forecast is ${direction} on average` : "the forecast is right on average"),
  );
}

function tile(name, value, words) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, el("b", {}, value), el("small", {}, words)));
}

/** The score against what the backtest promised, in words. */
function against(crps, promised) {
  if (promised == null) return "share of capacity; the backtest has none to compare";
  const change = Math.round((crps / promised - 1) * 100);
  const verdict = change === 0 ? "as" : `${Math.abs(change)} % ${change > 0 ? "worse than" : "better than"}`;
  return `of capacity, ${verdict} the backtest’s ${percent(promised)}`;
}

function skillText(skill) {
  if (skill == null) return "against persistence: unknown";
  return skill >= 0 ? "less error than persistence" : "negative: more error than persistence";
}

function legendOf(scores) {
  const promised = scores.leads.some((lead) => lead.backtest_crps != null);
  return [["score-line", "measured"], ...(promised ? [["promise", "backtest"]] : [])];
}

function chart(title, draw, legend) {
  const host = el("div", { class: "plot small" });
  onResize(host, (width, height) => host.replaceChildren(draw(width, height)));
  const keys = legend.map(([name, words]) =>
    el("span", { class: "entry" }, el("i", { class: `swatch ${name}` }), words),
  );
  return el("figure", {}, el("h3", {}, title), host, el("figcaption", { class: "legend" }, keys));
}

function numbers(scores, open) {
  const leads = scores.leads.map((lead) => [
    leadText(lead.lead_minutes),
    lead.n,
    percent(lead.crps, 2),
    percent(lead.backtest_crps, 2),
    percent(lead.nmae, 2),
    percent(lead.coverage_90),
  ]);
  const reliability = scores.pairs < ENOUGH ? [] : scores.reliability;
  const levels = reliability.map((r) => [
    percent(r.level, 0),
    percent(r.observed),
    `${percent(r.low)} to ${percent(r.high)}`,
  ]);
  return el(
    "details",
    { open },
    el("summary", {}, "The numbers"),
    el(
      "div",
      { class: "tables" },
      tableOf("By lead time, in % of capacity", ["Lead", "n", "CRPS", "Backtest", "NMAE", "In 90 % band"], leads),
      levels.length ? tableOf("Reliability", ["Level", "Observed", "If reliable (90 %)"], levels) : null,
    ),
  );
}

function tableOf(name, heads, rows) {
  const body = rows.map(([first, ...rest]) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, first),
      rest.map((cell) => el("td", {}, String(cell))),
    ),
  );
  const table = el(
    "table",
    {},
    el("caption", {}, name),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        heads.map((head) => el("th", { scope: "col" }, head)),
      ),
    ),
    el("tbody", {}, body),
  );
  return el("div", { class: "scroll short", tabindex: "0", role: "region", "aria-label": name }, table);
}
