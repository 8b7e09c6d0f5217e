/** The timeline: a ruler with the playhead and the range, and a timeline per object. Drag to scrub, Shift-drag for a range. */

import { byId, timeText } from "./dom.js";
import { drawAbsent, drawMarks, drawTimeline, timelineText } from "./object-timeline.js";

const LABELS = 132;
const RULER = 26;
const ROW = 24;
const BAR = 16;
const MIN_ROWS = 3; // the frame shall not move when a first object comes
const MAX_ROWS = 7;
const EDGE = 12;
const GRAB_PX = 7;

export class Timeline {
  #isDue = false;
  #scroll = 0;
  #span = { start: 0, length: 1 };
  /** @type {{kind: "scrub" | "range" | "in" | "out", from: number} | null} */
  #gesture = null;

  /** @param {import("./app.js").App} app */
  constructor({ store, navigator, player, commands }) {
    this.store = store;
    this.navigator = navigator;
    this.player = player;
    this.commands = commands;
    /** @type {HTMLCanvasElement} */
    this.canvas = byId("timeline");
    this.tip = byId("timeline-tip");
    this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d", { alpha: false }));
    this.#listen();
    store.watch(["session"], () => this.#adopt());
    store.watch(["frame", "timelines", "range", "selectedId", "progress", "theme"], () => this.redraw());
    store.watch(["frame", "session"], () => this.#speak());
    new ResizeObserver(() => this.redraw()).observe(this.canvas);
  }

  /** Forget zoom and scroll: the video is another one. */
  reset() {
    this.#span = { start: 0, length: Math.max(1, this.navigator.numFrames) };
    this.#scroll = 0;
  }

  redraw() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#draw();
    });
  }

  get #objects() {
    return this.store.get("session")?.objects ?? [];
  }

  get #width() {
    return Math.max(1, this.canvas.clientWidth - LABELS - EDGE);
  }

  /** @param {number} frame a frame covers the way to the next one */
  #toX = (frame) => LABELS + ((frame - this.#span.start) / this.#span.length) * this.#width;

  /** @param {number} x */
  #toFrame(x) {
    const frame = Math.floor(this.#span.start + ((x - LABELS) / this.#width) * this.#span.length);
    return Math.max(0, Math.min(this.navigator.numFrames - 1, frame));
  }

  #adopt() {
    const rows = Math.max(MIN_ROWS, Math.min(MAX_ROWS, this.#objects.length));
    this.canvas.style.height = `${RULER + rows * ROW + 6}px`;
    this.#scroll = Math.min(this.#scroll, Math.max(0, this.#objects.length - rows) * ROW);
    if (this.#span.start + this.#span.length > this.navigator.numFrames) this.reset();
    this.redraw();
  }

  #speak() {
    const [frame, total] = [this.store.get("frame"), this.navigator.numFrames];
    this.canvas.setAttribute("aria-valuemax", String(Math.max(0, total - 1)));
    this.canvas.setAttribute("aria-valuenow", String(frame));
    this.canvas.setAttribute("aria-valuetext", `Frame ${frame} of ${total}, ${timeText(this.navigator.frameTime(frame))}`);
  }

  #listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", () => this.#release());
    canvas.addEventListener("pointercancel", () => this.#release());
    canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("dblclick", (event) => event.offsetY < RULER && this.store.set({ range: null }));
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (event.button !== 0 || this.navigator.numFrames === 0) return;
    this.player.stop();
    this.commands.stopTracking();
    this.canvas.setPointerCapture(event.pointerId);
    const frame = this.#toFrame(event.offsetX);
    const handle = event.offsetY < RULER ? this.#handleAt(event.offsetX) : null;
    this.#gesture = { kind: handle ?? (event.shiftKey ? "range" : "scrub"), from: frame };
    const row = Math.floor((event.offsetY - RULER + this.#scroll) / ROW);
    if (event.offsetY >= RULER && !event.shiftKey) this.commands.selectAt(row);
    if (event.offsetX < LABELS) this.#gesture = null;
    else this.#drag(frame);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (this.#gesture) this.#drag(this.#toFrame(event.offsetX));
    else this.#hint(event);
  }

  #release() {
    if (this.#gesture?.kind === "scrub") this.navigator.settle();
    this.#gesture = null;
  }

  /** @param {number} frame */
  #drag(frame) {
    const range = this.store.get("range");
    const { kind, from } = this.#gesture ?? { kind: "scrub", from: 0 };
    if (kind === "scrub") this.navigator.goTo(frame);
    else if (kind === "range") this.store.set({ range: { start: Math.min(from, frame), stop: Math.max(from, frame) + 1 } });
    else if (range && kind === "in") this.store.set({ range: { start: Math.min(frame, range.stop - 1), stop: range.stop } });
    else if (range) this.store.set({ range: { start: range.start, stop: Math.max(frame, range.start) + 1 } });
  }

  /**
   * @param {number} x
   * @returns {"in" | "out" | null}
   */
  #handleAt(x) {
    const range = this.store.get("range");
    if (!range) return null;
    if (Math.abs(x - this.#toX(range.start)) < GRAB_PX) return "in";
    return Math.abs(x - this.#toX(range.stop)) < GRAB_PX ? "out" : null;
  }

  /** @param {PointerEvent} event */
  #hint({ offsetX, offsetY, pointerType }) {
    this.canvas.style.cursor = offsetY < RULER && this.#handleAt(offsetX) ? "ew-resize" : "default";
    const object = this.#objects[Math.floor((offsetY - RULER + this.#scroll) / ROW)];
    const isOver = offsetX >= LABELS && pointerType !== "touch" && this.navigator.numFrames > 0;
    this.tip.hidden = !isOver;
    if (!isOver) return;
    const frame = this.#toFrame(offsetX);
    const position = `Frame ${frame} · ${timeText(this.navigator.frameTime(frame))}`;
    const isTimeline = offsetY >= RULER && object;
    this.tip.textContent = isTimeline ? `${object.name} · ${position} · ${timelineText(this.store.get("timelines").get(object.object_id), frame)}` : position;
    this.tip.style.left = `${Math.max(LABELS, Math.min(offsetX - this.tip.offsetWidth / 2, this.canvas.clientWidth - this.tip.offsetWidth - 8))}px`;
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    const total = this.navigator.numFrames;
    if (event.ctrlKey || event.metaKey) {
      const factor = Math.exp(Math.max(-240, Math.min(240, event.deltaY)) * 0.003);
      const length = Math.max(Math.min(20, total), Math.min(total, this.#span.length * factor));
      const fraction = Math.max(0, Math.min(1, (event.offsetX - LABELS) / this.#width));
      this.#span.start += fraction * (this.#span.length - length);
      this.#span.length = length;
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.#span.start += ((event.deltaX || event.deltaY) / this.#width) * this.#span.length;
    } else {
      const limit = Math.max(0, this.#objects.length - MAX_ROWS) * ROW;
      this.#scroll = Math.max(0, Math.min(limit, this.#scroll + event.deltaY));
    }
    this.#span.start = Math.max(0, Math.min(total - this.#span.length, this.#span.start));
    this.redraw();
  }

  #colors() {
    const style = getComputedStyle(this.canvas);
    const value = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim();
    return Object.fromEntries(["panel", "raised", "line", "text", "muted", "accent", "warn", "track", "good"].map((name) => [name, value(name)]));
  }

  #draw() {
    const { canvas, context } = this;
    const ratio = devicePixelRatio;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = Math.max(1, Math.round(width * ratio));
    canvas.height = Math.max(1, Math.round(height * ratio));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = `12px ${getComputedStyle(canvas).fontFamily}`;
    context.textBaseline = "middle";
    const colors = this.#colors();
    context.fillStyle = colors.panel;
    context.fillRect(0, 0, width, height);
    this.#keepPlayheadInSight();
    this.#drawRows(colors, width, height);
    this.#drawRuler(colors, width);
    if (this.navigator.numFrames === 0) return;
    this.#drawRange(colors, height);
    this.#drawPlayhead(colors, height);
  }

  #keepPlayheadInSight() {
    const frame = this.store.get("frame");
    const { start, length } = this.#span;
    if (this.#gesture || length >= this.navigator.numFrames || (frame >= start && frame + 1 <= start + length)) return;
    this.#span.start = Math.max(0, Math.min(this.navigator.numFrames - length, frame - length * 0.1));
  }

  /**
   * @param {Record<string, string>} colors
   * @param {number} width
   * @param {number} height
   */
  #drawRows(colors, width, height) {
    const axis = {
      toX: this.#toX,
      first: Math.max(0, Math.floor(this.#span.start)),
      last: Math.min(this.navigator.numFrames, Math.ceil(this.#span.start + this.#span.length)) - 1,
    };
    this.#objects.forEach((/** @type {any} */ object, /** @type {number} */ index) => {
      const top = RULER + index * ROW - this.#scroll;
      if (top + ROW < RULER || top > height) return;
      this.#drawLabel(object, top, colors, width);
      const bar = { top: top + (ROW - BAR) / 2, height: BAR };
      this.context.fillStyle = colors.track;
      this.context.fillRect(LABELS, bar.top, this.#width, BAR);
      const timeline = this.store.get("timelines").get(object.object_id);
      if (!timeline) return;
      this.context.save();
      this.context.beginPath();
      this.context.rect(LABELS - 6, top, this.#width + 12, ROW);
      this.context.clip();
      if (object.is_hidden) this.context.filter = "saturate(0.25) opacity(0.6)";
      drawTimeline(this.context, timeline, object.color, bar, axis);
      this.context.filter = "none";
      for (const range of this.store.get("session")?.absent ?? []) {
        if (range.object_id === object.object_id) drawAbsent(this.context, range, colors.muted, bar, axis);
      }
      const inks = { warn: colors.warn, ink: colors.text, paper: colors.panel, good: colors.good };
      drawMarks(this.context, timeline, bar, axis, inks, this.store.get("session")?.reviewed[object.object_id] ?? []);
      this.context.restore();
    });
    if (this.#objects.length > 0) return;
    this.context.fillStyle = colors.track;
    this.context.fillRect(LABELS, RULER + (ROW - BAR) / 2, this.#width, BAR);
    this.context.fillStyle = colors.muted;
    this.context.fillText("No objects yet", 14, RULER + ROW / 2);
  }

  /**
   * @param {import("./schema.d.ts").SessionObject} object
   * @param {number} top
   * @param {Record<string, string>} colors
   * @param {number} width
   */
  #drawLabel(object, top, colors, width) {
    const { context } = this;
    const isSelected = object.object_id === this.store.get("selectedId");
    if (isSelected) {
      context.fillStyle = colors.raised;
      context.fillRect(0, top, width, ROW);
    }
    context.fillStyle = object.color;
    context.fillRect(14, top + ROW / 2 - 4, 8, 8);
    context.fillStyle = isSelected ? colors.text : colors.muted;
    context.fillText(shortened(context, object.name, LABELS - 42), 30, top + ROW / 2 + 0.5);
  }

  /**
   * @param {Record<string, string>} colors
   * @param {number} width
   */
  #drawRuler(colors, width) {
    const { context } = this;
    context.fillStyle = colors.panel;
    context.fillRect(0, 0, width, RULER);
    context.fillStyle = colors.line;
    context.fillRect(0, RULER - 1, width, 1);
    const { start, length } = this.#span;
    const step = niceStep((length / this.#width) * 76);
    context.fillStyle = colors.muted;
    context.textAlign = "center";
    for (let frame = Math.ceil(start / step) * step; frame < Math.min(start + length, this.navigator.numFrames); frame += step) {
      const x = this.#toX(frame + 0.5);
      context.fillRect(Math.round(x), RULER - 7, 1, 6);
      context.fillText(String(frame), x, 10);
    }
    context.textAlign = "left";
    if (this.navigator.numFrames > 0) context.fillText("Frame", 14, 13);
  }

  /**
   * @param {Record<string, string>} colors
   * @param {number} height
   */
  #drawRange(colors, height) {
    const range = this.store.get("range");
    if (!range) return;
    const { context } = this;
    const clip = (/** @type {number} */ x) => Math.max(LABELS, Math.min(LABELS + this.#width, x));
    const [left, right] = [clip(this.#toX(range.start)), clip(this.#toX(range.stop))];
    context.fillStyle = `${colors.panel}a0`; // what is outside is dimmed; timelines inside keep their colours
    context.fillRect(LABELS, RULER, left - LABELS, height - RULER);
    context.fillRect(right, RULER, LABELS + this.#width + EDGE - right, height - RULER);
    context.fillStyle = `${colors.accent}26`;
    context.fillRect(left, 0, right - left, RULER);
    context.fillStyle = colors.accent;
    context.fillRect(left, RULER - 3, right - left, 2);
    context.fillRect(left - 1, 4, 3, height - 8);
    context.fillRect(right - 2, 4, 3, height - 8);
  }

  /**
   * @param {Record<string, string>} colors
   * @param {number} height
   */
  #drawPlayhead(colors, height) {
    const frame = this.store.get("frame");
    const x = this.#toX(frame + 0.5);
    if (x < LABELS || x > LABELS + this.#width) return;
    const { context } = this;
    const text = String(frame);
    const half = Math.max(14, context.measureText(text).width / 2 + 7);
    context.fillStyle = colors.text;
    context.fillRect(x - 0.75, RULER - 4, 1.5, height - RULER + 4);
    context.beginPath();
    context.roundRect(x - half, 2, half * 2, RULER - 7, 5);
    context.fill();
    context.fillStyle = colors.panel;
    context.textAlign = "center";
    context.fillText(text, x, 12);
    context.textAlign = "left";
  }
}

/**
 * The least of 1, 2, 5, 10, 20, 50 … that is as large.
 * @param {number} minimum
 */
function niceStep(minimum) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, minimum)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= minimum) ?? power * 10;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} room
 */
function shortened(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let cached = text;
  while (cached && context.measureText(`${cached}…`).width > room) cached = cached.slice(0, -1);
  return `${cached}…`;
}
