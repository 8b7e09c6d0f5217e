/** Masks made ready for painting: a coloured bitmap of the bounding box, and the outline as a path along pixel edges. */

import { decodeMask } from "./rle.js";

const MAX_BYTES = 128e6;
const STRIPE_PX = 12;

/**
 * @import {RleMask} from "./schema.d.ts"
 * @typedef {{rle: RleMask | null}} Masked a result or a suggestion
 * @typedef {{shape: import("./rle.js").MaskShape | null, color: string, bitmap: HTMLCanvasElement | null,
 *   outline: Path2D | null, bytes: number}} Painted
 */

/** Keeps what was made ready, the least recently used make way. */
export class Painter {
  /** @type {Map<Masked["rle"], Painted>} */
  #cached = new Map();
  #bytes = 0;

  /**
   * Fill the mask; the context's units are pixels of the video, from the frame's corner.
   * @param {CanvasRenderingContext2D} context
   * @param {Masked} result
   * @param {string} color
   * @param {number} opacity
   */
  fill(context, result, color, opacity) {
    const painted = this.#painted(result);
    if (!painted.shape) return;
    if (!painted.bitmap || painted.color !== color) {
      painted.bitmap = drawBitmap(painted.shape, color);
      painted.color = color;
    }
    context.globalAlpha = opacity;
    context.drawImage(painted.bitmap, painted.shape.x, painted.shape.y);
    context.globalAlpha = 1;
  }

  /**
   * Draw the mask's outline.
   * @param {CanvasRenderingContext2D} context
   * @param {Masked} result
   * @param {string} color
   * @param {number} width in pixels of the video
   */
  stroke(context, result, color, width) {
    const painted = this.#painted(result);
    if (!painted.shape) return;
    painted.outline ??= traceOutline(painted.shape);
    context.strokeStyle = color;
    context.lineWidth = width;
    context.lineCap = "square";
    context.stroke(painted.outline);
  }

  /**
   * @param {Masked} result
   * @returns {Painted}
   */
  #painted({ rle }) {
    let painted = this.#cached.get(rle);
    if (painted) {
      this.#cached.delete(rle);
    } else {
      const shape = rle ? decodeMask(rle) : null;
      painted = { shape, color: "", bitmap: null, outline: null, bytes: shape ? shape.data.length * 5 : 0 };
      this.#bytes += painted.bytes;
    }
    this.#cached.set(rle, painted);
    this.#shrink();
    return painted;
  }

  #shrink() {
    for (const [rle, painted] of this.#cached) {
      if (this.#bytes <= MAX_BYTES || this.#cached.size === 1) return;
      this.#cached.delete(rle);
      this.#bytes -= painted.bytes;
    }
  }
}

/** Diagonal stripes, for what is only suggested. @param {CanvasRenderingContext2D} context */
export function makeStripes(context) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = STRIPE_PX;
  const own = /** @type {CanvasRenderingContext2D} */ (tile.getContext("2d"));
  own.lineWidth = STRIPE_PX / 3;
  for (const shift of [-STRIPE_PX, 0, STRIPE_PX]) {
    own.moveTo(shift - 1, STRIPE_PX + 1);
    own.lineTo(shift + STRIPE_PX + 1, -1);
  }
  own.stroke();
  return /** @type {CanvasPattern} */ (context.createPattern(tile, "repeat"));
}

/**
 * Red, green and blue of "#rrggbb".
 * @param {string} color
 * @returns {[number, number, number]}
 */
export function parseColor(color) {
  const value = Number.parseInt(color.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/**
 * @param {import("./rle.js").MaskShape} shape
 * @param {string} color
 */
function drawBitmap(shape, color) {
  const bitmap = document.createElement("canvas");
  bitmap.width = shape.width;
  bitmap.height = shape.height;
  const context = /** @type {CanvasRenderingContext2D} */ (bitmap.getContext("2d"));
  const image = context.createImageData(shape.width, shape.height);
  const [red, green, blue] = parseColor(color);
  const words = new Uint32Array(image.data.buffer);
  const probe = new Uint8Array([red, green, blue, 255]);
  const word = new Uint32Array(probe.buffer)[0]; // whatever the machine's byte order
  for (let i = 0; i < words.length; i++) if (shape.data[i]) words[i] = word;
  context.putImageData(image, 0, 0);
  return bitmap;
}

/**
 * All edges between pixels in the mask and others, joined to long lines.
 * @param {import("./rle.js").MaskShape} shape
 */
function traceOutline({ x, y, width, height, data }) {
  const path = new Path2D();
  const at = (/** @type {number} */ column, /** @type {number} */ row) =>
    column < 0 || row < 0 || column >= width || row >= height ? 0 : data[row * width + column];
  for (let row = 0; row <= height; row++) {
    for (let column = 0, start = -1; column <= width; column++) {
      const isEdge = column < width && at(column, row) !== at(column, row - 1);
      if (isEdge && start < 0) start = column;
      else if (!isEdge && start >= 0) {
        path.moveTo(x + start, y + row);
        path.lineTo(x + column, y + row);
        start = -1;
      }
    }
  }
  for (let column = 0; column <= width; column++) {
    for (let row = 0, start = -1; row <= height; row++) {
      const isEdge = row < height && at(column, row) !== at(column - 1, row);
      if (isEdge && start < 0) start = row;
      else if (!isEdge && start >= 0) {
        path.moveTo(x + column, y + start);
        path.lineTo(x + column, y + row);
        start = -1;
      }
    }
  }
  return path;
}
