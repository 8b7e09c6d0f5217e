/** The list of objects: choose, rename, colour, hide, lock, delete. */

import { byId, el, iconButton, press } from "./dom.js";

/** @import {ObjectMask, SessionObject} from "./schema.d.ts" */

const SEARCHED_FROM = 9;

/** @param {import("./app.js").App} app */
export function mountObjects(app) {
  const { store, commands, masks } = app;
  const list = byId("object-list");
  let drawn = "";
  byId("add-object-button").addEventListener("click", () => commands.addObject());
  const search = byId("object-search");
  search.addEventListener("input", () => draw());
  search.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter") /** @type {HTMLElement | null} */ (list.querySelector(".object-name"))?.click();
    else if (event.key === "Escape") search.value = "";
    else return;
    draw();
    search.blur();
  });
  const draw = () => {
    const text = JSON.stringify([store.get("session")?.objects, store.get("selectedId"), search.value]);
    const isNew = text !== drawn && !list.querySelector("input[type=text]");
    if (isNew) drawList(list, app, draw);
    showStates(list, app);
    if (!isNew) return;
    drawn = text;
    list.querySelector(".selected")?.scrollIntoView({ block: "nearest" }); // once rows are as high as they will be
  };
  store.watch(["session", "selectedId", "shownFrame", "timelines"], draw);
  masks.addEventListener("frame", (event) => /** @type {CustomEvent} */ (event).detail === store.get("shownFrame") && showStates(list, app));
  return {
    /** Type a new name for the selected object. */
    rename: () => /** @type {HTMLElement | null} */ (list.querySelector(".object.selected .rename"))?.click(),
    /** Type what the objects that are listed are called. */
    search: () => search.hidden || search.focus(),
  };
}

/**
 * @param {HTMLElement} list
 * @param {import("./app.js").App} app
 * @param {() => void} redraw
 */
function drawList(list, app, redraw) {
  const objects = app.store.get("session")?.objects ?? [];
  const focused = /** @type {HTMLElement | null} */ (list.contains(document.activeElement) ? document.activeElement : null);
  const [label, id] = [focused?.dataset.action, focused?.closest("li")?.dataset.id];
  const search = byId("object-search");
  search.hidden = objects.length < SEARCHED_FROM && !search.value;
  const wanted = search.value.trim().toLowerCase();
  const rows = objects.map((object, index) => ({ object, index })).filter(({ object, index }) => isFound(object, index, wanted));
  list.replaceChildren(...rows.map(({ object, index }) => createRow(object, index, app, redraw)));
  byId("none-found").hidden = rows.length > 0 || objects.length === 0;
  if (label && id) /** @type {HTMLElement | null} */ (list.querySelector(`li[data-id="${id}"] [data-action="${label}"]`))?.focus();
  byId("no-objects").hidden = objects.length > 0 || !app.store.get("session");
  byId("object-count").textContent = objects.length ? String(objects.length) : "";
}

/**
 * @param {SessionObject} object
 * @param {number} index from 0
 * @param {string} wanted what was typed, in lower case
 */
function isFound(object, index, wanted) {
  return object.name.toLowerCase().includes(wanted) || String(index + 1) === wanted;
}

/**
 * @param {SessionObject} object
 * @param {number} index
 * @param {import("./app.js").App} app
 * @param {() => void} redraw
 */
function createRow(object, index, { store, commands }, redraw) {
  const { object_id: id, name } = object;
  const isSelected = store.get("selectedId") === id;
  const row = el("li", { className: "object" });
  row.dataset.id = String(id);
  row.classList.toggle("selected", isSelected);
  row.classList.toggle("hidden-object", object.is_hidden);
  const style = { className: "swatch", title: "Color", "aria-label": `Colour of ${name}` };
  const color = el("input", { type: "color", value: object.color, ...style });
  color.dataset.action = "color";
  color.addEventListener("change", () => commands.updateObject(id, { color: color.value }));
  const title = `Select (${index + 1})`;
  const select = el("button", { type: "button", className: "object-name", title, onclick: () => commands.select(id) });
  select.dataset.action = "select";
  press(select, isSelected);
  select.append(el("span", { className: "name", textContent: name }), el("span", { className: "state" }));
  select.addEventListener("dblclick", () => beginRename(row, object, commands, redraw));
  row.append(color, select, ...createActions(object, row, commands, redraw));
  return row;
}

