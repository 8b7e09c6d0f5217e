/** Keys for everything, in one table that the help is made from. */

import { byId, el } from "./dom.js";
import { dismissError } from "./messages.js";

const TWO_DIGITS_MS = 700;

/**
 * `keys` are names as KeyboardEvent.key has them, in lower case, with "ctrl+" and "shift+" before; `shown` is what people read.
 * @typedef {{keys: string[], shown: string, text: string, group: string, run: () => void}} Binding
 * @typedef {[keys: string[], shown: string, text: string, run: () => void]} Row
 * @typedef {ReturnType<typeof import("./transport.js").mountTransport>} Transport
 * @typedef {ReturnType<typeof import("./tools.js").mountTools>} Zoom
 */

/**
 * @param {import("./app.js").App} app
 * @param {Transport} transport
 * @param {Zoom} zoom
 * @param {{rename: () => void, search: () => void, crosshair: () => void}} objects
 * @returns {Binding[]}
 */
function listBindings(app, transport, zoom, objects) {
  const groups = {
    Objects: listObjectRows(app.commands, objects),
    "Objects that nobody named": listSuggestionRows(app),
    Editing: listEditingRows(app),
    Propagation: listPropagationRows(app, transport),
    Time: listTimeRows(transport),
    "Without a mouse": listCrosshairRows(objects),
    View: [...listZoomRows(zoom), ...listDrawingRows(app)],
    Page: listPageRows(app.dialogs),
  };
  return Object.entries(groups).flatMap(([group, rows]) => rows.map(([keys, shown, text, run]) => ({ group, keys, shown, text, run })));
}

/**
 * @param {import("./commands.js").Commands} commands
 * @param {{rename: () => void, search: () => void, crosshair: () => void}} objects
 * @returns {Row[]}
 */
function listObjectRows(commands, objects) {
  const selected = (/** @type {(object: import("./schema.d.ts").SessionObject) => void} */ run) => commands.selected && run(commands.selected);
  return [
    [["n"], "N", "New object", () => commands.addObject()],
    [[], "1 – 99", "Select an object; two digits quickly one after the other", () => {}],
    [["arrowdown"], "↓", "Next object", () => commands.selectNext(1)],
    [["arrowup"], "↑", "Previous object", () => commands.selectNext(-1)],
    [["/"], "/", "Search the objects", objects.search],
    [["f2"], "F2", "Rename it", objects.rename],
    [["h"], "H", "Hide or show it", () => selected((o) => commands.updateObject(o.object_id, { is_hidden: !o.is_hidden }))],
    [["l"], "L", "Lock or unlock it", () => selected((o) => commands.updateObject(o.object_id, { is_locked: !o.is_locked }))],
    [["shift+delete", "shift+backspace"], "Shift Delete", "Delete it", () => selected((o) => commands.removeObject(o.object_id))],
  ];
}

/** @param {import("./app.js").App} app @returns {Row[]} */
function listSuggestionRows({ suggestions }) {
  return [
    [["shift+n"], "Shift N", "Find objects on this frame, as suggestions", () => suggestions.find()],
    [[], "Tab", "Next suggestion", () => {}],
    [[], "Enter", "Accept the selected one", () => {}],
    [["shift+enter"], "Shift Enter", "Accept all", () => suggestions.acceptAll()],
    [[], "Esc", "Drop them", () => {}],
  ];
}

