/** Scales, ticks and step paths: what every chart of the page is drawn with. */

import { svg } from "./dom.js";
import { day, ticks, weekday } from "./when.js";

export const scale = ([low, high], [from, to]) => {
  const slope = (to - from) / (high - low);
  const at = (value) => from + (value - low) * slope;
  at.back = (place) => low + (place - from) / slope;
  return at;
};

/** Round values from 0 up to `high`, about `count` of them. */
export function roundTicks(high, count) {
  const rough = high / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((candidate) => candidate >= rough * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) + (Math.abs(step / power - 2.5) < 1e-9 ? 1 : 0);
  const found = [];
  for (let i = 0; i * step <= high * 1.0001; i += 1) found.push({ value: i * step, text: (i * step).toFixed(digits) });
  return found;
}

const near = (number) => number.toFixed(1);

/** One path over intervals {from, to}: a step a value, a gap where `value` gives null or an interval is missing. */
export function steps(intervals, value, x, y) {
  let path = "";
  let end = null;
  for (const interval of intervals) {
    const height = value(interval);
    if (height === null) {
      end = null;
      continue;
    }
    const left = near(x(interval.from));
    path += `${end === interval.from ? "L" : "M"}${left},${near(y(height))}H${near(x(interval.to))}`;
    end = interval.to;
  }
  return path;
}

/** The closed outline of a band of steps between two values. */
export function bandPath(intervals, low, high, x, y) {
  const top = intervals.map((i) => `L${near(x(i.from))},${near(y(high(i)))}H${near(x(i.to))}`);
  const bottom = intervals.toReversed().map((i) => `L${near(x(i.to))},${near(y(low(i)))}H${near(x(i.from))}`);
  return `M${top.join("").slice(1)}${bottom.join("")}Z`;
}

export const line = (x1, y1, x2, y2, name) => svg("line", { x1, y1, x2, y2, class: name });

export function text(x, y, words, name, anchor = "start") {
  return svg("text", { x: near(x), y: near(y), class: name, "text-anchor": anchor }, words);
}

/** Horizontal grid with its values at the left of the box. */
export function valueAxis(box, y, marks, unit) {
  return marks.map(({ value, text: words }) =>
    svg(
      "g",
      {},
      line(box.left, y(value), box.right, y(value), value === 0 ? "base" : "grid"),
      text(box.left - unit * 0.5, y(value) + unit * 0.28, words, "tick", "end"),
    ),
  );
}

/** Hours below the box, and below them the day where it begins, after the name of the axis. */
export function timeAxis(box, x, from, to, unit, name) {
  const across = box.right - box.left;
  const { found, wide } = ticks(
    new Date(from),
    new Date(to),
    Math.floor(across / (unit * (across < unit * 30 ? 3.6 : 4.6))),
  );
  let taken = -Infinity;
  const marks = found.map(({ date, dawn, text: words }) => {
    const middle = within(x(date), words, box, unit);
    const half = widthOf(words, unit) / 2;
    const label = middle - half < taken ? null : text(middle, box.bottom + unit * 1.25, words, "tick", "middle");
    if (label) taken = middle + half;
    return svg(
      "g",
      {},
      line(x(date), box.top, x(date), box.bottom, dawn ? "grid dawn" : "grid"),
      line(x(date), box.bottom, x(date), box.bottom + unit * 0.3, "base"),
      label,
    );
  });
  const title = text(0, box.bottom + unit * 2.4, name, "axis");
  const free = widthOf(name, unit * 1.08) + unit;
  return [...marks, title, ...(wide ? [] : days(found, box, x, unit, free))];
}

/** About as wide as words are drawn, on the wide side. */
const widthOf = (words, unit) => words.length * unit * 0.62;

/** The middle of words as near to a place as the right edge lets it be. */
const within = (place, words, box, unit) => Math.min(place, box.right + unit * 0.7 - widthOf(words, unit) / 2);

/** The day below where it begins, as far as the names do not meet. */
function days(found, box, x, unit, start) {
  const dawns = found.filter((tick) => tick.dawn);
  const labels = [];
  let free = start;
  for (const { date } of dawns.length ? dawns : found.slice(0, 1)) {
    const words = `${weekday(date)} ${day(date)}`;
    const half = widthOf(words, unit) / 2;
    const middle = Math.max(free + half, within(x(date), words, box, unit));
    if (middle - half < free || middle + half > box.right + unit || middle - x(date) > unit * 3) continue;
    free = middle + half + unit * 0.5;
    labels.push(text(middle, box.bottom + unit * 2.4, words, "tick day", "middle"));
  }
  return labels;
}
