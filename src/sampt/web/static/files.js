/** The dialog that opens a video or a project, and uploads. */

import { api } from "./api.js";
import { byId, bytesText, el, icon } from "./dom.js";
import { report, showError } from "./messages.js";
import { isTaken } from "./takeover.js";
import { isWanted, summaryText, withoutOwnProjects, workText } from "./worklist.js";

/** @import {FileEntry, OpenRequest} from "./schema.d.ts" */

/** @type {Record<FileEntry["kind"], [string, string]>} */
const KINDS = { folder: ["folder", "Folder"], video: ["film", "Video"], project: ["project", "Project"], frames: ["images", "Folder of frames"] };

/**
 * @param {import("./store.js").Store} store
 * @param {(state: import("./schema.d.ts").SessionResponse) => void} adopt shows another session
 */
export function mountFiles(store, adopt) {
  const dialog = byId("open-dialog");
  const picker = byId("upload-file");
  /** @type {Ways} */
  const ways = { dialog, store, adopt, entries: [], refused: null };
  byId("work-filter").addEventListener("change", () => showEntries(ways));
  byId("take-over-button").addEventListener("click", () => ways.refused && open({ ...ways.refused, take_over: true }, ways));
  byId("upload-button").addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => {
    if (picker.files[0]) sendFile(picker.files[0], ways);
    picker.value = "";
  });
  mountDrop(ways);
  store.watch(["about"], () => showLimits(store.get("about")));
  return (/** @type {unknown} */ error = null, /** @type {OpenRequest | null} */ wanted = null) => {
    if (!dialog.open) dialog.showModal();
    browse(store.get("about")?.start?.folder ?? "", ways);
    clearDialogError();
    if (error) showDialogError(error, wanted, ways);
  };
}

/**
 * @typedef {{
 *   dialog: any,
 *   store: import("./store.js").Store,
 *   adopt: (state: import("./schema.d.ts").SessionResponse) => void,
 *   entries: FileEntry[],
 *   refused: OpenRequest | null,
 * }} Ways `entries` of the folder that is shown; `refused`: what another browser has open
 */

/** @param {import("./schema.d.ts").AboutResponse | null} about */
function showLimits(about) {
  if (!about) return;
  byId("upload-file").accept = about.upload_types.join(",");
  byId("upload-limits").textContent = `${about.upload_types.join(", ")} · up to ${bytesText(about.limits.upload_bytes)}`;
}

/**
 * Show a folder; the roots for "".
 * @param {string} path
 * @param {Ways} ways
 */
async function browse(path, ways) {
  const list = byId("file-list");
  try {
    const response = await api.files(path);
    showCrumbs(response, ways);
    ways.entries = withoutOwnProjects(response.entries);
    showEntries(ways);
    list.scrollTop = 0;
    const first = list.querySelector("button");
    if (path && document.activeElement === document.body) first?.focus();
  } catch (error) {
    showDialogError(error);
  }
}

/** The entries of the folder that the filter lets through. @param {Ways} ways */
function showEntries(ways) {
  const summary = summaryText(ways.entries);
  byId("work-bar").hidden = !summary;
  byId("work-summary").textContent = summary;
  const wanted = summary ? byId("work-filter").value : "";
  const rows = ways.entries.filter((entry) => isWanted(entry, wanted)).map((entry) => createRow(entry, ways));
  const none = ways.entries.length ? "Nothing here is in that state." : "Nothing here that can be opened.";
  byId("file-list").replaceChildren(...(rows.length ? rows : [el("li", { className: "empty", textContent: none })]));
}

/**
 * @param {import("./schema.d.ts").FilesResponse} response
 * @param {Ways} ways
 */
function showCrumbs({ path }, ways) {
  const parts = path ? path.split("/") : [];
  const crumb = (/** @type {string} */ text, /** @type {string} */ target, /** @type {boolean} */ isLast) =>
    el("li", {}, el("button", { type: "button", className: "crumb", textContent: text, disabled: isLast, onclick: () => browse(target, ways) }));
  const all = parts.map((part, index) => crumb(part, parts.slice(0, index + 1).join("/"), index === parts.length - 1));
  byId("crumbs").replaceChildren(crumb("Files", "", parts.length === 0), ...all);
}

/**
 * @param {FileEntry} entry
 * @param {Ways} ways
 */
