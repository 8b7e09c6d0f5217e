/** Where one was: the frame in the address, the rest for as long as the tab is open. A reload goes on there. */

import { readJson, writeJson } from "./store.js";

const KEY = "sampt.position";
const WRITE_MS = 250;

/** The frame that the address says when the page is loaded; another video opened later begins at its own location. */
function frameInAddress() {
  const value = document.body.dataset.ready ? null : new URLSearchParams(location.hash.slice(1)).get("frame");
  return value !== null && /^\d+$/.test(value) ? { frame: Number(value) } : {};
}

/**
 * What was left in this project.
 * @param {string} project
 */
export function positionIn(project) {
  const position = readJson(sessionStorage, KEY);
  return { ...(position.project === project ? position : {}), ...frameInAddress() };
}

/** @param {import("./store.js").Store} store */
export function positionNow(store) {
  return { frame: store.get("frame"), selectedId: store.get("selectedId"), range: store.get("range") };
}

/** @param {import("./store.js").Store} store */
export function mountPosition(store) {
  let timer = 0;
  store.watch(["frame", "selectedId", "range", "session", "isPlaying"], () => {
    clearTimeout(timer);
    if (store.get("session") && !store.get("isPlaying")) timer = window.setTimeout(() => write(store), WRITE_MS);
  });
  window.addEventListener("pagehide", () => store.get("session") && write(store));
}

/** @param {import("./store.js").Store} store */
function write(store) {
  const position = positionNow(store);
  history.replaceState(null, "", `#frame=${position.frame}`);
  writeJson(sessionStorage, KEY, { project: store.get("session")?.project, ...position });
}
