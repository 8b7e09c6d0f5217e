/** Objects that nobody named: suggestions on the shown frame, each accepted with one key; none is added unasked. */

import { api } from "./api.js";
import { byId, el } from "./dom.js";
import { report, showNote } from "./messages.js";
import { decodeMask } from "./rle.js";

const POLL_MS = 700;

/**
 * @import {SearchResponse, Suggestion} from "./schema.d.ts"
 * @import {Position, ShownSuggestion} from "./types.js"
 */

export class Suggestions {
  /** Which search counts: a newer one, or dropping, makes what an older one finds unwanted. */
  #turn = 0;
  #frame = -1;
  /** @type {SearchResponse | null} of the event stream, the newest */
  #ended = null;
  /** Called when a search has ended. */
  #wake = () => {};
  /** The request of the last search, and the one that gave it up. @type {Promise<unknown>} */
  #begun = Promise.resolve();
  /** @type {Promise<unknown>} */
  #givenUp = Promise.resolve();

  /** @param {Pick<import("./app.js").App, "store" | "events" | "commands" | "updates" | "player">} app */
  constructor({ store, events, commands, updates, player }) {
    this.store = store;
    this.player = player;
    this.commands = commands;
    this.updates = updates;
    events.addEventListener("suggestions", (event) => {
      this.#ended = /** @type {CustomEvent} */ (event).detail;
      this.#wake();
    });
    store.watch(["frame", "session"], () => {
      if (store.get("frame") !== this.#frame || !store.get("session")) this.drop();
    });
  }

  /** Those that wait for a decision. */
  get open() {
    return this.store.get("suggestions").filter((one) => !one.isAccepted);
  }

  get selected() {
    return this.open.find((one) => one.suggestion_id === this.store.get("suggestedId")) ?? null;
  }

  /** Look for objects on the frame; it stays, whatever plays or is propagated. */
  async find() {
    if (!this.store.get("session")) return;
    this.player.stop();
    this.commands.stopTracking();
    this.drop();
    const frame = this.store.get("frame");
    const turn = this.#turn;
    this.#frame = frame;
    this.store.set({ isFinding: true });
    try {
      await Promise.all([this.commands.settled, this.#givenUp]); // what is being added is known then
      const found = turn === this.#turn ? await this.#search(frame, turn) : null;
      if (found && turn === this.#turn) this.#show(found);
    } catch (error) {
      if (turn === this.#turn) report(error);
    } finally {
      if (turn === this.#turn) this.store.set({ isFinding: false });
    }
  }

  /**
   * Until the search has ended; null when nobody wants it any more.
   * @param {number} frame
   * @param {number} turn
   */
  async #search(frame, turn) {
    const begun = api.findSuggestions(frame, { proposer: this.#proposer });
    this.#begun = begun;
    let now = await begun;
    const id = now.search_id;
    while (now.is_running && turn === this.#turn) {
      if (this.#ended?.search_id !== id) await this.#wait();
      if (turn !== this.#turn) return null;
      now = this.#ended?.search_id === id ? this.#ended : ((await api.suggestions()) ?? now);
      if (now.search_id !== id) throw new Error("Another page of this browser looks for objects now.");
    }
    if (now.error) throw new Error(now.error);
    return now;
  }

  /** The one that is chosen, where the server has it. */
  get #proposer() {
    const name = this.store.get("proposer");
    return this.store.get("about")?.proposers.some((one) => one.name === name) ? name : null;
  }

  /** For the event stream to say that a search has ended, or for some time when it does not. */
  #wait() {
    return new Promise((resolve) => {
      const timer = window.setTimeout(() => resolve(null), POLL_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(null);
      };
    });
  }

  /** @param {SearchResponse} found */
  #show({ frame, suggestions }) {
    const shown = suggestions.map((one, index) => makeShown(one, index + 1, frame));
    this.store.set({ isFinding: false, suggestions: shown, suggestedId: shown[0]?.suggestion_id ?? null });
    if (!shown.length) showNote("Nothing found here that is not an object already.");
  }

  /** @param {number | null} id */
  select(id) {
    if (this.open.some((one) => one.suggestion_id === id)) this.store.set({ suggestedId: id });
  }

  /**
   * The suggestion at a location, the smallest where several are; accepted ones, too, as long as they are drawn.
   * @param {Position} at in pixels of the video
   */
  at({ x, y }) {
    const [column, row] = [Math.round(x), Math.round(y)];
    const isOn = (/** @type {ShownSuggestion} */ { shape }) => {
      const [i, j] = [row - shape.y, column - shape.x];
      return i >= 0 && j >= 0 && i < shape.height && j < shape.width && shape.data[i * shape.width + j] === 1;
    };
    return this.store.get("suggestions").filter(isOn).sort((a, b) => a.shape.area - b.shape.area)[0] ?? null;
  }

  /**
   * Make an object of a suggestion. Its mask stays drawn until the server's is here.
   * @param {ShownSuggestion | null} [wanted] the selected one when left out
   */
  async accept(wanted = this.selected) {
    if (!wanted || !this.open.includes(wanted)) return; // or it is accepted already: by a double click
    const turn = this.#turn;
    const rest = this.open.filter((one) => one !== wanted);
    const accepted = { ...wanted, isAccepted: true };
    const next = rest.find((one) => one.number > wanted.number) ?? rest[rest.length - 1];
    const isSelected = this.store.get("suggestedId") === wanted.suggestion_id;
    this.#replace(wanted, accepted, isSelected ? (next?.suggestion_id ?? null) : this.store.get("suggestedId"));
    const response = await this.commands.edit(() => api.acceptSuggestion(wanted.suggestion_id));
    if (response) {
      this.commands.select(response.object.object_id);
      byId("suggestion-status").textContent = `${response.object.name} was added. ${countText(this.open.length)}`;
      await this.updates.settledShown();
    }
    if (turn === this.#turn) this.#replace(accepted, response ? null : wanted);
  }

  async acceptAll() {
    for (const one of this.open) this.accept(one); // one after the other, as all edits
  }

  /**
   * @param {ShownSuggestion} old
   * @param {ShownSuggestion | null} now
   * @param {number | null} suggestedId which is selected then
   */
  #replace(old, now, suggestedId = this.store.get("suggestedId")) {
    this.store.set({ suggestedId, suggestions: this.store.get("suggestions").flatMap((one) => (one !== old ? [one] : now ? [now] : [])) });
  }

  /** Give up a search and what was found; tells whether there was something. */
  drop() {
    const { store } = this;
    const isOpen = store.get("isFinding") || this.open.length > 0;
    this.#turn++;
    this.#wake();
    if (store.get("isFinding")) this.#givenUp = this.#begun.then(() => api.dropSuggestions()).catch(() => {});
    if (store.get("isFinding") || store.get("suggestions").length) store.set({ isFinding: false, suggestions: [], suggestedId: null });
    return isOpen;
  }
}

/**
 * @param {Suggestion} suggestion
 * @param {number} number from 1, as it is shown
 * @param {number} frame
 * @returns {ShownSuggestion}
 */
function makeShown(suggestion, number, frame) {
  const shape = decodeMask(suggestion.rle) ?? { x: 0, y: 0, width: 0, height: 0, data: new Uint8Array(), area: 0 };
  return { ...suggestion, number, frame, shape, center: centerOf(shape), isAccepted: false };
}

/**
 * The pixel of a mask that is nearest to the mean of all.
 * @param {import("./rle.js").MaskShape} shape
 * @returns {Position}
 */
function centerOf({ x, y, width, data, area }) {
  let [sumX, sumY] = [0, 0];
  data.forEach((isOn, i) => isOn && ([sumX, sumY] = [sumX + (i % width), sumY + Math.floor(i / width)]));
  const [meanX, meanY] = [sumX / area, sumY / area];
  let [best, minimum] = [0, Infinity];
  data.forEach((isOn, i) => {
    const distance = isOn ? Math.hypot((i % width) - meanX, Math.floor(i / width) - meanY) : Infinity;
    if (distance < minimum) [best, minimum] = [i, distance];
  });
  return { x: x + (best % width), y: y + Math.floor(best / width) };
}

/** @param {number} count */
function countText(count) {
  return count ? `${count} ${count === 1 ? "suggestion" : "suggestions"} left.` : "";
}

/** The button, the choice of a proposer, and the bar with what was found. @param {import("./app.js").App} app */
export function mountSuggestions(app) {
  const { store, suggestions } = app;
  byId("find-button").addEventListener("click", () => suggestions.find());
  byId("accept-all-button").addEventListener("click", () => suggestions.acceptAll());
  byId("drop-suggestions-button").addEventListener("click", () => suggestions.drop());
  const choice = byId("proposer");
  byId("suggestion-list").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.repeat && event.key === "Enter") event.preventDefault(); // a key that is held accepts one
  });
  choice.addEventListener("change", () => store.set({ proposer: choice.value }));
  store.watch(["about", "session"], () => showProposers(store));
  store.watch(["proposer"], () => (choice.value = store.get("proposer") ?? choice.value));
  store.watch(["isFinding", "suggestions"], () => showBar(app));
  store.watch(["suggestedId"], () => showSelected(store));
}

/** @param {import("./store.js").Store} store */
function showProposers(store) {
  const proposers = store.get("about")?.proposers ?? [];
  const choice = byId("proposer");
  byId("find-group").hidden = proposers.length === 0;
  byId("find-button").disabled = choice.disabled = !store.get("session");
  choice.hidden = proposers.length < 2;
  if (choice.options.length === proposers.length) return;
  choice.replaceChildren(...proposers.map(({ name, method }) => el("option", { value: name, textContent: name, title: method })));
  const wanted = store.get("proposer");
  if (proposers.some(({ name }) => name === wanted)) choice.value = wanted;
}

/** @param {import("./app.js").App} app */
function showBar({ store, stage, suggestions }) {
  const [bar, list, status] = [byId("suggestions"), byId("suggestion-list"), byId("suggestion-status")];
  const { open } = suggestions;
  const isFinding = store.get("isFinding");
  const wasOpen = !bar.hidden && list.children.length > 0;
  const hadFocus = bar.contains(document.activeElement);
  bar.hidden = !isFinding && !open.length;
  byId("finding").hidden = !isFinding;
  byId("how").hidden = open.length === 0;
  byId("accept-all-button").hidden = open.length < 2;
  list.replaceChildren(...open.map((one) => createButton(one, suggestions)));
  showSelected(store);
  if (isFinding) status.textContent = "Looking for objects …";
  else if (bar.hidden && !wasOpen) status.textContent = "";
  if (open.length && !wasOpen) {
    status.textContent = `${open.length === 1 ? "1 suggestion" : `${open.length} suggestions`}. Enter accepts the selected one, Shift Enter all, Escape drops them.`;
    if (hadFocus || isNobodys(document.activeElement)) focusSelected();
  } else if (hadFocus && open.length) focusSelected();
  else if (hadFocus && bar.hidden) stage.canvas.focus({ preventScroll: true });
}

/**
 * Whether the focus may be taken: nobody types there.
 * @param {Element | null} element
 */
function isNobodys(element) {
  return !document.querySelector("dialog[open]") && (!element || element === document.body || ["stage", "find-button", "proposer"].includes(element.id));
}

function focusSelected() {
  /** @type {HTMLElement | null} */ (byId("suggestion-list").querySelector(".selected"))?.focus({ preventScroll: true });
}

/**
 * @param {ShownSuggestion} suggestion
 * @param {Suggestions} suggestions
 */
function createButton(suggestion, suggestions) {
  const { suggestion_id: id, number, label, color } = suggestion;
  const text = label ? `${number} ${label}` : String(number);
  const props = { type: "button", className: "button small suggestion", "aria-label": `Accept suggestion ${text}`, title: "Accept (Enter)" };
  const button = el("button", { ...props, onclick: () => suggestions.accept(suggestion) });
  const dot = el("span", { className: "dot" });
  dot.style.background = color;
  button.append(dot, text);
  button.dataset.id = String(id);
  button.addEventListener("focus", () => suggestions.select(id));
  button.addEventListener("pointerenter", () => suggestions.select(id));
  return button;
}

/** @param {import("./store.js").Store} store */
function showSelected(store) {
  for (const button of /** @type {Iterable<HTMLElement>} */ (byId("suggestion-list").children)) {
    button.classList.toggle("selected", button.dataset.id === String(store.get("suggestedId")));
  }
}
