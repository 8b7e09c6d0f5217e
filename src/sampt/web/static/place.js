/** Where one was: the frame in the address, the rest for as long as the tab lives. A reload goes on there. */

import { readJson, writeJson } from "./store.js";

const KEY = "sampt.place";
const WRITE_MS = 250;

/** The frame that the address says when the page is loaded; another video opened later begins at its own place. */
function frameInAddress() {
  const value = document.body.dataset.ready ? null : new URLSearchParams(location.hash.slice(1)).get("frame");
  return value !== null && /^\d+$/.test(value) ? { frame: Number(value) } : {};
}

/**
 * What was left in this project.
 * @param {string} project
 */
export function placeIn(project) {
  const place = readJson(sessionStorage, KEY);
  return { ...(place.project === project ? place : {}), ...frameInAddress() };
}

/** @param {import("./store.js").Store} store */
export function placeNow(store) {
  return { frame: store.get("frame"), selectedId: store.get("selectedId"), range: store.get("range") };
}

/** @param {import("./store.js").Store} store */
export function mountPlace(store) {
  let timer = 0;
  store.watch(["frame", "selectedId", "range", "session", "isPlaying"], () => {
    clearTimeout(timer);
    if (store.get("session") && !store.get("isPlaying")) timer = window.setTimeout(() => write(store), WRITE_MS);
  });
  window.addEventListener("pagehide", () => store.get("session") && write(store));
}

/** @param {import("./store.js").Store} store */
function write(store) {
  const place = placeNow(store);
  history.replaceState(null, "", `#frame=${place.frame}`);
  writeJson(sessionStorage, KEY, { project: store.get("session")?.project, ...place });
}
