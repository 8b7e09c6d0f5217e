/** What is known of an object over all frames: reading it, looking it up, and drawing it as a timeline. */

/** @import {ExpandedTimeline} from "./types.js" */

export const UNKNOWN = 0;
export const STALE = 1;

/** @type {[number, string][]} */
const REASONS = [
  [1, "confidence low"],
  [2, "points lost"],
  [4, "area jumps"],
  [8, "shape changed"],
  [16, "colours changed"],
  [32, "doubtful since earlier"],
];

/**
 * @param {import("./schema.d.ts").TimelinesResponse} response of the server
 * @returns {Map<number, ExpandedTimeline>}
 */
export function readTimelines({ objects }) {
  return new Map(objects.map((one) => [one.object_id, { ...one, state: expand(one.state), flags: expand(one.flags) }]));
}

/** @param {[number, number][]} runs value and count */
function expand(runs) {
  const values = new Uint8Array(runs.reduce((sum, [, count]) => sum + count, 0));
  let at = 0;
  for (const [value, count] of runs) values.fill(value, at, (at += count));
  return values;
}

/**
 * The next frame after (or before) one that a test holds for, around the end; null when there is none.
 * @param {number} frame
 * @param {1 | -1} direction
 * @param {number} numFrames
 * @param {(frame: number) => boolean} test
 */
export function nextFrame(frame, direction, numFrames, test) {
  for (let step = 1; step <= numFrames; step++) {
    const other = (frame + direction * step + numFrames * 2) % numFrames;
    if (test(other)) return other;
  }
  return null;
}

/**
 * A frame of a timeline in words.
 * @param {ExpandedTimeline | undefined} timeline
 * @param {number} frame
 */
export function timelineText(timeline, frame) {
  if (!timeline || timeline.state[frame] === UNKNOWN) return "not propagated";
  const score = timeline.score[frame];
  const parts = [timeline.area[frame] > 0 ? "present" : "absent"];
  if (score !== null && score !== undefined) parts.push(`confidence ${(score / 100).toFixed(2)}`);
  const good = timeline.good[frame];
  if (good !== null && good !== undefined) parts.push(`probably good ${good} %`);
  if (timeline.state[frame] === STALE) parts.push("out of date");
  parts.push(...reasonTexts(timeline.flags[frame]));
  return parts.join(" · ");
}

/** Why a frame needs review, in words. @param {number} reasons bits */
export function reasonTexts(reasons) {
  return REASONS.filter(([bit]) => reasons & bit).map(([, text]) => text);
}

/**
 * Several frames that share a column.
 * @param {ExpandedTimeline} timeline
 * @param {number} start
 * @param {number} stop
 */
function summarizeCell(timeline, start, stop) {
  const cell = { isKnown: false, isStale: false, isPresent: false, score: 100, isFlagged: false };
  for (let frame = start; frame < stop; frame++) {
    if (timeline.state[frame] === UNKNOWN) continue;
    cell.isKnown = true;
    cell.isStale ||= timeline.state[frame] === STALE;
    cell.isPresent ||= timeline.area[frame] > 0;
    cell.isFlagged ||= timeline.flags[frame] !== 0;
    cell.score = Math.min(cell.score, sureness(timeline, frame));
  }
  return cell;
}

/**
 * What the height of a bar shows, in percent: the probability that the mask is good where that is known, else the confidence.
 * @param {ExpandedTimeline} timeline
 * @param {number} frame
 */
function sureness({ good, score }, frame) {
  return good[frame] ?? Math.max(0, Math.min(100, ((score[frame] ?? 100) - 40) / 0.6));
}

/** @type {Map<string, CanvasPattern | null>} */
const hatches = new Map();

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} color
 */
function makeHatch(context, color) {
  if (!hatches.has(color)) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 6;
    const drawn = /** @type {CanvasRenderingContext2D} */ (tile.getContext("2d"));
    drawn.fillStyle = `${color}40`;
    drawn.fillRect(0, 0, 6, 6);
    drawn.strokeStyle = `${color}b0`;
    drawn.lineWidth = 1.5;
    for (const shift of [-6, 0, 6]) {
      drawn.moveTo(shift - 1, 7);
      drawn.lineTo(shift + 7, -1);
    }
    drawn.stroke();
    hatches.set(color, context.createPattern(tile, "repeat"));
  }
  return hatches.get(color) ?? color;
}

