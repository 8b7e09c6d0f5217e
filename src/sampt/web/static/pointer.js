/** What a mouse, a pen or fingers do on the canvas: click, drag a point, draw a box, pan, zoom. */

import { POINT_RADIUS } from "./marks.js";

const STILL_PX = 4;
const LONG_PRESS_MS = 550;
const DOUBLE_CLICK_MS = 500; // as desktops have it
const DOUBLE_CLICK_PX = 8;
const WHEEL_STEP = 0.0015;
const MAX_WHEEL = 800; // browsers join quick turns to one

/**
 * @typedef {{x: number, y: number}} Position
 * @typedef {{kind: "pan" | "press" | "point" | "box" | "stroke" | "corner" | "suggestion" | "pinch" | "done", start: Position, last: Position, isPositive?: boolean,
 *   point?: import("./schema.d.ts").Point, suggestion?: import("./types.js").ShownSuggestion, hasMoved?: boolean, distance?: number}} Gesture
 */

export class Pointer {
  /** @type {Map<number, Position>} */
  #down = new Map();
  /** @type {Gesture | null} */
  #gesture = null;
  #timer = 0;
  /** The suggestion under the pointer. @type {import("./types.js").ShownSuggestion | null} */
  #suggestion = null;
  /** The last press that accepted a suggestion. @type {{timeStamp: number, at: Position} | null} */
  #accepted = null;
  isSpaceHeld = false;
  /** Whether a drag happened while the space bar was held, which then is no command to play. */
  hasPannedWithSpace = false;

