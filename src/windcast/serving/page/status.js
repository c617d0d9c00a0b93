/** The words around the chart: which farm, how old, on what rung, what is missing. */

import { byId, el, sentence, svg } from "./dom.js";
import { RUNGS, percent } from "./view.js";
import { minutesSince, now, span, stamp } from "./when.js";

/** Five bars, as many filled as there are rungs left: readable without its colour. */
function ladder(bars) {
  const bar = (i) => {
    const height = 6 + i * 3;
    return svg("rect", { class: i < bars ? "full" : "bare", x: 1.5 + i * 6, y: 19 - height, width: 4, height });
  };
  return svg("svg", { class: "ladder", viewBox: "0 0 32 20", "aria-hidden": "true" }, [0, 1, 2, 3, 4].map(bar));
}

export function showHeadline(view, { stale }) {
  const { document } = view;
  byId("title").textContent = document.title || document.farm;
  window.document.title = `${document.title || document.farm} · windcast`;
  const age = minutesSince(view.issue);
  const over = view.end < now();
  byId("facts").replaceChildren(
    el("span", {}, "Issued ", stamp(view.issue)),
    el(
      "span",
      { class: over || stale ? "old" : null },
      `${span(age)} ago`,
      over ? ", all of its times have passed" : "",
    ),
  );
  showRung(view, stale);
}

function showRung(view, stale) {
  const { inputs } = view.document;
  const { title, bars } = stale ? { title: "Not live", bars: 0 } : RUNGS[inputs.rung];
  const count = view.leads.filter((lead) => lead.rung === inputs.rung).length;
  const share = stale || count === view.leads.length ? "" : ` for ${count} of ${view.leads.length} lead times`;
  const level = bars === 5 ? "good" : bars >= 3 ? "fair" : "poor";
  const words = el("p", {}, el("strong", {}, title + share), el("span", { class: "quiet" }, detail(inputs, stale)));
  byId("status").dataset.level = level;
  byId("status").replaceChildren(ladder(bars), words);
}

function detail(inputs, stale) {
  if (stale) return `the last forecast received had: ${inputs.sentence}`;
  if (inputs.rung === "fresh" && inputs.newest_power) return `power ${late(inputs.power_age_minutes)}`;
  return inputs.sentence;
}

export const late = (minutes) =>
  minutes ? `known up to ${span(minutes)} before the issue time` : "known up to the issue time";

/** A farm, or a service, that has no forecast to show, and the sentence that says why. */
export function showNothing(title, words) {
  byId("title").textContent = title;
  byId("facts").textContent = sentence(words);
  byId("status").replaceChildren();
  delete byId("status").dataset.level;
}

export function showInputs(view, farm) {
  const { inputs, notes, bundle } = view.document;
  const said = inputs.missing?.length || inputs.rung === "fresh" ? (inputs.missing ?? []) : [inputs.sentence];
  const sentences = said.map(sentence);
  const missing = sentences.length
    ? el(
        "ul",
        { class: "missing" },
        sentences.map((words) => el("li", {}, words)),
      )
    : el("p", {}, "Nothing is missing.");
  const facts = el(
    "dl",
    { class: "facts-list" },
    fact("Newest power", ageOf(inputs.newest_power, inputs.power_age_minutes, "none that is recent")),
    fact(
      "Newest weather",
      ageOf(inputs.newest_weather, inputs.weather_age_minutes, NO_RUN[farm?.weather_kind] ?? "no run known"),
    ),
    inputs.backtest_crps == null
      ? null
      : fact("CRPS on such inputs", [`${percent(inputs.backtest_crps)} of capacity in the backtest`]),
    fact("Model", modelOf(bundle)),
    farm ? fact("Capacity", [`${farm.capacity_mw} MW`]) : null,
  );
  const rest = (notes ?? []).map((note) => el("li", {}, sentence(note)));
  byId("inputs").replaceChildren(missing, ...(rest.length ? [el("ul", { class: "notes" }, rest)] : []), facts);
  byId("credits").textContent = farm?.attribution ? `Data: ${farm.attribution}` : "";
}

function modelOf(bundle) {
  if (!bundle) return ["not stated"];
  const until = bundle.trained_until ? ["trained until ", stamp(new Date(bundle.trained_until))] : [];
  return [
    bundle.model,
    el("small", {}, `bundle “${bundle.name}”, ${String(bundle.checksum ?? "").slice(0, 12)}`),
    el("small", {}, until),
  ];
}

const fact = (name, content) => el("div", {}, el("dt", {}, name), el("dd", {}, content));

const NO_RUN = { reanalysis: "reanalysis, made afterwards", none: "not used by this model" };

function ageOf(time, age, none) {
  if (!time) return [none];
  return [stamp(new Date(time)), el("small", {}, age ? `${span(age)} before the issue time` : "at the issue time")];
}
