/** One line at a time for people: errors stay until dismissed, notes go by themselves. */

import { byId, el, icon, iconButton } from "./dom.js";

const NOTE_MS = 4000;
const MAX_SHOWN = 3;

/**
 * @param {string} text
 * @param {string} [topic] what it is about: `clearErrors` takes it away when that works again
 */
export function showError(text, topic = "") {
  show(text, "error", "alert").dataset.topic = topic;
}

/** What the errors about a topic say is not so any more. @param {string} topic */
export function clearErrors(topic) {
  for (const item of byId("messages").querySelectorAll(`.message.error[data-topic="${topic}"]`)) item.remove();
}

/** @param {string} text */
export function showNote(text) {
  const item = show(text, "note", "status");
  window.setTimeout(() => item?.remove(), NOTE_MS);
}

/**
 * What went wrong; requests that were given up are nobody's business.
 * @param {unknown} error
 * @param {string} [topic]
 */
export function report(error, topic = "") {
  if (error instanceof DOMException && error.name === "AbortError") return;
  showError(error instanceof Error ? error.message : String(error), topic);
}

/** Take away the newest error; tells whether there was one. */
export function dismissError() {
  const errors = byId("messages").querySelectorAll(".message.error");
  errors[errors.length - 1]?.remove();
  return errors.length > 0;
}

/**
 * @param {string} text
 * @param {"error" | "note"} kind
 * @param {"alert" | "status"} role
 */
function show(text, kind, role) {
  const region = byId("messages");
  const same = [...region.children].find((item) => item.querySelector(".text")?.textContent === text);
  same?.remove();
  const item = el("div", { className: `message ${kind}`, role }, icon(kind === "error" ? "alert" : "check"));
  item.append(el("span", { className: "text", textContent: text }));
  item.append(iconButton("close", "Dismiss", () => item.remove()));
  region.append(item);
  while (region.children.length > MAX_SHOWN) region.firstElementChild?.remove();
  if (region.matches(":popover-open")) region.hidePopover();
  region.showPopover(); // above dialogs, too
  return item;
}
