// Made from the server's schemas (src/sampt/web/schemas) by tools/page_types.py; change those, and run it again.

/** What a page should know of the server's limits. */
export interface AboutLimits {
  upload_bytes: number;
  sessions: number;
}

/** What the server is, can, and allows; the first of `proposers` is the one that is used where none is named. */
export interface AboutResponse {
  version: string;
  token_required: boolean;
  limits: AboutLimits;
  upload_types: string[];
  exporters: ExporterInfo[];
  proposers: ProposerInfo[];
  tracker: string;
  segmenter: string;
  licenses: LicenseInfo[];
  start: StartPaths | null;
  has_session: boolean;
}

/**
 * That somebody said that an object is absent from `frame` on; `stop` is the frame on which it comes back, or the number of
 * frames.
 */
export interface AbsentRange {
  object_id: number;
  frame: number;
  stop: number;
}

/** A box that was given: first and last pixel, inclusive. */
export interface Box {
  object_id: number;
  frame: number;
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

/** First and last pixel, inclusive. */
export interface BoxUpdate {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

/** Ends the propagation. */
export interface CancelMessage {
  type: "cancel";
}

/** The session is another one than before: what GET /session says has this revision. */
export interface ChangedEvent {
  type: "changed";
  revision: number;
}

/** That on a frame the clicks alone count, not what was propagated there. */
export interface ClicksAlone {
  object_id: number;
  frame: number;
}

/**
 * What an export of these frames and objects would have: `with_masks` frames with a mask that is up to date or previewed. The
 * others count every frame once, by the worst of its objects: `missing` before `out_of_date` before `up_to_date`.
 */
export interface CoverageResponse {
  num_frames: number;
  with_masks: number;
  up_to_date: number;
  out_of_date: number;
  missing: number;
  is_complete: boolean;
}

/** The reply to a message that could not be handled; `request` is that of a preview. */
export interface ErrorEvent {
  type: "error";
  request: number | null;
  message: string;
}

/**
 * What went wrong, in one line; `can_take_over`: the project is open in another browser of this server, and POST /session with
 * `take_over` opens it all the same; it is left out where it is false.
 */
export interface ErrorResponse {
  error: string;
  can_take_over?: boolean;
}

/**
 * The same, and the format's name as GET /about lists it. `images`: the frames are written beside, in one archive. `classes`:
 * all classes in the order of their numbers; left out: the names of the objects, by id.
 */
export interface ExportCreate {
  start?: number | null;
  stop?: number | null;
  object_ids?: number[] | null;
  format: string;
  images?: "png" | "jpg" | null;
  classes?: string[] | null;
}

/** How an export stands. */
export interface ExportEvent {
  export_id: number;
  format: string;
  is_done: boolean;
  error: string | null;
  file_name: string | null;
  num_bytes: number | null;
  done: number;
  total: number;
  type: "export";
}

/** A file being made, or made; `done` and `total` count frames. */
export interface ExportResponse {
  export_id: number;
  format: string;
  is_done: boolean;
  error: string | null;
  file_name: string | null;
  num_bytes: number | null;
  done: number;
  total: number;
}

/** A format that results can be exported in; `takes_images`: with the frames beside, too. */
export interface ExporterInfo {
  name: string;
  suffix: string;
  title: string;
  takes_images: boolean;
}

/** Something that can be opened, or a folder to look into; of the former, `work` is how far it is. */
export interface FileEntry {
  name: string;
  path: string;
  kind: "folder" | "video" | "project" | "frames";
  num_bytes: number | null;
  work: WorkInfo | null;
}

/** What is in a folder; `parent` is the folder above it. */
export interface FilesResponse {
  path: string;
  parent: string | null;
  entries: FileEntry[];
}

/**
 * Masks of some objects on a frame, as they are propagated. A page that reads slowly misses some. Provisional ones may still
 * change and are not kept: a window of frames is final as a whole.
 */
export interface FrameEvent {
  type: "frame";
  frame: number;
  is_provisional: boolean;
  objects: ObjectMask[];
}

/** All objects and points on a frame. */
export interface FrameMasksResponse {
  frame: number;
  revision: number;
  objects: ObjectMask[];
  points: TrackedPoint[];
}

/** That a mask was given, or edited: drawn on what was shown. `key` changes with the mask. */
export interface GivenMask {
  object_id: number;
  frame: number;
  is_edited: boolean;
  key: number;
}

/** The first of all. */
export interface HelloEvent {
  type: "hello";
  revision: number;
}

/** Of a backend. */
export interface LicenseInfo {
  name: string;
  role: "tracker" | "segmenter";
  code: string;
  weights: string | null;
}

/** An object; the server chooses what is left out. */
export interface ObjectCreate {
  name?: string | null;
  color?: string | null;
}

/** An object that was added, and the session with it. */
export interface ObjectCreateResponse {
  object: SessionObject;
  state: SessionResponse;
}

/**
 * An object on a frame; `score` is the predicted IoU, `good_probability` that the IoU is at least 0.7 (null where that is not
 * known), `rle` is null where the object is absent. `whole_rle`: where the last click would change much far from it, the mask
 * with all of that (only in previews); else null.
 */
export interface ObjectMask {
  object_id: number;
  state: "present" | "no_visible_point" | "low_score" | "retired" | "before_query" | "hidden_by_others" | "empty" | "given_absent";
  score: number | null;
  good_probability: number | null;
  rle: RleMask | null;
  num_visible_points: number;
  is_stale: boolean;
  whole_rle: RleMask | null;
}

/**
 * An object over all frames; `state` (0 unknown, 1 stale, 2 done) and `flags` (bits: 1 score drop, 2 few points, 4 area jump, 8
 * shape change, 16 colour change, 32 earlier doubt) are runs of [value, count]; `score`, the predicted IoU, and `good`, the
 * probability that the mask's IoU is at least 0.7, are in whole percent; `inputs` are the frames with a click, box or mask;
 * `events` the runs of frames that need review.
 */
export interface ObjectTimeline {
  object_id: number;
  state: [number, number][];
  score: (number | null)[];
  good: (number | null)[];
  area: number[];
  points: number[];
  flags: [number, number][];
  inputs: number[];
  events: ReviewEvent[];
}

/** Of an object; what is left out stays as it is. */
export interface ObjectUpdate {
  name?: string | null;
  color?: string | null;
  is_hidden?: boolean | null;
  is_locked?: boolean | null;
}

/**
 * A video, a project, or both. `take_over`: also when the project is open in another browser, which loses it then and says so;
 * all that was done there is saved. `longest_side`: the working size of a new project in pixels, 0 for the video's own; left
 * out, large frames are worked on at a smaller size where no GPU is.
 */
export interface OpenRequest {
  video?: string | null;
  project?: string | null;
  take_over?: boolean;
  longest_side?: number | null;
}

/** Requests a pong. */
export interface PingMessage {
  type: "ping";
}

/**
 * A click; pixels of the video, (0, 0) is the centre of the top-left pixel. `is_whole`: all that it changes was taken over,
 * also far from it.
 */
export interface Point {
  point_id: number;
  object_id: number;
  frame: number;
  x: number;
  y: number;
  is_positive: boolean;
  is_whole: boolean;
}

/**
 * A click; pixels of the video, (0, 0) is the centre of the top-left pixel. `is_positive` may also be called `sign` or `label`,
 * and be 1, "+" (on the object), 0, -1 or "-" (off it).
 */
export interface PointCreate {
  object_id: number;
  frame: number;
  x: number;
  y: number;
  is_positive?: boolean;
}

/** A click that was added, and the session with it. */
export interface PointCreateResponse {
  point: Point;
  state: SessionResponse;
}

/** Where a click is moved to, on its frame. */
export interface PointUpdate {
  x: number;
  y: number;
}

/** A closed polygon to be added, or cut away: its corners, as [x, y] in pixels of the video. */
export interface PolygonCreate {
  xy: number[][];
  is_cut?: boolean;
}

/** The reply to a ping. */
export interface PongEvent {
  type: "pong";
}

/** The reply to a preview message with that `request`. */
export interface PreviewEvent {
  frame: number;
  revision: number;
  objects: ObjectMask[];
  points: TrackedPoint[];
  type: "preview";
  request: number;
}

/** Requests what the inputs on a frame mean; of those that wait, only the newest one is handled. */
export interface PreviewMessage {
  type: "preview";
  request: number;
  frame: number;
}

/** How the propagation stands. */
export interface ProgressEvent {
  propagation_id: number;
  done: number;
  total: number;
  frame: number | null;
  stage: "preparing" | "tracking" | "segmenting";
  seconds_left: number | null;
  is_running: boolean;
  is_cancelled: boolean;
  error: string | null;
  type: "progress";
}

/** Frames [start, stop) of some objects; all when left out. */
export interface PropagationCreate {
  start?: number | null;
  stop?: number | null;
  object_ids?: number[] | null;
}

/** A propagation; `done` and `total` count frames of objects. One that was cancelled may run a moment longer. */
export interface PropagationResponse {
  propagation_id: number;
  done: number;
  total: number;
  frame: number | null;
  stage: "preparing" | "tracking" | "segmenting";
  seconds_left: number | null;
  is_running: boolean;
  is_cancelled: boolean;
  error: string | null;
}

/** What can look for objects on a frame, and how it does, in a few words. */
export interface ProposerInfo {
  name: string;
  method: string;
}

/**
 * Frames [start, stop) on which an object needs review; `frame` is the worst, `reasons` are bits as in `flags`, `is_reviewed`:
 * a person has marked one of them good.
 */
export interface ReviewEvent {
  start: number;
  stop: number;
  frame: number;
  reasons: number;
  is_reviewed: boolean;
}

/** A mask in COCO's compressed run lengths; `size` is [height, width]. Of requests and responses. */
export interface RleMask {
  size: [number, number];
  counts: string;
}

/**
 * How to look for objects on a frame; what is left out is as the server has it. `proposer`: one of those that GET /about lists.
 * `max_objects`: at most so many, the best ones. `min_area`: of the smallest one, as a fraction of the frame. `min_score`:
 * least score. `region`: a box [x0, y0, x1, y1] that their centres lie in.
 */
export interface SearchCreate {
  proposer?: string | null;
  max_objects?: number | null;
  min_area?: number | null;
  min_score?: number | null;
  region?: number[] | null;
}

/** A search on a frame. `suggestions`, best first, are complete when it does not run any more; accepted ones are gone. */
export interface SearchResponse {
  search_id: number;
  frame: number;
  proposer: string;
  is_running: boolean;
  is_cancelled: boolean;
  error: string | null;
  suggestions: Suggestion[];
}

export type SessionEvent =
  | HelloEvent
  | ChangedEvent
  | TakenEvent
  | FrameEvent
  | ProgressEvent
  | ExportEvent
  | SuggestionsEvent
  | PreviewEvent
  | PongEvent
  | ErrorEvent;

export type SessionMessage =
  | PreviewMessage
  | WatchMessage
  | CancelMessage
  | PingMessage;

/** An object; `color` is #rrggbb. */
export interface SessionObject {
  object_id: number;
  name: string;
  color: string;
  is_hidden: boolean;
  is_locked: boolean;
}

/**
 * All of a session but its masks; `stale` has ranges [start, stop) of frames by object, and so has `reviewed` of those that a
 * person has marked good.
 */
export interface SessionResponse {
  revision: number;
  video: VideoInfo;
  project: string;
  tracker: string;
  segmenter: string;
  can_undo: boolean;
  can_redo: boolean;
  objects: SessionObject[];
  points: Point[];
  boxes: Box[];
  masks: GivenMask[];
  absent: AbsentRange[];
  clicks_alone: ClicksAlone[];
  stale: Record<string, [number, number][]>;
  reviewed: Record<string, [number, number][]>;
  propagation: PropagationResponse | null;
}

/** What to open first: the body of POST /session, or the folder to list. */
export interface StartPaths {
  video: string | null;
  project: string | null;
  folder: string | null;
}

/** A stroke of a round brush, or of an eraser: where it was, as [x, y] in pixels of the video, and its radius. */
export interface StrokeCreate {
  xy: number[][];
  radius: number;
  is_erasing?: boolean;
}

/**
 * A mask that may be of an object. `score` is how sure the proposer is, from 0 to 1; `label` what it is, or null; `color` that
 * of the object that it would become.
 */
export interface Suggestion {
  suggestion_id: number;
  score: number;
  label: string | null;
  color: string;
  rle: RleMask;
}

/** How a search for objects on a frame has ended. */
export interface SuggestionsEvent {
  search_id: number;
  frame: number;
  proposer: string;
  is_running: boolean;
  is_cancelled: boolean;
  error: string | null;
  suggestions: Suggestion[];
  type: "suggestions";
}

/** Another browser has taken the project over; the stream ends. `project` may be taken over again. */
export interface TakenEvent {
  type: "taken";
  project: string;
}

/** Every object over all frames. */
export interface TimelinesResponse {
  revision: number;
  objects: ObjectTimeline[];
}

/** A point on a frame that it was tracked to. */
export interface TrackedPoint {
  point_id: number;
  object_id: number;
  x: number;
  y: number;
  is_positive: boolean;
  visible: boolean;
}

/** Where an upload lies now. */
export interface UploadResponse {
  path: string;
}

/**
 * The video; `key` changes with its contents, so that `?v=KEY` makes images of it cacheable for long. `longest_side`: the
 * working size, null for the video's own; masks have the video's size all the same.
 */
export interface VideoInfo {
  name: string;
  num_frames: number;
  width: number;
  height: number;
  fps: number;
  times_s: number[] | null;
  key: string;
  longest_side: number | null;
}

/** Whether masks are sent as they are propagated. */
export interface WatchMessage {
  type: "watch";
  frame?: number | null;
  frames?: "all" | "none";
}

/**
 * How far the project of a video is, as it was saved last. `new`: nothing is said yet; `partly`: frames are missing or out of
 * date; `complete`: all are there; `reviewed`: and a person has looked at every event that needed it. `num_frames` is 0 where
 * that is not known. `is_open`: in a browser of this server.
 */
export interface WorkInfo {
  state: "new" | "partly" | "complete" | "reviewed";
  project: string | null;
  is_open: boolean;
  num_frames: number;
  num_done: number;
  num_events: number;
  num_reviewed: number;
}
