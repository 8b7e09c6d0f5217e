/** The row over the timeline: playing, stepping, the range, and propagation with its progress. */

import { byId, durationText, press, swapIcon, timeText } from "./dom.js";
import { showNote } from "./messages.js";
import { nextFrame } from "./object-timeline.js";
import { mountReview } from "./review.js";

/** @param {import("./app.js").App} app */
export function mountTransport(app) {
  const { store, navigator, player } = app;
  const actions = makeActions(app);
  for (const [id, run] of Object.entries(actions.buttons)) byId(id).addEventListener("click", run);
  const number = byId("frame-number");
  number.addEventListener("change", () => {
    player.stop();
    navigator.goTo(Number(number.value) || 0);
  });
  number.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => event.key === "Enter" && number.blur());
  byId("scope").addEventListener("change", () => store.set({ scope: byId("scope").value }));
  store.watch(["frame", "session"], () => showPosition(app));
  store.watch(["isPlaying"], () => showPlaying(store.get("isPlaying")));
  store.watch(["range"], () => showRange(store.get("range")));
  store.watch(["session", "progress", "scope", "selectedId"], () => showPropagation(store));
  return actions;
}

/** @param {import("./app.js").App} app */
function makeActions(app) {
  const { store, navigator, player, commands } = app;
  const go = (/** @type {number} */ frame) => {
    player.stop();
    commands.stopTracking();
    navigator.goTo(frame);
  };
  const step = (/** @type {number} */ count) => go(store.get("frame") + count);
  const input = (/** @type {1 | -1} */ direction) => {
    const frame = nextFrame(store.get("frame"), direction, navigator.numFrames, (one) => hasInput(store, one));
    if (frame === null) showNote("No frame has a click yet.");
    else go(frame);
  };
  const flagged = mountReview(app, go);
  const setIn = () => store.set({ range: rangeFrom(store.get("frame"), store.get("range"), navigator.numFrames) });
  const setOut = () => store.set({ range: rangeTo(store.get("frame"), store.get("range")) });
  const clear = () => store.set({ range: null });
  const propagate = () => commands.propagate(store.get("scope"));
  return {
    go, step, input, flagged, setIn, setOut, clear, propagate,
    buttons: {
      "play-button": () => player.toggle(),
      "first-button": () => go(0),
      "back-button": () => step(-1),
      "forth-button": () => step(1),
      "last-button": () => go(navigator.numFrames - 1),
      "previous-input-button": () => input(-1),
      "next-input-button": () => input(1),
      "next-flag-button": () => flagged(1),
      "in-button": setIn,
      "out-button": setOut,
      "clear-range-button": clear,
      "propagate-button": propagate,
      "cancel-button": () => commands.cancelPropagation(),
    },
  };
}

/**
 * @param {import("./store.js").Store} store
 * @param {number} frame
 */
function hasInput(store, frame) {
  const session = store.get("session");
  return Boolean(session && [...session.points, ...session.boxes, ...session.masks, ...session.absent].some((input) => input.frame === frame));
}

/**
 * @param {number} frame
 * @param {import("./types.js").FrameRange | null} range
 * @param {number} numFrames
 */
function rangeFrom(frame, range, numFrames) {
  return { start: frame, stop: range && range.stop > frame ? range.stop : numFrames };
}

/**
 * @param {number} frame
 * @param {import("./types.js").FrameRange | null} range
 */
function rangeTo(frame, range) {
  return { start: range && range.start <= frame ? range.start : 0, stop: frame + 1 };
}

/** @param {import("./app.js").App} app */
function showPosition({ store, navigator }) {
  const [frame, total] = [store.get("frame"), navigator.numFrames];
  const number = byId("frame-number");
  if (document.activeElement !== number) number.value = String(frame);
  number.max = String(Math.max(0, total - 1));
  byId("frame-total").textContent = `/ ${Math.max(0, total - 1)}`;
  byId("clock").textContent = timeText(navigator.frameTime(frame));
}

/** @param {boolean} isPlaying */
function showPlaying(isPlaying) {
  const button = byId("play-button");
  swapIcon(button, isPlaying ? "pause" : "play");
  button.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
  button.title = isPlaying ? "Pause (Space)" : "Play (Space)";
}

/** @param {import("./types.js").FrameRange | null} range */
function showRange(range) {
  byId("range-text").textContent = range ? `${range.start} – ${range.stop - 1}` : "Whole video";
  byId("clear-range-button").hidden = !range;
  press(byId("in-button"), Boolean(range));
  press(byId("out-button"), Boolean(range));
}

/** @param {import("./store.js").Store} store */
function showPropagation(store) {
  const progress = store.get("progress");
  const isRunning = Boolean(progress?.is_running);
  const session = store.get("session");
  byId("scope").value = store.get("scope");
  byId("propagate-button").disabled = !session?.objects.length;
  byId("propagate-group").hidden = isRunning;
  byId("progress-group").hidden = !isRunning;
  byId("progress-group").dataset.running = String(isRunning);
  if (!progress?.is_running) return;
  const bar = byId("progress-bar");
  bar.max = Math.max(1, progress.total);
  bar.value = progress.done;
  const left = progress.seconds_left === null ? "" : ` · about ${durationText(progress.seconds_left)} left`;
  const stage = progress.is_cancelled ? "Stopping …" : STAGES[progress.stage];
  byId("progress-text").textContent = progress.stage === "preparing" ? stage : `${stage} ${progress.done} of ${progress.total} masks${left}`;
  byId("cancel-button").disabled = progress.is_cancelled;
}

/** @type {Record<import("./schema.d.ts").PropagationResponse["stage"], string>} */
const STAGES = { preparing: "Preparing …", tracking: "Tracking …", segmenting: "Segmenting …" };
