// One SourceBuffer and what waits to go into it: frames become MP4 segments, appends go one at a
// time, and what was played long ago is removed. Times come in as ms on the page's line.

import { joined } from "./box.js";
import { initSegment, mediaSegment } from "./mp4.js";

// Seconds that stay behind the playhead, so that a small step back finds them.
const KEEP_SECONDS = 10;
// Removing costs more than a few seconds of memory: it is done in pieces of this.
const REMOVE_SECONDS = 3;
// What may wait for the browser before the page gives up on it.
const WAITING_MAX = 500;
// Sound is moved to where its times say only when it is this far off, in seconds: a
// publisher's times are rounded to ms and jitter.
const DRIFT_MAX = 0.06;
// How long the newest frame is kept back for the next one to tell how long it lasts.
const LATE_MS = 100;
// A frame stands for at most this many seconds; behind that there is a gap.
const LASTS_MAX = 2;

export class TrackBuffer {
  /** `fail(error)` is called when the browser refuses what it is given. */
  constructor(mediaSource, format, fail) {
    this.buffer = mediaSource.addSourceBuffer(format.mime);
    this.fail = fail;
    this.waiting = [];
    this.segment = 1;
    this.format = null;
    this.held = null;
    this.fresh = [];
    /** How long the last frame was, in units. */
    this.usual = 0;
    this.buffer.addEventListener("updateend", () => this.#next());
    this.buffer.addEventListener("error", () => fail(new Error(`${format.name}: not decodable`)));
    this.begin(format);
  }

  /** Goes on with another configuration, perhaps of another codec. */
  begin(format) {
    if (this.format) this.flush();
    const isOther = this.format && this.format.mime !== format.mime;
    if (isOther) this.#wait(() => this.buffer.changeType(format.mime));
    this.format = format;
    // Where sound that follows without a gap begins, and where the last frame began.
    this.end = null;
    this.last = -1;
    this.usual = format.kind === "video" ? format.scale / 25 : 1024;
    if (format.isRaw) return;
    const init = initSegment(format);
    this.#wait(() => this.buffer.appendBuffer(init));
  }

  /** Takes a frame at `at` ms; it goes on its way when the next one tells how long it lasts. */
  add(at, frame) {
    const last = this.last;
    const units = this.#units(at, frame);
    if (last >= 0) this.usual = Math.min(units - last, LASTS_MAX * this.format.scale);
    if (this.held) this.#release(this.usual);
    const { composition, isKey, data } = frame;
    const scaled = Math.round((composition * this.format.scale) / 1000);
    this.held = { at: units, duration: 0, composition: scaled, isKey, data };
    this.heldSince = performance.now();
  }

  /** Sends what has come since the last call to the browser. */
  send() {
    const isLate = this.held && performance.now() - this.heldSince > LATE_MS;
    if (isLate) this.#release(this.usual);
    if (this.fresh.length === 0) return;
    const samples = this.fresh;
    this.fresh = [];
    if (this.format.isRaw) {
      this.#sendRaw(samples);
      return;
    }
    const segment = mediaSegment(this.segment, samples);
    this.segment += 1;
    this.#wait(() => this.buffer.appendBuffer(segment));
  }

  /** Sends all there is, the last frame with the usual length. */
  flush() {
    if (this.held) this.#release(this.usual);
    this.send();
  }

  /** Removes what lies more than a few seconds before `time`, in seconds. */
  evict(time) {
    const ranges = this.buffer.buffered;
    if (ranges.length === 0 || this.waiting.some((job) => job.isRemoval)) return;
    const end = time - KEEP_SECONDS;
    if (ranges.start(0) > end - REMOVE_SECONDS) return;
    const job = () => this.buffer.remove(0, end);
    job.isRemoval = true;
    this.#wait(job);
  }

  /** Seconds on the line up to which the browser has the track. */
  get bufferedEnd() {
    const ranges = this.buffer.buffered;
    return ranges.length > 0 ? ranges.end(ranges.length - 1) : 0;
  }

  /** Frames as they are, without times: the browser counts on, from where it is told to. */
  #sendRaw(samples) {
    const { at } = samples[0];
    const isNext = at === this.rawEnd;
    const bytes = joined(samples.map((sample) => sample.data));
    this.rawEnd = samples.at(-1).at + samples.at(-1).duration;
    this.#wait(() => {
      if (!isNext) this.buffer.timestampOffset = at / this.format.scale;
      this.buffer.appendBuffer(bytes);
    });
  }

  #units(at, frame) {
    const { scale, samplesIn } = this.format;
    const exact = Math.round((at * scale) / 1000 + (frame.nanos * scale) / 1e9);
    const isNear = this.end !== null && Math.abs(exact - this.end) < DRIFT_MAX * scale;
    const start = Math.max(isNear ? this.end : exact, this.last + 1);
    const samples = samplesIn?.(frame.data) ?? null;
    this.end = samples === null ? null : start + samples;
    this.last = start;
    return start;
  }

  #release(duration) {
    this.held.duration = duration;
    this.fresh.push(this.held);
    this.held = null;
  }

  #wait(job) {
    this.waiting.push(job);
    if (this.waiting.length > WAITING_MAX) this.fail(new Error("the browser does not keep up"));
    else this.#next();
  }

  #next() {
    if (this.buffer.updating || this.waiting.length === 0) return;
    const job = this.waiting.shift();
    try {
      job();
    } catch (error) {
      this.fail(error);
      return;
    }
    // A change of type is done at once and has no event.
    if (!this.buffer.updating) this.#next();
  }
}