/**
 * Draw a timeline: bars as high as the mask is probably good, hatched when out of date, a low line where the object is absent.
 * @param {CanvasRenderingContext2D} context
 * @param {ExpandedTimeline} timeline
 * @param {string} color
 * @param {{top: number, height: number}} row
 * @param {{toX: (frame: number) => number, first: number, last: number}} axis first and last frame in sight
 */
export function drawTimeline(context, timeline, color, { top, height }, { toX, first, last }) {
  const perPixel = Math.max(1, Math.ceil(1 / Math.max(1e-6, toX(1) - toX(0))));
  for (let frame = first - (first % perPixel); frame <= last; frame += perPixel) {
    const stop = Math.min(frame + perPixel, timeline.state.length);
    const cell = summarizeCell(timeline, frame, stop);
    if (!cell.isKnown) continue;
    const left = onDevicePixel(toX(frame)); // no gaps between frames
    const width = Math.max(1 / devicePixelRatio, onDevicePixel(toX(stop)) - left);
    const fraction = cell.isPresent ? 0.2 + 0.8 * (cell.score / 100) : 0;
    const tall = cell.isPresent ? Math.max(3, fraction * height) : 2;
    context.globalAlpha = cell.isPresent ? 1 : 0.55;
    context.fillStyle = cell.isStale ? makeHatch(context, color) : color;
    context.fillRect(left, top + height - tall, width, tall);
    context.globalAlpha = 1;
  }
}

/** @param {number} x */
function onDevicePixel(x) {
  return Math.round(x * devicePixelRatio) / devicePixelRatio;
}

/**
 * Where somebody said that the object is absent: a dashed line from its last frame on, with a stop before it.
 * @param {CanvasRenderingContext2D} context
 * @param {import("./schema.d.ts").AbsentRange} range
 * @param {string} color
 * @param {{top: number, height: number}} row
 * @param {{toX: (frame: number) => number, first: number, last: number}} axis
 */
export function drawAbsent(context, { frame, stop }, color, { top, height }, { toX, first, last }) {
  if (stop <= first || frame > last) return;
  const [left, right, middle] = [onDevicePixel(toX(Math.max(first, frame))), toX(Math.min(last + 1, stop)), top + height / 2];
  context.save();
  context.fillStyle = context.strokeStyle = color;
  if (frame >= first) context.fillRect(left, top, 2, height);
  context.setLineDash([4, 3]);
  context.beginPath();
  context.moveTo(left + 4, middle);
  context.lineTo(right, middle);
  context.stroke();
  context.restore();
}

/**
 * Marks over a timeline: diamonds on frames with inputs, small triangles where a person should look, a line under frames that were
 * marked good.
 * @param {CanvasRenderingContext2D} context
 * @param {ExpandedTimeline} timeline
 * @param {{top: number, height: number}} row
 * @param {{toX: (frame: number) => number, first: number, last: number}} axis
 * @param {{warn: string, ink: string, paper: string, good: string}} colors
 * @param {[number, number][]} reviewed ranges [start, stop) of frames
 */
export function drawMarks(context, timeline, { top, height }, { toX, first, last }, { warn, ink, paper, good }, reviewed) {
  context.fillStyle = good;
  for (const [start, stop] of reviewed) {
    if (stop <= first || start > last) continue;
    context.fillRect(toX(start), top + height, Math.max(2, toX(stop) - toX(start)), 3);
  }
  context.fillStyle = warn;
  let lastX = -Infinity;
  for (let frame = first; frame <= last; frame++) {
    const x = toX(frame + 0.5);
    if (!timeline.flags[frame] || x - lastX < 5) continue;
    lastX = x;
    context.beginPath();
    context.moveTo(x - 4, top - 1);
    context.lineTo(x + 4, top - 1);
    context.lineTo(x, top + 5);
    context.fill();
  }
  for (const frame of timeline.inputs) {
    if (frame < first || frame > last) continue;
    context.save();
    context.translate(toX(frame + 0.5), top + height / 2);
    context.rotate(Math.PI / 4);
    context.fillStyle = ink;
    context.strokeStyle = paper;
    context.lineWidth = 1.5;
    context.fillRect(-4, -4, 8, 8);
    context.strokeRect(-4, -4, 8, 8);
    context.restore();
  }
}
