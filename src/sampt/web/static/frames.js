/** Frames as bitmaps: fetched, kept while there is room, fetched ahead, and given up when nobody wants them any more. */

import { ApiError, api } from "./api.js";

const MAX_BYTES = 192e6;
const MAX_AT_ONCE = 3;

export class Frames {
  /** @type {Map<string, {bitmap: ImageBitmap, frame: number, width: number}>} by age of use, oldest first */
  #cached = new Map();
  /** @type {Map<string, {promise: Promise<ImageBitmap>, abort: AbortController}>} */
  #underWay = new Map();
  #bytes = 0;
  #videoKey = "";
  /** @type {{frame: number, width: number | null}[]} */
  #ahead = [];
  /** A bitmap on the screen is never freed. @type {ImageBitmap | null} */
  shown = null;

  /** @param {string} videoKey another video: forget everything */
  reset(videoKey) {
    this.cancelAll();
    for (const { bitmap } of this.#cached.values()) bitmap.close();
    this.#cached.clear();
    this.#bytes = 0;
    this.shown = null;
    this.#videoKey = videoKey;
  }

  /**
   * The bitmap, when it is here already.
   * @param {number} frame
   * @param {number | null} width null for the video's own
   */
  peek(frame, width) {
    const key = cacheKey(frame, width);
    const found = this.#cached.get(key) ?? this.#cached.get(cacheKey(frame, null));
    if (found && this.#cached.delete(cacheKey(found.frame, found.width || null))) {
      this.#cached.set(cacheKey(found.frame, found.width || null), found);
    }
    return found?.bitmap ?? null;
  }

  /**
   * @param {number} frame
   * @param {number | null} width
   * @returns {Promise<ImageBitmap>}
   */
  async load(frame, width) {
    const here = this.peek(frame, width);
    if (here) return here;
    const key = cacheKey(frame, width);
    const begun = this.#underWay.get(key);
    if (begun) return begun.promise;
    const abort = new AbortController();
    const promise = this.#fetch(frame, width, abort.signal);
    this.#underWay.set(key, { promise, abort });
    try {
      return await promise;
    } finally {
      if (this.#underWay.get(key)?.abort === abort) this.#underWay.delete(key);
      this.#next();
    }
  }

  /**
   * Fetch these when nothing else is to do; what was wanted ahead before is forgotten.
   * @param {number[]} frames
   * @param {number | null} width
   */
  loadAhead(frames, width) {
    this.#ahead = frames.filter((frame) => !this.peek(frame, width)).map((frame) => ({ frame, width }));
    this.#next();
  }

  get numUnderWay() {
    return this.#underWay.size;
  }

  cancelAll() {
    this.#ahead = [];
    for (const { abort } of this.#underWay.values()) abort.abort();
    this.#underWay.clear();
  }

  #next() {
    if (this.#underWay.size >= MAX_AT_ONCE) return;
    const next = this.#ahead.shift();
    if (next) this.load(next.frame, next.width).catch(() => {});
  }

  /**
   * @param {number} frame
   * @param {number | null} width
   * @param {AbortSignal} signal
   */
  async #fetch(frame, width, signal) {
    const videoKey = this.#videoKey;
    const blob = await fetchBlob(api.frameUrl(frame, width, videoKey), signal);
    const bitmap = await createImageBitmap(blob);
    if (signal.aborted || videoKey !== this.#videoKey) throw new DOMException("Not wanted any more.", "AbortError");
    this.#keep(frame, width, bitmap);
    return bitmap;
  }

  /**
   * @param {number} frame
   * @param {number | null} width
   * @param {ImageBitmap} bitmap
   */
  #keep(frame, width, bitmap) {
    this.#cached.set(cacheKey(frame, width), { bitmap, frame, width: width ?? 0 });
    this.#bytes += bitmap.width * bitmap.height * 4;
    for (const [key, old] of this.#cached) {
      if (this.#bytes <= MAX_BYTES) break;
      if (old.bitmap === this.shown || old.bitmap === bitmap) continue;
      this.#cached.delete(key);
      this.#bytes -= old.bitmap.width * old.bitmap.height * 4;
      old.bitmap.close();
    }
  }
}

/**
 * @param {number} frame
 * @param {number | null} width
 */
function cacheKey(frame, width) {
  return `${frame}@${width ?? 0}`;
}

/**
 * @param {string} url
 * @param {AbortSignal} signal
 */
async function fetchBlob(url, signal) {
  let response;
  try {
    response = await fetch(url, { signal, credentials: "same-origin" });
  } catch (error) {
    if (error instanceof DOMException) throw error;
    throw new ApiError("The server does not respond. Is sampt still running?", 0);
  }
  if (response.ok) return response.blob();
  const body = await response.json().catch(() => ({}));
  throw new ApiError(body.error ?? `The frame could not be read (${response.status}).`, response.status);
}
