/** The chart's cursor: pointer, touch and keys move it, a readout says what is there. */

import { byId, el, svg } from "./dom.js";
import { RUNGS, leadText, megawatts, quantile, tailsOf } from "./view.js";
import { hour, isLocal, now, stamp, zoneName } from "./when.js";

export class Cursor {
  /** `onMove` is called with the index of the lead on show, negative in the past; `onChoose` where it is to rest. */
  constructor(handle, readout, onMove, onChoose) {
    Object.assign(this, { handle, readout, onMove, onChoose, view: null, drawing: null, chosen: null, hovered: null });
    handle.addEventListener("pointermove", (event) => this.hover(this.under(event)));
    handle.addEventListener("pointerleave", () => this.hover(null));
    handle.addEventListener("pointerdown", (event) => this.choose(this.under(event)));
    handle.addEventListener("keydown", (event) => this.key(event));
  }

  /** Follows a new drawing; the chosen time stays chosen as long as it is in the chart. */
  follow(view, drawing) {
    this.view = view;
    this.drawing = drawing;
    if (this.hovered >= drawing.points.length) this.hovered = null;
    this.show();
  }

  under(event) {
    const time = this.drawing.x.back(event.clientX - this.handle.parentElement.getBoundingClientRect().left);
    const place = this.drawing.points.findIndex((point) => time < point.to);
    return place < 0 ? this.drawing.points.length - 1 : place;
  }

  /** Where the cursor rests: at the chosen time, else at the first lead that is not over, else at the first. */
  resting() {
    const { points, past } = this.drawing;
    const chosen = this.chosen === null ? -1 : points.findIndex((point) => point.to === this.chosen);
    if (chosen >= 0) return chosen;
    const ahead = points.findIndex((point, i) => i >= past && point.to > now());
    return Math.max(ahead, past);
  }

  get place() {
    return this.hovered ?? this.resting();
  }

  /** The lead on show, negative in the past. */
  get lead() {
    return this.drawing ? this.place - this.drawing.past : -1;
  }

  hover(place) {
    this.hovered = place;
    this.show();
  }

  /** Points at a lead from elsewhere on the page, null to let go. */
  hoverLead(index) {
    if (this.drawing) this.hover(index === null ? null : this.drawing.past + index);
  }

  choose(place) {
    this.chosen = this.drawing.points[place].to;
    this.hovered = null;
    this.show();
    this.onChoose(place - this.drawing.past);
  }

  key(event) {
    if (!this.drawing || event.altKey || event.ctrlKey || event.metaKey) return;
    const { points, past } = this.drawing;
    const { place } = this;
    const moves = {
      ArrowLeft: place - 1,
      ArrowDown: place - 1,
      ArrowRight: place + 1,
      ArrowUp: place + 1,
      PageDown: place - 6,
      PageUp: place + 6,
      Home: past,
      End: points.length - 1,
    };
    if (event.key === "Escape") this.chosen = this.hovered = null;
    else if (event.key in moves) this.choose(Math.min(points.length - 1, Math.max(0, moves[event.key])));
    else return;
    event.preventDefault();
    this.show();
  }

  show() {
    if (!this.drawing) return;
    const { points, past } = this.drawing;
    const { place } = this;
    const facts = factsOf(this.view, points[place]);
    this.readout.replaceChildren(
      ...facts.map(([name, ...value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
    );
    this.drawing.layer.replaceChildren(...this.shapes(points[place]));
    const { handle } = this;
    handle.setAttribute("aria-valuemin", -past);
    handle.setAttribute("aria-valuemax", points.length - past - 1);
    handle.setAttribute("aria-valuenow", place - past);
    handle.setAttribute("aria-valuetext", spoken(this.view, points[place]));
    this.onMove(place - past);
  }

  shapes(point) {
    const { x, y, box, unit } = this.drawing;
    const at = ((x(point.from) + x(point.to)) / 2).toFixed(1);
    const dot = (value, name) => svg("circle", { cx: at, cy: y(value).toFixed(1), r: unit * 0.33, class: name });
    const shapes = [svg("line", { x1: at, x2: at, y1: box.top, y2: box.bottom, class: "hair" })];
    if (point.lead !== undefined) shapes.push(dot(quantile(this.view, point, 0.5), "dot median-dot"));
    if (point.measured !== null) shapes.push(dot(point.measured, "dot measured-dot"));
    return shapes;
  }
}

const DASH = "–";

/** [[name, …content]] in an order and number that never change, so that nothing jumps. */
function factsOf(view, point) {
  const there = point.lead !== undefined;
  const band = (percent) => (there && view.bands.includes(percent) ? rangeText(view, point, percent) : DASH);
  const power = (value) => (value === null ? DASH : `${megawatts(value, view)} MW`);
  const here = isLocal();
  const other = `${here ? "" : "local "}${hour(point.valid, !here)} ${zoneName(point.valid, !here)}`;
  return [
    ["Valid", stamp(point.valid, `${hour(point.valid)} ${zoneName(point.valid)}`), el("small", {}, other)],
    ["Lead", there ? leadText(point.lead) : "past", el("small", {}, there ? RUNGS[point.rung].title : "known then")],
    ["Median", there ? power(quantile(view, point, 0.5)) : DASH],
    ["Measured", power(point.measured)],
    ["50 % band", band(50)],
    ["90 % band", band(90)],
  ];
}

function rangeText(view, lead, percent) {
  const [low, high] = tailsOf(percent).map((level) => megawatts(quantile(view, lead, level), view));
  return `${low} – ${high} MW`;
}

function spoken(view, point) {
  const time = `${hour(point.valid)} ${zoneName(point.valid)}`;
  const known = point.measured === null ? "" : `, measured ${megawatts(point.measured, view)} MW`;
  if (point.lead === undefined) return `${time}, past${known || ", no measurement"}`;
  const bands = view.bands.filter((percent) => percent !== 80).reverse();
  const words = bands.map((percent) => `, ${percent} % band ${rangeText(view, point, percent).replace("–", "to")}`);
  const median = megawatts(quantile(view, point, 0.5), view);
  return `${time}, lead ${leadText(point.lead).slice(1)}, median ${median} MW${words.join("")}${known}`;
}
