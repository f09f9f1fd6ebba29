// From tags to the video element: keeps what each kind of track needs to begin (its configuration,
// a key frame), makes the MediaSource when it is known which tracks there are, and makes it anew
// when tracks come, go or cannot be decoded.

import { audioFormat, audioName, audioNeedsConfig } from "./audio.js";
import { TrackBuffer } from "./buffer.js";
import { equal } from "./bytes.js";
import { Clock } from "./clock.js";
import { AUDIO, VIDEO } from "./flv.js";
import { inBandConfig, withLengths } from "./inband.js";
import { audioPacket, videoPacket } from "./packets.js";
import { videoFormat, videoName, videoNeedsConfig } from "./video.js";

// How long the first track waits for the second one, in ms of the clock on the wall or of media.
const WAIT_MS = 1000;
const EARLY_MAX = 4000;
// Rebuilding more often than this, in ms, would only flicker.
const REBUILD_MS = 2000;

const Source = globalThis.ManagedMediaSource ?? globalThis.MediaSource;

export function isPlayable() {
  return Boolean(Source);
}

/** What is known of one kind of track. */
class Track {
  constructor(kind) {
    this.kind = kind;
    this.frames = 0;
    this.codec = null;
    this.config = null;
    this.format = null;
    this.buffer = null;
    /** The configuration is made of what comes with the pictures. */
    this.isInBand = false;
    /** The configuration has changed since the format was made. */
    this.isStale = true;
    /** Why it cannot be played, or null. */
    this.refusal = null;
    /** It had frames, and has none now. */
    this.isAway = false;
    this.needsKey = true;
  }

  get isRefused() {
    return this.refusal !== null;
  }

  get isUsable() {
    return this.format !== null && !this.isRefused && !this.isAway;
  }
}

export class Media {
  /** `report(error)` is called with what the user should know. */
  constructor(video, report) {
    this.video = video;
    this.report = report;
    this.clock = new Clock();
    this.tracks = { [VIDEO]: new Track("video"), [AUDIO]: new Track("audio") };
    this.early = [];
    this.earlySince = 0;
    this.source = null;
    this.isOpen = false;
    this.builds = 0;
    this.builtAt = -Infinity;
    this.failures = 0;
    this.failedAt = -Infinity;
    this.newest = 0;
    this.frameTimes = [];
    video.addEventListener("error", () => this.#failed(video.error));
  }

  get videoTrack() {
    return this.tracks[VIDEO];
  }

  get audioTrack() {
    return this.tracks[AUDIO];
  }

  /** Says that a connection begins, and which tracks its header promises. */
  begin(flv) {
    this.clock.restart();
    // Where data has come alone, it is not known what else will.
    const isKnown = flv.hasVideo || flv.hasAudio;
    this.promised = isKnown ? { [VIDEO]: flv.hasVideo, [AUDIO]: flv.hasAudio } : null;
    this.videoTrack.needsKey = true;
    for (const track of this.#all()) track.buffer?.flush();
  }

  /** Takes a tag as flv.js makes them. */
  take(tag) {
    const track = this.tracks[tag.kind];
    if (!track) return;
    let packet = null;
    try {
      packet = tag.kind === VIDEO ? videoPacket(tag.body) : audioPacket(tag.body);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.report(new Error(`a broken ${track.kind} packet`));
    }
    if (packet === null) return;
    if (packet.type === "config") {
      track.isInBand = false;
      this.#configure(track, packet);
    }
    if (packet.type === "frame") this.#frame(track, packet, tag);
  }

  /** Sends on what was taken; to be called after each read and a few times a second. */
  send() {
    if (!this.source) this.#maybeStart();
    for (const track of this.#all()) track.buffer?.send();
  }

  evict(time) {
    for (const track of this.#all()) track.buffer?.evict(time);
  }

  /** Begins anew with the tracks there are; without `track`, if one is given, until it returns. */
  rebuild(track = null) {
    if (performance.now() - this.builtAt < REBUILD_MS) return;
    if (track) track.isAway = true;
    this.#tearDown();
  }

  /** Frames a second, of the last few seconds. */
  get frameRate() {
    const times = this.frameTimes;
    if (times.length < 2) return null;
    return ((times.length - 1) * 1000) / Math.max(1, times.at(-1) - times[0]);
  }

  #all() {
    return Object.values(this.tracks);
  }

  #configure(track, packet) {
    const isSame = track.codec === packet.codec && track.config && equal(track.config, packet.data);
    if (isSame) return;
    track.codec = packet.codec;
    track.config = packet.data.slice();
    track.isStale = true;
    track.needsKey = true;
  }

  #frame(track, packet, tag) {
    const none = new Uint8Array(0);
    if (track.codec !== packet.codec) this.#configure(track, { codec: packet.codec, data: none });
    track.isAway = false;
    if (packet.isKey && (track.isInBand || track.config.length === 0)) {
      this.#configureInBand(track, packet);
    }
    if (track.needsKey && !packet.isKey) return;
    if (track.isStale) this.#format(track, packet);
    if (!track.isUsable) return;
    track.needsKey = false;
    track.frames += 1;
    const at = this.clock.place(track.kind, tag.time);
    this.newest = Math.max(this.newest, at);
    if (track.kind === "video") this.#countFrame(at);
    const data = track.isInBand ? withLengths(packet.data) : packet.data;
    this.#deliver(track, at, { ...packet, data: data.slice() });
  }

  /** Takes the configuration from a key frame, where there was no header. */
  #configureInBand(track, packet) {
    let data = null;
    try {
      data = inBandConfig(packet.codec, packet.data);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
    if (data === null) return;
    track.isInBand = true;
    this.#configure(track, { codec: packet.codec, data });
  }

  #deliver(track, at, frame) {
    if (track.buffer) {
      track.buffer.add(at, frame);
      return;
    }
    // A track that was not there when the MediaSource was made: that takes another one.
    if (this.isOpen) this.rebuild();
    if (this.isOpen) return;
    if (this.early.length === 0) this.earlySince = performance.now();
    if (this.early.length > EARLY_MAX) this.#dropEarly();
    this.early.push({ track, at, frame });
  }

