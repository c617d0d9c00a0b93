/** The page: what is on show, and when it is asked for again. */

import * as api from "./api.js";
import { FanChart, showLegend } from "./chart.js";
import { Cursor } from "./cursor.js";
import { byId, el, say, sentence } from "./dom.js";
import { pointDownloads, wireDownloads } from "./downloads.js";
import { acceptFiles, showDropProblem, showDropState } from "./drop.js";
import { showNoScores, showScores } from "./scores.js";
import { showHeadline, showInputs, showNothing } from "./status.js";
import { copy, markRow, scrollToRow, showTable, tsvOf } from "./table.js";
import { viewOf } from "./view.js";
import { isLocal, moment, now, setClock, stamp, useLocal, zoneName } from "./when.js";

const EVERY_MS = 60_000;
const ZONE = "windcast.zone";

/**
 * live: the farm's latest forecast document. own: {file, zone, forecast} of a dropped file. shown: the one on show.
 * stale: the service did not answer the last time. seen: when it last did. turn: which refresh may still speak.
 */
const state = {
  farms: [],
  farm: null,
  live: null,
  own: null,
  scored: "",
  stale: false,
  seen: null,
  turn: 0,
  shown: null,
};

const cursor = new Cursor(byId("cursor"), byId("readout"), markRow, scrollToRow);
const fan = new FanChart(byId("fan"), (drawing) => cursor.follow(fan.view, drawing));

const farmOf = (name) => state.farms.find((farm) => farm.name === name) ?? null;

async function refresh() {
  const turn = (state.turn += 1);
  try {
    const farms = await api.farms();
    if (turn !== state.turn) return;
    takeFarms(farms);
    if (state.farm) await refreshFarm(turn);
    if (turn === state.turn) reached();
  } catch (error) {
    if (turn === state.turn) lost(error);
  }
}

async function refreshFarm(turn) {
  const { farm } = state;
  try {
    const forecast = await api.latest(farm);
    if (turn !== state.turn) return;
    takeForecast(forecast);
  } catch (error) {
    if (turn !== state.turn) return;
    if (error.status !== 404) throw error;
    state.live = null;
    if (!state.own) showEmpty(farmOf(farm).title || farm, error.message);
  }
  await refreshScores(turn);
}

/** Scores change only when power arrives or a forecast is issued, so they are asked for only then. */
async function refreshScores(turn) {
  const farm = farmOf(state.farm);
  const days = byId("days").value;
  const wanted = [farm.name, days, farm.revision, farm.latest_issue_time].join(" ");
  if (wanted === state.scored) return;
  try {
    const scores = await api.scores(farm.name, days);
    if (turn !== state.turn) return;
    showScores(scores, farm.title || farm.name);
  } catch (error) {
    if (error.status !== 404) throw error;
    if (turn !== state.turn) return;
    showNoScores(error.message);
  }
  state.scored = wanted;
}

function takeFarms(farms) {
  const before = JSON.stringify(state.farms.map(({ name, title }) => [name, title]));
  state.farms = farms;
  if (farms.length) setClock(new Date(farms[0].now));
  const asked = state.farm ?? new URLSearchParams(location.search).get("farm");
  state.farm = (farmOf(asked) ?? farms[0])?.name ?? null;
  if (JSON.stringify(farms.map(({ name, title }) => [name, title])) !== before) {
    byId("farm").replaceChildren(...farms.map(({ name, title }) => el("option", { value: name }, title || name)));
    byId("farm-choice").hidden = farms.length < 2;
  }
  if (state.farm) byId("farm").value = state.farm;
  else if (!state.own) showEmpty("No farm yet", "Register a farm with PUT /v1/farms/{farm}, or drop a file below.");
}

function takeForecast(forecast) {
  const newer = state.live && state.live.issue_time !== forecast.issue_time;
  state.live = forecast;
  if (state.own) return;
  if (newer) say(`A newer forecast, issued ${moment(new Date(forecast.issue_time))}, is on show.`);
  show();
}

/** Draws what is on show again; the words and the table only where they have changed, or `anew`. */
function show({ anew = false } = {}) {
  const forecast = state.own?.forecast ?? state.live;
  if (!forecast) return;
  const view = viewOf(forecast, { fileName: state.own?.file.name });
  showHeadline(view, { stale: state.stale && !state.own });
  byId("own").hidden = !state.own;
  byId("own-name").textContent = view.fileName ?? "";
  document.body.dataset.shows = state.own ? "file" : "farm";
  document.body.classList.remove("nothing", "waiting");
  fan.show(view);
  const same = JSON.stringify(state.shown) === JSON.stringify(forecast);
  state.shown = forecast;
  if (same && !anew) return;
  showLegend(view);
  showTable(view);
  markRow(cursor.lead);
  showInputs(view, state.own ? null : farmOf(state.farm));
  pointDownloads(state.farm, state.own);
}

