/** The small charts of past quality: coverage, reliability, and CRPS by lead time. */

import { line, roundTicks, scale, text, valueAxis } from "./axes.js";
import { rem, svg } from "./dom.js";

const unitOf = () => Math.max(10.5, rem() * 0.74);

function canvas(width, height, unit, label, ...shapes) {
  return svg(
    "svg",
    { role: "img", "aria-label": label, viewBox: `0 0 ${width} ${height}`, "font-size": unit },
    ...shapes,
  );
}

/** Where observed values fell against the levels, with the band in which a reliable forecast would lie. */
export function reliabilityPlot(points, width, height) {
  const unit = unitOf();
  const side = Math.min(width - unit * 4.2, height - unit * 5);
  const box = { left: unit * 3.2, top: unit * 1.9, right: unit * 3.2 + side, bottom: unit * 1.9 + side };
  const x = scale([0, 1], [box.left, box.right]);
  const y = scale([0, 1], [box.bottom, box.top]);
  const at = (level, value) => `${x(level).toFixed(1)},${y(value).toFixed(1)}`;
  const low = points.map((p) => at(p.level, p.low));
  const high = points.map((p) => at(p.level, p.high)).reverse();
  const marks = [0, 0.25, 0.5, 0.75, 1].map((value) => ({ value, text: String(value * 100) }));
  const outside = points.filter((p) => p.observed < p.low || p.observed > p.high).length;
  const label =
    `Reliability: ${points.length - outside} of ${points.length} levels lie within the 90 % consistency band. ` +
    "Axes: nominal level and observed share, 0 to 100 %.";
  return canvas(
    width,
    height,
    unit,
    label,
    valueAxis(box, y, marks, unit),
    marks.map(({ value, text: words }) => text(x(value), box.bottom + unit * 1.3, words, "tick", "middle")),
    text(0, unit * 0.9, "Observed below (%)", "axis"),
    text(box.right, box.bottom + unit * 2.6, "Level (%)", "axis", "end"),
    svg("path", { class: "band band-90", d: `M${[...low, ...high].join("L")}Z` }),
    line(x(0), y(0), x(1), y(1), "ideal"),
    svg("path", { class: "score-line", d: `M${points.map((p) => at(p.level, p.observed)).join("L")}` }),
    points.map((p) => svg("circle", { class: "score-dot", cx: x(p.level), cy: y(p.observed), r: unit * 0.22 })),
  );
}

/** CRPS by lead time in per cent of capacity, with what the backtest had. */
export function leadsPlot(leads, width, height) {
  const unit = unitOf();
  const box = { left: unit * 3.2, top: unit * 1.9, right: width - unit, bottom: height - unit * 3.1 };
  const hours = leads.map((lead) => lead.lead_minutes / 60);
  const values = leads.flatMap((lead) => [lead.crps, lead.backtest_crps ?? 0]).map((value) => value * 100);
  const high = Math.max(...values) * 1.1 || 1;
  const short = hours.at(-1) <= 3;
  const x = scale([0, hours.at(-1)], [box.left, box.right]);
  const y = scale([0, high], [box.bottom, box.top]);
  const path = (value) =>
    leads
      .map((l, i) =>
        value(l) == null
          ? ""
          : `${i && value(leads[i - 1]) != null ? "L" : "M"}${x(hours[i]).toFixed(1)},${y(value(l) * 100).toFixed(1)}`,
      )
      .join("");
  const label =
    `CRPS by lead time: ${(leads[0].crps * 100).toFixed(1)} % of capacity at the first lead, ` +
    `${(leads.at(-1).crps * 100).toFixed(1)} % at the last. Axes: lead time; CRPS in % of capacity.`;
  const ticks = roundHours(hours.at(-1), Math.floor((box.right - box.left) / (unit * 3.5)));
  return canvas(
    width,
    height,
    unit,
    label,
    valueAxis(box, y, roundTicks(high, 4), unit),
    ticks.map((h) =>
      text(x(h), box.bottom + unit * 1.3, short ? String(Math.round(h * 60)) : String(h), "tick", "middle"),
    ),
    text(0, unit * 0.9, "CRPS (% of capacity)", "axis"),
    text(box.right, box.bottom + unit * 2.6, short ? "Lead time (min)" : "Lead time (h)", "axis", "end"),
    svg("path", { class: "promise", d: path((lead) => lead.backtest_crps) }),
    svg("path", { class: "score-line", d: path((lead) => lead.crps) }),
  );
}

function roundHours(last, most) {
  const step = [1 / 6, 0.5, 1, 2, 3, 6, 12, 24, 48, 168].find((candidate) => last / candidate <= most) ?? 168;
  return Array.from({ length: Math.floor(last / step + 1e-9) + 1 }, (_, i) => Math.round(i * step * 60) / 60);
}

/** How often the bands held the measured power: a dot for each, a tick where it ought to be. */
export function coveragePlot(coverage, width, height) {
  const unit = unitOf();
  const names = Object.keys(coverage)
    .filter((name) => coverage[name] !== null)
    .sort((a, b) => a - b);
  const box = { left: unit * 3.7, top: unit * 2.2, right: width - unit * 5.6, bottom: height - unit * 3.1 };
  const x = scale([0, 1], [box.left, box.right]);
  const row = (box.bottom - box.top) / names.length;
  const rows = names.map((name, i) => {
    const middle = box.top + row * (i + 0.5);
    const held = coverage[name];
    const tall = Math.min(row * 0.34, unit * 1.1);
    return svg(
      "g",
      {},
      svg("rect", { class: `cover band-${name}`, x: x(0), y: middle - tall / 2, width: x(held) - x(0), height: tall }),
      line(x(name / 100), middle - tall, x(name / 100), middle + tall, "due"),
      text(box.left - unit * 0.6, middle + unit * 0.32, `${name} %`, "tick", "end"),
      text(box.right + unit * 0.6, middle + unit * 0.32, `${(held * 100).toFixed(1)} %`, "value"),
    );
  });
  const label = names.map((name) => `the ${name} % band held ${(coverage[name] * 100).toFixed(1)} %`).join(", ");
  return canvas(
    width,
    height,
    unit,
    `Coverage: ${label}. Axes: band; share of measured values in it, 0 to 100 %.`,
    [0, 0.5, 1].map((value) => text(x(value), box.bottom + unit * 1.3, String(value * 100), "tick", "middle")),
    line(box.left, box.bottom, box.right, box.bottom, "base"),
    line(box.left, box.top, box.left, box.bottom, "base"),
    text(0, unit * 0.9, "Band", "axis"),
    text(box.right, box.bottom + unit * 2.6, "Measured in the band (%)", "axis", "end"),
    rows,
  );
}
