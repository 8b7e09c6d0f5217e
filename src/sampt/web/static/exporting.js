/** The dialog that exports: what, which frames, which objects; what there is of them; progress; the download. */

import { api } from "./api.js";
import { byId, bytesText, el } from "./dom.js";

const POLL_MS = 250;

/** @import {CoverageResponse, ExportResponse} from "./schema.d.ts" */

/**
 * @param {import("./store.js").Store} store
 * @param {import("./commands.js").Commands} commands
 */
export function mountExport(store, commands) {
  const dialog = byId("export-dialog");
  const form = byId("export-form");
  /** @type {ExportResponse | null} */
  let running = null;
  const stop = async () => {
    const job = running;
    running = null;
    if (job) await api.removeExport(job.export_id).catch(() => {});
    showProgress(null);
  };
  const start = async (/** @type {boolean} */ isSure) => {
    showResult("", null);
    showCoverage(null);
    try {
      const { format, images, range, ids } = readChoices(form, store);
      await commands.settled; // a class that has just been typed
      const coverage = isSure ? null : await api.exportCoverage(range, ids);
      if (coverage && !coverage.is_complete) return showCoverage(coverage);
      running = await api.startExport(format, images, range, ids, readClasses());
      showProgress(running);
      while (running && !running.is_done) {
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        if (running) running = await api.exportJob(running.export_id);
        if (running) showProgress(running);
      }
      if (running) finish(running);
    } catch (error) {
      showResult(error instanceof Error ? error.message : String(error), null);
    } finally {
      running = null;
      showProgress(null);
    }
  };
  store.watch(["about"], () => fillFormats(store.get("about")));
  form.addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    start(false);
  });
  form.addEventListener("change", () => {
    showCoverage(null);
    const format = String(new FormData(form).get("format"));
    byId("export-images").disabled = !store.get("about")?.exporters.find((item) => item.name === format)?.takes_images;
  });
  byId("export-anyway").addEventListener("click", () => start(true));
  byId("export-propagate").addEventListener("click", () => {
    const { range, ids } = readChoices(form, store);
    dialog.close();
    commands.propagateFrames(range, ids);
  });
  byId("export-cancel").addEventListener("click", stop);
  dialog.addEventListener("close", stop);
  return () => {
    const session = store.get("session");
    if (!session || dialog.open) return;
    showChoices(store, session, (id, name) => name && commands.updateObject(id, { name }));
    form.dispatchEvent(new Event("change"));
    showResult("", null);
    showProgress(null);
    dialog.showModal();
  };
}

/** @param {import("./schema.d.ts").AboutResponse | null} about */
function fillFormats(about) {
  if (!about) return;
  const rows = about.exporters.map(({ name, suffix, title }, index) => {
    const radio = el("input", { type: "radio", name: "format", value: name, checked: index === 0, autofocus: index === 0, required: true });
    const texts = [["format-title", title], ["suffix", suffix]].map(([className, textContent]) => el("span", { className, textContent }));
    return el("label", { className: "format" }, radio, ...texts);
  });
  byId("format-list").replaceChildren(...rows);
}

/**
 * @param {import("./store.js").Store} store
 * @param {import("./schema.d.ts").SessionResponse} session
 * @param {(id: number, name: string) => void} rename an object's name is its class
 */
function showChoices(store, { video, objects }, rename) {
  const range = store.get("range");
  const group = byId("export-range");
  group.replaceChildren(
    new Option(`Whole video (${video.num_frames} frames)`, "all"),
    ...(range ? [new Option(`Range ${range.start} – ${range.stop - 1}`, "range", true, true)] : []),
    new Option(`This frame (${store.get("frame")})`, "frame"),
  );
  const boxes = objects.map((object) => {
    const box = el("input", { type: "checkbox", name: "object", value: String(object.object_id), checked: true });
    box.setAttribute("aria-label", `Export ${object.name}`);
    const swatch = el("span", { className: "dot" });
    swatch.style.background = object.color;
    const label = `Class of object ${object.object_id}`;
    const field = el("input", { type: "text", className: "class-field", value: object.name, maxLength: 100, "aria-label": label });
    field.addEventListener("change", () => rename(object.object_id, field.value.trim()));
    return el("span", { className: "check" }, box, swatch, field);
  });
  byId("export-objects").replaceChildren(...(boxes.length ? boxes : [el("span", { className: "muted", textContent: "There are no objects yet." })]));
}

/** @param {CoverageResponse | null} coverage of what would be exported; null: nothing to say of it */
function showCoverage(coverage) {
  byId("export-coverage").hidden = !coverage;
  if (!coverage) return;
  const parts = [
    `${coverage.with_masks} of ${coverage.num_frames} frames have masks that are up to date`,
    ...(coverage.out_of_date ? [`${coverage.out_of_date} ${coverage.out_of_date === 1 ? "is" : "are"} out of date`] : []),
    ...(coverage.missing ? [`${coverage.missing} ${coverage.missing === 1 ? "is" : "are"} not propagated`] : []),
  ];
  byId("export-coverage-text").textContent = `${parts.join(", ")}.`;
  byId("export-propagate").focus();
}

/**
 * @param {HTMLFormElement} form
 * @param {import("./store.js").Store} store
 * @returns {{format: string, images: "png" | "jpg" | null, range: import("./types.js").FrameRange | null, ids: number[] | null}}
 */
function readChoices(form, store) {
  const data = new FormData(form);
  const ids = data.getAll("object").map(Number);
  if (ids.length === 0) throw new Error("No object is chosen; tick at least one.");
  const frame = store.get("frame");
  /** @type {Record<string, import("./types.js").FrameRange | null>} */
  const ranges = { all: null, range: store.get("range"), frame: { start: frame, stop: frame + 1 } };
  const isAll = ids.length === store.get("session")?.objects.length;
  const { disabled, value } = byId("export-images");
  const images = !disabled && (value === "png" || value === "jpg") ? value : null;
  return { format: String(data.get("format")), images, range: ranges[byId("export-range").value], ids: isAll ? null : ids };
}

/** All classes in order; none where the names of the objects say it. */
function readClasses() {
  const names = byId("export-classes").value.split(",").map((/** @type {string} */ name) => name.trim()).filter(Boolean);
  return names.length ? names : null;
}

/** @param {ExportResponse} job */
function finish(job) {
  if (job.error) return showResult(job.error, null);
  showResult(`Exported. If no download has begun:`, job);
  byId("export-link").click();
}

/** @param {ExportResponse | null} job */
function showProgress(job) {
  byId("export-progress").hidden = !job;
  byId("export-start").disabled = Boolean(job);
  if (!job) return;
  const bar = byId("export-bar");
  bar.max = Math.max(1, job.total);
  bar.value = job.done;
  byId("export-progress-text").textContent = job.total ? `${job.done} of ${job.total} frames` : "Starting …";
}

/**
 * @param {string} text
 * @param {ExportResponse | null} job
 */
function showResult(text, job) {
  const link = byId("export-link");
  byId("export-result").hidden = !text;
  byId("export-result").classList.toggle("error", Boolean(text && !job));
  byId("export-text").textContent = text;
  link.hidden = !job;
  if (!job) return;
  link.href = api.exportUrl(job.export_id);
  link.download = job.file_name ?? "";
  link.textContent = `${job.file_name} (${bytesText(job.num_bytes ?? 0)})`;
}