function showEmpty(title, words) {
  state.shown = null;
  showNothing(title, words);
  byId("own").hidden = true;
  document.body.classList.add("nothing");
  document.body.classList.remove("waiting");
}

function reached() {
  const back = state.stale;
  Object.assign(state, { stale: false, seen: new Date(now()) });
  byId("key-form").hidden = true;
  byId("trouble").hidden = true;
  document.body.classList.remove("stale");
  if (back) show();
}

/** What is on show stays, marked as old; the reason and the next step are said. */
function lost(error) {
  if (error.status === 401 || error.status === 403) return askForKey(error);
  state.stale = true;
  document.body.classList.add("stale");
  const kept = state.live && state.seen ? [" On show is what it said at ", stamp(state.seen), "."] : [];
  const retry = el("button", { type: "button" }, "Try again");
  retry.addEventListener("click", refresh);
  complain(error, [...kept, " It is asked again every minute."], retry);
  if (state.live || state.own) show();
  else showEmpty("No forecast", "It comes as soon as the service answers.");
}

function complain(error, more = [], button = null) {
  if (error.status === 401) return askForKey(error);
  const known = error instanceof api.Problem || error instanceof api.Unreachable;
  if (!known) console.error(error);
  const title = known ? (error.title ?? "No connection") : "The answer could not be shown";
  const request = error.request ? ` (request ${error.request})` : "";
  const words = el("p", {}, el("strong", {}, `${title}.`), ` ${sentence(error.message)}${request}`, more);
  const bar = byId("trouble");
  // the same words again would be read aloud again
  if (bar.hidden || bar.firstChild?.textContent !== words.textContent)
    bar.replaceChildren(words, ...(button ? [button] : []));
  bar.hidden = false;
}

function askForKey(error) {
  const form = byId("key-form");
  const refused = api.keeper.key !== "";
  byId("key-hint").textContent = refused
    ? `That key was not accepted. ${sentence(error.message)}`
    : "This service wants a key. It is kept until this tab is closed.";
  api.keeper.key = "";
  if (!state.live && !state.own)
    showEmpty("A key is needed", "The forecast comes as soon as the service accepts your key.");
  if (!form.hidden && !refused) return;
  form.hidden = false;
  byId("key").focus();
}

async function takeFile(file) {
  showDropState(`Asking for a forecast from ${file.name} …`);
  try {
    const zone = byId("file-zone").value.trim();
    state.own = { file, zone, forecast: await api.predict(file, "json", zone) };
  } catch (error) {
    if (error.status === 401) askForKey(error);
    showDropProblem(error.message);
    return;
  }
  showDropState("");
  say(`The forecast from ${file.name} is on show.`);
  show();
  byId("title").scrollIntoView({ block: "nearest" });
  byId("own-back").focus();
}

function leaveFile() {
  state.own = null;
  show();
  if (!state.live) refresh();
  byId("forecast").focus({ preventScroll: true });
}

function setZone(wanted) {
  useLocal(wanted === "local");
  try {
    localStorage.setItem(ZONE, wanted);
  } catch {
    // a browser that keeps nothing: the choice lasts as long as the page
  }
  show({ anew: true });
}

function wire() {
  byId("docs").href = api.address("docs");
  byId("farm").addEventListener("change", () => {
    Object.assign(state, { farm: byId("farm").value, own: null, live: null });
    history.replaceState(null, "", `?farm=${encodeURIComponent(state.farm)}`);
    refresh();
  });
  byId("days").addEventListener("change", refresh);
  byId("zone").addEventListener("change", (event) => setZone(event.target.value));
  byId("own-back").addEventListener("click", leaveFile);
  byId("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    api.keeper.key = byId("key").value.trim();
    byId("key").value = "";
    await refresh();
    if (byId("key-form").hidden) byId("forecast").focus({ preventScroll: true });
  });
  byId("copy").addEventListener("click", async () => {
    const done = await copy(tsvOf(fan.view)).then(
      () => "Copied",
      () => "Not copied",
    );
    byId("copy").textContent = done;
    say(done === "Copied" ? "The table is on the clipboard." : "The browser did not allow copying.");
    setTimeout(() => (byId("copy").textContent = "Copy"), 2000);
  });
  const rows = byId("table").tBodies[0];
  rows.addEventListener("pointerover", (event) => {
    const row = event.target.closest("tr");
    if (row) cursor.hoverLead(Number(row.dataset.lead));
  });
  rows.addEventListener("pointerleave", () => cursor.hoverLead(null));
  wireDownloads(() => state, complain);
  acceptFiles(takeFile);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
  setInterval(() => document.hidden || refresh(), EVERY_MS);
}

let kept = null;
try {
  kept = localStorage.getItem(ZONE);
} catch {
  // a browser that keeps nothing starts in UTC
}
if (kept === "local") {
  useLocal(true);
  document.querySelector('#zone input[value="local"]').checked = isLocal();
}
wire();
refresh();
