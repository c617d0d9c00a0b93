/** The table of lead times, which is also the chart in words, and its copy for a spreadsheet. */

import { byId, el } from "./dom.js";
import { RUNGS, leadText, megawatts, quantile } from "./view.js";
import { clock, day, stamp, weekday, zoneName } from "./when.js";

const WANTED = [0.05, 0.25, 0.5, 0.75, 0.95];
const WEEK_MS = 6 * 86_400_000;

/** The quantiles that the table shows: of those wanted, what the forecast's levels reach. */
function levelsOf(view) {
  const { levels } = view.document;
  return WANTED.filter((level) => level >= levels[0] - 1e-9 && level <= levels.at(-1) + 1e-9);
}

const nameOf = (level) => (level === 0.5 ? "Median" : `${Math.round(level * 1000) / 10}\u00a0%`);

export function showTable(view) {
  const table = byId("table");
  const extra = extrasOf(view);
  const far = view.end - view.issue.getTime() > WEEK_MS;
  const heads = [
    `Valid (${zoneName(view.issue)})`,
    "Lead",
    ...levelsOf(view).map(nameOf),
    ...extra.map(([name]) => name),
  ];
  table.tHead.replaceChildren(
    el(
      "tr",
      {},
      heads.map((name) => el("th", { scope: "col" }, name)),
    ),
  );
  table.tBodies[0].replaceChildren(
    ...view.leads.map((lead, index) => {
      const time = `${far ? day(lead.valid) : weekday(lead.valid)} ${clock(lead.valid)}`;
      const numbers = levelsOf(view).map((level) => megawatts(quantile(view, lead, level), view));
      const cells = [leadText(lead.lead), ...numbers, ...extra.map(([, value]) => value(lead))];
      const dawn = clock(lead.valid) === "00:00" ? "dawn" : null;
      const head = el("th", { scope: "row" }, stamp(lead.valid, time));
      return el(
        "tr",
        { "data-lead": index, class: dawn },
        head,
        cells.map((cell) => el("td", {}, cell)),
      );
    }),
  );
}

/** Columns that only some forecasts have: what was measured, and the rung where not every lead is fresh. */
function extrasOf(view) {
  const extra = [];
  if (view.leads.some((lead) => lead.measured !== null))
    extra.push(["Measured", (lead) => megawatts(lead.measured, view)]);
  if (view.leads.some((lead) => lead.rung !== "fresh")) extra.push(["Inputs", (lead) => RUNGS[lead.rung].short]);
  return extra;
}

/** Marks the row of a lead, none where the index is negative. */
export function markRow(index) {
  byId("table").querySelector("tr.shown")?.classList.remove("shown");
  byId("table").querySelector(`tr[data-lead="${index}"]`)?.classList.add("shown");
}

/** Brings a row into the table's own view without moving the page. */
export function scrollToRow(index) {
  const row = byId("table").querySelector(`tr[data-lead="${index}"]`);
  const view = byId("table").parentElement;
  if (!row) return;
  const above = row.offsetTop - byId("table").tHead.offsetHeight;
  const below = row.offsetTop + row.offsetHeight - view.clientHeight;
  if (view.scrollTop > above) view.scrollTop = above;
  else if (view.scrollTop < below) view.scrollTop = below;
}

/** Tab-separated, with unrounded MW and UTC times, as a spreadsheet takes it from the clipboard. */
export function tsvOf(view) {
  const { document } = view;
  const names = document.levels.map((level) => `q${Math.round(level * 1e6) / 1e4}_mw`);
  const rows = view.leads.map((lead, h) =>
    [document.valid_times[h], lead.lead, lead.rung, ...lead.values, lead.measured ?? ""].join("\t"),
  );
  return [["valid_time", "lead_minutes", "inputs", ...names, "measured_mw"].join("\t"), ...rows].join("\n");
}

/** Throws where the browser lets no page write to the clipboard. */
export async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // plain http on another machine is no secure context and has no clipboard object
  const before = document.activeElement;
  const field = el("textarea", { class: "unseen", "aria-hidden": "true" });
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  before?.focus();
  if (!done) throw new Error("the browser refused");
}
