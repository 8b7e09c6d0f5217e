/** What the page shows, in one object; parts of the page listen to the keys they draw. */

/** @import {PageState} from "./types.js" */

/** A bag of values that tells listeners which keys have changed. */
export class Store {
  /** @type {PageState} */
  #values;
  /** @type {{keys: Set<keyof PageState>, run: () => void}[]} */
  #listeners = [];

  /** @param {PageState} values */
  constructor(values) {
    this.#values = { ...values };
  }

  /**
   * @template {keyof PageState} Key
   * @param {Key} key
   * @returns {PageState[Key]}
   */
  get(key) {
    return this.#values[key];
  }

  /**
   * Change values; every listener of a key that really changed runs once.
   * @param {Partial<PageState>} patch
   */
  set(patch) {
    const keys = /** @type {(keyof PageState)[]} */ (Object.keys(patch));
    const changed = keys.filter((key) => !Object.is(this.#values[key], patch[key]));
    Object.assign(this.#values, patch);
    for (const listener of this.#listeners) {
      if (changed.some((key) => listener.keys.has(key))) listener.run();
    }
  }

  /**
   * Run now, and whenever one of the keys changes.
   * @param {(keyof PageState)[]} keys
   * @param {() => void} run
   */
  watch(keys, run) {
    this.#listeners.push({ keys: new Set(keys), run });
    run();
  }
}

/**
 * Values at the start. Those named in `SAVED` are saved from visit to visit.
 * @type {PageState}
 */
export const INITIAL = {
  session: null,
  about: null,
  frame: 0,
  shownFrame: null,
  selectedId: null,
  tool: "include",
  opacity: 0.55,
  contours: false,
  sideBySide: false,
  showPoints: true,
  showTracked: false,
  range: null,
  scope: "all",
  isPlaying: false,
  timelines: new Map(),
  progress: null,
  busy: 0,
  isBrowsing: false,
  isOnline: true,
  hover: null,
  pending: [],
  drag: null,
  draft: null,
  shape: null,
  shapes: [],
  radius: null,
  isFinding: false,
  suggestions: [],
  suggestedId: null,
  proposer: null,
  cursor: null,
  crosshair: null,
  scale: 1,
  theme: null,
};

/** @type {(keyof PageState)[]} */
const SAVED = ["opacity", "contours", "sideBySide", "showPoints", "showTracked", "scope", "radius", "proposer"];

/**
 * A store with the view as it was left.
 * @returns {Store}
 */
export function makeStore() {
  const store = new Store({ ...INITIAL, ...readJson(localStorage, "sampt.view") });
  store.watch(SAVED, () => {
    writeJson(localStorage, "sampt.view", Object.fromEntries(SAVED.map((key) => [key, store.get(key)])));
  });
  return store;
}

/**
 * @param {Storage} storage
 * @param {string} key
 * @returns {any} an empty object when there is nothing readable
 */
export function readJson(storage, key) {
  try {
    return JSON.parse(storage.getItem(key) ?? "{}") ?? {};
  } catch {
    return {};
  }
}

/**
 * @param {Storage} storage
 * @param {string} key
 * @param {unknown} value
 */
export function writeJson(storage, key, value) {
  try {
    storage.setItem(key, JSON.stringify(value));
  } catch {
    // Storage may be forbidden or full; the page works without.
  }
}