  /** Forgets what waits for a MediaSource that does not come. */
  #dropEarly() {
    this.early = [];
    this.videoTrack.needsKey = true;
  }

  /** Works out what the track is, and tells the buffer, if it has one already. */
  #format(track, packet) {
    const needsConfig = track.kind === "video" ? videoNeedsConfig : audioNeedsConfig;
    if (track.config.length === 0 && needsConfig(packet.codec)) {
      this.#lacksHeader(track, packet);
      return;
    }
    track.isStale = false;
    track.refusal = null;
    const format = this.#describe(track, packet);
    if (format === null) {
      if (track.buffer) this.rebuild();
      return;
    }
    const wasRaw = track.format?.isRaw ?? format.isRaw;
    track.format = format;
    // A SourceBuffer without times in its data cannot become one with them.
    if (track.buffer && wasRaw !== format.isRaw) this.#tearDown();
    else track.buffer?.begin(format);
  }

  /** Says that a track cannot be played before its header comes. */
  #lacksHeader(track, packet) {
    if (track.isRefused) return;
    const name = track.kind === "video" ? videoName(packet.codec) : audioName(packet.codec);
    track.refusal = `the ${track.kind} (${name}) comes without its header, and cannot be decoded`;
    this.report(new Error(track.refusal));
  }

  #describe(track, packet) {
    const make = track.kind === "video" ? videoFormat : audioFormat;
    const name = track.kind === "video" ? videoName(packet.codec) : audioName(packet.codec);
    try {
      const format = make(packet.codec, track.config, packet.data);
      if (format && Source.isTypeSupported(format.mime)) return { ...format, isRaw: false };
      if (format?.rawMime && Source.isTypeSupported(format.rawMime)) {
        return { ...format, mime: format.rawMime, isRaw: true };
      }
      const string = format?.string ?? packet.codec;
      track.refusal = `this browser cannot play ${track.kind} in ${name} (${string})`;
    } catch (error) {
      track.refusal = `the ${track.kind} (${name}) has no valid header: ${error.message}`;
    }
    this.report(new Error(track.refusal));
    return null;
  }

  #maybeStart() {
    const pause = Math.min(10_000, REBUILD_MS * this.failures);
    if (this.early.length === 0 || performance.now() - this.failedAt < pause) return;
    const isMissing = (kind) => {
      const track = this.tracks[kind];
      const isComing = !track.isRefused && !track.isAway && (this.promised?.[kind] ?? true);
      return !track.isUsable && isComing;
    };
    const waited = performance.now() - this.earlySince;
    const span = this.early.at(-1).at - this.early[0].at;
    const isEnough = waited > WAIT_MS || span > WAIT_MS || this.early.length >= EARLY_MAX;
    if (isEnough || (!isMissing(VIDEO) && !isMissing(AUDIO))) this.#start();
  }

  #start() {
    const source = new Source();
    this.source = source;
    this.builds += 1;
    this.builtAt = performance.now();
    source.addEventListener("sourceopen", () => this.#fill(source), { once: true });
    this.video.disableRemotePlayback = true;
    this.address = URL.createObjectURL(source);
    this.video.src = this.address;
  }

  #fill(source) {
    URL.revokeObjectURL(this.address);
    if (source !== this.source) return;
    const fail = (error) => {
      if (source === this.source) this.#failed(error);
    };
    const early = this.early;
    this.early = [];
    this.isOpen = true;
    try {
      for (const track of this.#all()) {
        if (track.isUsable) track.buffer = new TrackBuffer(source, track.format, fail);
      }
    } catch (error) {
      fail(error);
      return;
    }
    for (const { track, at, frame } of early) track.buffer?.add(at, frame);
    this.send();
  }

  #failed(error) {
    if (!this.source) return;
    this.report(new Error(`the browser stopped playing: ${error?.message || "unknown reason"}`));
    this.failures += 1;
    this.failedAt = performance.now();
    this.#tearDown();
  }

  #tearDown() {
    this.source = null;
    this.isOpen = false;
    this.early = [];
    for (const track of this.#all()) {
      track.buffer = null;
      track.needsKey = true;
    }
    // What the element holds is of no use any more; the next MediaSource takes its place.
    this.video.removeAttribute("src");
    this.video.load();
  }

  #countFrame(at) {
    this.frameTimes.push(at);
    if (this.frameTimes.length > 100 || at - this.frameTimes[0] > 4000) this.frameTimes.shift();
  }
}
