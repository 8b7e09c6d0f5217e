/** A folder as a list of work: which of its videos are new, partly done, complete, reviewed. */

/** @import {FileEntry, WorkInfo} from "./schema.d.ts" */

/** @type {Record<WorkInfo["state"], string>} */
const STATES = { new: "new", partly: "partly done", complete: "complete", reviewed: "reviewed" };

/**
 * What can be opened, each once: a project whose video is in the folder, too, is opened by that.
 * @param {FileEntry[]} entries
 */
export function withoutOwnProjects(entries) {
  const owned = new Set(entries.filter((entry) => entry.kind !== "project").map((entry) => entry.work?.project));
  return entries.filter((entry) => entry.kind !== "project" || !owned.has(entry.path));
}

/**
 * The state of one in words, with how far it is.
 * @param {WorkInfo} work
 */
export function workText(work) {
  const parts = [STATES[work.state]];
  if (work.state === "partly" && work.num_frames) parts.push(`${work.num_done} of ${work.num_frames} frames`);
  if (work.state === "complete") parts.push(work.num_events ? `${work.num_reviewed} of ${work.num_events} reviewed` : "nothing to review");
  if (work.is_open) parts.push("open now");
  return parts.join(" · ");
}

/**
 * How many there are of each state; "" for a folder without any.
 * @param {FileEntry[]} entries
 */
export function summaryText(entries) {
  const states = entries.flatMap((entry) => (entry.work ? [entry.work.state] : []));
  const counts = Object.entries(STATES).map(([state, text]) => /** @type {[number, string]} */ ([states.filter((one) => one === state).length, text]));
  return counts.filter(([count]) => count).map(([count, text]) => `${count} ${text}`).join(" · ");
}

/**
 * Whether an entry is shown: folders always are.
 * @param {FileEntry} entry
 * @param {string} wanted a state, "open" for all that is not reviewed, "" for all
 */
export function isWanted({ work }, wanted) {
  return !work || !wanted || (wanted === "open" ? work.state !== "reviewed" : work.state === wanted);
}