function createRow(entry, ways) {
  const [iconName, kind] = KINDS[entry.kind] ?? KINDS.folder;
  const run = () => (entry.kind === "folder" ? browse(entry.path, ways) : openEntry(entry, ways));
  const button = el("button", { type: "button", className: "file-row", onclick: run }, icon(iconName));
  button.append(el("span", { className: "file-name", textContent: entry.name }));
  if (entry.work) button.append(el("span", { className: `work-state ${entry.work.state}`, textContent: workText(entry.work) }));
  button.append(el("span", { className: "file-kind", textContent: entry.num_bytes === null ? kind : bytesText(entry.num_bytes) }));
  return el("li", {}, button);
}

/**
 * @param {FileEntry} entry
 * @param {Ways} ways
 */
function openEntry(entry, ways) {
  return open(entry.kind === "project" ? { project: entry.path } : videoRequest(entry.path), ways);
}

/**
 * A video as it is to be opened: a new project has the working size that is chosen.
 * @param {string} path
 * @returns {OpenRequest}
 */
function videoRequest(path) {
  const side = byId("working-size").value;
  return { video: path, ...(side ? { longest_side: Number(side) } : {}) };
}

/**
 * @param {OpenRequest} wanted
 * @param {Ways} ways
 */
async function open(wanted, ways) {
  clearDialogError();
  byId("opening").hidden = false;
  byId("file-list").inert = true;
  try {
    ways.adopt(await api.open(wanted));
    ways.dialog.close();
  } catch (error) {
    showDialogError(error, wanted, ways);
  } finally {
    byId("opening").hidden = true;
    byId("file-list").inert = false;
  }
}

function clearDialogError() {
  byId("open-error").hidden = true;
  byId("open-taken").hidden = true;
}

/**
 * In the dialog itself: what is behind it cannot be read. What another browser has open can be taken over.
 * @param {unknown} error
 * @param {OpenRequest | null} [wanted] what could not be opened
 * @param {Ways | null} [ways]
 */
function showDialogError(error, wanted = null, ways = null) {
  if (!byId("open-dialog").open) return report(error);
  byId("open-error").textContent = error instanceof Error ? error.message : String(error);
  byId("open-error").hidden = false;
  const isOffered = wanted !== null && isTaken(error);
  byId("open-taken").hidden = !isOffered;
  if (ways && isOffered) ways.refused = wanted;
}

/**
 * Why a file cannot be sent; null when it can.
 * @param {File} file
 * @param {import("./schema.d.ts").AboutResponse | null} about
 */
function refusal(file, about) {
  if (!about) return null;
  const suffix = file.name.slice(file.name.lastIndexOf(".")).toLowerCase();
  const types = about.upload_types;
  if (!types.includes(suffix)) return `${file.name} is not a video that can be uploaded; expected one of: ${types.join(", ")}.`;
  if (file.size > about.limits.upload_bytes) return `${file.name} has ${bytesText(file.size)}; the most is ${bytesText(about.limits.upload_bytes)}.`;
  return null;
}

/**
 * Upload a file and open it.
 * @param {File} file
 * @param {Ways} ways
 */
async function sendFile(file, ways) {
  const [bar, group, stop] = [byId("upload-bar"), byId("upload-progress"), byId("upload-cancel")];
  const reason = refusal(file, ways.store.get("about"));
  if (reason) return showDialogError(new Error(reason));
  const abort = new AbortController();
  stop.onclick = () => abort.abort();
  clearDialogError();
  byId("upload-name").textContent = file.name;
  bar.value = 0;
  group.hidden = false;
  try {
    const { path } = await api.upload(file, (fraction) => (bar.value = fraction), abort.signal);
    await open(videoRequest(path), ways);
  } catch (error) {
    if (!abort.signal.aborted) showDialogError(error);
  } finally {
    group.hidden = true;
  }
}

/** A video dropped anywhere on the page is uploaded. @param {Ways} ways */
function mountDrop(ways) {
  const hasFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  const mark = (/** @type {boolean} */ isOver) => document.body.classList.toggle("dropping", isOver);
  window.addEventListener("dragenter", (event) => hasFiles(event) && mark(++depth > 0));
  window.addEventListener("dragleave", (event) => hasFiles(event) && mark(--depth > 0));
  window.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  window.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    mark(false);
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    if (document.querySelector("dialog[open]:not(#open-dialog)")) return showError("Close the dialog first, then drop the video.");
    if (!ways.dialog.open) ways.dialog.showModal();
    browse("", ways);
    sendFile(file, ways);
  });
}
