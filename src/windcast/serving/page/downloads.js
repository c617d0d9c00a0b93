/** Downloads of what is on show: plain links where they work, fetched where a key or an own file is needed. */

import { blobAt, keeper, latestAddress, predict } from "./api.js";
import { byId, el } from "./dom.js";

const FORMATS = ["csv", "png", "json"];

/**
 * `shown()` gives {farm, own: {file, zone, forecast} or null}; `fail(error)` is told of a download that did not come.
 */
export function wireDownloads(shown, fail) {
  for (const format of FORMATS) {
    byId(`get-${format}`).addEventListener("click", async (event) => {
      const { farm, own } = shown();
      if (!own && !keeper.key) return; // the link itself does it
      event.preventDefault();
      try {
        const blob = own ? await ofFile(own, format) : await blobAt(latestAddress(farm, format));
        save(blob, nameOf(farm, own, format));
      } catch (error) {
        fail(error);
      }
    });
  }
}

export function pointDownloads(farm, own) {
  for (const format of FORMATS) {
    const link = byId(`get-${format}`);
    link.href = own ? "#" : latestAddress(farm, format);
    link.download = nameOf(farm, own, format);
  }
}

function ofFile(own, format) {
  if (format !== "json") return predict(own.file, format, own.zone);
  return new Blob([JSON.stringify(own.forecast, null, 1)], { type: "application/json" });
}

function nameOf(farm, own, format) {
  const stem = own ? `${own.file.name.replace(/\.[^.]*$/, "")}-forecast` : `${farm}-forecast`;
  return `${stem}.${format}`;
}

function save(blob, name) {
  const href = URL.createObjectURL(blob);
  el("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}
