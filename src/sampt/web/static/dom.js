/** Small helpers for elements. */

/**
 * The element with an id that the page has for sure.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no element #${id}.`);
  return found;
}

/**
 * Make an element. Keys with a dash, and `role`, become attributes; others are properties.
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...(Node | string | null)} children
 * @returns {any}
 */
export function el(tag, props = {}, ...children) {
  const made = /** @type {any} */ (document.createElement(tag));
  for (const [key, value] of Object.entries(props)) {
    if (key.includes("-") || key === "role") made.setAttribute(key, String(value));
    else made[key] = value;
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/**
 * A drawing from the sheet of icons; it says nothing to screen readers.
 * @param {string} name
 */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/**
 * A button that shows an icon alone.
 * @param {string} name of the icon
 * @param {string} label
 * @param {(event: MouseEvent) => void} onclick
 * @param {Record<string, any>} [props]
 */
export function iconButton(name, label, onclick, props = {}) {
  return el("button", { type: "button", className: "icon-button", "aria-label": label, title: label, onclick, ...props }, icon(name));
}

/**
 * Show another icon in a button.
 * @param {HTMLElement} button
 * @param {string} name
 */
export function swapIcon(button, name) {
  button.querySelector("use")?.setAttribute("href", `/static/icons.svg#${name}`);
}

/**
 * @param {HTMLElement} button
 * @param {boolean} isOn
 */
export function press(button, isOn) {
  button.setAttribute("aria-pressed", String(isOn));
}

/**
 * Bytes for people.
 * @param {number} count
 */
export function bytesText(count) {
  if (count < 1000) return `${count} B`;
  const [unit, size] = count < 1e6 ? ["kB", 1e3] : count < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  return `${(count / Number(size)).toFixed(count / Number(size) < 10 ? 1 : 0)} ${unit}`;
}

/**
 * Seconds as m:ss.cc.
 * @param {number} seconds
 */
export function timeText(seconds) {
  const cents = Math.max(0, Math.round(seconds * 100));
  const rest = String(cents % 6000).padStart(4, "0");
  return `${Math.floor(cents / 6000)}:${rest.slice(0, 2)}.${rest.slice(2)}`;
}

/**
 * A duration in words, roughly.
 * @param {number} seconds
 */
export function durationText(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.round(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/**
 * Run at most once per `ms`, the last call always.
 * @param {number} ms
 * @param {() => void} run
 */
export function throttled(ms, run) {
  let timer = 0;
  let last = -Infinity;
  return () => {
    if (timer) return;
    const wait = Math.max(0, last + ms - performance.now());
    timer = window.setTimeout(() => {
      timer = 0;
      last = performance.now();
      run();
    }, wait);
  };
}