/**
 * @param {SessionObject} object
 * @param {HTMLElement} row
 * @param {import("./commands.js").Commands} commands
 * @param {() => void} redraw
 */
function createActions(object, row, commands, redraw) {
  const { object_id: id, name, is_hidden: isHidden, is_locked: isLocked } = object;
  const update = (/** @type {import("./schema.d.ts").ObjectUpdate} */ values) => commands.updateObject(id, values);
  const small = (/** @type {string} */ more) => ({ className: `icon-button small ${more}` });
  const rename = iconButton("pencil", `Rename ${name}`, () => beginRename(row, object, commands, redraw), small("rename quiet"));
  const hide = isHidden
    ? iconButton("eye-off", `Show ${name}`, () => update({ is_hidden: false }), small("on"))
    : iconButton("eye", `Hide ${name}`, () => update({ is_hidden: true }), small("quiet"));
  const lock = isLocked
    ? iconButton("lock", `Unlock ${name}`, () => update({ is_locked: false }), small("on"))
    : iconButton("unlock", `Lock ${name}`, () => update({ is_locked: true }), small("quiet"));
  const remove = iconButton("trash", `Delete ${name}`, () => commands.removeObject(id), small("quiet danger"));
  const named = { rename, hide, lock, remove };
  for (const [action, button] of Object.entries(named)) button.dataset.action = action;
  return Object.values(named);
}

/**
 * @param {HTMLElement} row
 * @param {SessionObject} object
 * @param {import("./commands.js").Commands} commands
 * @param {() => void} redraw
 */
function beginRename(row, object, commands, redraw) {
  const button = /** @type {HTMLElement} */ (row.querySelector(".object-name"));
  const label = `New name of ${object.name}`;
  const field = el("input", { type: "text", className: "rename-field", value: object.name, maxLength: 100, "aria-label": label });
  let isOver = false;
  const end = (/** @type {boolean} */ isSaved) => {
    if (isOver) return;
    isOver = true;
    const name = field.value.trim();
    field.replaceWith(button);
    if (isSaved && name && name !== object.name) commands.updateObject(object.object_id, { name });
    redraw();
    /** @type {HTMLElement | null} */ (document.querySelector(`li[data-id="${object.object_id}"] .object-name`))?.focus();
  };
  field.addEventListener("blur", () => end(true));
  field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    event.stopPropagation();
    if (event.key === "Enter") end(true);
    if (event.key === "Escape") end(false);
  });
  button.replaceWith(field);
  field.select();
}

/**
 * What is known of each object on the frame shown.
 * @param {HTMLElement} list
 * @param {import("./app.js").App} app
 */
function showStates(list, { store, masks }) {
  const entry = masks.get(store.get("shownFrame"));
  for (const row of /** @type {Iterable<HTMLElement>} */ (list.children)) {
    const result = entry?.objects.get(Number(row.dataset.id));
    const state = row.querySelector(".state");
    if (state) state.textContent = result ? resultText(result) : "no mask here yet";
  }
}

/** @param {ObjectMask} result */
function resultText(result) {
  const text = STATE_TEXTS[result.state];
  const score = result.score === null ? "" : ` · ${result.score.toFixed(2)}`;
  return `${text}${score}${result.is_stale ? " · out of date" : ""}`;
}

/** @type {Record<ObjectMask["state"], string>} */
const STATE_TEXTS = {
  present: "present",
  no_visible_point: "absent, no point visible",
  low_score: "absent, low confidence",
  retired: "absent, points lost",
  before_query: "absent, before its first click",
  hidden_by_others: "covered by other objects",
  empty: "absent, empty mask",
  given_absent: "absent, as you said",
};
