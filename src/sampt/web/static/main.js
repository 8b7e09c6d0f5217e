/** Puts the page together and opens what the server has open. */

import { mountAbout, mountDialogs } from "./about.js";
import { ApiError, api } from "./api.js";
import { Commands } from "./commands.js";
import { mountCorrections } from "./corrections.js";
import { mountCrosshair } from "./crosshair.js";
import { byId } from "./dom.js";
import { Drawing, mountDrawing } from "./drawing.js";
import { Events } from "./events.js";
import { mountExport } from "./exporting.js";
import { mountFiles } from "./files.js";
import { Frames } from "./frames.js";
import { mountInputs } from "./inputs.js";
import { mountKeys } from "./keys.js";
import { Updates } from "./updates.js";
import { Masks } from "./masks.js";
import { Navigator } from "./navigator.js";
import { mountObjects } from "./objects.js";
import { mountPosition, positionIn, positionNow } from "./position.js";
import { Player } from "./player.js";
import { Pointer } from "./pointer.js";
import { Stage } from "./stage.js";
import { makeStore } from "./store.js";
import { Suggestions, mountSuggestions } from "./suggestions.js";
import { isTaken, mountTakeOver } from "./takeover.js";
import { Timeline } from "./timeline.js";
import { mountTheme, mountTools } from "./tools.js";
import { mountTransport } from "./transport.js";

/** @returns {import("./app.js").App} */
function makeApp() {
  const store = makeStore();
  const events = new Events();
  const frames = new Frames();
  const masks = new Masks(events);
  const stage = new Stage(store, masks);
  const navigator = new Navigator(store, frames, masks, stage);
  const player = new Player(store, frames, masks, navigator);
  const updates = new Updates(store, events, masks, navigator);
  const commands = new Commands({ store, masks, navigator, updates });
  const drawing = new Drawing(store, stage, commands);
  const suggestions = new Suggestions({ store, events, commands, updates, player });
  const pointer = new Pointer({ store, stage, commands, drawing, suggestions });
  const dialogs = { open: () => {}, export: () => {}, help: () => {}, about: () => {} };
  return { store, events, frames, masks, stage, navigator, player, commands, updates, drawing, suggestions, pointer, dialogs };
}

/** @param {import("./app.js").App} app */
function mount(app) {
  const timeline = new Timeline(app);
  const adopt = (/** @type {import("./schema.d.ts").SessionResponse} */ state) => adoptSession(app, timeline, state);
  mountDialogs();
  app.dialogs.open = mountFiles(app.store, adopt);
  app.dialogs.export = mountExport(app.store, app.commands);
  app.dialogs.about = mountAbout(app.store);
  app.dialogs.help = () => byId("help-dialog").showModal();
  const zoom = mountTools(app);
  const transport = mountTransport(app);
  const objects = { ...mountObjects(app), crosshair: mountCrosshair(app).toggle };
  mountInputs(app);
  mountCorrections(app);
  mountDrawing(app);
  mountSuggestions(app);
  mountKeys(app, transport, zoom, objects);
  mountTheme(app.store);
  app.events.addEventListener("offline", comingBack(app, adopt, mountTakeOver(app, adopt)));
  mountPosition(app.store);
  return adopt;
}

/**
 * Show another session from the beginning, or from where one was in it.
 * @param {import("./app.js").App} app
 * @param {Timeline} timeline
 * @param {import("./schema.d.ts").SessionResponse} state
 */
function adoptSession({ store, events, frames, masks, stage, navigator, player, updates }, timeline, state) {
  player.stop();
  const isSame = store.get("session")?.project === state.project;
  const position = isSame ? positionNow(store) : positionIn(state.project);
  stage.show(null, null); // its bitmap is freed now, and what is set below draws again
  frames.reset(state.video.key);
  masks.reset();
  store.set({ session: null, timelines: new Map(), progress: null, selectedId: position.selectedId ?? null });
  stage.view.setFrame(state.video.width, state.video.height);
  stage.changeView(() => stage.view.fit());
  store.set({ range: position.range ?? null, frame: position.frame ?? 0 });
  updates.accept(state);
  timeline.reset();
  events.connect();
  navigator.goTo(store.get("frame"));
}

/**
 * What to do when the connection is lost: when the server has started anew, or has put the session away, open its project again.
 * Every try to connect ends with the connection lost, and opening may take longer than the next try.
 * @param {import("./app.js").App} app
 * @param {(state: import("./schema.d.ts").SessionResponse) => void} adopt
 * @param {() => void} taken tells that another browser has it
 */
function comingBack({ store }, adopt, taken) {
  let isUnderWay = false;
  return async () => {
    const project = store.get("session")?.project;
    if (!project || isUnderWay) return;
    isUnderWay = true;
    try {
      await api.session();
    } catch (error) {
      if (isNothingOpen(error)) await api.open({ project }).then(adopt, (refused) => isTaken(refused) && taken());
    } finally {
      isUnderWay = false;
    }
  };
}

async function start() {
  const app = makeApp();
  const adopt = mount(app);
  try {
    const about = await api.about();
    app.store.set({ about });
    const state = await firstSession(about);
    if (state) adopt(state);
    else app.dialogs.open();
  } catch (error) {
    app.dialogs.open(isNothingOpen(error) ? null : error, startRequest(app.store.get("about")?.start));
  }
  document.body.dataset.ready = "true";
}

/**
 * What is open in this browser, or else what the server was started for; null when there is neither.
 * @param {import("./schema.d.ts").AboutResponse} about
 */
async function firstSession({ start, has_session: hasSession }) {
  try {
    if (hasSession) return await api.session();
  } catch (error) {
    if (!(isNothingOpen(error) && start)) throw error;
  }
  const wanted = startRequest(start);
  return wanted && api.open(wanted);
}

/**
 * What the server was started for; null when that is nothing.
 * @param {import("./schema.d.ts").StartPaths | null | undefined} start
 * @returns {import("./schema.d.ts").OpenRequest | null}
 */
function startRequest(start) {
  if (start?.project) return { project: start.project };
  return start?.video ? { video: start.video } : null;
}

/** @param {unknown} error */
function isNothingOpen(error) {
  return error instanceof ApiError && error.status === 404;
}

start();