  /** @param {Pick<import("./app.js").App, "store" | "stage" | "commands" | "drawing" | "suggestions">} app */
  constructor({ store, stage, commands, drawing, suggestions }) {
    this.store = store;
    this.stage = stage;
    this.commands = commands;
    this.drawing = drawing;
    this.suggestions = suggestions;
    const { canvas } = stage;
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#release(event));
    canvas.addEventListener("pointercancel", (event) => this.#cancel(event));
    canvas.addEventListener("pointerleave", () => this.#leave());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    store.watch(["tool", "hover", "selectedId", "suggestions"], () => this.#dress());
  }

  /** @param {boolean} isHeld */
  holdSpace(isHeld) {
    if (isHeld && !this.isSpaceHeld) this.hasPannedWithSpace = false;
    this.isSpaceHeld = isHeld;
    this.#dress();
  }

  /** Give up a box, a drag, a stroke or a polygon that is under way; tells whether there was one. */
  abandon() {
    if (this.#gesture?.kind === "stroke") this.#gesture.kind = "done";
    if (this.drawing.abandon()) return true;
    const isUnderWay = this.#gesture?.kind === "box" || (this.#gesture?.kind === "point" && this.#gesture.hasMoved);
    if (isUnderWay && this.#gesture) this.#gesture.kind = "done";
    this.store.set({ draft: null, drag: null });
    return Boolean(isUnderWay);
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (!this.store.get("session")) return;
    this.commands.stopTracking();
    const position = this.stage.findPosition(event);
    this.#down.set(event.pointerId, position);
    this.stage.canvas.setPointerCapture(event.pointerId);
    this.stage.canvas.focus({ preventScroll: true });
    if (this.#down.size === 2) return this.#beginPinch();
    if (this.#down.size > 2 || this.#gesture) return;
    this.#gesture = this.#gestureFor(event, position);
    if (this.#gesture.kind === "point" && event.pointerType !== "mouse") this.#awaitLongPress(this.#gesture);
    this.#dress();
  }

  /**
   * @param {PointerEvent} event
   * @param {Position} position
   * @returns {Gesture}
   */
  #gestureFor(event, position) {
    const base = { start: position, last: position };
    const tool = this.store.get("tool");
    const isPlain = event.button === 0 && !event.altKey && !event.ctrlKey;
    if (event.button === 1 || this.isSpaceHeld || tool === "pan") return { kind: "pan", ...base };
    if (event.button > 2) return { kind: "done", ...base };
    if (tool === "brush" || tool === "eraser") {
      this.drawing.beginStroke(this.stage.view.toImage(position.x, position.y), (tool === "eraser") === isPlain);
      return { kind: "stroke", ...base };
    }
    if (tool === "polygon") return { kind: "corner", isPositive: isPlain, ...base };
    const hit = this.#hit(position, event.pointerType === "touch");
    if (isPlain && hit?.kind === "point" && this.#isOwn(hit.point)) {
      return { kind: "point", point: hit.point, ...base };
    }
    if (isPlain && this.#isSecondOfDouble(event, position)) return { kind: "done", ...base };
    const suggestion = isPlain ? this.#suggestionAt(position) : null;
    if (suggestion) return { kind: "suggestion", suggestion, ...base };
    if (isPlain && tool === "box") return { kind: "box", ...base };
    return { kind: "press", isPositive: isPlain && tool !== "exclude", ...base };
  }

  /**
   * Whether a press on a point is about that point. One on another object's is a click for the selected object: it may well be
   * meant for what lies beside.
   * @param {import("./schema.d.ts").Point} point
   */
  #isOwn({ object_id: objectId }) {
    return objectId === this.commands.targetId && this.commands.isEditable(objectId);
  }

  /**
   * Whether a press is the second one of a double click that has accepted a suggestion, which may be gone by now.
   * @param {PointerEvent} event
   * @param {Position} position
   */
  #isSecondOfDouble(event, position) {
    if (!this.#accepted) return false;
    const { timeStamp, at } = this.#accepted;
    return event.timeStamp - timeStamp < DOUBLE_CLICK_MS && Math.hypot(position.x - at.x, position.y - at.y) < DOUBLE_CLICK_PX;
  }

  /**
   * What a click there would accept: with the tool that says where an object is.
   * @param {Position} position
   */
  #suggestionAt({ x, y }) {
    return this.store.get("tool") === "include" ? this.suggestions.at(this.stage.view.toImage(x, y)) : null;
  }

  #leave() {
    this.#suggestion = null;
    this.store.set({ hover: null, cursor: null });
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const position = this.stage.findPosition(event);
    const at = this.stage.view.toImage(position.x, position.y);
    this.store.set({ cursor: this.stage.view.isInFrame(at) ? at : null });
    const gesture = this.#gesture;
    if (!this.#down.has(event.pointerId) || !gesture) {
      if (event.pointerType !== "touch") this.#hoverAt(position);
      return;
    }
    this.#down.set(event.pointerId, position);
    if (gesture.kind === "pinch") return this.#pinch(gesture);
    if (gesture.kind === "stroke") return this.#extendStroke(event);
    if (!gesture.hasMoved && gesture.kind !== "pan") {
      if (Math.hypot(position.x - gesture.start.x, position.y - gesture.start.y) < STILL_PX) return;
      gesture.hasMoved = true;
      clearTimeout(this.#timer);
      if (["press", "corner", "suggestion"].includes(gesture.kind)) gesture.kind = "pan";
    }
    this.#drag(gesture, position);
  }

  /** @param {Position} position */
  #hoverAt(position) {
    const [before, now] = [this.store.get("hover"), this.#hit(position, false)];
    const isSame = before?.kind === now?.kind && hitMark(before) === hitMark(now);
    if (!isSame) this.store.set({ hover: now });
    const suggestion = now ? null : this.#suggestionAt(position);
    if (suggestion === this.#suggestion) return;
    this.#suggestion = suggestion;
    if (suggestion) this.suggestions.select(suggestion.suggestion_id);
    this.#dress();
  }

  /**
   * @param {Gesture} gesture
   * @param {Position} position
   */
  #drag(gesture, position) {
    const { view } = this.stage;
    if (gesture.kind === "pan") {
      this.hasPannedWithSpace ||= this.isSpaceHeld;
      this.stage.changeView(() => view.panBy(position.x - gesture.last.x, position.y - gesture.last.y));
    } else if (gesture.kind === "point" && gesture.point) {
      const shift = { x: (position.x - gesture.start.x) / view.scale, y: (position.y - gesture.start.y) / view.scale };
      const at = view.clamped({ x: gesture.point.x + shift.x, y: gesture.point.y + shift.y });
      this.store.set({ drag: { point_id: gesture.point.point_id, ...at } });
    } else if (gesture.kind === "box") {
      this.store.set({ draft: this.#boxBetween(gesture.start, position) });
    }
    gesture.last = position;
  }

  /** @param {PointerEvent} event */
  #release(event) {
    const position = this.stage.findPosition(event);
    const gesture = this.#gesture;
    clearTimeout(this.#timer);
    this.#down.delete(event.pointerId);
    if (!gesture || this.#down.size > 0) return;
    this.#gesture = null;
    this.#dress();
    if (gesture.kind === "press") this.#click(gesture);
    else if (gesture.kind === "point" && gesture.point) this.#drop(gesture.point, Boolean(gesture.hasMoved));
    else if (gesture.kind === "suggestion") {
      this.#accepted = { timeStamp: event.timeStamp, at: position };
      this.suggestions.accept(gesture.suggestion);
    }
    else if (gesture.kind === "box") this.#endBox(gesture, position);
    else if (gesture.kind === "stroke") this.drawing.endStroke(this.stage.view.toImage(position.x, position.y));
    else if (gesture.kind === "corner") this.drawing.addCorner(this.stage.view.toImage(position.x, position.y), !gesture.isPositive);
  }

  /** @param {PointerEvent} event */
  #cancel(event) {
    this.#down.delete(event.pointerId);
    if (this.#gesture?.kind === "stroke") this.drawing.abandon();
    this.#gesture = null;
    clearTimeout(this.#timer);
    this.store.set({ draft: null, drag: null });
  }

  /**
   * All of the way since the last event, of which there is one each time the screen is drawn.
   * @param {PointerEvent} event
   */
  #extendStroke(event) {
    const way = event.getCoalescedEvents();
    for (const step of way.length ? way : [event]) {
      const { x, y } = this.stage.findPosition(step);
      this.drawing.extendStroke(this.stage.view.toImage(x, y));
    }
  }

  /** @param {Gesture} gesture */
  #click({ start, isPositive }) {
    const at = this.stage.view.toImage(start.x, start.y);
    if (this.stage.view.isInFrame(at)) this.commands.click(this.stage.view.clamped(at), Boolean(isPositive));
  }

  /**
   * @param {import("./schema.d.ts").Point} point
   * @param {boolean} hasMoved
   */
  #drop(point, hasMoved) {
    const drag = this.store.get("drag");
    if (hasMoved && drag) this.commands.movePoint(point, { x: drag.x, y: drag.y });
    else this.store.set({ drag: null });
  }

  /**
   * @param {Gesture} gesture
   * @param {Position} position
   */
  #endBox(gesture, position) {
    if (gesture.hasMoved) this.commands.setBox(this.#boxBetween(gesture.start, position));
    else this.store.set({ draft: null });
  }

  /**
   * First and last pixel of a box dragged between two locations.
   * @param {Position} from
   * @param {Position} to
   */
  #boxBetween(from, to) {
    const { view } = this.stage;
    const [a, b] = [from, to].map((position) => view.clamped(view.toImage(position.x, position.y)));
    return boxBetween(this.store, a, b);
  }

  /** @param {Gesture} gesture */
  #awaitLongPress(gesture) {
    this.#timer = window.setTimeout(() => {
      if (this.#gesture !== gesture || !gesture.point) return;
      gesture.kind = "done";
      this.commands.deletePoint(gesture.point);
    }, LONG_PRESS_MS);
  }

  #beginPinch() {
    clearTimeout(this.#timer);
    if (this.#gesture?.kind === "stroke") this.drawing.abandon(); // the first finger began one
    this.store.set({ draft: null, drag: null });
    const { middle, distance } = this.#fingers();
    this.#gesture = { kind: "pinch", start: middle, last: middle, distance };
  }

  /** @param {Gesture} gesture */
  #pinch(gesture) {
    if (this.#down.size < 2) return;
    const { middle, distance } = this.#fingers();
    const { view } = this.stage;
    this.stage.changeView(() => {
      view.panBy(middle.x - gesture.last.x, middle.y - gesture.last.y);
      view.zoomTo((view.scale * distance) / (gesture.distance || distance), middle.x, middle.y);
    });
    gesture.last = middle;
    gesture.distance = distance;
  }

  #fingers() {
    const [a, b] = [...this.#down.values()];
    const middle = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    return { middle, distance: Math.max(1, Math.hypot(a.x - b.x, a.y - b.y)) };
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    if (!this.store.get("session")) return;
    const { view } = this.stage;
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 24 : 1;
    if (event.shiftKey) {
      this.stage.changeView(() => view.panBy(-(event.deltaX || event.deltaY) * unit, 0));
      return;
    }
    const { x, y } = this.stage.findPosition(event);
    const speed = event.ctrlKey ? 6 : 1; // a pinch on a touch pad comes as a small turn with Ctrl
    const factor = Math.exp(-Math.max(-MAX_WHEEL, Math.min(MAX_WHEEL, event.deltaY * unit * speed)) * WHEEL_STEP);
    this.stage.changeView(() => view.zoomTo(view.scale * factor, x, y));
  }

  /**
   * The mark at a location: the nearest click, or the edge of a box.
   * @param {Position} position
   * @param {boolean} isTouch
   * @returns {import("./types.js").Hit | null}
   */
  #hit(position, isTouch) {
    const session = this.store.get("session");
    if (!session || !this.store.get("showPoints")) return null;
    const reach = POINT_RADIUS + (isTouch ? 12 : 2);
    const shown = new Set(session.objects.filter((o) => !o.is_hidden).map((o) => o.object_id));
    const isHere = (/** @type {{frame: number, object_id: number}} */ mark) => mark.frame === this.store.get("shownFrame") && shown.has(mark.object_id);
    /** @type {import("./schema.d.ts").Point | null} */
    let best = null;
    let minimum = reach;
    for (const point of session.points.filter(isHere)) {
      const at = this.stage.view.toPane(point.x, point.y);
      const distance = Math.hypot(at.x - position.x, at.y - position.y);
      if (distance <= minimum) [best, minimum] = [point, distance];
    }
    if (best) return { kind: "point", point: best };
    const box = session.boxes.filter(isHere).find((one) => this.#isOnEdge(one, position));
    return box ? { kind: "box", box } : null;
  }

  /**
   * @param {import("./schema.d.ts").Box} box
   * @param {Position} position
   */
  #isOnEdge(box, { x, y }) {
    const a = this.stage.view.toPane(box.x0 - 0.5, box.y0 - 0.5);
    const b = this.stage.view.toPane(box.x1 + 0.5, box.y1 + 0.5);
    const isInside = (/** @type {number} */ by) => x > a.x + by && x < b.x - by && y > a.y + by && y < b.y - by;
    return isInside(-5) && !isInside(5);
  }

  #dress() {
    const kind = this.#gesture?.kind;
    const tool = this.store.get("tool");
    const isHand = this.isSpaceHeld || tool === "pan";
    const hover = this.store.get("hover");
    const isOnPoint = hover?.kind === "point" && this.#isOwn(hover.point);
    const isOnSuggestion = this.#suggestion !== null && this.suggestions.open.includes(this.#suggestion);
    const resting = isHand ? "grab" : isOnPoint ? "move" : isOnSuggestion ? "pointer" : "crosshair";
    this.stage.canvas.style.cursor = kind === "pan" || kind === "pinch" ? "grabbing" : resting;
  }
}

/** @param {import("./types.js").Hit | null} hit */
function hitMark(hit) {
  if (!hit) return null;
  return hit.kind === "point" ? hit.point : hit.box;
}

/**
 * The selected object's box whose first and last pixel lie at two corners.
 * @param {import("./store.js").Store} store
 * @param {{x: number, y: number}} a
 * @param {{x: number, y: number}} b
 */
export function boxBetween(store, a, b) {
  const [xs, ys] = [[a.x, b.x], [a.y, b.y]].map((pair) => pair.map(Math.round).sort((p, q) => p - q));
  const box = { x0: xs[0], y0: ys[0], x1: xs[1], y1: ys[1] };
  return { object_id: store.get("selectedId") ?? 0, frame: store.get("frame"), ...box };
}
