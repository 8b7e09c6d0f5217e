/** Masks by frame, as the server last told them. What an edit made old is still shown until the new answer is here. */

import { api } from "./api.js";

const MOST_FRAMES = 400;

/**
 * @import {ObjectMask} from "./schema.d.ts"
 * @typedef {{epoch: number, objects: Map<number, ObjectMask>, points: import("./schema.d.ts").TrackedPoint[]}} Entry
 */

export class Masks extends EventTarget {
  /** @type {Map<number, Entry>} */
  #kept = new Map();
  /** @type {Map<number, Promise<Entry>>} */
  #underWay = new Map();
  #epoch = 0;
  #asked = 0;
  /** @type {Map<number, number>} frame -> number of the last preview that was asked for */
  #lastAsked = new Map();

  /** @param {import("./events.js").Events} events */
  constructor(events) {
    super();
    this.events = events;
  }

  reset() {
    this.#kept.clear();
    this.#underWay.clear();
    this.#lastAsked.clear();
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
    return (frame === null ? null : this.#kept.get(frame)) ?? null;
  }

  /** @param {number} frame */
  isFresh(frame) {
    return this.#kept.get(frame)?.epoch === this.#epoch;
  }

  /**
   * What is on disk for a frame; asked for once at a time.
   * @param {number} frame
   * @returns {Promise<Entry>}
   */
  load(frame) {
    const here = this.#kept.get(frame);
    if (here && this.isFresh(frame)) return Promise.resolve(here);
    const begun = this.#underWay.get(frame);
    if (begun) return begun;
    const epoch = this.#epoch;
    const promise = api
      .masks(frame, false)
      .then((answer) => this.#accept(answer, epoch))
      .finally(() => this.#underWay.get(frame) === promise && this.#underWay.delete(frame));
    this.#underWay.set(frame, promise);
    return promise;
  }

  /**
   * What the inputs on a frame mean, computed by the server. Of several answers for a frame only the last one asked for counts.
   * @param {number} frame
   */
  async preview(frame) {
    const asked = ++this.#asked;
    this.#lastAsked.set(frame, asked);
    const epoch = this.#epoch;
    try {
      const answer = this.events.isOpen ? await this.events.preview(frame) : await api.masks(frame, true);
      if (this.#lastAsked.get(frame) === asked) this.#accept(answer, epoch);
    } catch (error) {
      if (asked === this.#asked) throw error; // the server gives up a preview when the next is asked for
    }
  }

  /**
   * Results of a propagation, of some objects of a frame.
   * @param {number} frame
   * @param {ObjectMask[]} objects
   */
  merge(frame, objects) {
    const before = this.#kept.get(frame);
    const known = new Map(before?.objects ?? []);
    for (const found of objects) known.set(found.object_id, found);
    // Its points are not known yet: an old epoch makes them be asked for when the frame is shown.
    this.#keep(frame, { epoch: this.#epoch - 1, objects: known, points: before?.points ?? [] });
  }

  /**
   * @param {import("./schema.d.ts").FrameMasksResponse} answer
   * @param {number} epoch
   */
  #accept(answer, epoch) {
    const objects = new Map(answer.objects.map((found) => [found.object_id, found]));
    const entry = { epoch, objects, points: answer.points };
    if ((this.#kept.get(answer.frame)?.epoch ?? -1) <= epoch) this.#keep(answer.frame, entry);
    return entry;
  }

  /**
   * @param {number} frame
   * @param {Entry} entry
   */
  #keep(frame, entry) {
    this.#kept.delete(frame);
    this.#kept.set(frame, entry);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MOST_FRAMES) this.#kept.delete(oldest);
    this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
  }
}
