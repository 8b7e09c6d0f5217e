/** Playback at the video's rate: frames that come too late are dropped, masks are shown where they are known. */

import { report } from "./messages.js";

const MAX_AHEAD = 12;
const MAX_AT_ONCE = 3;

export class Player {
  #request = 0;
  #underWay = 0;
  #lastRequest = -1;
  #start = { time: 0, frame: 0 };

  /**
   * @param {import("./store.js").Store} store
   * @param {import("./frames.js").Frames} frames
   * @param {import("./masks.js").Masks} masks
   * @param {import("./navigator.js").Navigator} navigator
   */
  constructor(store, frames, masks, navigator) {
    this.store = store;
    this.frames = frames;
    this.masks = masks;
    this.navigator = navigator;
  }

  toggle() {
    if (this.store.get("isPlaying")) this.stop();
    else this.play();
  }

  /** From the frame shown to the end of the range or the video; from the start when it is at the end. */
  play() {
    if (this.navigator.numFrames === 0) return;
    const { first, last } = this.#limits();
    const frame = this.store.get("frame");
    const begin = frame >= last || frame < first ? first : frame;
    this.frames.cancelAll();
    this.#lastRequest = begin - 1;
    this.#start = { time: performance.now(), frame: begin };
    this.store.set({ isPlaying: true });
    this.#request = requestAnimationFrame((time) => this.#tick(time));
  }

  stop() {
    if (!this.store.get("isPlaying")) return;
    cancelAnimationFrame(this.#request);
    this.store.set({ isPlaying: false });
    this.navigator.goTo(this.store.get("frame"));
  }

  #limits() {
    const range = this.store.get("range");
    return { first: range?.start ?? 0, last: (range?.stop ?? this.navigator.numFrames) - 1 };
  }

  /** @param {number} time */
  #tick(time) {
    if (!this.store.get("isPlaying")) return;
    const { last } = this.#limits();
    const due = this.#dueAt(time, last);
    const ready = this.#newestReady(due);
    if (ready !== null) {
      this.store.set({ frame: ready });
      this.navigator.show(/** @type {ImageBitmap} */ (this.frames.peek(ready, this.navigator.quickWidth())), ready);
    }
    if ((this.store.get("shownFrame") ?? 0) >= last && due >= last) return this.stop();
    this.#prefetch(due, last);
    this.#request = requestAnimationFrame((next) => this.#tick(next));
  }

  /**
   * The frame that the clock has come to.
   * @param {number} time
   * @param {number} last
   */
  #dueAt(time, last) {
    const seconds = this.navigator.frameTime(this.#start.frame) + Math.max(0, time - this.#start.time) / 1000;
    let due = Math.max(this.#start.frame, Math.min(this.store.get("frame"), last));
    while (due < last && this.navigator.frameTime(due + 1) <= seconds) due++;
    return due;
  }

  /**
   * The newest frame that is due, here, and not yet shown.
   * @param {number} due
   */
  #newestReady(due) {
    const shown = Math.max(this.#start.frame - 1, this.store.get("shownFrame") ?? -1);
    const minimum = (this.store.get("shownFrame") ?? 0) > due ? this.#start.frame - 1 : shown;
    const width = this.navigator.quickWidth();
    for (let frame = due; frame > minimum; frame--) {
      if (this.frames.peek(frame, width) && (this.masks.get(frame) || !this.#hasMasks(frame))) return frame;
    }
    return null;
  }

  /**
   * Keep a few requests going, for frames that are still to come.
   * @param {number} due
   * @param {number} last
   */
  #prefetch(due, last) {
    while (this.#underWay < MAX_AT_ONCE) {
      const next = Math.max(this.#lastRequest + 1, Math.min(due + (this.#lastRequest < due ? 1 : 0), last));
      if (next > Math.min(last, due + MAX_AHEAD)) return;
      this.#lastRequest = next;
      this.#fetch(next);
    }
  }

  /** @param {number} frame */
  async #fetch(frame) {
    this.#underWay++;
    try {
      const masks = this.#hasMasks(frame) ? this.masks.load(frame) : null;
      await Promise.all([this.frames.load(frame, this.navigator.quickWidth()), masks]);
    } catch (error) {
      if (this.store.get("isPlaying")) report(error);
      this.stop();
    } finally {
      this.#underWay--;
    }
  }

  /** @param {number} frame */
  #hasMasks(frame) {
    return [...this.store.get("timelines").values()].some((timeline) => timeline.state[frame] > 0);
  }
}
