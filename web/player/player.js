// The player page: which stream, how it goes (its state), and `window.tailwater.stats()`, the
// figures that tests and the page itself read. What is shown is in screen.js.

import { Connection } from "./connection.js";
import { LiveEdge } from "./live.js";
import { isPlayable, Media } from "./media.js";
import { Screen } from "./screen.js";
import { NotLive } from "./source.js";

const TICK_MS = 250;
// A stream that sends nothing for so long, in ms, has lost its publisher or its way here.
const AWAY_MS = 3000;
const PROBE_MS = 5000;
const ERRORS_MAX = 20;
// Parameters of the page itself; any other one goes with the stream's address.
const OWN = ["ws", "muted", "autoplay", "stats", "url"];

class Player {
  constructor(parameters) {
    this.errors = [];
    this.state = "connecting";
    this.note = "";
    this.hasEnded = false;
    /** The browser wants a click first. */
    this.isBlocked = false;
    /** Whether the server answered when the stream had gone silent. */
    this.isServerThere = true;
    this.probedAt = -Infinity;
    this.decodedBefore = { frames: 0, dropped: 0 };
    this.rates = [];
    this.screen = new Screen(this, parameters);
    this.video = this.screen.video;
    this.stream = streamAddress(parameters);
    /** Why nothing can be played here at all, or null. */
    this.refusal = refusal(this.stream);
    if (this.refusal) this.report(new Error(this.refusal));
    this.transport = parameters.get("ws") === "1" ? "WebSocket" : "HTTP";
    this.media = new Media(this.video, (error) => this.report(error));
    this.edge = new LiveEdge(this.video, this.media);
    this.connection = new Connection(this.stream, this.transport === "WebSocket", {
      opened: (flv) => this.#opened(flv),
      tag: (tag) => this.media.take(tag),
      chunk: () => this.media.send(),
      closed: (error) => this.#closed(error),
    });
    this.screen.named(nameOf(this.stream));
    setInterval(() => this.#tick(), TICK_MS);
  }

  start() {
    if (this.refusal) return;
    this.connection.start();
    this.play();
  }

  /** Plays from the live edge; without sound when the browser does not let it play with sound. */
  async play() {
    this.wantsPlay = true;
    this.isBlocked = false;
    if (this.media.source) this.edge.jump();
    await this.#resume();
  }

  pause() {
    this.wantsPlay = false;
    this.video.pause();
  }

  report(error) {
    const text = error.message || String(error);
    this.errors.push(text);
    if (this.errors.length > ERRORS_MAX) this.errors.shift();
    this.screen.showErrors(this.errors);
  }

  /** What tests read, and the figures on the page. */
  stats() {
    const { videoTrack, audioTrack } = this.media;
    const quality = this.video.getVideoPlaybackQuality();
    const format = (track) => (track.isUsable ? track.format : null);
    return {
      state: this.state,
      transport: this.transport,
      videoCodec: format(videoTrack)?.string ?? null,
      audioCodec: format(audioTrack)?.string ?? null,
      width: this.video.videoWidth || format(videoTrack)?.width || null,
      height: this.video.videoHeight || format(videoTrack)?.height || null,
      frameRate: format(videoTrack) ? this.media.frameRate : null,
      sampleRate: format(audioTrack)?.rate ?? null,
      channels: format(audioTrack)?.channels ?? null,
      videoFrames: videoTrack.frames,
      audioFrames: audioTrack.frames,
      decodedFrames: this.decodedBefore.frames + quality.totalVideoFrames,
      droppedFrames: this.decodedBefore.dropped + quality.droppedVideoFrames,
      decodedAudioBytes: this.video.webkitAudioDecodedByteCount ?? null,
      bufferedSeconds: this.edge.ahead,
      delaySeconds: Math.max(0, this.media.newest / 1000 - this.video.currentTime),
      playbackRate: this.video.playbackRate,
      currentTime: this.video.currentTime,
      bytes: this.connection.bytes,
      kbits: this.#kbits(),
      connects: this.connection.connects,
      builds: this.media.builds,
      jumps: this.edge.jumps,
      stalls: this.edge.stalls,
      errors: [...this.errors],
    };
  }

  #opened(flv) {
    this.note = "";
    this.hasEnded = false;
    this.media.begin(flv);
  }