/** @param {import("./app.js").App} app @returns {Row[]} */
function listEditingRows({ store, commands, drawing, suggestions }) {
  const tool = (/** @type {import("./types.js").Tool} */ name) => store.set({ tool: name });
  return [
    [["a"], "A", "Points that belong to it", () => tool("include")],
    [["s"], "S", "Points that do not", () => tool("exclude")],
    [["r"], "R", "Box (rectangle)", () => tool("box")],
    [["b"], "B", "Brush; with Alt or the right button it erases", () => tool("brush")],
    [["e"], "E", "Eraser", () => tool("eraser")],
    [["y"], "Y", "Polygon: click its corners; with Alt it cuts away", () => tool("polygon")],
    [["enter"], "Enter", "Close the polygon", () => (drawing.isPolygonOpen ? drawing.closePolygon() : suggestions.accept())],
    [["m"], "M", "Move the view", () => tool("pan")],
    [["v"], "V", "Looks right: it stays as it is", () => commands.toggleReviewed()],
    [["u"], "U", "Use only my clicks on this frame", () => commands.useClicksAlone()],
    [["w"], "W", "Take all that the last click would change", () => commands.takeWholeChange()],
    [["z"], "Z", "Absent from this frame on, or not", () => commands.toggleAbsent()],
    [["delete", "backspace"], "Delete", "Delete the click under the pointer; take back a polygon's last corner", () => drawing.takeBack() || commands.deleteHovered()],
    [["ctrl+z"], "Ctrl Z", "Undo", () => commands.undo()],
    [["ctrl+shift+z", "ctrl+y"], "Ctrl Shift Z", "Redo", () => commands.redo()],
  ];
}

/** @param {import("./app.js").App} app @param {Transport} transport @returns {Row[]} */
function listPropagationRows(app, transport) {
  return [
    [["p"], "P", "Propagate", transport.propagate],
    [["shift+p"], "Shift P", "Propagate the selected object", () => app.commands.propagate("selected")],
    [["escape"], "Esc", "Cancel", () => cancel(app)],
  ];
}

/** @param {{crosshair: () => void}} ways @returns {Row[]} */
function listCrosshairRows({ crosshair }) {
  return [
    [["j"], "J", "Crosshair on the frame", crosshair],
    [[], "← → ↑ ↓", "move it; with Shift by a pixel", () => {}],
    [[], "Enter", "Click there, or a corner of a box", () => {}],
    [[], "Shift Enter", "Click: does not belong to it", () => {}],
  ];
}

/** @param {Transport} transport @returns {Row[]} */
function listTimeRows(transport) {
  return [
    [[" "], "Space", "Play or pause", () => {}],
    [["arrowleft", ","], "←", "One frame back", () => transport.step(-1)],
    [["arrowright", "."], "→", "One frame on", () => transport.step(1)],
    [["shift+arrowleft"], "Shift ←", "Ten frames back", () => transport.step(-10)],
    [["shift+arrowright"], "Shift →", "Ten frames on", () => transport.step(10)],
    [["home"], "Home", "First frame", () => transport.go(0)],
    [["end"], "End", "Last frame", () => transport.go(Infinity)],
    [["q"], "Q", "Previous keyframe", () => transport.input(-1)],
    [["shift+q"], "Shift Q", "Next keyframe", () => transport.input(1)],
    [["g"], "G", "Next that needs review: one stop for each run of frames", () => transport.flagged(1)],
    [["shift+g"], "Shift G", "Previous one", () => transport.flagged(-1)],
    [["i"], "I", "Range begins here", transport.setIn],
    [["o"], "O", "Range ends here", transport.setOut],
    [["x"], "X", "Clear the range", transport.clear],
  ];
}

/** @param {Zoom} zoom @returns {Row[]} */
function listZoomRows(zoom) {
  return [
    [["f"], "F", "Fit the frame", zoom.fit],
    [["shift+f", "0"], "0", "One to one", zoom.one],
    [["+", "shift++", "="], "+", "Zoom in", zoom.in],
    [["-"], "−", "Zoom out", zoom.out],
  ];
}

