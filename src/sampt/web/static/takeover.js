/** The project is open in another browser now: this page says so, and takes it over again. */

import { ApiError, api } from "./api.js";
import { byId } from "./dom.js";

/**
 * @param {import("./app.js").App} app
 * @param {(state: import("./schema.d.ts").SessionResponse) => void} adopt shows a session
 * @returns {() => void} what to call when another browser has it
 */
export function mountTakeOver({ store, events, player, dialogs }, adopt) {
  const dialog = byId("taken-dialog");
  const takeBack = async () => {
    const project = store.get("session")?.project;
    if (!project) return dialog.close();
    byId("taken-error").hidden = true;
    byId("taken-button").disabled = true;
    try {
      adopt(await api.open({ project, take_over: true }));
      dialog.close("taken");
    } catch (error) {
      byId("taken-error").textContent = error instanceof Error ? error.message : String(error);
      byId("taken-error").hidden = false;
    } finally {
      byId("taken-button").disabled = false;
    }
  };
  byId("taken-button").addEventListener("click", takeBack);
  // Nothing can be done with what is behind the dialog.
  dialog.addEventListener("close", () => dialog.returnValue === "taken" || dialogs.open());
  const show = () => {
    events.disconnect();
    player.stop();
    if (dialog.open) return;
    for (const other of document.querySelectorAll("dialog[open]")) /** @type {HTMLDialogElement} */ (other).close();
    byId("taken-error").hidden = true;
    dialog.returnValue = "";
    dialog.showModal();
  };
  events.addEventListener("taken", show);
  return show;
}

/** @param {unknown} error */
export function isTaken(error) {
  return error instanceof ApiError && error.canTakeOver;
}
