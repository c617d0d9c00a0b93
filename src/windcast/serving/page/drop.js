/** A file of one's own: dropped anywhere on the page, or chosen. */

import { byId, sentence } from "./dom.js";

/** Calls `take(file)` with each file that is dropped or chosen, its bytes already read. */
export function acceptFiles(take) {
  const chosen = byId("file");
  chosen.addEventListener("change", async () => {
    if (chosen.files.length) await held(chosen.files[0], take);
    chosen.value = "";
  });
  let depth = 0;
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    byId("drop").classList.toggle("over", depth > 0);
  };
  addEventListener("dragenter", (event) => carriesFile(event) && mark(1));
  addEventListener("dragleave", (event) => carriesFile(event) && mark(-1));
  addEventListener("dragover", (event) => {
    if (carriesFile(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    mark(-depth);
    held(event.dataTransfer.files[0], take);
  });
}

const carriesFile = (event) => event.dataTransfer?.types.includes("Files");

/** A copy in memory: the file on disk may change or go before its picture is asked for. */
async function held(file, take) {
  let bytes;
  try {
    bytes = await file.arrayBuffer();
  } catch {
    showDropProblem(`${file.name} cannot be read. Is it a file, and not a folder?`);
    return;
  }
  await take(new File([bytes], file.name, { type: file.type }));
}

export function showDropState(words) {
  byId("drop-state").textContent = words;
  byId("drop-problem").hidden = true;
}

export function showDropProblem(words) {
  byId("drop-state").textContent = "";
  byId("drop-problem").textContent = sentence(words);
  byId("drop-problem").hidden = false;
  byId("drop").scrollIntoView({ block: "nearest" });
}
