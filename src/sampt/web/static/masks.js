/** Masks by frame, as the server last reported them. What an edit made old is still shown until the new response is here. */

import { api } from "./api.js";

const MAX_FRAMES = 400;

/**
 * @import {ObjectMask} from "./schema.d.ts"
 * @typedef {{epoch: number, objects: Map<number, ObjectMask>, points: import("./schema.d.ts").TrackedPoint[]}} Entry
 */

export class Masks extends EventTarget {
  /** @type {Map<number, Entry>} */
  #cached = new Map();
  /** @type {Map<number, Promise<Entry>>} */
  #underWay = new Map();
  #epoch = 0;
  #request = 0;
  /** Of a propagation that runs, by frame: they may still change. @type {Map<number, Map<number, ObjectMask>>} */
  #provisional = new Map();
  /** @type {Map<number, number>} frame -> number of the last preview that was requested */
  #lastRequest = new Map();

  /** @param {import("./events.js").Events} events */
  constructor(events) {
    super();
    this.events = events;
  }

  reset() {
    this.#cached.clear();
    this.#underWay.clear();
    this.#lastRequest.clear();
    this.#provisional.clear();
    this.#epoch++;
  }

  /** Everything known may be old now. */
  invalidate() {
    this.#epoch++;
    this.#underWay.clear();
  }

  /**
   * @param {number | null} frame
   * @returns {Entry | null}
   */
  get(frame) {
    const [entry, early] = frame === null ? [null, null] : [this.#cached.get(frame), this.#provisional.get(frame)];
    if (!early) return entry ?? null;
    return { epoch: -1, points: [], ...entry, objects: new Map([...(entry?.objects ?? []), ...early]) };
  }

  /**
   * Show masks that may still change, until final ones are here.
   * @param {number} frame
   * @param {ObjectMask[]} objects
   */
  offer(frame, objects) {
    this.#provisional.set(frame, new Map([...(this.#provisional.get(frame) ?? []), ...objects.map((one) => /** @type {const} */ ([one.object_id, one]))]));
    this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
  }

  /** Nothing that may still change is to come. */
  dropOffered() {
    const frames = [...this.#provisional.keys()];
    this.#provisional.clear();
    for (const frame of frames) this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
  }

  /** @param {number} frame */
  isFresh(frame) {
    return this.#cached.get(frame)?.epoch === this.#epoch;
  }

  /**
   * What is on disk for a frame; requested once at a time.
   * @param {number} frame
   * @returns {Promise<Entry>}
   */
  load(frame) {
    const here = this.#cached.get(frame);
    if (here && this.isFresh(frame)) return Promise.resolve(here);
    const begun = this.#underWay.get(frame);
    if (begun) return begun;
    const epoch = this.#epoch;
    const promise = api
      .masks(frame, false)
      .then((response) => this.#accept(response, epoch))
      .finally(() => this.#underWay.get(frame) === promise && this.#underWay.delete(frame));
    this.#underWay.set(frame, promise);
    return promise;
  }

  /**
   * What the inputs on a frame mean, computed by the server. Of several responses for a frame only the last one requested counts.
   * @param {number} frame
   */
  async preview(frame) {
    const request = ++this.#request;
    this.#lastRequest.set(frame, request);
    const epoch = this.#epoch;
    try {
      const response = this.events.isOpen ? await this.events.preview(frame) : await api.masks(frame, true);
      if (this.#lastRequest.get(frame) === request) this.#accept(response, epoch);
    } catch (error) {
      if (request === this.#request) throw error; // the server gives up a preview when the next is requested
    }
  }

  /**
   * Results of a propagation, of some objects of a frame.
   * @param {number} frame
   * @param {ObjectMask[]} objects
   */
  merge(frame, objects) {
    const before = this.#cached.get(frame);
    const known = new Map(before?.objects ?? []);
    for (const found of objects) {
      known.set(found.object_id, found);
      this.#provisional.get(frame)?.delete(found.object_id);
    }
    if (this.#provisional.get(frame)?.size === 0) this.#provisional.delete(frame);
    // Its points are not known yet: an old epoch makes them be requested when the frame is shown.
    this.#keep(frame, { epoch: this.#epoch - 1, objects: known, points: before?.points ?? [] });
  }

  /**
   * @param {import("./schema.d.ts").FrameMasksResponse} response
   * @param {number} epoch
   */
  #accept(response, epoch) {
    const objects = new Map(response.objects.map((found) => [found.object_id, found]));
    const entry = { epoch, objects, points: response.points };
    if ((this.#cached.get(response.frame)?.epoch ?? -1) <= epoch) this.#keep(response.frame, entry);
    return entry;
  }

  /**
   * @param {number} frame
   * @param {Entry} entry
   */
  #keep(frame, entry) {
    this.#cached.delete(frame);
    this.#cached.set(frame, entry);
    const [oldest] = this.#cached.keys();
    if (this.#cached.size > MAX_FRAMES) this.#cached.delete(oldest);
    this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
  }
}
