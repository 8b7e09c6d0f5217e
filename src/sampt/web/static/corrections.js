/** Choices about the result on a frame: take a change that goes far, let only the clicks count, mark it good, say that the object is absent. */

import { byId, press } from "./dom.js";

/** @param {import("./app.js").App} app */
export function mountCorrections({ store, masks, commands }) {
  const showNotice = () => (byId("whole-notice").hidden = !commands.wholeChange);
  store.watch(["session", "selectedId", "shownFrame"], showNotice);
  masks.addEventListener("frame", showNotice);
  store.watch(["session", "selectedId", "shownFrame"], () => press(byId("reviewed-button"), commands.isReviewed));
  store.watch(["selectedId"], () => (byId("reviewed-button").disabled = store.get("selectedId") === null));
  store.watch(["session", "selectedId", "shownFrame"], () => press(byId("absent-button"), commands.isAbsent));
  store.watch(["selectedId"], () => (byId("absent-button").disabled = store.get("selectedId") === null));
  byId("absent-button").addEventListener("click", () => commands.toggleAbsent());
  byId("reviewed-button").addEventListener("click", () => commands.toggleReviewed());
  byId("whole-button").addEventListener("click", () => commands.takeWholeChange());
  byId("clicks-alone-button").addEventListener("click", () => commands.useClicksAlone());
}
