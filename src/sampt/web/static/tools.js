/** The tools beside the canvas, the view's switches above it, and the line that says where the pointer is. */

import { byId, press, swapIcon } from "./dom.js";

/** @type {[string, import("./types.js").Tool][]} */
const TOOLS = [
  ["tool-include", "include"],
  ["tool-exclude", "exclude"],
  ["tool-box", "box"],
  ["tool-brush", "brush"],
  ["tool-eraser", "eraser"],
  ["tool-polygon", "polygon"],
  ["tool-pan", "pan"],
];

/** @type {[string, import("./types.js").Switch][]} */
const SWITCHES = [
  ["contours-button", "contours"],
  ["double-button", "sideBySide"],
  ["points-button", "showPoints"],
  ["tracked-button", "showTracked"],
];

const ZOOM_STEP = 1.3;

/** @param {import("./app.js").App} app */
export function mountTools(app) {
  const { store, stage, commands } = app;
  for (const [id, tool] of TOOLS) {
    byId(id).addEventListener("click", () => store.set({ tool }));
    store.watch(["tool"], () => press(byId(id), store.get("tool") === tool));
  }
  for (const [id, key] of SWITCHES) {
    byId(id).addEventListener("click", () => store.set({ [key]: !store.get(key) }));
    store.watch([key], () => press(byId(id), store.get(key)));
  }
  const zoom = zoomActions(stage);
  byId("zoom-in").addEventListener("click", zoom.in);
  byId("zoom-out").addEventListener("click", zoom.out);
  byId("zoom-fit").addEventListener("click", zoom.fit);
  byId("zoom-one").addEventListener("click", zoom.one);
  byId("undo-button").addEventListener("click", () => commands.undo());
  byId("redo-button").addEventListener("click", () => commands.redo());
  byId("open-button").addEventListener("click", () => app.dialogs.open());
  byId("export-button").addEventListener("click", () => app.dialogs.export());
  byId("help-button").addEventListener("click", () => app.dialogs.help());
  byId("about-button").addEventListener("click", () => app.dialogs.about());
  mountOpacity(store);
  store.watch(["session"], () => showSession(store.get("session")));
  store.watch(["cursor", "scale", "session"], () => showCursor(store));
  store.watch(["session", "isBrowsing", "isOnline", "busy", "pending", "shapes"], () => showBadges(store));
  return zoom;
}

/** @param {import("./stage.js").Stage} stage */
function zoomActions(stage) {
  const { view } = stage;
  return {
    in: () => stage.changeView(() => view.zoomTo(view.scale * ZOOM_STEP)),
    out: () => stage.changeView(() => view.zoomTo(view.scale / ZOOM_STEP)),
    fit: () => stage.changeView(() => view.fit()),
    one: () => stage.changeView(() => view.zoomTo(1 / devicePixelRatio)),
  };
}

/** @param {import("./store.js").Store} store */
function mountOpacity(store) {
  const slider = byId("opacity");
  slider.addEventListener("input", () => store.set({ opacity: Number(slider.value) / 100 }));
  store.watch(["opacity"], () => {
    slider.value = String(Math.round(store.get("opacity") * 100));
    slider.setAttribute("aria-valuetext", `${slider.value} %`);
  });
}

/** @param {import("./schema.d.ts").SessionResponse | null} session */
function showSession(session) {
  const video = session?.video;
  byId("undo-button").disabled = !session?.can_undo;
  byId("redo-button").disabled = !session?.can_redo;
  byId("export-button").disabled = !session;
  byId("add-object-button").disabled = !session;
  byId("video-name").textContent = video?.name ?? "Open a video";
  byId("video-facts").textContent = video ? `${video.width} × ${video.height}${video.longest_side ? `, worked on at ${video.longest_side}` : ""} · ${Number(video.fps.toFixed(2))} fps` : "";
  document.title = video ? `${video.name} – sampt` : "sampt";
}

/** @param {import("./store.js").Store} store */
function showCursor(store) {
  const at = store.get("cursor");
  byId("cursor-text").textContent = at ? `${Math.round(at.x)}, ${Math.round(at.y)}` : "";
  byId("zoom-text").textContent = store.get("session") ? `${Math.round(store.get("scale") * devicePixelRatio * 100)} %` : "";
}

/** @param {import("./store.js").Store} store */
function showBadges(store) {
  const session = store.get("session");
  const isEmpty = Boolean(session && session.points.length + session.boxes.length + session.masks.length + session.absent.length === 0);
  byId("hint").hidden = !isEmpty;
  byId("empty-stage").hidden = Boolean(session);
  byId("looking").hidden = !store.get("isBrowsing");
  const waiting = store.get("pending").length + store.get("shapes").length;
  byId("offline").hidden = store.get("isOnline");
  byId("offline").textContent = `Connection lost, trying again …${waiting ? ` Clicks that wait: ${waiting}.` : ""}`;
  byId("stage").dataset.busy = String(store.get("busy") > 0 || store.get("isBrowsing"));
}

/** @param {import("./store.js").Store} store */
export function mountTheme(store) {
  const button = byId("theme-button");
  const system = matchMedia("(prefers-color-scheme: light)");
  const apply = (/** @type {string} */ theme) => {
    document.documentElement.dataset.theme = theme;
    swapIcon(button, theme === "dark" ? "sun" : "moon");
    button.setAttribute("aria-label", theme === "dark" ? "Use light colours" : "Use dark colours");
    button.title = button.getAttribute("aria-label") ?? "";
    store.set({ theme });
  };
  apply(document.documentElement.dataset.theme ?? "dark");
  button.addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("sampt.theme", theme);
    } catch {
      // The choice holds until the page is left.
    }
    apply(theme);
  });
  system.addEventListener("change", () => !localStorage.getItem("sampt.theme") && apply(system.matches ? "light" : "dark"));
}
