/** Keeps the page in step with the server: states, timelines, results of a propagation while it runs. */

import { ApiError, api } from "./api.js";
import { throttled } from "./dom.js";
import { report, showError, showNote } from "./messages.js";
import { readTimelines } from "./object-timeline.js";

const STATE_MS = 120;
const STATE_RUNNING_MS = 1500;
const TIMELINES_MS = 400;
const TIMELINES_RUNNING_MS = 2000;
const GO_ON_MS = 160;
const POLL_MS = 700;

/** @import {SessionEvent, SessionResponse} from "./schema.d.ts" */

export class Updates {
  #refetch = throttled(STATE_MS, () => this.#fetchState().catch(report));
  #refetchSlowly = throttled(STATE_RUNNING_MS, () => this.#fetchState().catch(report));
  #refetchTimelines = throttled(TIMELINES_MS, () => this.#fetchTimelines().catch(report));
  #refetchTimelinesSlowly = throttled(TIMELINES_RUNNING_MS, () => this.#fetchTimelines().catch(report));
  #goOn = throttled(GO_ON_MS, () => this.#goToNewest());
  #redrawTimelines = throttled(100, () => this.store.set({ timelines: new Map(this.store.get("timelines")) }));
  #isForced = false;
  #isTracking = false;
  #isExpecting = false;
  #newest = -1;
  #origin = 0;
  #poll = 0;
  /** When what the last edit changed is shown. */
  shown = Promise.resolve();

  /**
   * @param {import("./store.js").Store} store
   * @param {import("./events.js").Events} events
   * @param {import("./masks.js").Masks} masks
   * @param {import("./navigator.js").Navigator} navigator
   */
  constructor(store, events, masks, navigator) {
    this.store = store;
    this.events = events;
    this.masks = masks;
    this.navigator = navigator;
    this.#listen();
  }

