/** Everything that changes the session; edits are sent one after the other, in the order they were made. */

import { api } from "./api.js";
import { report, showNote } from "./messages.js";

/** @import {SessionResponse} from "./schema.d.ts" */

export class Commands {
  /** @type {Promise<unknown>} */
  #queue = Promise.resolve();

  /** @param {{store: import("./store.js").Store, navigator: import("./navigator.js").Navigator, updates: import("./updates.js").Updates}} app */
  constructor({ store, navigator, updates }) {
    this.store = store;
    this.navigator = navigator;
    this.updates = updates;
  }

  /**
   * Send an edit once those before it are handled, and show what it changed.
   * @template {SessionResponse | {state: SessionResponse}} Response
   * @param {() => Promise<Response>} send gives the new state, or an object with it as `state`
   * @returns {Promise<Response | null>}
   */
  edit(send) {
    this.store.set({ busy: this.store.get("busy") + 1 });
    const run = async () => {
      try {
        const response = await send();
        this.updates.accept("state" in response ? response.state : response);
        return response;
      } catch (error) {
        report(error);
        return null;
      } finally {
        this.store.set({ busy: this.store.get("busy") - 1 });
      }
    };
    const done = this.#queue.then(run);
    this.#queue = done;
    return done;
  }

  /** @param {number | null} objectId */
  object(objectId) {
    return this.store.get("session")?.objects.find((one) => one.object_id === objectId) ?? null;
  }

  get selected() {
    return this.object(this.store.get("selectedId"));
  }

  /** @param {number} objectId */
  isEditable(objectId) {
    const object = this.object(objectId);
    return Boolean(object && !object.is_locked && !object.is_hidden);
  }

  /** @param {number} objectId */
  select(objectId) {
    if (this.object(objectId)) this.store.set({ selectedId: objectId });
  }

  /** @param {number} index from 0, in the order of the list */
  selectAt(index) {
    const object = this.store.get("session")?.objects[index];
    if (object) this.select(object.object_id);
  }

  async addObject() {
    const response = await this.edit(() => api.addObject());
    if (response) this.select(response.object.object_id);
    return response?.object.object_id ?? null;
  }

  /**
   * @param {number} objectId
   * @param {import("./schema.d.ts").ObjectUpdate} values
   */
  updateObject(objectId, values) {
    return this.edit(() => api.updateObject(objectId, values));
  }

  /** @param {number} objectId */
  async removeObject(objectId) {
    const name = this.object(objectId)?.name;
    const response = await this.edit(() => api.removeObject(objectId));
    if (response) showNote(`${name} was deleted. Ctrl+Z brings it back.`);
  }

  /** The object that a click is for: the selected one, or a first one; null, with a message, when it cannot be clicked. */
  async #target() {
    const object = this.selected;
    if (!object) return this.store.get("session")?.objects.length ? this.#noSelection() : this.addObject();
    if (object.is_locked) report(new Error(`${object.name} is locked. Unlock it (L) to change it.`));
    if (object.is_hidden) report(new Error(`${object.name} is hidden. Show it (H) to click on it.`));
    return object.is_locked || object.is_hidden ? null : object.object_id;
  }

  #noSelection() {
    report(new Error("No object is selected. Choose one in the list, or add one (N)."));
    return null;
  }

  /**
   * Say that a location belongs to the selected object, or does not.
   * @param {{x: number, y: number}} at in pixels of the video
   * @param {boolean} isPositive
   */
  async click(at, isPositive) {
    const frame = this.store.get("shownFrame");
    if (frame === null) return;
    const ghost = { object_id: this.store.get("selectedId"), frame, ...at, is_positive: isPositive };
    this.store.set({ pending: [...this.store.get("pending"), ghost] });
    const objectId = await this.#target();
    if (objectId !== null) await this.edit(() => api.addPoint({ object_id: objectId, frame, ...at, is_positive: isPositive }));
    this.store.set({ pending: this.store.get("pending").filter((one) => one !== ghost) });
  }

  /**
   * @param {import("./schema.d.ts").Point} point
   * @param {{x: number, y: number}} at
   */
  async movePoint(point, at) {
    this.store.set({ selectedId: point.object_id });
    await this.edit(() => api.movePoint(point.point_id, at));
    this.store.set({ drag: null });
  }

  /** @param {import("./schema.d.ts").Point} point */
  deletePoint(point) {
    this.store.set({ hover: null });
    return this.edit(() => api.deletePoint(point.point_id));
  }

  /** @param {import("./schema.d.ts").Box} box */
  async setBox(box) {
    const objectId = await this.#target();
    if (objectId !== null) await this.edit(() => api.setBox({ ...box, object_id: objectId }));
    this.store.set({ draft: null });
  }

  /** @param {import("./schema.d.ts").Box} box */
  deleteBox(box) {
    this.store.set({ hover: null });
    return this.edit(() => api.deleteBox(box.object_id, box.frame));
  }

  /** @param {File} png */
  async setMask(png) {
    const objectId = await this.#target();
    if (objectId !== null) await this.edit(() => api.setMask(objectId, this.store.get("frame"), png));
  }

  /** @param {import("./schema.d.ts").GivenMask} mask */
  deleteMask(mask) {
    return this.edit(() => api.deleteMask(mask.object_id, mask.frame));
  }

  /** Delete the click or box under the pointer; tells whether there was one. */
  deleteHovered() {
    const hover = this.store.get("hover");
    if (hover?.kind === "point") this.deletePoint(hover.point);
    if (hover?.kind === "box") this.deleteBox(hover.box);
    return Boolean(hover);
  }

  undo() {
    if (this.store.get("session")?.can_undo) this.#travel(api.undo);
  }

  redo() {
    if (this.store.get("session")?.can_redo) this.#travel(api.redo);
  }

  /** @param {() => Promise<SessionResponse>} send */
  async #travel(send) {
    const before = this.store.get("session");
    const after = await this.edit(send);
    const frame = before && after && changedFrame(before, after, this.store.get("frame"));
    if (frame !== null) this.navigator.goTo(frame);
  }

  /** @param {import("./types.js").Scope} scope */
  async propagate(scope) {
    const session = this.store.get("session");
    if (!session || this.store.get("progress")?.is_running) return;
    await this.#queue;
    const { selected } = this;
    if (scope === "selected" && !selected) return void this.#noSelection();
    this.updates.expect();
    try {
      const ids = scope === "selected" && selected ? [selected.object_id] : null;
      this.updates.progressed(await api.propagate(this.store.get("range"), ids));
    } catch (error) {
      this.updates.forget();
      report(error);
    }
  }

  async cancelPropagation() {
    try {
      this.updates.progressed(await api.cancelPropagation());
    } catch (error) {
      report(error);
    }
  }

  /** The person looks elsewhere than where the propagation is. */
  stopTracking() {
    this.updates.stopTracking();
  }
}

/**
 * The frame of the inputs that two states differ in, when it is not the one shown.
 * @param {SessionResponse} before
 * @param {SessionResponse} after
 * @param {number} shown
 * @returns {number | null}
 */
function changedFrame(before, after, shown) {
  const all = (/** @type {SessionResponse} */ state) => [...state.points, ...state.boxes, ...state.masks];
  const keys = (/** @type {SessionResponse} */ state) => new Set(all(state).map((input) => JSON.stringify(input)));
  const [old, now] = [keys(before), keys(after)];
  const frames = [
    ...all(before).filter((input) => !now.has(JSON.stringify(input))),
    ...all(after).filter((input) => !old.has(JSON.stringify(input))),
  ].map((input) => input.frame);
  return frames.length === 0 || frames.includes(shown) ? null : frames[0];
}