/** @param {import("./app.js").App} app @returns {Row[]} */
function listDrawingRows({ store, drawing }) {
  const toggle = (/** @type {import("./types.js").Switch} */ key) => store.set({ [key]: !store.get(key) });
  const opacity = (/** @type {number} */ by) => store.set({ opacity: Math.max(0, Math.min(1, store.get("opacity") + by)) });
  return [
    [["c"], "C", "Contours or filled masks", () => toggle("contours")],
    [["d"], "D", "Plain frame beside it", () => toggle("sideBySide")],
    [["k"], "K", "Show clicks", () => toggle("showPoints")],
    [["t"], "T", "Show tracked points", () => toggle("showTracked")],
    [["["], "[", "Masks fainter; with brush or eraser: a smaller one", () => drawing.resize(-1) || opacity(-0.1)],
    [["]"], "]", "Masks stronger; with brush or eraser: a larger one", () => drawing.resize(1) || opacity(0.1)],
  ];
}

/** @param {import("./app.js").App["dialogs"]} dialogs @returns {Row[]} */
function listPageRows(dialogs) {
  return [
    [["shift+o"], "Shift O", "Open", () => dialogs.open()],
    [["shift+e"], "Shift E", "Export", () => dialogs.export()],
    [["?", "shift+?", "f1"], "?", "This help", () => dialogs.help()],
  ];
}

/** Escape: what is under way, one thing at a time. @param {import("./app.js").App} app */
function cancel({ store, pointer, commands, suggestions }) {
  if (pointer.abandon() || suggestions.drop()) return;
  if (store.get("progress")?.is_running) commands.cancelPropagation();
  else if (!dismissError()) store.set({ tool: "include" });
}

/**
 * @param {import("./app.js").App} app
 * @param {Transport} transport
 * @param {Zoom} zoom
 * @param {{rename: () => void, search: () => void, crosshair: () => void}} objects
 */
export function mountKeys(app, transport, zoom, objects) {
  const digits = makeDigits(app.commands);
  const bindings = listBindings(app, transport, zoom, objects);
  const runs = new Map(bindings.flatMap(({ keys, run }) => keys.map((key) => [key, run])));
  fillHelp(bindings);
  window.addEventListener("keydown", (event) => {
    if (isForElement(event)) return;
    if (event.key === " ") return holdSpace(event, app);
    if (/^[0-9]$/.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey && digits(event)) return;
    const run = runs.get(keyName(event));
    if (!run || (event.key === "Enter" && !takesEnter(event, app))) return; // it presses the button that has the focus
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

/**
 * Selects by number: one digit at once, and by two of them when they come quickly and there are so many objects.
 * @param {import("./commands.js").Commands} commands
 */
function makeDigits(commands) {
  let [first, last] = [0, -Infinity];
  return (/** @type {KeyboardEvent} */ { key, timeStamp }) => {
    const digit = Number(key);
    const number = timeStamp - last < TWO_DIGITS_MS ? 10 * first + digit : digit;
    const isPair = number > 9 && commands.selectAt(number - 1);
    if (!isPair && digit === 0) return false; // another key's
    if (!isPair) commands.selectAt(digit - 1);
    [first, last] = isPair ? [0, -Infinity] : [digit, timeStamp];
    return true;
  };
}

/** What was used with the mouse does not keep the keys; who uses the keyboard keeps the focus. */
function leaveAfterMouse() {
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (event.detail > 0 && button && !button.closest("dialog")) button.blur();
  });
  for (const choice of [byId("scope"), byId("proposer")]) {
    let isMouse = false;
    choice.addEventListener("pointerdown", () => (isMouse = true));
    choice.addEventListener("keydown", () => (isMouse = false));
    choice.addEventListener("change", () => isMouse && choice.blur());
  }
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

/**
 * Whether Enter is a command: it closes a polygon, or accepts suggestions. On one of their buttons it presses that.
 * @param {KeyboardEvent} event
 * @param {import("./app.js").App} app
 */
function takesEnter({ target, shiftKey, repeat }, { drawing, suggestions }) {
  if (drawing.isPolygonOpen) return true;
  const isOnButton = target instanceof HTMLButtonElement && !(shiftKey && target.classList.contains("suggestion"));
  return suggestions.open.length > 0 && !isOnButton && !repeat;
}

/** @param {KeyboardEvent} event */
function keyName(event) {
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
