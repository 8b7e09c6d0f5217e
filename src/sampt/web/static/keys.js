/** Keys for everything, in one table that the help is made from. */

import { byId, el } from "./dom.js";
import { dismissError } from "./messages.js";

/**
 * `keys` are names as KeyboardEvent.key has them, in lower case, with "ctrl+" and "shift+" before; `shown` is what people read.
 * @typedef {{keys: string[], shown: string, text: string, group: string, run: () => void}} Binding
 */

/**
 * @param {import("./app.js").App} app
 * @param {ReturnType<typeof import("./transport.js").mountTransport>} transport
 * @param {ReturnType<typeof import("./tools.js").mountTools>} zoom
 * @param {{rename: () => void}} objects
 * @returns {Binding[]}
 */
function bindingsOf(app, transport, zoom, objects) {
  const { store, commands, dialogs } = app;
  const toggle = (/** @type {import("./types.js").Switch} */ key) => store.set({ [key]: !store.get(key) });
  const tool = (/** @type {import("./types.js").Tool} */ name) => store.set({ tool: name });
  const opacity = (/** @type {number} */ by) => store.set({ opacity: Math.max(0, Math.min(1, store.get("opacity") + by)) });
  const selected = (/** @type {(object: import("./schema.d.ts").SessionObject) => void} */ run) => commands.selected && run(commands.selected);
  /** @type {[string, string[], string, string, () => void][]} */
  const rows = [
    ["Objects", ["n"], "N", "New object", () => commands.addObject()],
    ["Objects", [], "1 – 9", "Select an object", () => {}],
    ["Objects", ["r", "f2"], "R", "Rename it", objects.rename],
    ["Objects", ["h"], "H", "Hide or show it", () => selected((o) => commands.updateObject(o.object_id, { is_hidden: !o.is_hidden }))],
    ["Objects", ["l"], "L", "Lock or unlock it", () => selected((o) => commands.updateObject(o.object_id, { is_locked: !o.is_locked }))],
    ["Objects", ["shift+delete", "shift+backspace"], "Shift Delete", "Delete it", () => selected((o) => commands.removeObject(o.object_id))],
    ["Editing", ["a"], "A", "Points that belong to it", () => tool("include")],
    ["Editing", ["s"], "S", "Points that do not", () => tool("exclude")],
    ["Editing", ["b"], "B", "Box", () => tool("box")],
    ["Editing", ["v"], "V", "Move the view", () => tool("pan")],
    ["Editing", ["delete", "backspace"], "Delete", "Delete the click under the pointer", () => commands.deleteHovered()],
    ["Editing", ["ctrl+z"], "Ctrl Z", "Undo", () => commands.undo()],
    ["Editing", ["ctrl+shift+z", "ctrl+y"], "Ctrl Shift Z", "Redo", () => commands.redo()],
    ["Propagation", ["p"], "P", "Propagate", transport.propagate],
    ["Propagation", ["shift+p"], "Shift P", "Propagate the selected object", () => commands.propagate("selected")],
    ["Propagation", ["escape"], "Esc", "Cancel", () => cancel(app)],
    ["Time", [" "], "Space", "Play or pause", () => {}],
    ["Time", ["arrowleft", ","], "←", "One frame back", () => transport.step(-1)],
    ["Time", ["arrowright", "."], "→", "One frame on", () => transport.step(1)],
    ["Time", ["shift+arrowleft"], "Shift ←", "Ten frames back", () => transport.step(-10)],
    ["Time", ["shift+arrowright"], "Shift →", "Ten frames on", () => transport.step(10)],
    ["Time", ["home"], "Home", "First frame", () => transport.go(0)],
    ["Time", ["end"], "End", "Last frame", () => transport.go(Infinity)],
    ["Time", ["q"], "Q", "Previous frame with clicks", () => transport.input(-1)],
    ["Time", ["e"], "E", "Next frame with clicks", () => transport.input(1)],
    ["Time", ["g"], "G", "Next frame that needs review", () => transport.flagged(1)],
    ["Time", ["shift+g"], "Shift G", "Previous one", () => transport.flagged(-1)],
    ["Time", ["i"], "I", "Range begins here", transport.setIn],
    ["Time", ["o"], "O", "Range ends here", transport.setOut],
    ["Time", ["x"], "X", "Clear the range", transport.clear],
    ["View", ["f"], "F", "Fit the frame", zoom.fit],
    ["View", ["shift+f", "0"], "0", "One to one", zoom.one],
    ["View", ["+", "shift++", "="], "+", "Zoom in", zoom.in],
    ["View", ["-"], "−", "Zoom out", zoom.out],
    ["View", ["c"], "C", "Contours or filled masks", () => toggle("contours")],
    ["View", ["d"], "D", "Plain frame beside it", () => toggle("sideBySide")],
    ["View", ["k"], "K", "Show clicks", () => toggle("showPoints")],
    ["View", ["t"], "T", "Show tracked points", () => toggle("showTracked")],
    ["View", ["["], "[", "Masks fainter", () => opacity(-0.1)],
    ["View", ["]"], "]", "Masks stronger", () => opacity(0.1)],
    ["Page", ["shift+o"], "Shift O", "Open", () => dialogs.open()],
    ["Page", ["shift+e"], "Shift E", "Export", () => dialogs.export()],
    ["Page", ["?", "shift+?", "f1"], "?", "This help", () => dialogs.help()],
  ];
  return rows.map(([group, keys, shown, text, run]) => ({ group, keys, shown, text, run }));
}

