/**
 * The parts of the page that others talk to.
 *
 * @typedef {{
 *   store: import("./store.js").Store,
 *   events: import("./events.js").Events,
 *   frames: import("./frames.js").Frames,
 *   masks: import("./masks.js").Masks,
 *   stage: import("./stage.js").Stage,
 *   navigator: import("./navigator.js").Navigator,
 *   player: import("./player.js").Player,
 *   commands: import("./commands.js").Commands,
 *   updates: import("./updates.js").Updates,
 *   drawing: import("./drawing.js").Drawing,
 *   suggestions: import("./suggestions.js").Suggestions,
 *   pointer: import("./pointer.js").Pointer,
 *   dialogs: {open: (error?: unknown, wanted?: import("./schema.d.ts").OpenRequest | null) => void, export: () => void, help: () => void, about: () => void},
 * }} App
 */
export {};
