/** The server's interface, version 1: one method a request. Every failure is an ApiError of one readable line. */

/**
 * @import {AboutResponse, BoxUpdate, Box, CoverageResponse, ExportCreate, ExportResponse, FilesResponse, FrameMasksResponse, ObjectCreate} from "./schema.d.ts"
 * @import {ObjectCreateResponse, ObjectUpdate, OpenRequest, PointCreate, PointCreateResponse, PointUpdate} from "./schema.d.ts"
 * @import {PolygonCreate, PropagationCreate, PropagationResponse, SearchCreate, SearchResponse, SessionResponse, StrokeCreate, TimelinesResponse} from "./schema.d.ts"
 * @import {UploadResponse} from "./schema.d.ts"
 * @import {FrameRange} from "./types.js"
 */

const BASE = "/api/v1";

/** What went wrong, in one line; `status` is 0 when the server was not reached. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status
   * @param {boolean} [canTakeOver] the project is open in another browser, and may be taken over
   */
  constructor(message, status, canTakeOver = false) {
    super(message);
    this.status = status;
    this.canTakeOver = canTakeOver;
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body] sent as JSON, or as it is when a Blob
 * @param {AbortSignal} [signal]
 * @returns {Promise<Response>}
 */
async function send(method, path, body, signal) {
  const isRaw = body instanceof Blob;
  /** @type {RequestInit} */
  const init = { method, signal, credentials: "same-origin" };
  if (body !== undefined) {
    init.body = isRaw ? body : JSON.stringify(body);
    init.headers = { "Content-Type": isRaw ? body.type || "application/octet-stream" : "application/json" };
  }
  let response;
  try {
    response = await fetch(BASE + path, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError("The server does not respond. Is sampt still running?", 0);
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

/** @param {Response} response */
async function errorOf(response) {
  try {
    const { error, can_take_over: canTakeOver } = await response.json();
    if (typeof error === "string") return new ApiError(error, response.status, canTakeOver === true);
  } catch {
    // Not a response of sampt itself.
  }
  return new ApiError(`The server responded with ${response.status} ${response.statusText}.`, response.status);
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {AbortSignal} [signal]
 */
async function json(method, path, body, signal) {
  const response = await send(method, path, body, signal);
  return response.status === 204 ? null : response.json();
}

/**
 * Frames and objects of a request; all where there is null.
 * @param {FrameRange | null} range
 * @param {number[] | null} objectIds
 * @returns {PropagationCreate}
 */
function rangeBody(range, objectIds) {
  return { ...range, ...(objectIds ? { object_ids: objectIds } : {}) };
}

export const api = {
  /** @returns {Promise<AboutResponse>} */
  about: () => json("GET", "/about"),
  /**
   * @param {string} path
   * @returns {Promise<FilesResponse>}
   */
  files: (path) => json("GET", `/files?path=${encodeURIComponent(path)}`),

  /** @returns {Promise<SessionResponse>} */
  session: () => json("GET", "/session"),
  /**
   * @param {OpenRequest} what
   * @returns {Promise<SessionResponse>}
   */
  open: (what) => json("POST", "/session", what),

  /**
   * @param {number} frame
   * @param {number | null} width
   * @param {string} videoKey tells videos apart in the browser's cache
   */
  frameUrl: (frame, width, videoKey) =>
    `${BASE}/session/frames/${frame}?${new URLSearchParams({ ...(width ? { width: String(width) } : {}), v: videoKey })}`,
  /**
   * @param {number} frame
   * @param {boolean} preview
   * @param {AbortSignal} [signal]
   * @returns {Promise<FrameMasksResponse>}
   */
  masks: (frame, preview, signal) => json("GET", `/session/frames/${frame}/masks?preview=${preview}`, undefined, signal),
  /** @returns {Promise<TimelinesResponse>} */
  timelines: () => json("GET", "/session/timelines"),

  /**
   * @param {ObjectCreate} values
   * @returns {Promise<ObjectCreateResponse>}
   */
  addObject: (values = {}) => json("POST", "/session/objects", values),
  /**
   * @param {number} id
   * @param {ObjectUpdate} values
   * @returns {Promise<SessionResponse>}
   */
  updateObject: (id, values) => json("PATCH", `/session/objects/${id}`, values),
  /**
   * @param {number} id
   * @returns {Promise<SessionResponse>}
   */
  removeObject: (id) => json("DELETE", `/session/objects/${id}`),

  /**
   * @param {PointCreate} point
   * @returns {Promise<PointCreateResponse>}
   */
  addPoint: (point) => json("POST", "/session/points", point),
  /**
   * @param {number} id
   * @param {PointUpdate} xy
   * @returns {Promise<SessionResponse>}
   */
  movePoint: (id, xy) => json("PATCH", `/session/points/${id}`, xy),
  /**
   * @param {number} id
   * @returns {Promise<SessionResponse>}
   */
  deletePoint: (id) => json("DELETE", `/session/points/${id}`),

  /**
   * @param {Box} box
   * @returns {Promise<SessionResponse>}
   */
  setBox: ({ object_id, frame, x0, y0, x1, y1 }) =>
    json("PUT", `/session/objects/${object_id}/frames/${frame}/box`, /** @satisfies {BoxUpdate} */ ({ x0, y0, x1, y1 })),
  /**
   * @param {number} id
   * @param {number} frame
   * @returns {Promise<SessionResponse>}
   */
  deleteBox: (id, frame) => json("DELETE", `/session/objects/${id}/frames/${frame}/box`),
  /**
   * @param {number} id
   * @param {number} frame
   * @param {Blob} png
   * @returns {Promise<SessionResponse>}
   */
  setMask: (id, frame, png) => json("PUT", `/session/objects/${id}/frames/${frame}/mask`, png),
  /**
   * @param {number} id
   * @param {number} frame
   * @returns {Promise<SessionResponse>}
   */
  deleteMask: (id, frame) => json("DELETE", `/session/objects/${id}/frames/${frame}/mask`),

  /**
   * @param {number} id
   * @param {number} frame
   * @returns {Promise<SessionResponse>}
   */
  takeWholeChange: (id, frame) => json("POST", `/session/objects/${id}/frames/${frame}/whole-change`),
  /**
   * @param {number} id
   * @param {number} frame
   * @returns {Promise<SessionResponse>}
   */
  useClicksAlone: (id, frame) => json("POST", `/session/objects/${id}/frames/${frame}/clicks-alone`),
  /**
   * @param {number} id
   * @param {number} frame
   * @param {boolean} isGood
   * @returns {Promise<SessionResponse>}
   */
  setReviewed: (id, frame, isGood) => json(isGood ? "PUT" : "DELETE", `/session/objects/${id}/frames/${frame}/reviewed`),

  /**
   * @param {number} id
   * @param {number} frame
   * @param {StrokeCreate} stroke
   * @returns {Promise<SessionResponse>}
   */
  paint: (id, frame, stroke) => json("POST", `/session/objects/${id}/frames/${frame}/strokes`, stroke),
  /**
   * @param {number} id
   * @param {number} frame
   * @param {PolygonCreate} polygon
   * @returns {Promise<SessionResponse>}
   */
  fillPolygon: (id, frame, polygon) => json("POST", `/session/objects/${id}/frames/${frame}/polygons`, polygon),
  /**
   * @param {number} id
   * @param {number} frame
   * @param {boolean} isAbsent
   * @returns {Promise<SessionResponse>}
   */
  setAbsent: (id, frame, isAbsent) => json(isAbsent ? "PUT" : "DELETE", `/session/objects/${id}/frames/${frame}/absent`),

  /**
   * @param {number} frame
   * @param {SearchCreate} how
   * @returns {Promise<SearchResponse>}
   */
  findSuggestions: (frame, how) => json("POST", `/session/frames/${frame}/suggestions`, how),
  /** @returns {Promise<SearchResponse | null>} */
  suggestions: () => json("GET", "/session/suggestions"),
  /** @returns {Promise<SearchResponse | null>} */
  dropSuggestions: () => json("DELETE", "/session/suggestions"),
  /**
   * @param {number} id
   * @returns {Promise<ObjectCreateResponse>}
   */
  acceptSuggestion: (id) => json("POST", `/session/suggestions/${id}/accept`),

  /** @returns {Promise<SessionResponse>} */
  undo: () => json("POST", "/session/undo"),
  /** @returns {Promise<SessionResponse>} */
  redo: () => json("POST", "/session/redo"),

  /**
   * @param {FrameRange | null} range
   * @param {number[] | null} objectIds
   * @returns {Promise<PropagationResponse>}
   */
  propagate: (range, objectIds) => json("POST", "/session/propagations", rangeBody(range, objectIds)),
  /** @returns {Promise<PropagationResponse | null>} */
  cancelPropagation: () => json("DELETE", "/session/propagations"),

  /**
   * @param {FrameRange | null} range
   * @param {number[] | null} objectIds
   * @returns {Promise<CoverageResponse>}
   */
  exportCoverage: (range, objectIds) => json("POST", "/session/exports/coverage", rangeBody(range, objectIds)),
  /**
   * @param {string} format
   * @param {"png" | "jpg" | null} images
   * @param {FrameRange | null} range
   * @param {number[] | null} objectIds
   * @param {string[] | null} classes
   * @returns {Promise<ExportResponse>}
   */
  startExport: (format, images, range, objectIds, classes) =>
    json("POST", "/session/exports", /** @satisfies {ExportCreate} */ ({ format, images, classes, ...rangeBody(range, objectIds) })),
  /**
   * @param {number} id
   * @returns {Promise<ExportResponse>}
   */
  exportJob: (id) => json("GET", `/session/exports/${id}`),
  /**
   * @param {number} id
   * @returns {Promise<null>}
   */
  removeExport: (id) => json("DELETE", `/session/exports/${id}`),
  /** @param {number} id */
  exportUrl: (id) => `${BASE}/session/exports/${id}/file`,

  upload,
};

/**
 * Send a video file, with progress (which fetch cannot tell).
 * @param {File} file
 * @param {(fraction: number) => void} onProgress
 * @param {AbortSignal} signal
 * @returns {Promise<UploadResponse>}
 */
function upload(file, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `${BASE}/uploads/${encodeURIComponent(file.name)}`);
    request.responseType = "json";
    request.upload.onprogress = (event) => onProgress(event.lengthComputable ? event.loaded / event.total : 0);
    request.onerror = () => reject(new ApiError("The upload was cut off. Is sampt still running?", 0));
    request.onabort = () => reject(new DOMException("The upload was cancelled.", "AbortError"));
    request.onload = () => {
      if (request.status < 300) resolve(request.response);
      else reject(new ApiError(request.response?.error ?? `The server responded with ${request.status}.`, request.status));
    };
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}
