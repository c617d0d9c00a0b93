/** The service's HTTP interface, addressed relative to this file so that it works below any path prefix. */

const BASE = new URL("../", import.meta.url);
const SLOT = "windcast.key";
const PATIENCE_MS = 20_000;
const PATIENCE_UPLOAD_MS = 120_000;

/** An answer of the service that says no; `message` is its sentence. */
export class Problem extends Error {
  constructor(status, { title, detail, request_id: request } = {}) {
    super(detail || title || `The service answered ${status}.`);
    this.status = status;
    this.title = title || `Error ${status}`;
    this.request = request || "";
  }
}

/** No answer at all, or not in time. */
export class Unreachable extends Error {}

export const keeper = {
  get key() {
    return sessionStorage.getItem(SLOT) ?? "";
  },
  set key(value) {
    if (value) sessionStorage.setItem(SLOT, value);
    else sessionStorage.removeItem(SLOT);
  },
};

export function address(path, parameters = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return url.href;
}

/** The answer to a request. Throws Problem where the service says no, Unreachable where it says nothing. */
export async function ask(url, { patience = PATIENCE_MS, ...options } = {}) {
  const headers = new Headers(options.headers);
  if (keeper.key) headers.set("Authorization", `Bearer ${keeper.key}`);
  let answer;
  try {
    answer = await fetch(url, { ...options, headers, cache: "no-cache", signal: AbortSignal.timeout(patience) });
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new Unreachable(
      late ? `The service has not answered within ${patience / 1000} s.` : "The service cannot be reached.",
    );
  }
  if (answer.ok) return answer;
  throw new Problem(answer.status, await answer.json().catch(() => ({})));
}

async function read(path, parameters) {
  return body(await ask(address(path, parameters)), "json");
}

/** The body of an answer; a connection that breaks off while it is read is as good as none. */
async function body(answer, kind) {
  try {
    return await answer[kind]();
  } catch {
    throw new Unreachable("The service's answer broke off.");
  }
}

/** Every farm, from all pages of the list. */
export async function farms() {
  const items = [];
  let parameters = { limit: 1000 };
  while (parameters) {
    const page = await read("v1/farms", parameters);
    items.push(...page.items);
    // only the query of `next` counts: its path does not know of a prefix
    parameters = page.next ? Object.fromEntries(new URL(page.next, BASE).searchParams) : null;
  }
  return items;
}

const pathOf = (farm) => `v1/farms/${encodeURIComponent(farm)}`;

export const latest = (farm) => read(`${pathOf(farm)}/forecasts/latest`, { format: "json" });
export const latestAddress = (farm, format) => address(`${pathOf(farm)}/forecasts/latest`, { format });
export const scores = (farm, days) => read(`${pathOf(farm)}/scores`, { days });

/** The forecast after the last known power of a file: a document for "json", else a Blob. zone: "" to find it out. */
export async function predict(file, format, zone) {
  const form = new FormData();
  form.append("data", file, file.name);
  const options = { method: "POST", body: form, patience: PATIENCE_UPLOAD_MS };
  const answer = await ask(address("predict", zone ? { format, time_zone: zone } : { format }), options);
  return body(answer, format === "json" ? "json" : "blob");
}

export async function blobAt(url) {
  return body(await ask(url), "blob");
}