  #listen() {
    this.events.addEventListener("online", () => this.store.set({ isOnline: true }));
    this.events.addEventListener("offline", () => this.store.set({ isOnline: false }));
    this.#on("hello", (message) => this.#greeted(message));
    this.#on("changed", (message) => this.#changed(message));
    this.#on("frame", (message) => this.#computed(message));
    this.#on("progress", (message) => this.progressed(message));
    this.#on("error", (message) => showError(message.message));
  }

  /**
   * @template {SessionEvent["type"]} Type
   * @param {Type} type
   * @param {(message: Extract<SessionEvent, {type: Type}>) => void} run
   */
  #on(type, run) {
    this.events.addEventListener(type, (event) => run(/** @type {CustomEvent} */ (event).detail));
  }

  /** @param {import("./schema.d.ts").HelloEvent} message */
  #greeted({ revision }) {
    this.events.send({ type: "watch", frame: this.store.get("frame") });
    if (revision === this.store.get("session")?.revision) return;
    this.#isForced = true; // the server may have started anew and count from the beginning
    this.#refetch();
  }

  /** When what all edits so far changed is shown: masks that a newer edit has made old are not waited for alone. */
  async settledShown() {
    for (let last = null; last !== this.shown; ) {
      last = this.shown;
      await last;
    }
  }

  /** @param {import("./schema.d.ts").ChangedEvent} message */
  #changed({ revision }) {
    if (revision === this.store.get("session")?.revision) return;
    if (this.store.get("progress")?.is_running) this.#refetchSlowly(); // its results come by themselves
    else this.#refetch();
  }

  async #fetchState() {
    try {
      this.accept(await api.session());
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 0)) throw error; // the connection's state is shown already
    }
  }

  async #fetchTimelines() {
    if (this.store.get("session")) this.store.set({ timelines: readTimelines(await api.timelines()) });
  }

  /**
   * Take a state that the server sent, unless a newer one is here.
   * @param {SessionResponse} state
   */
  accept(state) {
    const before = this.store.get("session");
    const isSame = before?.project === state.project && !this.#isForced;
    if (before && isSame && state.revision < before.revision) return;
    this.#isForced = false;
    const hasNewInputs = !before || inputsText(before) !== inputsText(state);
    const selectedId = this.#selectionIn(state, before);
    this.store.set({ session: state, selectedId, hover: null });
    if (state.propagation) this.progressed(state.propagation);
    if (!hasNewInputs) {
      if (JSON.stringify(before.reviewed) !== JSON.stringify(state.reviewed)) this.#refetchTimelines();
      return;
    }
    this.masks.invalidate();
    if (!this.store.get("isPlaying")) this.shown = this.navigator.refreshMasks();
    this.#refetchTimelines();
  }

  /**
   * The selected object, or the one that came, or the nearest to the one that went.
   * @param {SessionResponse} state
   * @param {SessionResponse | null} before
   */
  #selectionIn(state, before) {
    const ids = state.objects.map((object) => object.object_id);
    const selectedId = this.store.get("selectedId");
    if (selectedId !== null && ids.includes(selectedId)) return selectedId;
    const index = before?.objects.findIndex((object) => object.object_id === selectedId) ?? 0;
    return ids[Math.max(0, Math.min(index, ids.length - 1))] ?? null;
  }

  /** @param {import("./schema.d.ts").FrameEvent} message */
  #computed({ frame, objects, is_provisional: isProvisional }) {
    if (isProvisional) this.masks.offer(frame, objects);
    else this.#keep(frame, objects);
    this.#newest = frame;
    if (this.#isTracking) this.#goOn();
  }

  /**
   * @param {number} frame
   * @param {import("./schema.d.ts").ObjectMask[]} objects whose masks are final
   */
  #keep(frame, objects) {
    this.masks.merge(frame, objects);
    for (const result of objects) {
      const timeline = this.store.get("timelines").get(result.object_id);
      if (!timeline || frame >= timeline.state.length) continue;
      timeline.state[frame] = 2;
      timeline.score[frame] = result.score === null ? null : Math.round(result.score * 100);
      timeline.good[frame] = result.good_probability === null ? null : Math.round(result.good_probability * 100);
      timeline.area[frame] = result.rle ? Math.max(1, timeline.area[frame]) : 0;
    }
    this.#redrawTimelines();
    this.#refetchTimelinesSlowly();
    if (frame === this.store.get("frame")) this.masks.load(frame).catch(() => {});
  }

  /** A propagation is being started here: watch it propagate, and tell how it ended however soon that is. */
  expect() {
    this.#origin = this.store.get("frame");
    this.#newest = -1;
    this.#isTracking = this.#isExpecting = true;
  }

  /** It could not be started. */
  forget() {
    this.#isTracking = this.#isExpecting = false;
  }

  stopTracking() {
    this.#isTracking = false;
  }

  #goToNewest() {
    if (this.#isTracking && this.#newest >= 0 && !this.store.get("isPlaying")) this.navigator.goTo(this.#newest);
  }

  /** @param {import("./schema.d.ts").PropagationResponse | null} progress */
  progressed(progress) {
    const before = this.store.get("progress");
    const isOld = before?.propagation_id === progress?.propagation_id && !before?.is_running;
    if (!progress || (before && isOld)) return;
    this.store.set({ progress });
    clearTimeout(this.#poll);
    if (progress.is_running) this.#poll = window.setTimeout(() => this.#pollProgress(), this.events.isOpen ? 10 * POLL_MS : POLL_MS);
    else if (before?.is_running || this.#isExpecting) this.#ended(progress);
  }

  /** Progress comes by itself; this is for when the connection is gone. */
  async #pollProgress() {
    try {
      const { propagation } = await api.session();
      if (propagation) this.progressed(propagation);
    } catch {
      this.#poll = window.setTimeout(() => this.#pollProgress(), POLL_MS);
    }
  }

  /** @param {import("./schema.d.ts").PropagationResponse} progress */
  #ended(progress) {
    if (progress.error) showError(progress.error);
    else if (progress.is_cancelled) showNote(`Stopped after ${progress.done} of ${progress.total} masks; they are kept.`);
    else showNote(progress.total ? `Done: ${progress.done} masks.` : "Everything here is up to date already.");
    this.masks.invalidate();
    this.masks.dropOffered();
    this.#refetch();
    this.#refetchTimelines();
    if (this.#isTracking) this.navigator.goTo(this.#origin);
    else this.navigator.settle();
    this.forget();
  }
}

/**
 * All that masks depend on.
 * @param {SessionResponse} state
 */
function inputsText({ objects, points, boxes, masks, absent, clicks_alone }) {
  return JSON.stringify([objects.map((object) => object.object_id), points, boxes, masks, absent, clicks_alone]);
}
