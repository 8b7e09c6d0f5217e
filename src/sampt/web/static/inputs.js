/** What was given for the selected object: on this frame, as a list with deletion; on others, as buttons that go there. */

import { byId, el, icon, iconButton } from "./dom.js";

/** @param {import("./app.js").App} app */
export function mountInputs(app) {
  const { store, commands } = app;
  store.watch(["session", "selectedId", "frame"], () => draw(app));
  const field = byId("mask-file");
  byId("mask-button").addEventListener("click", () => field.click());
  field.addEventListener("change", () => {
    if (field.files[0]) commands.setMask(field.files[0]);
    field.value = "";
  });
  byId("clear-inputs-button").addEventListener("click", () => clearFrame(app));
}

/**
 * The selected object's inputs.
 * @param {import("./store.js").Store} store
 */
function selectedInputs(store) {
  const [session, id] = [store.get("session"), store.get("selectedId")];
  const own = (/** @type {any[]} */ inputs) => inputs.filter((input) => input.object_id === id);
  return session && id !== null
    ? { points: own(session.points), boxes: own(session.boxes), masks: own(session.masks), absent: own(session.absent) }
    : { points: [], boxes: [], masks: [], absent: [] };
}

/** @param {import("./app.js").App} app */
function clearFrame({ store, commands }) {
  const frame = store.get("frame");
  const { points, boxes, masks, absent } = selectedInputs(store);
  for (const point of points.filter((one) => one.frame === frame)) commands.deletePoint(point);
  for (const box of boxes.filter((one) => one.frame === frame)) commands.deleteBox(box);
  for (const mask of masks.filter((one) => one.frame === frame)) commands.deleteMask(mask);
  for (const one of absent.filter((input) => input.frame === frame)) commands.deleteAbsent(one);
}

/** @param {import("./app.js").App} app */
function draw({ store, navigator, commands }) {
  const frame = store.get("frame");
  const { points, boxes, masks, absent } = selectedInputs(store);
  const here = (/** @type {any} */ input) => input.frame === frame;
  const rows = [
    ...points.filter(here).map((point) => pointRow(point, () => commands.deletePoint(point))),
    ...boxes.filter(here).map((box) => createRow("box", boxText(box), "box", () => commands.deleteBox(box))),
    ...masks.filter(here).map((mask) => createRow("image", mask.is_edited ? "Drawn mask" : "Given mask", "mask", () => commands.deleteMask(mask))),
    ...absent.filter(here).map((one) => createRow("absent", "Absent from here on", "absence", () => commands.deleteAbsent(one))),
  ];
  byId("input-list").replaceChildren(...rows);
  byId("no-inputs").hidden = rows.length > 0;
  byId("clear-inputs-button").disabled = rows.length === 0;
  byId("clicks-alone-button").disabled = !points.some(here);
  byId("mask-button").disabled = store.get("selectedId") === null;
  byId("inputs-title").textContent = `Clicks on frame ${frame}`;
  drawFrames([...points, ...boxes, ...masks, ...absent].map((input) => input.frame), frame, navigator);
}

/**
 * @param {number[]} all
 * @param {number} shown
 * @param {import("./navigator.js").Navigator} navigator
 */
function drawFrames(all, shown, navigator) {
  const frames = [...new Set(all)].sort((a, b) => a - b);
  const buttons = frames.map((frame) => {
    const style = { className: "chip", textContent: String(frame), "aria-label": `Go to frame ${frame}` };
    const button = el("button", { type: "button", ...style, onclick: () => navigator.goTo(frame) });
    if (frame === shown) button.setAttribute("aria-current", "true");
    return button;
  });
  byId("input-frames").replaceChildren(...buttons);
  byId("input-frames-group").hidden = frames.length === 0;
}

/**
 * @param {string} iconName
 * @param {string} text
 * @param {string} kind
 * @param {() => void} onDelete
 */
function createRow(iconName, text, kind, onDelete) {
  const sign = el("span", { className: `sign ${kind}` }, icon(iconName));
  const remove = iconButton("close", `Delete ${kind} ${text}`, onDelete, { className: "icon-button small quiet danger" });
  return el("li", {}, sign, el("span", { className: "input-text", textContent: text }), remove);
}

/**
 * @param {import("./schema.d.ts").Point} point
 * @param {() => void} onDelete
 */
function pointRow({ x, y, is_positive: isPositive }, onDelete) {
  const [iconName, kind] = isPositive ? ["plus", "include"] : ["minus", "exclude"];
  return createRow(iconName, `${x.toFixed(1)}, ${y.toFixed(1)}`, kind, onDelete);
}

/** @param {import("./schema.d.ts").Box} box */
function boxText({ x0, y0, x1, y1 }) {
  return `${Math.round(x1 - x0 + 1)} × ${Math.round(y1 - y0 + 1)} box`;
}
