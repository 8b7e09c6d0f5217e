/** What this is: versions, backends and licences; and the dialogs' common behaviour. */

import { byId, el } from "./dom.js";

/** @param {import("./store.js").Store} store */
export function mountAbout(store) {
  store.watch(["about"], () => fill(store.get("about")));
  return () => byId("about-dialog").open || byId("about-dialog").showModal();
}

/** @param {import("./schema.d.ts").AboutResponse | null} about */
function fill(about) {
  if (!about) return;
  byId("version").textContent = about.version;
  byId("backends").textContent = `Points are tracked by ${about.tracker}; masks come from ${about.segmenter}.`;
  const rows = about.licenses.map(({ name, role, code, weights }) => {
    const heading = el("th", { scope: "row", textContent: name });
    return el("tr", {}, heading, ...[role, code, weights].map((text) => el("td", { textContent: text })));
  });
  byId("license-rows").replaceChildren(...rows);
}

/** Every dialog closes by its buttons and by a click beside it. */
export function mountDialogs() {
  for (const dialog of /** @type {NodeListOf<HTMLDialogElement>} */ (document.querySelectorAll("dialog"))) {
    let isOutside = false;
    dialog.addEventListener("pointerdown", (event) => (isOutside = event.target === dialog));
    dialog.addEventListener("click", (event) => event.target === dialog && isOutside && dialog.close());
    dialog.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault(); // the browser would close it a moment later, and keys pressed meanwhile would be lost
      event.stopPropagation();
      dialog.close();
    });
    for (const button of dialog.querySelectorAll("[data-close]")) button.addEventListener("click", () => dialog.close());
  }
}
