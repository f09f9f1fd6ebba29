// What the player page shows, and its buttons and keys. Texts are set as text only: names come
// from strangers.

import { figureRows } from "./figures.js";

const NAMES = [
  "name", "state", "stage", "video", "message", "start", "unmute", "figures", "play", "mute",
  "volume", "live", "delay", "show-figures", "full", "errors",
];
const BADGES = {
  playing: ["live", "good"],
  buffering: ["waiting for data", "warn"],
  connecting: ["connecting", ""],
  waiting: ["not live", "warn"],
  over: ["over", "warn"],
  away: ["waiting", "warn"],
  lost: ["no connection", "bad"],
  blocked: ["click to play", "warn"],
  paused: ["paused", ""],
  stopped: ["stopped", ""],
  unsupported: ["cannot play", "bad"],
};
// Short waits need no words.
const QUIET_MS = 1500;

export class Screen {
  constructor(player, parameters) {
    this.player = player;
    this.parts = Object.fromEntries(NAMES.map((name) => [name, document.getElementById(name)]));
    this.video = this.parts.video;
    this.video.muted = parameters.get("muted") !== "0";
    this.hadSound = !this.video.muted;
    this.parts.figures.hidden = parameters.get("stats") !== "1";
    this.#listen();
  }

  named(name) {
    this.parts.name.textContent = name;
    document.title = `${name}: live`;
  }

  /** Shows the button that starts it all. */
  askToStart() {
    this.parts.start.hidden = false;
  }

  showErrors(errors) {
    const items = [...new Set(errors)].slice(-5).map((error) => {
      const item = document.createElement("li");
      item.textContent = error;
      return item;
    });
    this.parts.errors.replaceChildren(...items);
    this.parts.errors.hidden = items.length === 0;
  }

  /** Turns the sound off, or on. */
  mute(isMuted) {
    this.video.muted = isMuted;
    // Without sound that nobody turned off, there is a large button to turn it on.
    this.hadSound = !isMuted;
  }

  /** Shows the state; `note` is said when there is nothing to play. */
  show(stats, note) {
    const { parts, video } = this;
    const [word, kind] = BADGES[stats.state];
    setText(parts.state, word);
    parts.state.className = `badge ${kind}`;
    if (stats.state === "blocked") parts.start.hidden = false;
    this.#message(stats, note);
    const isPlaying = this.player.wantsPlay && !this.player.isBlocked;
    setText(parts.play, isPlaying ? "Pause" : "Play");
    setText(parts.mute, video.muted ? "Unmute" : "Mute");
    parts.mute.setAttribute("aria-pressed", String(video.muted));
    parts.unmute.hidden = this.hadSound || !video.muted || !stats.audioCodec || video.paused;
    const behind = `${stats.delaySeconds.toFixed(1)} s behind`;
    setText(parts.delay, stats.state === "playing" ? behind : "");
    if (!parts.figures.hidden) this.#figures(stats);
  }

  #message(stats, note) {
    const now = performance.now();
    const isQuiet = ["playing", "paused", "stopped", "blocked"].includes(stats.state);
    if (isQuiet) this.quietAt = now;
    const words = note || this.#words(stats, now - (this.quietAt ?? 0));
    // With the picture still moving there is no need to say that the rest will not come.
    const isMoving = this.video.readyState >= 3 && !this.video.paused;
    setText(this.parts.message, words);
    this.parts.message.hidden = words === "" || isMoving;
    if (isMoving && stats.state === "playing" && !stats.videoCodec) this.#soundOnly();
  }

  #soundOnly() {
    const { refusal } = this.player.media.videoTrack;
    setText(this.parts.message, refusal ? `Sound only: ${refusal}.` : "Sound only");
    this.parts.message.hidden = false;
  }

  #words(stats, since) {
    if (stats.state === "unsupported") return this.#refusals();
    if (stats.state === "away") return "The broadcaster has gone. Waiting for it to come back…";
    if (stats.state === "lost") return "The server does not answer. Waiting…";
    if (stats.state === "connecting") return since > QUIET_MS ? "Waiting for the stream…" : "";
    if (stats.state === "buffering") return since > QUIET_MS ? "Waiting for data…" : "";
    return "";
  }

  #refusals() {
    const { videoTrack, audioTrack } = this.player.media;
    const all = [this.player.refusal, videoTrack.refusal, audioTrack.refusal].filter(Boolean);
    return `${all.join("; ")}.`.replace(/^t/, "T");
  }

  #figures(stats) {
    const nodes = figureRows(stats).flatMap(([name, value]) => {
      const term = document.createElement("dt");
      const text = document.createElement("dd");
      term.textContent = name;
      text.textContent = value;
      return [term, text];
    });
    this.parts.figures.replaceChildren(...nodes);
  }

  #listen() {
    const { parts, player } = this;
    const on = (name, act) => parts[name].addEventListener("click", act);
    on("start", () => {
      parts.start.hidden = true;
      player.start();
    });
    on("unmute", () => this.mute(false));
    on("mute", () => this.#toggleSound());
    on("play", () => this.#toggle());
    on("video", () => this.#toggle());
    on("live", () => player.play());
    on("show-figures", () => this.#toggleFigures());
    on("full", () => this.#toggleFull());
    parts.volume.addEventListener("input", () => {
      this.video.volume = Number(parts.volume.value);
      this.mute(false);
    });
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    // Space and the arrows belong to a control that has the focus.
    const isOnControl = event.target instanceof Element && event.target.matches("button, input");
    const keys = {
      k: () => this.#toggle(),
      m: () => this.#toggleSound(),
      f: () => this.#toggleFull(),
      i: () => this.#toggleFigures(),
      l: () => this.player.play(),
    };
    const more = {
      " ": () => this.#toggle(),
      ArrowUp: () => this.#louder(0.1),
      ArrowDown: () => this.#louder(-0.1),
    };
    const act = keys[event.key.toLowerCase()] ?? (isOnControl ? undefined : more[event.key]);
    if (!act) return;
    event.preventDefault();
    act();
  }

  #toggle() {
    const { player } = this;
    if (!player.connection.isWanted || player.isBlocked) {
      this.parts.start.hidden = true;
      player.start();
    } else if (player.wantsPlay) player.pause();
    else player.play();
  }

  #toggleSound() {
    this.mute(!this.video.muted);
    this.hadSound = true;
  }

  #louder(step) {
    this.video.volume = Math.min(1, Math.max(0, this.video.volume + step));
    this.parts.volume.value = String(this.video.volume);
    this.mute(false);
  }

  #toggleFigures() {
    const { figures } = this.parts;
    figures.hidden = !figures.hidden;
    this.parts["show-figures"].setAttribute("aria-expanded", String(!figures.hidden));
  }

  #toggleFull() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.parts.stage.requestFullscreen?.().catch(() => {});
  }
}

/** Sets a text if it is another one, so that screen readers are told of changes only. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
