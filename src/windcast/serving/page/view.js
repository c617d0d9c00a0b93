/** A forecast document as the page shows it: leads and past hours as intervals, and the bands its levels reach. */

const MINUTE = 60_000;

/** Rungs from everything down to nothing: title, short name for a table, and how many bars of five it has. */
export const RUNGS = {
  fresh: { title: "All inputs fresh", short: "fresh", bars: 5 },
  older_run: { title: "Older weather run", short: "older run", bars: 4 },
  no_weather: { title: "No weather forecast", short: "no weather", bars: 3 },
  no_power: { title: "No recent power", short: "no power", bars: 2 },
  nothing: { title: "No recent inputs", short: "nothing", bars: 1 },
};

export function viewOf(document, { fileName = null } = {}) {
  const step = document.resolution_minutes * MINUTE;
  const issue = new Date(document.issue_time);
  // a value is the mean of an interval: draw it over that, whichever end its time marks
  const shift = document.interval === "start" ? step : 0;
  const leads = document.valid_times.map((valid, h) => {
    const to = issue.getTime() + document.lead_minutes[h] * MINUTE;
    return {
      valid: new Date(valid),
      from: to - step,
      to,
      lead: document.lead_minutes[h],
      values: document.quantiles_mw[h],
      rung: document.inputs.rungs[h],
      measured: document.observed_mw?.[h] ?? null,
    };
  });
  const past = (document.past?.times ?? []).map((time, i) => {
    const to = new Date(time).getTime() + shift;
    return { valid: new Date(time), from: to - step, to, measured: document.past.power_mw[i] };
  });
  return {
    document,
    fileName,
    issue,
    leads,
    past,
    capacity: document.capacity_mw,
    end: leads.at(-1).to,
    bands: [90, 80, 50].filter((percent) => reaches(document.levels, percent)),
    digits: digitsFor(document.capacity_mw),
  };
}

function reaches(levels, percent) {
  const tail = (100 - percent) / 200;
  return levels[0] <= tail + 1e-9 && levels.at(-1) >= 1 - tail - 1e-9;
}

export const tailsOf = (percent) => [(100 - percent) / 200, (100 + percent) / 200];

/** MW of a lead at any level: between the forecast's levels interpolated, beyond the outermost constant. */
export function quantile(view, lead, level) {
  const levels = view.document.levels;
  const above = levels.findIndex((known) => known >= level - 1e-9);
  if (above <= 0) return above === 0 ? lead.values[0] : lead.values.at(-1);
  if (Math.abs(levels[above] - level) < 1e-9) return lead.values[above];
  const share = (level - levels[above - 1]) / (levels[above] - levels[above - 1]);
  return lead.values[above - 1] * (1 - share) + lead.values[above] * share;
}

/** Decimals that show about a thousandth of the capacity. */
const digitsFor = (capacity) => Math.min(3, Math.max(0, 3 - Math.ceil(Math.log10(capacity) + 1e-9)));

export const megawatts = (value, view) => (value === null ? "–" : value.toFixed(view.digits));

/** A share as a percentage: 0.0412 is `4.1 %`. */
export const percent = (share, digits = 1) =>
  share === null || share === undefined ? "–" : `${(share * 100).toFixed(digits).replace("-", "−")}\u00a0%`;

/** Lead time in words: `+45 min`, `+6 h`, `+1:30 h`. */
export function leadText(minutes) {
  if (minutes < 60) return `+${minutes} min`;
  const rest = minutes % 60;
  return rest ? `+${Math.floor(minutes / 60)}:${String(rest).padStart(2, "0")} h` : `+${minutes / 60} h`;
}