/** Escape: what is under way, one thing at a time. @param {import("./app.js").App} app */
function cancel({ store, pointer, commands }) {
  if (pointer.abandon()) return;
  if (store.get("progress")?.is_running) commands.cancelPropagation();
  else if (!dismissError()) store.set({ tool: "include" });
}

/**
 * @param {import("./app.js").App} app
 * @param {ReturnType<typeof import("./transport.js").mountTransport>} transport
 * @param {ReturnType<typeof import("./tools.js").mountTools>} zoom
 * @param {{rename: () => void}} objects
 */
export function mountKeys(app, transport, zoom, objects) {
  const bindings = bindingsOf(app, transport, zoom, objects);
  const runs = new Map(bindings.flatMap(({ keys, run }) => keys.map((key) => [key, run])));
  fillHelp(bindings);
  window.addEventListener("keydown", (event) => {
    if (isForElement(event)) return;
    if (event.key === " ") return holdSpace(event, app);
    if (/^[1-9]$/.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) return app.commands.selectAt(Number(event.key) - 1);
    const run = runs.get(nameOf(event));
    if (!run) return;
    event.preventDefault();
    run();
  });
  window.addEventListener("keyup", (event) => {
    if (event.key !== " " || !app.pointer.isSpaceHeld) return;
    app.pointer.holdSpace(false);
    if (!app.pointer.hasPannedWithSpace) app.player.toggle();
  });
  window.addEventListener("blur", () => app.pointer.holdSpace(false));
  leaveAfterMouse();
}

/** What was used with the mouse does not keep the keys; who uses the keyboard keeps the focus. */
function leaveAfterMouse() {
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (event.detail > 0 && button && !button.closest("dialog")) button.blur();
  });
  const scope = byId("scope");
  let isMouse = false;
  scope.addEventListener("pointerdown", () => (isMouse = true));
  scope.addEventListener("keydown", () => (isMouse = false));
  scope.addEventListener("change", () => isMouse && scope.blur());
}

/**
 * The space bar plays when it is let go, unless the view was moved meanwhile. On a button it presses the button.
 * @param {KeyboardEvent} event
 * @param {import("./app.js").App} app
 */
function holdSpace(event, { pointer }) {
  if (event.target instanceof HTMLButtonElement || event.target instanceof HTMLSelectElement) return;
  event.preventDefault();
  if (!event.repeat) pointer.holdSpace(true);
}

/** @param {KeyboardEvent} event */
function nameOf(event) {
  const isControl = event.ctrlKey || event.metaKey;
  if (event.altKey) return "";
  return `${isControl ? "ctrl+" : ""}${event.shiftKey ? "shift+" : ""}${event.key.toLowerCase()}`;
}

/**
 * Whether a key is meant for a field or a dialog.
 * @param {KeyboardEvent} event
 */
function isForElement(event) {
  if (document.querySelector("dialog[open]")) return true;
  const target = /** @type {HTMLElement} */ (event.target);
  if (target.closest("dialog")) return false; // it has just been closed; the focus follows a moment later
  if (target instanceof HTMLInputElement && target.type === "range") return /^(Arrow|Home|End|Page)/.test(event.key);
  if (target instanceof HTMLSelectElement) return !event.ctrlKey && event.key !== "Escape";
  if (target instanceof HTMLInputElement && target.type === "color") return event.key === "Enter" || event.key === " ";
  return target instanceof HTMLInputElement || target.isContentEditable;
}

/** @param {Binding[]} bindings */
function fillHelp(bindings) {
  const groups = [...new Set(bindings.map((binding) => binding.group))];
  const sections = groups.map((group) => {
    const rows = bindings.filter((binding) => binding.group === group).map(({ shown, text }) => {
      const names = shown.includes(" – ") ? [shown] : shown.split(" ");
      const keys = names.map((key) => el("kbd", { textContent: key }));
      return el("div", { className: "key-row" }, el("dt", {}, ...keys), el("dd", { textContent: text }));
    });
    return el("section", {}, el("h3", { textContent: group }), el("dl", {}, ...rows));
  });
  byId("key-groups").replaceChildren(...sections);
}
