/** The canvas with the frame, its masks and its marks; one pane, or a plain one beside the other. */

import { byId } from "./dom.js";
import { brushRadius } from "./drawing.js";
import { drawBox, drawBrush, drawCorners, drawCrosshair, drawNumber, drawPoint, drawTracked, fillShape } from "./marks.js";
import { Painter, makeStripes } from "./overlay.js";
import { View } from "./view.js";

const GAP = 2;
const SHARP_FROM = 3;

/** @import {SessionResponse} from "./schema.d.ts" */

export class Stage {
  view = new View();
  #painter = new Painter();
  /** A mask with what is being drawn on it, or cut from it. */
  #layer = document.createElement("canvas");
  /** @type {CanvasPattern | null} */
  #stripes = null;
  #isDue = false;
  #size = { width: 1, height: 1 };
  /** @type {ImageBitmap | null} */
  #bitmap = null;

  /**
   * @param {import("./store.js").Store} store
   * @param {import("./masks.js").Masks} masks
   */
  constructor(store, masks) {
    this.store = store;
    this.masks = masks;
    /** @type {HTMLCanvasElement} */
    this.canvas = byId("stage");
    this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d", { alpha: false }));
    new ResizeObserver(() => this.#resize()).observe(/** @type {Element} */ (this.canvas.parentElement));
    masks.addEventListener("frame", (event) => /** @type {CustomEvent} */ (event).detail === store.get("shownFrame") && this.redraw());
    /** @type {(keyof import("./types.js").PageState)[]} */
    const drawn = ["session", "selectedId", "opacity", "contours", "showPoints", "showTracked", "hover", "pending", "drag", "draft", "shape", "shapes", "tool", "radius", "crosshair", "theme", "suggestions", "suggestedId"];
    store.watch(drawn, () => this.redraw());
    store.watch(["cursor"], () => ["brush", "eraser", "polygon"].includes(store.get("tool")) && this.redraw());
    store.watch(["sideBySide"], () => this.#resize());
    this.#watchPixelRatio();
  }

  /**
   * Show a bitmap as a frame.
   * @param {ImageBitmap | null} bitmap
   * @param {number | null} frame
   */
  show(bitmap, frame) {
    this.#bitmap = bitmap;
    this.store.set({ shownFrame: frame });
    this.redraw();
  }

  /** Draw before the next paint. */
  redraw() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#draw();
    });
  }

  /** @param {() => void} change of the view */
  changeView(change) {
    change();
    this.store.set({ scale: this.view.scale });
    this.redraw();
  }

  /** Device pixels that the frame is wide on the screen. */
  get frameWidthOnScreen() {
    return (this.store.get("session")?.video.width ?? 1) * this.view.scale * devicePixelRatio;
  }

  /** Left edges of the panes, and whether masks are shown in them. */
  get panes() {
    const isDouble = this.store.get("sideBySide");
    return isDouble
      ? [{ x: 0, isMasked: false }, { x: this.view.pane.width + GAP, isMasked: true }]
      : [{ x: 0, isMasked: true }];
  }

  /**
   * A pointer's location within its pane.
   * @param {{clientX: number, clientY: number}} event
   */
  findPosition(event) {
    const rect = this.canvas.getBoundingClientRect();
    const x = event.clientX - rect.left;
    const pane = this.panes.findLast((one) => x >= one.x) ?? this.panes[0];
    return { x: x - pane.x, y: event.clientY - rect.top };
  }

  #resize() {
    const { clientWidth, clientHeight } = /** @type {HTMLElement} */ (this.canvas.parentElement);
    this.#size = { width: clientWidth, height: clientHeight };
    this.canvas.width = Math.max(1, Math.round(clientWidth * devicePixelRatio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * devicePixelRatio));
    const width = this.store.get("sideBySide") ? (clientWidth - GAP) / 2 : clientWidth;
    this.changeView(() => this.view.setPane(width, clientHeight));
    this.#isDue = false;
    this.#draw(); // at once: a resized canvas is empty
  }

  #watchPixelRatio() {
    matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener(
      "change",
      () => {
        this.#resize();
        this.#watchPixelRatio();
      },
      { once: true },
    );
  }

  #draw() {
    const { context } = this;
    const ratio = devicePixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = getComputedStyle(this.canvas).backgroundColor;
    context.fillRect(0, 0, this.#size.width, this.#size.height);
    const session = this.store.get("session");
    if (session && this.#bitmap) for (const pane of this.panes) this.#drawPane(pane, session);
    this.#notify();
  }

  /**
   * @param {{x: number, isMasked: boolean}} pane
   * @param {SessionResponse} session
   */
  #drawPane(pane, session) {
    const { context, view } = this;
    context.save();
    context.beginPath();
    context.rect(pane.x, 0, view.pane.width, view.pane.height);
    context.clip();
    context.translate(pane.x, 0);
    context.save();
    context.translate(view.offsetX, view.offsetY);
    context.scale(view.scale, view.scale);
    this.#drawFrame(session);
    if (pane.isMasked) this.#drawMasks(session);
    if (pane.isMasked) this.#drawSuggestions();
    context.restore();
    if (pane.isMasked) this.#drawMarks(session);
    context.restore();
  }

  /** @param {SessionResponse} session */
  #drawFrame({ video }) {
    if (!this.#bitmap) return;
    this.context.imageSmoothingEnabled = this.view.scale * devicePixelRatio < SHARP_FROM;
    this.context.imageSmoothingQuality = "high";
    this.context.drawImage(this.#bitmap, 0, 0, video.width, video.height);
  }

  /** @param {SessionResponse} session */
  #drawMasks(session) {
    const { context, store } = this;
    const entry = this.masks.get(store.get("shownFrame"));
    const shapes = this.#shapesHere();
    context.imageSmoothingEnabled = this.view.scale * devicePixelRatio < 1;
    const selectedId = store.get("selectedId");
    const thin = 1.5 / this.view.scale;
    const isOf = (/** @type {import("./types.js").Shape} */ shape, /** @type {number} */ id) => (shape.objectId ?? selectedId) === id;
    const begun = shapes.filter((shape) => !session.objects.some((object) => isOf(shape, object.object_id)));
    if (begun.length > 0) this.#drawShapes(null, "#9aa4b1", begun); // of the object that is being added
    for (const object of session.objects) {
      const result = entry?.objects.get(object.object_id);
      const own = shapes.filter((shape) => isOf(shape, object.object_id));
      if (own.length > 0 && !object.is_hidden) this.#drawShapes(result?.rle ? result : null, object.color, own);
      if (!result?.rle || object.is_hidden || own.length > 0) continue;
      const isSelected = object.object_id === selectedId;
      if (store.get("contours")) {
        this.#painter.stroke(context, result, "rgba(0, 0, 0, 0.5)", thin * (isSelected ? 2.6 : 2));
        this.#painter.stroke(context, result, object.color, thin * (isSelected ? 1.5 : 1));
      } else {
        this.#painter.fill(context, result, object.color, store.get("opacity"));
        if (isSelected) this.#painter.stroke(context, result, object.color, thin);
      }
    }
  }

  /** Those on the frame that is shown. */
  get #suggestionsHere() {
    return this.store.get("suggestions").filter((one) => one.frame === this.store.get("shownFrame"));
  }

  /** What is suggested is striped in the colour that it would have, and the outline dashed by that; the selected one is fuller. */
  #drawSuggestions() {
    const { context, store } = this;
    const here = this.#suggestionsHere;
    if (here.length === 0) return;
    const [thin, selectedId] = [1.5 / this.view.scale, store.get("suggestedId")];
    context.imageSmoothingEnabled = this.view.scale * devicePixelRatio < 1;
    const layer = this.#cleanLayer();
    for (const one of here) {
      const isSelected = one.suggestion_id === selectedId;
      if (one.isAccepted || isSelected) this.#painter.fill(context, one, one.color, store.get("opacity") * (one.isAccepted ? 1 : 0.6));
      if (one.isAccepted) continue;
      this.#painter.stroke(context, one, "rgba(0, 0, 0, 0.6)", thin * 2.6);
      if (isSelected) this.#painter.stroke(context, one, one.color, thin * 1.6);
      this.#painter.fill(layer, one, one.color, 0.6);
      this.#painter.stroke(layer, one, one.color, thin * 2);
    }
    layer.setTransform(1, 0, 0, 1, 0, 0);
    layer.globalCompositeOperation = "destination-in";
    layer.fillStyle = this.#stripes ??= makeStripes(layer);
    layer.fillRect(0, 0, this.#layer.width, this.#layer.height);
    this.#drawLayer(1);
  }

  /** The layer, empty, with the context's units. */
  #cleanLayer() {
    Object.assign(this.#layer, { width: this.canvas.width, height: this.canvas.height });
    const layer = /** @type {CanvasRenderingContext2D} */ (this.#layer.getContext("2d"));
    layer.setTransform(this.context.getTransform());
    layer.imageSmoothingEnabled = this.context.imageSmoothingEnabled;
    return layer;
  }

  /** Draw the layer over what is there. @param {number} opacity */
  #drawLayer(opacity) {
    const { context } = this;
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = opacity;
    context.drawImage(this.#layer, 0, 0);
    context.restore();
  }

  /** Strokes and polygons on the frame that are sent, and the stroke that is being drawn. */
  #shapesHere() {
    const shape = this.store.get("shape");
    const all = shape?.kind === "stroke" ? [...this.store.get("shapes"), shape] : this.store.get("shapes");
    return all.filter((one) => one.frame === this.store.get("shownFrame"));
  }

  /**
   * An object's mask with what is drawn on it, all as opaque as masks are.
   * @param {import("./schema.d.ts").ObjectMask | null} result
   * @param {string} color
   * @param {import("./types.js").Shape[]} shapes
   */
  #drawShapes(result, color, shapes) {
    const layer = this.#cleanLayer();
    if (result) this.#painter.fill(layer, result, color, 1);
    layer.fillStyle = layer.strokeStyle = color;
    for (const shape of shapes) {
      layer.globalCompositeOperation = shape.isCut ? "destination-out" : "source-over";
      fillShape(layer, shape);
    }
    this.#drawLayer(this.store.get("opacity"));
  }

  /** The polygon that is being clicked, and what the brush covers. */
  #drawTools() {
    const [shape, cursor, tool] = [this.store.get("shape"), this.store.get("cursor"), this.store.get("tool")];
    if (shape?.kind === "polygon" && shape.frame === this.store.get("shownFrame")) {
      const corners = shape.xy.map(([x, y]) => this.view.toPane(x, y));
      drawCorners(this.context, corners, cursor && this.view.toPane(cursor.x, cursor.y), shape.isCut ? "#ff7a76" : "#4cc38a");
    }
    if (cursor && (tool === "brush" || tool === "eraser")) {
      drawBrush(this.context, this.view.toPane(cursor.x, cursor.y), brushRadius(this.store) * this.view.scale);
    }
  }

  /** @param {SessionResponse} session */
  #drawMarks(session) {
    const colors = new Map(session.objects.filter((o) => !o.is_hidden).map((o) => [o.object_id, o.color]));
    const frame = this.store.get("shownFrame");
    const crosshair = this.store.get("crosshair");
    if (crosshair) drawCrosshair(this.context, this.view.toPane(crosshair.x, crosshair.y));
    if (this.store.get("showTracked")) this.#drawTracked(colors, frame);
    this.#drawTools();
    for (const one of this.#suggestionsHere.filter(({ isAccepted }) => !isAccepted)) {
      const at = this.view.toPane(one.center.x, one.center.y);
      drawNumber(this.context, at, one.number, one.color, one.suggestion_id === this.store.get("suggestedId"));
    }
    if (this.store.get("showPoints")) {
      this.#drawBoxes(session, colors, frame);
      this.#drawPoints(session, colors, frame);
    }
  }

  /**
   * @param {Map<number, string>} colors
   * @param {number | null} frame
   */
  #drawTracked(colors, frame) {
    const selectedId = this.store.get("selectedId");
    for (const point of this.masks.get(frame)?.points ?? []) {
      if (selectedId !== null && point.object_id !== selectedId) continue; // those of all objects hide the image
      const color = colors.get(point.object_id);
      if (color && point.visible) drawTracked(this.context, this.view.toPane(point.x, point.y), color, point.is_positive);
    }
  }

  /**
   * @param {SessionResponse} session
   * @param {Map<number, string>} colors
   * @param {number | null} frame
   */
  #drawBoxes(session, colors, frame) {
    const draft = this.store.get("draft");
    for (const box of [...session.boxes, ...(draft ? [draft] : [])]) {
      const color = colors.get(box.object_id) ?? (box === draft ? "#ffffff" : null);
      if (box.frame !== frame || !color) continue;
      const topLeft = this.view.toPane(box.x0 - 0.5, box.y0 - 0.5);
      const bottomRight = this.view.toPane(box.x1 + 0.5, box.y1 + 0.5);
      const isStrong = box.object_id === this.store.get("selectedId");
      drawBox(this.context, topLeft, bottomRight, color, { isStrong, isDraft: box === draft });
    }
  }

  /**
   * @param {SessionResponse} session
   * @param {Map<number, string>} colors
   * @param {number | null} frame
   */
  #drawPoints(session, colors, frame) {
    const [hover, drag] = [this.store.get("hover"), this.store.get("drag")];
    const [selectedId, pending] = [this.store.get("selectedId"), this.store.get("pending")];
    for (const point of session.points) {
      const color = colors.get(point.object_id);
      if (point.frame !== frame || !color) continue;
      const xy = drag?.point_id === point.point_id ? drag : point;
      const isHovered = hover?.kind === "point" && hover.point.point_id === point.point_id;
      const isStrong = point.object_id === selectedId;
      const style = { isPositive: point.is_positive, isStrong, isHovered, isPending: false };
      drawPoint(this.context, this.view.toPane(xy.x, xy.y), color, style);
    }
    for (const point of pending.filter((one) => one.frame === frame)) {
      const style = { isPositive: point.is_positive, isStrong: true, isHovered: false, isPending: true };
      drawPoint(this.context, this.view.toPane(point.x, point.y), (point.object_id !== null && colors.get(point.object_id)) || "#9aa4b1", style);
    }
  }

  /** What is on the screen, for people who test or script the page; nothing in the page reads it. */
  #notify() {
    const { store, view, canvas } = this;
    const frame = store.get("shownFrame");
    const entry = this.masks.get(frame);
    const shown = [...(entry?.objects.values() ?? [])].filter((result) => result.rle);
    canvas.dataset.frame = String(frame ?? "");
    canvas.dataset.masks = shown.map((result) => result.object_id).join(" ");
    canvas.dataset.suggestions = this.#suggestionsHere.filter((one) => !one.isAccepted).map((one) => one.number).join(" ");
    canvas.dataset.revision = String(store.get("session")?.revision ?? "");
    canvas.dataset.view = [view.scale, view.offsetX, view.offsetY].join(" ");
  }
}
