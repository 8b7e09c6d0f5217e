/** Masks from COCO's compressed run lengths. */

/**
 * A mask cut to its bounding box.
 * @typedef {{x: number, y: number, width: number, height: number, data: Uint8Array, area: number}} MaskShape
 */

/**
 * The run lengths in a string: background and foreground in turns, down the columns.
 *
 * Each number is written in groups of five bits, lowest first, as characters from "0"; the sixth bit says that more follow, and
 * the fifth of the last group is the sign. From the fourth on, a number is the difference to the one two before.
 * @param {string} counts
 * @returns {number[]}
 */
export function decodeCounts(counts) {
  const runs = [];
  for (let at = 0; at < counts.length; ) {
    let value = 0;
    let shift = 0;
    let group;
    do {
      group = counts.charCodeAt(at++) - 48;
      value |= (group & 31) << shift;
      shift += 5;
    } while (group & 32 && at < counts.length);
    if (group & 16) value |= -1 << shift;
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

/**
 * First and last row and column of the foreground.
 * @param {number[]} runs
 * @param {number} height of the frame
 */
function bounds(runs, height) {
  let [x0, y0, x1, y1, area, at] = [Infinity, Infinity, -1, -1, 0, 0];
  for (let i = 0; i < runs.length; at += runs[i++]) {
    if (i % 2 === 0 || runs[i] === 0) continue;
    const last = at + runs[i] - 1;
    const [firstColumn, lastColumn] = [Math.floor(at / height), Math.floor(last / height)];
    x0 = Math.min(x0, firstColumn);
    x1 = Math.max(x1, lastColumn);
    y0 = firstColumn === lastColumn ? Math.min(y0, at % height) : 0;
    y1 = firstColumn === lastColumn ? Math.max(y1, last % height) : height - 1;
    area += runs[i];
  }
  return { x0, y0, x1, y1, area };
}

/**
 * Decode a mask.
 * @param {import("./schema.d.ts").RleMask} rle
 * @returns {MaskShape | null} null for a mask without any pixel; `data` is row by row, 1 in the mask
 */
export function decodeMask(rle) {
  const frameHeight = rle.size[0];
  const runs = decodeCounts(rle.counts);
  const { x0, y0, x1, y1, area } = bounds(runs, frameHeight);
  if (area === 0) return null;
  const [width, height] = [x1 - x0 + 1, y1 - y0 + 1];
  const data = new Uint8Array(width * height);
  let at = 0;
  for (let i = 0; i < runs.length; i++) {
    const stop = at + runs[i];
    if (i % 2 === 1) {
      for (let pixel = at; pixel < stop; ) {
        const column = Math.floor(pixel / frameHeight);
        const end = Math.min(stop, (column + 1) * frameHeight);
        const shift = (column * frameHeight + y0) * width - (column - x0);
        for (; pixel < end; pixel++) data[pixel * width - shift] = 1;
      }
    }
    at = stop;
  }
  return { x: x0, y: y0, width, height, data, area };
}
