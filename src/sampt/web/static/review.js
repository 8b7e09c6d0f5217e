/** Review: from one doubtful run of frames to the next, why each is doubtful, and how many a person has looked at. */

import { byId } from "./dom.js";
import { showNote } from "./messages.js";
import { reasonTexts } from "./object-timeline.js";

/** @typedef {import("./schema.d.ts").ReviewEvent & {object_id: number, order: number}} Stop an event of an object of the list */

/**
 * @param {import("./app.js").App} app
 * @param {(frame: number) => void} go to a frame
 * @returns {(direction: 1 | -1) => void} goes to the next event that nobody has looked at, or to the one before
 */
export function mountReview(app, go) {
  const { store, commands } = app;
  store.watch(["timelines", "session"], () => showCount(store));
  store.watch(["timelines", "shownFrame", "selectedId"], () => showNotice(store));
  byId("review-button").addEventListener("click", () => commands.toggleReviewed());
  return (direction) => {
    const stops = listStops(store);
    const open = stops.filter((stop) => !stop.is_reviewed);
    const stop = nextStop(open, orderOf(store, store.get("selectedId")), store.get("frame"), direction);
    if (!stop) return showNote(stops.length ? "All that needed review is reviewed." : "No frame needs review.");
    commands.select(stop.object_id);
    go(stop.frame);
  };
}

/**
 * @param {import("./store.js").Store} store
 * @param {number | null} objectId
 */
function orderOf(store, objectId) {
  return store.get("session")?.objects.findIndex((object) => object.object_id === objectId) ?? -1;
}

/**
 * All events, by the frame to look at, then as objects are listed.
 * @param {import("./store.js").Store} store
 * @returns {Stop[]}
 */
function listStops(store) {
  const objects = store.get("session")?.objects ?? [];
  const stops = objects.flatMap(({ object_id }, order) =>
    (store.get("timelines").get(object_id)?.events ?? []).map((event) => ({ ...event, object_id, order })),
  );
  return stops.sort((a, b) => a.frame - b.frame || a.order - b.order);
}

/**
 * The first stop after where one is, or the last one before, around the end.
 * @param {Stop[]} stops sorted
 * @param {number} order of the selected object
 * @param {number} frame
 * @param {1 | -1} direction
 */
function nextStop(stops, order, frame, direction) {
  const side = (/** @type {Stop} */ stop) => direction * (stop.frame - frame || stop.order - order);
  const ordered = direction > 0 ? stops : [...stops].reverse();
  return ordered.find((stop) => side(stop) > 0) ?? ordered[0];
}

/** @param {import("./store.js").Store} store */
function showCount(store) {
  const stops = listStops(store);
  const count = stops.filter((stop) => stop.is_reviewed).length;
  byId("review-count").textContent = stops.length ? `${count} of ${stops.length} reviewed` : "";
}

/** @param {import("./store.js").Store} store */
function showNotice(store) {
  const frame = store.get("shownFrame") ?? -1;
  const timeline = store.get("timelines").get(store.get("selectedId") ?? -1);
  const here = timeline?.events.find((event) => event.start <= frame && frame < event.stop && !event.is_reviewed);
  byId("review-notice").hidden = !here;
  if (!timeline || !here) return;
  const frames = here.stop - here.start > 1 ? `Frames ${here.start}–${here.stop - 1}` : `Frame ${here.start}`;
  const good = timeline.good[frame] ?? null;
  const chance = good === null ? "" : ` Probably good here: ${good} %.`;
  byId("review-text").textContent = `${frames}: ${reasonTexts(here.reasons).join(", ")}.${chance}`;
}
