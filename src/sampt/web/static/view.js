/** Where the frame lies on the canvas: zoom and pan. Lengths are CSS pixels; (0, 0) of the frame is its top-left pixel's centre. */

const MAX_SCALE = 64;
const MIN_FRACTION_OF_FIT = 0.5;
const MARGIN = 16;

/** A scale and an offset, kept such that the frame cannot be lost. */
export class View {
  scale = 1;
  offsetX = 0;
  offsetY = 0;
  #pane = { width: 1, height: 1 };
  #frame = { width: 1, height: 1 };
  isFitted = true;

  /**
   * @param {number} width
   * @param {number} height
   */
  setFrame(width, height) {
    this.#frame = { width, height };
    this.fit();
  }

  /**
   * A fitted view stays fitted; another keeps what is in the middle.
   * @param {number} width
   * @param {number} height
   */
  setPane(width, height) {
    const before = this.#pane;
    this.#pane = { width: Math.max(1, width), height: Math.max(1, height) };
    if (this.isFitted) this.fit();
    else this.panBy((this.#pane.width - before.width) / 2, (this.#pane.height - before.height) / 2);
  }

  get pane() {
    return this.#pane;
  }

  get fitScale() {
    const across = Math.max(1, this.#pane.width - 2 * MARGIN) / this.#frame.width;
    const down = Math.max(1, this.#pane.height - 2 * MARGIN) / this.#frame.height;
    return Math.min(across, down, MAX_SCALE);
  }

  fit() {
    this.scale = this.fitScale;
    this.offsetX = (this.#pane.width - this.#frame.width * this.scale) / 2;
    this.offsetY = (this.#pane.height - this.#frame.height * this.scale) / 2;
    this.isFitted = true;
  }

  /**
   * Zoom so that what is at (x, y) of the pane stays there.
   * @param {number} scale
   * @param {number} [x] the middle when left out
   * @param {number} [y]
   */
  zoomTo(scale, x = this.#pane.width / 2, y = this.#pane.height / 2) {
    const minimum = Math.min(this.fitScale * MIN_FRACTION_OF_FIT, 1);
    const wanted = Math.min(MAX_SCALE, Math.max(minimum, scale));
    const ratio = wanted / this.scale;
    this.offsetX = x - (x - this.offsetX) * ratio;
    this.offsetY = y - (y - this.offsetY) * ratio;
    this.scale = wanted;
    this.isFitted = false;
    this.#keepInSight();
  }

  /**
   * @param {number} dx
   * @param {number} dy
   */
  panBy(dx, dy) {
    this.offsetX += dx;
    this.offsetY += dy;
    this.isFitted = false;
    this.#keepInSight();
  }

  #keepInSight() {
    const [width, height] = [this.#frame.width * this.scale, this.#frame.height * this.scale];
    const seenX = Math.min(64, width / 2);
    const seenY = Math.min(64, height / 2);
    this.offsetX = Math.min(this.#pane.width - seenX, Math.max(seenX - width, this.offsetX));
    this.offsetY = Math.min(this.#pane.height - seenY, Math.max(seenY - height, this.offsetY));
  }

  /**
   * Pixels of the video under a location of the pane.
   * @param {number} x
   * @param {number} y
   */
  toImage(x, y) {
    return { x: (x - this.offsetX) / this.scale - 0.5, y: (y - this.offsetY) / this.scale - 0.5 };
  }

  /**
   * The location of the pane where a position of the video is.
   * @param {number} x
   * @param {number} y
   */
  toPane(x, y) {
    return { x: (x + 0.5) * this.scale + this.offsetX, y: (y + 0.5) * this.scale + this.offsetY };
  }

  /**
   * @param {{x: number, y: number}} at a position of the video
   */
  isInFrame({ x, y }) {
    return x >= -0.5 && y >= -0.5 && x < this.#frame.width - 0.5 && y < this.#frame.height - 0.5;
  }

  /**
   * The nearest position between the centres of the outermost pixels, in thousandths.
   * @param {{x: number, y: number}} at a position of the video
   */
  clamped({ x, y }) {
    const limit = (/** @type {number} */ v, /** @type {number} */ size) => Math.round(Math.min(size - 1, Math.max(0, v)) * 1000) / 1000;
    return { x: limit(x, this.#frame.width), y: limit(y, this.#frame.height) };
  }
}
