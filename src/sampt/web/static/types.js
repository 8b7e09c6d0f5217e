/**
 * What the page keeps. What the server sends and takes is in schema.d.ts, which is made from the server's own schemas. Coordinates
 * are pixels of the video; (0, 0) is the centre of the top-left pixel. Frames count from 0, and ranges leave out `stop`.
 *
 * @import {AboutResponse, Box, ObjectTimeline, Point, PropagationResponse, SessionResponse} from "./schema.d.ts"
 *
 * @typedef {Omit<ObjectTimeline, "state" | "flags"> & {state: Uint8Array, flags: Uint8Array}} ExpandedTimeline an
 *   object over all frames, with a value for each
 * @typedef {{start: number, stop: number}} FrameRange
 * @typedef {{x: number, y: number}} Position
 * @typedef {"include" | "exclude" | "box" | "brush" | "eraser" | "polygon" | "pan"} Tool
 * @typedef {"contours" | "sideBySide" | "showPoints" | "showTracked"} Switch
 * @typedef {"all" | "selected"} Scope
 * @typedef {{kind: "point", point: Point} | {kind: "box", box: Box}} Hit
 * @typedef {{object_id: number | null, frame: number, x: number, y: number, is_positive: boolean}} PendingPoint a click that is
 *   being sent
 * @typedef {{kind: "stroke" | "polygon", xy: [number, number][], radius: number, isCut: boolean, objectId: number | null,
 *   frame: number}} Shape what is drawn on a mask, or cut from it; the radius is a stroke's
 * @typedef {import("./schema.d.ts").Suggestion & {number: number, frame: number, shape: import("./rle.js").MaskShape,
 *   center: Position, isAccepted: boolean}} ShownSuggestion an accepted one is drawn until the object's mask is here
 *
 * @typedef {{
 *   session: SessionResponse | null,
 *   about: AboutResponse | null,
 *   frame: number,
 *   shownFrame: number | null,
 *   selectedId: number | null,
 *   tool: Tool,
 *   opacity: number,
 *   contours: boolean,
 *   sideBySide: boolean,
 *   showPoints: boolean,
 *   showTracked: boolean,
 *   range: FrameRange | null,
 *   scope: Scope,
 *   isPlaying: boolean,
 *   timelines: Map<number, ExpandedTimeline>,
 *   progress: PropagationResponse | null,
 *   busy: number,
 *   isBrowsing: boolean,
 *   isOnline: boolean,
 *   hover: Hit | null,
 *   pending: PendingPoint[],
 *   drag: {point_id: number, x: number, y: number} | null,
 *   draft: Box | null,
 *   shape: Shape | null,
 *   shapes: Shape[],
 *   radius: number | null,
 *   isFinding: boolean,
 *   suggestions: ShownSuggestion[],
 *   suggestedId: number | null,
 *   proposer: string | null,
 *   cursor: Position | null,
 *   crosshair: Position | null,
 *   scale: number,
 *   theme: string | null,
 * }} PageState
 */
export {};
