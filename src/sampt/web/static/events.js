/** The WebSocket: news from the server, and previews requested over it. It connects again by itself. */

/** @import {FrameMasksResponse, PreviewEvent, SessionEvent, SessionMessage} from "./schema.d.ts" */

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;
const PREVIEW_TIMEOUT_MS = 60000;

/** Emits an event of each message's type, with the message as `detail`; and "online" and "offline". */
export class Events extends EventTarget {
  /** @type {WebSocket | null} */
  #socket = null;
  #isWanted = false;
  #wait = FIRST_WAIT_MS;
  #timer = 0;
  #lastRequest = 0;
  /** @type {Map<number, {resolve: (value: FrameMasksResponse) => void, reject: (error: Error) => void, timer: number}>} */
  #pending = new Map();

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connect, anew when connected already: the server's session may be another one. */
  connect() {
    this.#isWanted = true;
    this.#drop();
    clearTimeout(this.#timer);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/api/v1/session/events`);
    this.#socket = socket;
    socket.onopen = () => {
      this.#wait = FIRST_WAIT_MS;
      this.#emit("online", {});
    };
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = () => socket === this.#socket && this.#lost();
  }

  /** Stay away until connect() is called. */
  disconnect() {
    this.#isWanted = false;
    clearTimeout(this.#timer);
    this.#drop();
  }

  /**
   * Send a message; nothing happens while not connected.
   * @param {SessionMessage} message
   */
  send(message) {
    if (this.isOpen) this.#socket?.send(JSON.stringify(message));
  }

  /**
   * The masks that the inputs on a frame mean.
   * @param {number} frame
   * @returns {Promise<FrameMasksResponse>}
   */
  preview(frame) {
    const request = ++this.#lastRequest;
    return new Promise((resolve, reject) => {
      const timer = window.setTimeout(() => this.#fail(request, "The preview took too long."), PREVIEW_TIMEOUT_MS);
      this.#pending.set(request, { resolve, reject, timer });
      this.send({ type: "preview", request, frame });
    });
  }

  /** @param {string} data */
  #receive(data) {
    const message = /** @type {SessionEvent} */ (JSON.parse(data));
    if (message.type === "preview") this.#settle(message);
    else if (message.type === "error" && message.request !== null) this.#fail(message.request, message.message);
    else this.#emit(message.type, message);
  }

  /** @param {PreviewEvent} message */
  #settle(message) {
    const pending = this.#pending.get(message.request);
    this.#pending.delete(message.request);
    clearTimeout(pending?.timer);
    pending?.resolve(message);
  }

  /**
   * @param {number} request
   * @param {string} text
   */
  #fail(request, text) {
    const pending = this.#pending.get(request);
    this.#pending.delete(request);
    clearTimeout(pending?.timer);
    pending?.reject(new Error(text));
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    for (const request of [...this.#pending.keys()]) this.#fail(request, "The connection to the server was lost.");
  }

  #lost() {
    this.#drop();
    this.#emit("offline", {});
    if (!this.#isWanted) return;
    this.#timer = window.setTimeout(() => this.connect(), this.#wait);
    this.#wait = Math.min(LONGEST_WAIT_MS, this.#wait * 2);
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
