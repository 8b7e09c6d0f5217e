/** A crosshair that the keyboard moves: what a pointer does on the frame, for people who have or want none. */

import { byId } from "./dom.js";
import { boxBetween } from "./pointer.js";

const STEP_PX = 10;
const MARGIN_PX = 24;
/** @type {Record<string, [number, number]>} */
const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @param {import("./app.js").App} app
 * @returns {{toggle: () => void}}
 */
export function mountCrosshair(app) {
  const { store, stage } = app;
  /** The first corner of a box that is being drawn. @type {{x: number, y: number} | null} */
  let corner = null;
  const dropCorner = () => {
    if (corner) store.set({ draft: null });
    corner = null;
  };
  const end = () => {
    dropCorner();
    store.set({ crosshair: null });
    byId("crosshair-text").textContent = "";
  };
  window.addEventListener(
    "keydown",
    (event) => {
      const at = store.get("crosshair");
      if (!at || document.querySelector("dialog[open]") || event.altKey || event.ctrlKey || event.metaKey || isField(event.target)) return;
      if (WAYS[event.key]) move(app, at, WAYS[event.key], event.shiftKey ? 1 : Math.max(1, Math.round(STEP_PX / stage.view.scale)), corner);
      else if (event.key === "Enter" && !(event.target instanceof HTMLButtonElement)) corner = act(app, at, event.shiftKey, corner);
      else if (event.key === "Escape") end();
      else return;
      event.preventDefault();
      event.stopPropagation();
    },
    { capture: true },
  );
  stage.canvas.addEventListener("pointerdown", end);
  store.watch(["tool", "frame"], dropCorner);
  return { toggle: () => (store.get("crosshair") ? end() : begin(app)) };
}

/** @param {import("./app.js").App} app */
function begin({ store, stage }) {
  if (!store.get("session")) return;
  const { width, height } = stage.view.pane;
  show(store, rounded(stage, stage.view.toImage(width / 2, height / 2)));
  stage.canvas.focus({ preventScroll: true });
}

/**
 * @param {import("./app.js").App} app
 * @param {{x: number, y: number}} from
 * @param {[number, number]} way
 * @param {number} count pixels of the video
 * @param {{x: number, y: number} | null} corner
 */
function move({ store, stage }, from, [dx, dy], count, corner) {
  const { view } = stage;
  const at = rounded(stage, { x: from.x + dx * count, y: from.y + dy * count });
  const [pane, limit] = [view.toPane(at.x, at.y), view.pane];
  const outside = (/** @type {number} */ v, /** @type {number} */ size) => Math.min(0, v - MARGIN_PX) + Math.max(0, v - size + MARGIN_PX);
  const [panX, panY] = [outside(pane.x, limit.width), outside(pane.y, limit.height)];
  if (!view.isFitted && (panX || panY)) stage.changeView(() => view.panBy(-panX, -panY));
  show(store, at);
  if (corner) store.set({ draft: boxBetween(store, corner, at) });
}

/**
 * A click, the acceptance of a suggestion, a dot of the brush, a corner of a polygon or of a box; gives the box's corner that waits for the other.
 * @param {import("./app.js").App} app
 * @param {{x: number, y: number}} at
 * @param {boolean} isNegative
 * @param {{x: number, y: number} | null} corner
 */
function act({ store, commands, drawing, suggestions }, at, isNegative, corner) {
  const tool = store.get("tool");
  if (tool === "box" && !corner) {
    store.set({ draft: boxBetween(store, at, at) });
    return at;
  }
  if (tool === "box" && corner) commands.setBox(boxBetween(store, corner, at));
  else if (tool === "polygon") drawing.addCorner(at, isNegative);
  else if (drawing.isBrush) {
    drawing.beginStroke(at, isNegative !== (tool === "eraser"));
    drawing.endStroke(at);
  } else if (!isNegative && tool === "include" && suggestions.at(at)) suggestions.accept(suggestions.at(at));
  else commands.click(at, !isNegative && tool !== "exclude");
  return null;
}

/**
 * @param {import("./stage.js").Stage} stage
 * @param {{x: number, y: number}} at
 */
function rounded(stage, { x, y }) {
  return stage.view.clamped({ x: Math.round(x), y: Math.round(y) });
}

/**
 * @param {import("./store.js").Store} store
 * @param {{x: number, y: number}} at
 */
function show(store, at) {
  store.set({ crosshair: at, cursor: at });
  byId("crosshair-text").textContent = `Crosshair at ${at.x}, ${at.y}`;
}

/** @param {EventTarget | null} target */
function isField(target) {
  return target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
}
