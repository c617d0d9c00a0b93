/** The fan chart: past power, bands and median of the forecast, issue time, capacity, and what was measured since. */

import { bandPath, line, roundTicks, scale, steps, text, timeAxis, valueAxis } from "./axes.js";
import { byId, el, onResize, rem, svg } from "./dom.js";
import { quantile, tailsOf } from "./view.js";
import { clock, moment, now, zoneName } from "./when.js";

const HEADROOM = 1.08;

export class FanChart {
  /** `onDraw` is told of every drawing: {box, x, y, points, layer}; `layer` is a group for a cursor. */
  constructor(host, onDraw) {
    this.host = host;
    this.onDraw = onDraw;
    this.view = null;
    this.size = null;
    onResize(host, (width, height) => {
      this.size = { width, height };
      this.draw();
    });
  }

  show(view) {
    this.view = view;
    this.draw();
  }

  draw() {
    this.host.querySelector("svg")?.remove();
    if (!this.view || !this.size) return;
    const { view, size } = this;
    const unit = Math.max(11, rem() * 0.78);
    const past = pastShown(view, size.width < unit * 50);
    const top = unit * 2.9;
    const box = { left: unit * 3.2, right: size.width - unit * 0.8, top, bottom: size.height - unit * 2.9 };
    const start = past.length ? past[0].from : view.issue.getTime();
    const x = scale([start, view.end], [box.left, box.right]);
    const y = scale([0, view.capacity * HEADROOM], [box.bottom, box.top]);
    const layer = svg("g", { class: "pointer" });
    const drawing = svg(
      "svg",
      { role: "img", "aria-label": summary(view), viewBox: `0 0 ${size.width} ${size.height}`, "font-size": unit },
      svg("defs", {}, hatch(unit)),
      text(0, unit * 0.95, "Power (MW)", "axis"),
      valueAxis(box, y, roundTicks(view.capacity, size.height < unit * 22 ? 4 : 6), unit),
      timeAxis(box, x, start, view.end, unit, `Time (${zoneName(view.issue)})`),
      bands(view, x, y),
      lowRungs(view, x, box, unit),
      svg("path", { class: "past", d: steps(past, (p) => p.measured, x, y) }),
      svg("path", { class: "median", d: steps(view.leads, (l) => quantile(view, l, 0.5), x, y) }),
      measured(view, x, y),
      marks(view, box, x, y, unit),
      layer,
    );
    this.host.prepend(drawing);
    this.onDraw({ box, x, y, layer, unit, points: [...past, ...view.leads], past: past.length });
  }
}

/** As much of the past as of the forecast, half of that on a narrow screen. */
function pastShown(view, narrow) {
  const issue = view.issue.getTime();
  const from = issue - (view.end - issue) * (narrow ? 0.5 : 1);
  return view.past.filter((p) => p.from >= from - 1 && p.to <= issue);
}

function bands(view, x, y) {
  return view.bands.map((percent) => {
    const [low, high] = tailsOf(percent);
    const path = bandPath(
      view.leads,
      (l) => quantile(view, l, low),
      (l) => quantile(view, l, high),
      x,
      y,
    );
    return svg("path", { class: `band band-${percent}`, d: path });
  });
}

function measured(view, x, y) {
  const path = steps(view.leads, (l) => l.measured, x, y);
  return [svg("path", { class: "halo", d: path }), svg("path", { class: "measured", d: path })];
}

function hatch(unit) {
  const size = Math.round(unit / 2);
  const stroke = svg("path", { class: "hatch", d: `M0,${size}L${size},0` });
  return svg("pattern", { id: "hatch", width: size, height: size, patternUnits: "userSpaceOnUse" }, stroke);
}

/** A hatched strip on the axis below every lead that stands on less than everything. */
function lowRungs(view, x, box, unit) {
  return view.leads
    .filter((l) => l.rung !== "fresh")
    .map((l) =>
      svg("rect", {
        class: "lower",
        x: x(l.from),
        y: box.bottom - unit * 0.5,
        width: x(l.to) - x(l.from),
        height: unit * 0.5,
        fill: "url(#hatch)",
      }),
    );
}

function marks(view, box, x, y, unit) {
  const at = x(view.issue.getTime());
  const anchor = at < box.left + unit * 4 ? "start" : at > box.right - unit * 5 ? "end" : "middle";
  const capacity = `capacity ${view.capacity} MW`;
  return [
    line(box.left, y(view.capacity), box.right, y(view.capacity), "capacity"),
    text(box.right - unit * 0.3, y(view.capacity) - unit * 0.35, capacity, "note", "end"),
    line(at, box.top - unit * 0.3, at, box.bottom, "issue"),
    text(at, box.top - unit * 0.65, `issued ${clock(view.issue)}`, "note strong", anchor),
    ...present(view, box, x, at, unit),
  ];
}

function present(view, box, x, issued, unit) {
  const time = now();
  const at = x(time);
  if (time <= view.issue.getTime() || time >= view.end) return [];
  const close = at - issued < unit * 6.5;
  const [across, down] = close ? [at + unit * 0.35, box.top + unit * 0.95] : [at, box.top - unit * 0.65];
  const words = text(across, down, "now", "note", close ? "start" : "middle");
  return [line(at, box.top, at, box.bottom, "now"), words];
}

function summary(view) {
  const medians = view.leads.map((l) => quantile(view, l, 0.5));
  const range = [Math.min(...medians), Math.max(...medians)].map((value) => value.toFixed(view.digits));
  return (
    `Fan chart of ${view.leads.length} lead times, issued ${moment(view.issue)} ${zoneName(view.issue)}. ` +
    `Axes: time in ${zoneName(view.issue)}; power in MW from 0 to the capacity of ${view.capacity} MW. ` +
    `The median runs between ${range[0]} and ${range[1]} MW. Every value is in the table of lead times.`
  );
}

/** What the chart's areas and lines mean, for what is in it. */
export function showLegend(view) {
  const entries = [
    ...view.bands.map((percent) => [`band-${percent}`, `${percent} % band`]),
    ["median", "median"],
    ...(view.past.length ? [["past", "measured, known then"]] : []),
    ...(view.leads.some((l) => l.measured !== null) ? [["measured", "measured since"]] : []),
    ...(view.leads.some((l) => l.rung !== "fresh") ? [["lower", "not all inputs fresh"]] : []),
  ];
  const key = ([name, words]) => el("span", { class: "entry" }, el("i", { class: `swatch ${name}` }), words);
  byId("legend").replaceChildren(...entries.map(key));
}
