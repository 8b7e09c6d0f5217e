// Runs before the first paint, so that the page never flashes in the wrong colours.
(() => {
  let saved = null;
  try {
    saved = localStorage.getItem("sampt.theme");
  } catch {
    // Storage may be forbidden; the system's choice is used then.
  }
  const isLight = saved ? saved === "light" : matchMedia("(prefers-color-scheme: light)").matches;
  document.documentElement.dataset.theme = isLight ? "light" : "dark";
})();
