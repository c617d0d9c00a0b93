/** Times in words, in UTC or in the reader's own zone. */

import { el } from "./dom.js";

const MINUTE = 60_000;
let local = false;
let ahead = 0; // of this browser's clock: the service's, which a demonstration sets to the end of its data
const formatters = new Map();

export const isLocal = () => local;
export const useLocal = (wanted) => {
  local = wanted;
};

export const now = () => Date.now() + ahead;
export const setClock = (serviceTime) => {
  ahead = serviceTime.getTime() - Date.now();
};

function format(date, options, inLocal) {
  const id = JSON.stringify([options, inLocal]);
  if (!formatters.has(id)) {
    const zone = inLocal ? {} : { timeZone: "UTC" };
    formatters.set(id, new Intl.DateTimeFormat("en-GB", { ...options, ...zone }));
  }
  return formatters.get(id).format(date).replace(",", "");
}

const HOUR = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };

export const clock = (date, inLocal = local) => format(date, HOUR, inLocal);
export const weekday = (date, inLocal = local) => format(date, { weekday: "short" }, inLocal);
export const day = (date, inLocal = local) => format(date, { day: "numeric", month: "short" }, inLocal);

const year = (date, inLocal = local) => format(date, { year: "numeric" }, inLocal);

/** `1 Jan 2016`. */
export const date = (time, inLocal = local) => `${day(time, inLocal)} ${year(time, inLocal)}`;

/** `Fri 1 Jan 01:00`. */
export function hour(date, inLocal = local) {
  return `${weekday(date, inLocal)} ${day(date, inLocal)} ${clock(date, inLocal)}`;
}

/** The same with the year where it is not this one. */
export function moment(date, inLocal = local) {
  if (year(date, inLocal) === year(new Date(now()), inLocal)) return hour(date, inLocal);
  return `${weekday(date, inLocal)} ${day(date, inLocal)} ${year(date, inLocal)} ${clock(date, inLocal)}`;
}

/** `UTC`, or what the reader's zone is called on that date. */
export function zoneName(date, inLocal = local) {
  if (!inLocal) return "UTC";
  const parts = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts(date);
  return parts.find((part) => part.type === "timeZoneName").value;
}

/** A span of time in words: `35 min`, `5 h 12 min`, `3 days`, `10 years`. */
export function span(minutes) {
  const whole = Math.max(0, Math.round(minutes));
  if (whole < 60) return `${whole} min`;
  if (whole < 48 * 60) return whole % 60 ? `${Math.floor(whole / 60)} h ${whole % 60} min` : `${whole / 60} h`;
  const days = Math.round(whole / 1440);
  return days < 730 ? `${days} days` : `${Math.floor(days / 365.25)} years`;
}

export const minutesSince = (date) => (now() - date.getTime()) / MINUTE;

export function stamp(date, text = `${moment(date)} ${zoneName(date)}`) {
  return el("time", { datetime: date.toISOString().replace(".000Z", "Z") }, text);
}

const STEPS = [5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080];

/** Ticks between two times, at most `most` of them, on round times of the zone on show: [{date, text, dawn}]. */
export function ticks(from, to, most) {
  const minutes = (to - from) / MINUTE;
  const step = STEPS.find((candidate) => minutes / candidate <= most) ?? STEPS.at(-1);
  const first = new Date(from);
  const at = local
    ? (m) => new Date(first.getFullYear(), first.getMonth(), first.getDate(), 0, m)
    : (m) => new Date(Date.UTC(first.getUTCFullYear(), first.getUTCMonth(), first.getUTCDate(), 0, m));
  const found = [];
  for (let m = 0; at(m) <= to; m += step) {
    const date = at(m);
    if (date < from || (found.length && date <= found.at(-1).date)) continue;
    const dawn = clock(date) === "00:00";
    found.push({ date, dawn, text: step >= 1440 ? day(date) : clock(date) });
  }
  return { found, wide: step >= 1440 };
}
