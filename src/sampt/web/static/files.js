/** The dialog that opens a video or a project, and uploads. */

import { api } from "./api.js";
import { byId, bytesText, el, icon } from "./dom.js";
import { report, showError } from "./messages.js";

/** @import {FileEntry} from "./schema.d.ts" */

/** @type {Record<FileEntry["kind"], [string, string]>} */
const KINDS = { folder: ["folder", "Folder"], video: ["film", "Video"], project: ["project", "Project"], frames: ["images", "Folder of frames"] };

/**
 * @param {import("./store.js").Store} store
 * @param {(state: import("./schema.d.ts").SessionResponse) => void} adopt shows another session
 */
export function mountFiles(store, adopt) {
  const dialog = byId("open-dialog");
  const picker = byId("upload-file");
  const ways = { dialog, store, adopt };
  byId("upload-button").addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => {
    if (picker.files[0]) sendFile(picker.files[0], ways);
    picker.value = "";
  });
  mountDrop(ways);
  store.watch(["about"], () => showLimits(store.get("about")));
  return (/** @type {unknown} */ error = null) => {
    if (!dialog.open) dialog.showModal();
    browse("", ways);
    byId("open-error").hidden = true;
    if (error) showDialogError(error);
  };
}

/** @typedef {{dialog: any, store: import("./store.js").Store, adopt: (state: import("./schema.d.ts").SessionResponse) => void}} Ways */

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
    const rows = response.entries.map((entry) => createRow(entry, ways));
    list.replaceChildren(...(rows.length ? rows : [el("li", { className: "empty", textContent: "Nothing here that can be opened." })]));
    list.scrollTop = 0;
    const first = list.querySelector("button");
    if (path && document.activeElement === document.body) first?.focus();
  } catch (error) {
    showDialogError(error);
  }
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
  button.append(el("span", { className: "file-kind", textContent: entry.num_bytes === null ? kind : bytesText(entry.num_bytes) }));
  return el("li", {}, button);
}

/**
 * @param {FileEntry} entry
 * @param {Ways} ways
 */
async function openEntry(entry, { dialog, adopt }) {
  byId("open-error").hidden = true;
  byId("opening").hidden = false;
  byId("file-list").inert = true;
  try {
    adopt(await api.open(entry.kind === "project" ? { project: entry.path } : { video: entry.path }));
    dialog.close();
  } catch (error) {
    showDialogError(error);
  } finally {
    byId("opening").hidden = true;
    byId("file-list").inert = false;
  }
}

/** In the dialog itself: what is behind it cannot be read. @param {unknown} error */
function showDialogError(error) {
  if (!byId("open-dialog").open) return report(error);
  byId("open-error").textContent = error instanceof Error ? error.message : String(error);
  byId("open-error").hidden = false;
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
  byId("open-error").hidden = true;
  byId("upload-name").textContent = file.name;
  bar.value = 0;
  group.hidden = false;
  try {
    const { path } = await api.upload(file, (fraction) => (bar.value = fraction), abort.signal);
    await openEntry({ name: file.name, path, kind: "video", num_bytes: file.size }, ways);
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
