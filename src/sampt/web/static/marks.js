/** Clicks, tracked points and boxes, drawn at the same size at any zoom. The context's units are CSS pixels of a pane. */

export const POINT_RADIUS = 7;
const TRACKED_RADIUS = 2.5;

/**
 * A disc in the object's colour with a plus, or a dark one with its colour around a minus.
 * @param {CanvasRenderingContext2D} context
 * @param {{x: number, y: number}} at
 * @param {string} color
 * @param {{isPositive: boolean, isStrong: boolean, isHovered: boolean, isPending: boolean}} style
 */
export function drawPoint(context, at, color, { isPositive, isStrong, isHovered, isPending }) {
  const radius = isHovered ? POINT_RADIUS + 2 : isStrong ? POINT_RADIUS : POINT_RADIUS - 2;
  context.save();
  context.translate(at.x, at.y);
  context.globalAlpha = isPending ? 0.6 : isStrong || isHovered ? 1 : 0.75;
  disc(context, radius + 2.5, "rgba(0, 0, 0, 0.35)");
  disc(context, radius + 1.5, "#fff");
  disc(context, radius, isPositive ? color : "#fff");
  if (!isPositive) disc(context, radius - 0.5, "#20242b");
  drawSign(context, radius * 0.55, isPositive, isPositive ? inkOn(color) : "#fff");
  if (!isPositive) ring(context, radius + 0.5, color, 2);
  context.restore();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} reach
 * @param {boolean} isPlus
 * @param {string} ink
 */
function drawSign(context, reach, isPlus, ink) {
  context.beginPath();
  context.moveTo(-reach, 0);
  context.lineTo(reach, 0);
  if (isPlus) {
    context.moveTo(0, -reach);
    context.lineTo(0, reach);
  }
  context.strokeStyle = ink;
  context.lineWidth = 2;
  context.lineCap = "round";
  context.stroke();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} radius
 * @param {string} color
 */
function disc(context, radius, color) {
  context.beginPath();
  context.arc(0, 0, radius, 0, 2 * Math.PI);
  context.fillStyle = color;
  context.fill();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} radius
 * @param {string} color
 * @param {number} width
 */
function ring(context, radius, color, width) {
  context.beginPath();
  context.arc(0, 0, radius, 0, 2 * Math.PI);
  context.strokeStyle = color;
  context.lineWidth = width;
  context.stroke();
}

/**
 * The number of a suggestion.
 * @param {CanvasRenderingContext2D} context
 * @param {{x: number, y: number}} at
 * @param {number} number
 * @param {string} color
 * @param {boolean} isSelected
 */
export function drawNumber(context, at, number, color, isSelected) {
  const radius = isSelected ? 12 : 10;
  context.save();
  context.translate(at.x, at.y);
  disc(context, radius + 2.5, "rgba(0, 0, 0, 0.5)");
  disc(context, radius + 1.5, "#fff");
  disc(context, radius, color);
  context.fillStyle = inkOn(color);
  context.font = `600 ${radius + 2}px sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(String(number), 0, 1);
  context.restore();
}

/**
 * Black or white, whichever is read better on a colour.
 * @param {string} color
 */
export function inkOn(color) {
  const value = Number.parseInt(color.slice(1), 16);
  const luma = 0.299 * (value >> 16) + 0.587 * ((value >> 8) & 255) + 0.114 * (value & 255);
  return luma > 140 ? "#101318" : "#fff";
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {{x: number, y: number}} at
 * @param {string} color
 * @param {boolean} isPositive
 */
export function drawTracked(context, at, color, isPositive) {
  context.save();
  context.translate(at.x, at.y);
  disc(context, TRACKED_RADIUS + 1, "rgba(0, 0, 0, 0.65)");
  disc(context, TRACKED_RADIUS, isPositive ? color : "#20242b");
  if (!isPositive) ring(context, TRACKED_RADIUS, color, 1);
  context.restore();
}

/**
 * Fill a stroke or a polygon in the context's colour; the context's units are pixels of the video, from the frame's corner.
 * @param {CanvasRenderingContext2D} context
 * @param {import("./types.js").Shape} shape
 */
export function fillShape(context, { kind, xy, radius }) {
  context.beginPath();
  for (const [x, y] of xy) context.lineTo(x + 0.5, y + 0.5);
  if (kind === "polygon") return context.fill("evenodd");
  if (xy.length === 1) {
    context.arc(xy[0][0] + 0.5, xy[0][1] + 0.5, radius, 0, 2 * Math.PI); // a line without length is not drawn
    return context.fill();
  }
  context.lineWidth = 2 * radius;
  context.lineCap = context.lineJoin = "round";
  context.stroke();
}

/**
 * A polygon that is being clicked: its corners, the first one larger, and the way to the pointer.
 * @param {CanvasRenderingContext2D} context
 * @param {{x: number, y: number}[]} corners
 * @param {{x: number, y: number} | null} next
 * @param {string} color
 */
export function drawCorners(context, corners, next, color) {
  context.save();
  for (const [width, style] of /** @type {[number, string][]} */ ([[4, "rgba(0, 0, 0, 0.55)"], [2, color]])) {
    context.beginPath();
    for (const { x, y } of next ? [...corners, next] : corners) context.lineTo(x, y);
    context.lineWidth = width;
    context.strokeStyle = style;
    context.stroke();
  }
  corners.forEach(({ x, y }, i) => {
    context.save();
    context.translate(x, y);
    disc(context, i ? 4.5 : 6.5, "rgba(0, 0, 0, 0.55)");
    disc(context, i ? 3.5 : 5.5, i ? color : "#fff");
    context.restore();
  });
  context.restore();
}

/**
 * What the brush covers, around the pointer.
 * @param {CanvasRenderingContext2D} context
 * @param {{x: number, y: number}} at
 * @param {number} radius
 */
export function drawBrush(context, { x, y }, radius) {
  context.save();
  context.translate(x, y);
  ring(context, Math.max(2, radius), "rgba(0, 0, 0, 0.7)", 3);
  ring(context, Math.max(2, radius), "#fff", 1.25);
  context.restore();
}

/**
 * Two lines with a gap where they would cross, so that the pixel there is seen.
 * @param {CanvasRenderingContext2D} context
 * @param {{x: number, y: number}} at
 */
export function drawCrosshair(context, { x, y }) {
  for (const [style, width] of /** @type {const} */ ([["rgba(0, 0, 0, 0.75)", 4], ["#fff", 1.5]])) {
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 4 * dx, y + 4 * dy);
      context.lineTo(x + 22 * dx, y + 22 * dy);
    }
    context.strokeStyle = style;
    context.lineWidth = width;
    context.stroke();
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {{x: number, y: number}} topLeft outer corners
 * @param {{x: number, y: number}} bottomRight
 * @param {string} color
 * @param {{isStrong: boolean, isDraft: boolean}} style
 */
export function drawBox(context, topLeft, bottomRight, color, { isStrong, isDraft }) {
  context.save();
  const [width, height] = [bottomRight.x - topLeft.x, bottomRight.y - topLeft.y];
  context.strokeStyle = "rgba(0, 0, 0, 0.55)";
  context.lineWidth = isStrong ? 4 : 3;
  context.strokeRect(topLeft.x, topLeft.y, width, height);
  context.strokeStyle = color;
  context.lineWidth = isStrong ? 2 : 1.25;
  if (isDraft) context.setLineDash([6, 4]);
  context.strokeRect(topLeft.x, topLeft.y, width, height);
  context.restore();
}
