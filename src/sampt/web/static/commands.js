/** Everything that changes the session; edits are sent one after the other, in the order they were made. */

import { ApiError, api } from "./api.js";
import { clearErrors, report, showNote } from "./messages.js";

const TRY_AGAIN_MS = 1500;
const EDIT = "edit";

/** @import {SessionResponse} from "./schema.d.ts" */

export class Commands {
  /** @type {Promise<unknown>} */
  #queue = Promise.resolve();
  /** The object that is being added, which is what clicks are for from then on. @type {Promise<number | null> | null} */
  #adding = null;
  /** What waits for the connection. @type {(() => void)[]} */
  #waiting = [];

  /** @param {Pick<import("./app.js").App, "store" | "masks" | "navigator" | "updates">} app */
  constructor({ store, masks, navigator, updates }) {
    this.store = store;
    this.masks = masks;
    this.navigator = navigator;
    this.updates = updates;
    store.watch(["isOnline"], () => this.#wake());
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
        clearErrors(EDIT); // a save that failed before does not matter any more
        return response;
      } catch (error) {
        report(error, EDIT);
        return null;
      } finally {
        this.store.set({ busy: this.store.get("busy") - 1 });
      }
    };
    const done = this.#queue.then(run);
    this.#queue = done;
    return done;
  }

  /** When all edits so far are handled. */
  get settled() {
    return this.#queue;
  }

  #wake() {
    if (!this.store.get("isOnline")) return;
    for (const run of this.#waiting.splice(0)) run();
  }

  /**
   * Send what must not be lost: again and again while the server is not reached, or has the session not open again. It may have
   * been reached though its response was lost, so that every time but the first it is looked up whether the edit is made already.
   * @template {{state: SessionResponse}} Response
   * @param {() => Promise<Response>} send
   * @param {(state: SessionResponse) => Response | null} find the response, when the state shows that the edit is made
   * @returns {Promise<Response>}
   */
  async #sendUntilReached(send, find) {
    for (let isFirst = true; ; isFirst = false) {
      // Before, too: a response that says the session is not open may come when it is open again.
      const wasOnline = this.store.get("isOnline");
      try {
        return (isFirst ? null : find(await api.session())) ?? (await send());
      } catch (error) {
        const isLost = error instanceof ApiError && (error.status === 0 || (error.status === 404 && !(wasOnline && this.store.get("isOnline"))));
        if (!isLost) throw error;
      }
      await new Promise((resolve) => {
        this.#waiting.push(() => resolve(null));
        window.setTimeout(resolve, TRY_AGAIN_MS);
      });
    }
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
    this.#adding = null;
    if (this.object(objectId)) this.store.set({ selectedId: objectId });
  }

  /** The object that a click is for; null while it is being added. */
  get targetId() {
    return this.#adding ? null : this.store.get("selectedId");
  }

  /** @param {number} index from 0, in the order of the list */
  selectAt(index) {
    const object = this.store.get("session")?.objects[index];
    if (object) this.select(object.object_id);
    return Boolean(object);
  }

  /** @param {1 | -1} direction in the list */
  selectNext(direction) {
    const objects = this.store.get("session")?.objects ?? [];
    const index = objects.findIndex((one) => one.object_id === this.store.get("selectedId"));
    this.selectAt((index + direction + objects.length) % objects.length);
  }

  addObject() {
    const adding = this.#addObject();
    this.#adding = adding;
    adding.then((id) => {
      if (this.#adding !== adding) return; // another one has been selected meanwhile
      this.#adding = null;
      if (id !== null) this.select(id);
    });
    return adding;
  }

  /** @returns {Promise<number | null>} */
  async #addObject() {
    const known = new Set(this.store.get("session")?.objects.map((one) => one.object_id));
    const find = (/** @type {SessionResponse} */ state) => {
      const object = state.objects.find((one) => !known.has(one.object_id));
      return object ? { object, state } : null;
    };
    const response = await this.edit(() => this.#sendUntilReached(() => api.addObject(), find));
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

  /**
   * The object that an input is for: the one being added, the selected one, or a first one; null, with a message, when it cannot
   * be changed. What is selected later has no part in it.
   */
  async #target() {
    if (this.#adding) return this.#adding;
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
   * Say that a location belongs to the selected object, or does not. While the server is not reached, clicks wait.
   * @param {{x: number, y: number}} at in pixels of the video
   * @param {boolean} isPositive
   */
  async click(at, isPositive) {
    const frame = this.store.get("shownFrame");
    if (frame === null) return;
    const ghost = { object_id: this.targetId, frame, ...at, is_positive: isPositive };
    this.store.set({ pending: [...this.store.get("pending"), ghost] });
    const objectId = await this.#target();
    if (objectId !== null) await this.edit(() => this.#sendPoint({ object_id: objectId, frame, ...at, is_positive: isPositive }));
    this.store.set({ pending: this.store.get("pending").filter((one) => one !== ghost) });
  }

  /** @param {Omit<import("./schema.d.ts").Point, "point_id" | "is_whole">} wanted */
  #sendPoint(wanted) {
    const known = new Set(this.store.get("session")?.points.map((one) => one.point_id));
    return this.#sendUntilReached(
      () => api.addPoint(wanted),
      (state) => {
        const isIt = (/** @type {import("./schema.d.ts").Point} */ one) =>
          !known.has(one.point_id) && one.object_id === wanted.object_id && one.frame === wanted.frame && one.x === wanted.x && one.y === wanted.y;
        const point = state.points.find(isIt);
        return point ? { point, state } : null;
      },
    );
  }

  /**
   * Draw on the mask that is shown, or cut from it. It stays drawn until the server's mask is here; sent twice it comes to the same.
   * @param {import("./types.js").Shape} shape
   */
  async draw(shape) {
    this.store.set({ shapes: [...this.store.get("shapes"), shape] });
    const { frame, xy, radius, isCut } = shape;
    const objectId = await this.#target();
    const send = async (/** @type {number} */ id) => ({
      state: await (shape.kind === "stroke"
        ? api.paint(id, frame, { xy, radius, is_erasing: isCut })
        : api.fillPolygon(id, frame, { xy, is_cut: isCut })),
    });
    if (objectId !== null && (await this.edit(() => this.#sendUntilReached(() => send(objectId), () => null)))) await this.updates.settledShown();
    this.store.set({ shapes: this.store.get("shapes").filter((one) => one !== shape) });
  }

  /** Whether the selected object is absent on the shown frame because somebody said so. */
  get isAbsent() {
    const [id, frame] = [this.store.get("selectedId"), this.store.get("shownFrame")];
    const covers = (/** @type {import("./schema.d.ts").AbsentRange} */ one) =>
      one.object_id === id && frame !== null && one.frame <= frame && frame < one.stop;
    return Boolean(this.store.get("session")?.absent.some(covers));
  }

  /** Say that the selected object is not there from the shown frame on, or take that away. */
  toggleAbsent() {
    const [object, frame] = [this.selected, this.store.get("shownFrame")];
    if (!object || frame === null) return null;
    const isAbsent = !this.isAbsent;
    return this.edit(() => api.setAbsent(object.object_id, frame, isAbsent));
  }

  /** @param {import("./schema.d.ts").AbsentRange} absence */
  deleteAbsent(absence) {
    return this.edit(() => api.setAbsent(absence.object_id, absence.frame, false));
  }

  /** The selected object's mask on the shown frame with all that the last click would change, where that was not taken over. */
  get wholeChange() {
    const found = this.masks.get(this.store.get("shownFrame"))?.objects.get(this.store.get("selectedId") ?? 0);
    return found?.whole_rle ? found : null;
  }

  takeWholeChange() {
    const [found, frame] = [this.wholeChange, this.store.get("shownFrame")];
    return found && frame !== null ? this.edit(() => api.takeWholeChange(found.object_id, frame)) : null;
  }

  /** Start anew on this frame from the clicks there: what was propagated does not count. */
  useClicksAlone() {
    const [object, frame] = [this.selected, this.store.get("shownFrame")];
    if (!object || frame === null) return null;
    const isHere = (/** @type {import("./schema.d.ts").Point} */ one) => one.object_id === object.object_id && one.frame === frame;
    if (this.store.get("session")?.points.some(isHere)) return this.edit(() => api.useClicksAlone(object.object_id, frame));
    report(new Error("There is no click on this frame yet. Click the object first."));
    return null;
  }

  /** Whether the selected object's result on the shown frame is marked good. */
  get isReviewed() {
    const [ranges, frame] = [this.store.get("session")?.reviewed[String(this.store.get("selectedId"))], this.store.get("shownFrame")];
    return frame !== null && Boolean(ranges?.some(([start, stop]) => start <= frame && frame < stop));
  }

  /** Mark the selected object's result on the shown frame good, so that it stays, or take the mark away. */
  toggleReviewed() {
    const [object, frame] = [this.selected, this.store.get("shownFrame")];
    if (!object || frame === null) return null;
    const isGood = !this.isReviewed;
    return this.edit(() => api.setReviewed(object.object_id, frame, isGood));
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
    await this.propagateFrames(this.store.get("range"), scope === "selected" && selected ? [selected.object_id] : null);
  }

  /**
   * @param {import("./types.js").FrameRange | null} range
   * @param {number[] | null} ids
   */
  async propagateFrames(range, ids) {
    this.updates.expect();
    try {
      this.updates.progressed(await api.propagate(range, ids));
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
  const all = (/** @type {SessionResponse} */ state) => [...state.points, ...state.boxes, ...state.masks, ...state.absent];
  const keys = (/** @type {SessionResponse} */ state) => new Set(all(state).map((input) => JSON.stringify(input)));
  const [old, now] = [keys(before), keys(after)];
  const frames = [
    ...all(before).filter((input) => !now.has(JSON.stringify(input))),
    ...all(after).filter((input) => !old.has(JSON.stringify(input))),
  ].map((input) => input.frame);
  return frames.length === 0 || frames.includes(shown) ? null : frames[0];
}
