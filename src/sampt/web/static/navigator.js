/** Going to a frame: shows it as soon as it is here, then its masks, then what its clicks mean; fetches its neighbours ahead. */

import { report } from "./messages.js";

const SETTLE_MS = 120;
const NEIGHBOURS = [1, -1, 2, 3, -2, 4];
const WIDTH_STEP = 160;
const SPINNER_MS = 180;

export class Navigator {
  /** @type {number | null} */
  #wanted = null;
  #isLoading = false;
  #settleTimer = 0;
  #looking = 0;

  /**
   * @param {import("./store.js").Store} store
   * @param {import("./frames.js").Frames} frames
   * @param {import("./masks.js").Masks} masks
   * @param {import("./stage.js").Stage} stage
   */
  constructor(store, frames, masks, stage) {
    this.store = store;
    this.frames = frames;
    this.masks = masks;
    this.stage = stage;
  }

  /** The frames that there are, 0 without a video. */
  get numFrames() {
    return this.store.get("session")?.video.num_frames ?? 0;
  }

  /**
   * Seconds from the start of the video.
   * @param {number} frame
   */
  frameTime(frame) {
    const video = this.store.get("session")?.video;
    return video ? (video.times_s?.[frame] ?? frame / video.fps) : 0;
  }

  /**
   * Show a frame; the nearest when there is none of that number. May be called faster than frames can be shown: the last wins.
   * @param {number} frame
   */
  goTo(frame) {
    if (this.numFrames === 0) return;
    const target = Math.max(0, Math.min(this.numFrames - 1, Math.round(frame)));
    this.store.set({ frame: target, hover: null });
    this.#wanted = target;
    this.frames.loadAhead([], null);
    this.#load();
  }

  /** @param {number} count */
  step(count) {
    this.goTo(this.store.get("frame") + count);
  }

  /** Request again what is shown on the frame, after an edit or a result. */
  async refreshMasks() {
    const frame = this.store.get("frame");
    try {
      await (this.#hasInputs(frame) ? this.#preview(frame) : this.masks.load(frame));
    } catch (error) {
      report(error);
    }
  }

  /** The width to request frames in for quick showing: none when the screen shows every pixel. */
  quickWidth() {
    const width = this.store.get("session")?.video.width ?? 0;
    const seen = Math.ceil(this.stage.frameWidthOnScreen / WIDTH_STEP) * WIDTH_STEP;
    return seen < width * 0.8 ? Math.max(2 * WIDTH_STEP, seen) : null;
  }

  /** What is done once nobody moves on: the frame at full size, its masks, its neighbours. */
  settle() {
    clearTimeout(this.#settleTimer);
    this.#settleTimer = window.setTimeout(() => this.#settled().catch(report), SETTLE_MS);
  }

  async #load() {
    if (this.#isLoading) return;
    this.#isLoading = true;
    try {
      while (this.#wanted !== null) {
        const frame = this.#wanted;
        this.#wanted = null;
        if (this.#mayHaveMasks()) this.masks.load(frame).catch(() => {});
        const bitmap = this.frames.peek(frame, null) ?? (await this.frames.load(frame, this.quickWidth()));
        this.show(bitmap, frame);
      }
    } catch (error) {
      report(error);
    } finally {
      this.#isLoading = false;
    }
    this.settle();
  }

  /**
   * @param {ImageBitmap} bitmap
   * @param {number} frame
   */
  show(bitmap, frame) {
    if (bitmap.width === 0) return; // closed: another video has been opened meanwhile
    this.frames.shown = bitmap;
    this.stage.show(bitmap, frame);
  }

  async #settled() {
    const frame = this.store.get("frame");
    if (this.store.get("isPlaying") || this.#wanted !== null || this.numFrames === 0) return;
    const [bitmap, entry] = await Promise.all([this.frames.load(frame, null), this.masks.load(frame)]);
    if (this.store.get("frame") !== frame || this.store.get("isPlaying")) return;
    this.show(bitmap, frame);
    const near = NEIGHBOURS.map((step) => frame + step).filter((other) => other >= 0 && other < this.numFrames);
    this.frames.loadAhead(near, this.quickWidth());
    if (this.#isUnanswered(frame, entry)) await this.#preview(frame);
  }

  /** @param {number} frame */
  async #preview(frame) {
    const spinner = window.setTimeout(() => this.store.set({ isBrowsing: true }), SPINNER_MS);
    this.#looking++;
    try {
      await this.masks.preview(frame);
    } finally {
      clearTimeout(spinner);
      if (--this.#looking === 0) this.store.set({ isBrowsing: false });
    }
  }

  #mayHaveMasks() {
    return (this.store.get("session")?.objects.length ?? 0) > 0;
  }

  /** @param {number} frame */
  #hasInputs(frame) {
    return this.#inputsOn(frame).length > 0;
  }

  /** @param {number} frame */
  #inputsOn(frame) {
    const session = this.store.get("session");
    return session ? [...session.points, ...session.boxes, ...session.masks].filter((input) => input.frame === frame) : [];
  }

  /**
   * Whether an input on the frame has no result that is good now.
   * @param {number} frame
   * @param {import("./masks.js").Entry} entry
   */
  #isUnanswered(frame, entry) {
    return this.#inputsOn(frame).some(({ object_id }) => entry.objects.get(object_id)?.is_stale ?? true);
  }
}
