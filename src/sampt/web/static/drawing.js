/** Brush, eraser and polygon: what is drawn on the selected object's mask. The server draws it once more, to the pixel. */

import { byId } from "./dom.js";

const MAX_POINTS = 2000; // of one stroke and of one polygon, as the server takes them
const MAX_CORNERS = 1000;
const MAX_RADIUS = 500;
const RADIUS_STEP = 1.2;
const DEFAULT_OF_SIDE = 0.015;
const CLOSE_PX = 9;

/** @import {Position, Shape} from "./types.js" */

export class Drawing {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./stage.js").Stage} stage
   * @param {import("./commands.js").Commands} commands
   */
  constructor(store, stage, commands) {
    this.store = store;
    this.stage = stage;
    this.commands = commands;
    store.watch(["tool", "shownFrame", "selectedId"], () => this.abandon()); // a polygon is of one object and frame
  }

  get isBrush() {
    return ["brush", "eraser"].includes(this.store.get("tool"));
  }

  get isPolygonOpen() {
    return this.store.get("shape")?.kind === "polygon";
  }

  /**
   * @param {Shape["kind"]} kind
   * @param {Position} at
   * @param {boolean} isCut
   * @returns {Shape | null}
   */
  #begin(kind, at, isCut) {
    const frame = this.store.get("shownFrame");
    if (frame === null) return null;
    const radius = brushRadius(this.store);
    return { kind, xy: [rounded(at)], radius, isCut, objectId: this.commands.targetId, frame };
  }

  /**
   * @param {Position} at in pixels of the video, maybe beside the frame
   * @param {boolean} isCut
   */
  beginStroke(at, isCut) {
    this.store.set({ shape: this.#begin("stroke", at, isCut) });
  }

  /** @param {Position} at */
  extendStroke(at) {
    const shape = this.store.get("shape");
    if (shape?.kind !== "stroke") return;
    const last = shape.xy[shape.xy.length - 1];
    if (Math.hypot(at.x - last[0], at.y - last[1]) < Math.max(1, shape.radius / 8)) return;
    this.store.set({ shape: { ...shape, xy: [...shape.xy, rounded(at)] } });
    if (shape.xy.length + 1 < MAX_POINTS) return;
    this.endStroke(at);
    this.beginStroke(at, shape.isCut);
  }

  /** @param {Position} at */
  endStroke(at) {
    const shape = this.store.get("shape");
    if (shape?.kind !== "stroke") return;
    const [xy, end] = [shape.xy, rounded(at)];
    const isNew = xy[xy.length - 1].some((value, i) => value !== end[i]);
    this.store.set({ shape: null });
    this.commands.draw({ ...shape, xy: isNew && xy.length < MAX_POINTS ? [...xy, end] : xy });
  }

  /**
   * The next corner of a polygon; one on the first corner closes it.
   * @param {Position} at
   * @param {boolean} isCut what the first corner says
   */
  addCorner(at, isCut) {
    const shape = this.store.get("shape");
    if (shape?.kind !== "polygon") return this.store.set({ shape: this.#begin("polygon", at, isCut) });
    const [x, y] = shape.xy[0];
    const isFirst = Math.hypot(at.x - x, at.y - y) * this.stage.view.scale <= CLOSE_PX;
    if ((isFirst && shape.xy.length > 2) || shape.xy.length >= MAX_CORNERS) return this.closePolygon();
    this.store.set({ shape: { ...shape, xy: [...shape.xy, rounded(at)] } });
  }

  closePolygon() {
    const shape = this.store.get("shape");
    if (shape?.kind !== "polygon" || shape.xy.length < 3) return;
    this.store.set({ shape: null });
    this.commands.draw(shape);
  }

  /** Take the last corner of a polygon back; tells whether there was one. */
  takeBack() {
    const shape = this.store.get("shape");
    if (shape?.kind !== "polygon") return false;
    this.store.set({ shape: shape.xy.length > 1 ? { ...shape, xy: shape.xy.slice(0, -1) } : null });
    return true;
  }

  /** Give up what is being drawn; tells whether there was something. */
  abandon() {
    const isUnderWay = this.store.get("shape") !== null;
    if (isUnderWay) this.store.set({ shape: null });
    return isUnderWay;
  }

  /**
   * Make the brush larger or smaller; tells whether there is one.
   * @param {1 | -1} direction
   */
  resize(direction) {
    if (!this.isBrush) return false;
    const radius = brushRadius(this.store);
    const wanted = direction > 0 ? Math.max(radius + 1, radius * RADIUS_STEP) : Math.min(radius - 1, radius / RADIUS_STEP);
    this.store.set({ radius: limited(wanted) });
    return true;
  }
}

/**
 * The radius of the brush in pixels of the video.
 * @param {import("./store.js").Store} store
 */
export function brushRadius(store) {
  const video = store.get("session")?.video;
  return store.get("radius") ?? limited(DEFAULT_OF_SIDE * Math.max(video?.width ?? 0, video?.height ?? 0));
}

/** @param {number} radius */
function limited(radius) {
  return Math.max(0.5, Math.min(MAX_RADIUS, Math.round(radius * 2) / 2));
}

/** @param {Position} at @returns {[number, number]} */
function rounded({ x, y }) {
  return [Math.round(x * 100) / 100, Math.round(y * 100) / 100];
}

/** The slider beside the keys: its steps are equal factors. @param {import("./app.js").App} app */
export function mountDrawing({ store, drawing }) {
  const slider = byId("radius");
  const factor = Math.log(MAX_RADIUS / 0.5) / 100;
  slider.addEventListener("input", () => store.set({ radius: limited(0.5 * Math.exp(Number(slider.value) * factor)) }));
  store.watch(["tool", "session", "radius"], () => {
    const radius = brushRadius(store);
    byId("radius-group").hidden = !drawing.isBrush || !store.get("session");
    slider.value = String(Math.round(Math.log(radius / 0.5) / factor));
    slider.setAttribute("aria-valuetext", `${radius} pixels`);
    byId("radius-text").textContent = `${radius} px`;
  });
}