  #closed(error) {
    if (error instanceof NotLive) {
      this.note = this.hasEnded ? OVER : "The stream is not live yet. Trying again…";
    } else if (error === null) {
      this.note = OVER;
      this.hasEnded = true;
    } else {
      this.note = `No connection: ${error.message}. Trying again…`;
      this.report(error);
    }
  }

  #tick() {
    const now = performance.now();
    this.#countBuilds();
    this.connection.tick(now);
    this.media.send();
    this.edge.tick(now);
    // While it is paused the newest part is kept, and the rest goes.
    const { newest } = this.media;
    this.media.evict(this.video.paused ? newest / 1000 : this.video.currentTime);
    // A new MediaSource begins paused.
    const isHeld = this.wantsPlay && !this.isBlocked && this.video.paused;
    if (isHeld && this.video.readyState > 0) this.#resume();
    if (this.#isAway(now)) this.#probe(now);
    this.#countBytes(now);
    this.state = this.#state(now);
    this.screen.show(this.stats(), this.note);
  }

  async #resume() {
    try {
      await this.video.play();
    } catch (error) {
      if (error.name !== "NotAllowedError") return;
      if (this.video.muted) {
        this.isBlocked = true;
        return;
      }
      this.screen.mute(true);
      await this.#resume();
    }
  }

  /** Whether a stream that has begun sends nothing, and all that came has been played. */
  #isAway(now) {
    const hasPicture = this.video.readyState >= 3 && !this.video.paused;
    return this.connection.silence(now) > AWAY_MS && !hasPicture;
  }

  /** Asks the server for a sign of life, to tell it from the publisher. */
  async #probe(now) {
    if (now - this.probedAt < PROBE_MS) return;
    this.probedAt = now;
    try {
      const signal = AbortSignal.timeout(PROBE_MS);
      await fetch(new URL("healthz", BASE), { signal, cache: "no-store" });
      this.isServerThere = true;
    } catch {
      this.isServerThere = false;
    }
  }

  #state(now) {
    const { videoTrack, audioTrack } = this.media;
    if (this.refusal) return "unsupported";
    if (!this.connection.isWanted) return "stopped";
    if (this.note) return this.hasEnded ? "over" : "waiting";
    if (!this.wantsPlay) return "paused";
    if (this.isBlocked) return "blocked";
    const refused = [videoTrack, audioTrack].some((track) => track.isRefused);
    if (refused && !videoTrack.isUsable && !audioTrack.isUsable) return "unsupported";
    if (this.#isAway(now)) return this.isServerThere ? "away" : "lost";
    if (this.media.builds === 0) return "connecting";
    return this.video.readyState >= 3 && !this.video.paused ? "playing" : "buffering";
  }

  /** The browser counts from 0 with each MediaSource. */
  #countBuilds() {
    const quality = this.video.getVideoPlaybackQuality();
    const last = this.lastQuality ?? { frames: 0, dropped: 0 };
    if (quality.totalVideoFrames < last.frames) {
      this.decodedBefore.frames += last.frames;
      this.decodedBefore.dropped += last.dropped;
    }
    const { totalVideoFrames, droppedVideoFrames } = quality;
    this.lastQuality = { frames: totalVideoFrames, dropped: droppedVideoFrames };
  }

  #countBytes(now) {
    this.rates.push([now, this.connection.bytes]);
    if (this.rates.length > 3000 / TICK_MS) this.rates.shift();
  }

  #kbits() {
    if (this.rates.length < 2) return 0;
    const [from, bytes] = this.rates[0];
    const [to, newer] = this.rates.at(-1);
    return ((newer - bytes) * 8) / Math.max(1, to - from);
  }
}

const OVER = "The stream is over. Waiting for it to come back…";

/** Where the server is, below whatever prefix a proxy puts in front. */
const BASE = new URL("../", import.meta.url);

/** The name of the stream at `address`, for people. */
function nameOf(address) {
  const path = address.pathname;
  const isBelow = path.startsWith(BASE.pathname);
  const name = path.slice(isBelow ? BASE.pathname.length : 1).replace(/\.flv$/, "");
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

function refusal(address) {
  if (address.origin !== location.origin) return "the stream is not on this server";
  if (!isPlayable()) return "this browser has no Media Source Extensions, which the player needs";
  return null;
}

/** The stream's address: that of the page with .flv behind it, or the parameter `url`. */
function streamAddress(parameters) {
  const given = parameters.get("url");
  const own = `${location.pathname.replace(/\/+$/, "")}.flv`;
  const address = given === null ? new URL(own, location.origin) : givenAddress(given);
  for (const [name, value] of parameters) {
    if (!OWN.includes(name)) address.searchParams.append(name, value);
  }
  return address;
}

/** An address that was given: a path is one of this server. */
function givenAddress(given) {
  const isOfPrefix = given.startsWith("/") && !given.startsWith(BASE.pathname);
  return new URL(isOfPrefix ? given.replace(/^\/+/, "") : given, BASE);
}

function begin() {
  const parameters = new URLSearchParams(location.search);
  const player = new Player(parameters);
  globalThis.tailwater = { stats: () => player.stats(), player };
  if (parameters.get("autoplay") === "0") player.screen.askToStart();
  else player.start();
}

begin();
