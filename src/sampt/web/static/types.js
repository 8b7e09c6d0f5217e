/**
 * Shapes of the values that the server sends and the page keeps. Coordinates are pixels of the video; (0, 0) is the centre of the
 * top-left pixel. Frames count from 0, and ranges leave out `stop`.
 *
 * @typedef {{object_id: number, name: string, color: string, is_hidden: boolean, is_locked: boolean}} SessionObject
 * @typedef {{point_id: number, object_id: number, frame: number, x: number, y: number, is_positive: boolean}} Point
 * @typedef {{object_id: number, frame: number, x0: number, y0: number, x1: number, y1: number}} Box
 * @typedef {{object_id: number, frame: number}} GivenMask
 * @typedef {{name: string, key: string, num_frames: number, width: number, height: number, fps: number,
 *   times_s: number[] | null}} VideoFacts
 * @typedef {{propagation_id: string, done: number, total: number, frame: number | null, seconds_left: number | null,
 *   is_running: boolean, is_cancelled: boolean, error: string | null}} Progress
 * @typedef {{revision: number, video: VideoFacts, project: string, tracker: string, segmenter: string, can_undo: boolean,
 *   can_redo: boolean, objects: SessionObject[], points: Point[], boxes: Box[], masks: GivenMask[],
 *   stale: Record<string, [number, number][]>, propagation: Progress | null}} SessionState
 * @typedef {{size: [number, number], counts: string}} Rle
 * @typedef {{object_id: number, state: string, score: number | null, rle: Rle | null, num_visible_points: number,
 *   is_stale: boolean}} ObjectResult
 * @typedef {{point_id: number, object_id: number, x: number, y: number, is_positive: boolean, visible: boolean}} TrackedPoint
 * @typedef {{frame: number, revision: number, objects: ObjectResult[], points: TrackedPoint[]}} FrameMasks
 * @typedef {{object_id: number, state: Uint8Array, score: (number | null)[], area: number[], points: number[],
 *   flags: Uint8Array, inputs: number[]}} Strip
 * @typedef {{start: number, stop: number}} FrameRange
 * @typedef {{export_id: string, is_done: boolean, error: string | null, file_name: string | null, num_bytes: number | null,
 *   done: number, total: number}} ExportJob
 * @typedef {{name: string, path: string, kind: "folder" | "video" | "project" | "frames", num_bytes: number | null}} FileEntry
 * @typedef {{name: string, role: string, code: string, weights: string}} Licence
 * @typedef {{version: string, token_required: boolean, limits: {upload_bytes: number, sessions: number},
 *   start: {video: string | null, project: string | null} | null, has_session: boolean, upload_types: string[],
 *   exporters: {name: string, suffix: string, title: string}[], tracker: string, segmenter: string,
 *   licences: Licence[]}} About
 * @typedef {"include" | "exclude" | "box" | "pan"} Tool
 * @typedef {{kind: "point", point: Point} | {kind: "box", box: Box}} Hit
 */
export {};
