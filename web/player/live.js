// Keeps the playhead at the live edge: starts a little behind it, plays faster or jumps when it
// falls back, leaps over gaps, and tells which track the playback is waiting for.

// Seconds behind the newest frame: at the start, and at most after pauses for want of data.
const TARGET = 0.8;
const TARGET_MAX = 4;
// This far behind the target the playback is sped up, and jumps.
const FAST_AT = 1.2;
const JUMP_AT = 6;
const FAST_RATE = 1.08;
// So near to the end that the next late packet would stop the picture.
const SLOW_RATE = 0.96;
// How long the playhead may stand still, in ms, before something is done.
const STUCK_MS = 700;
const LAGGING_MS = 2500;
const SETTLE_MS = 2000;
const CALM_MS = 30_000;

export class LiveEdge {
  constructor(video, media) {
    this.video = video;
    this.media = media;
    this.target = TARGET;
    this.build = 0;
    this.lastTime = -1;
    this.movedAt = 0;
    this.changedAt = 0;
    this.placedAt = 0;
    this.jumps = 0;
    this.stalls = 0;
    video.addEventListener("waiting", () => this.#stalled());
  }

  /** Seconds from the playhead to the end of what is buffered. */
  get ahead() {
    const { buffered, currentTime } = this.video;
    if (buffered.length === 0) return 0;
    return Math.max(0, buffered.end(buffered.length - 1) - currentTime);
  }

  /** To be called a few times a second. */
  tick(now) {
    const { video } = this;
    if (video.buffered.length === 0) return;
    if (this.build !== this.media.builds) this.#place(now);
    if (video.paused) {
      this.movedAt = now;
      return;
    }
    if (video.seeking) {
      // Only looked at: a seek to where nothing is never ends by itself.
    } else if (this.ahead > this.target + this.#jumpAt(now)) this.jump();
    else this.#pace();
    this.#watch(now);
  }

  /** Goes to the live edge. */
  jump() {
    const ranges = this.video.buffered;
    if (ranges.length === 0) return;
    const last = ranges.length - 1;
    const start = ranges.start(last);
    this.video.currentTime = Math.max(start, ranges.end(last) - this.target);
    this.jumps += 1;
  }

  /** The first time on what a new MediaSource has. */
  #place(now) {
    this.build = this.media.builds;
    this.placedAt = now;
    this.movedAt = now;
    this.changedAt = now;
    this.jump();
  }

  /** At first a jump is not seen, and the data that waited for us has only begun to come. */
  #jumpAt(now) {
    return now - this.placedAt < SETTLE_MS ? FAST_AT : JUMP_AT;
  }

  #pace() {
    const { video } = this;
    const { ahead, target } = this;
    const isBetween = ahead > target && ahead < target + FAST_AT;
    if (ahead > target + FAST_AT) video.playbackRate = FAST_RATE;
    else if (ahead < target / 2) video.playbackRate = SLOW_RATE;
    else if (video.playbackRate === FAST_RATE ? ahead < target + 0.2 : isBetween) {
      video.playbackRate = 1;
    }
  }

  #watch(now) {
    const { video } = this;
    if (video.currentTime !== this.lastTime) {
      this.lastTime = video.currentTime;
      this.movedAt = now;
      this.#calm(now);
      return;
    }
    const still = now - this.movedAt;
    if (still < STUCK_MS) return;
    const next = rangeBehind(video.buffered, video.currentTime);
    if (next !== null) {
      video.currentTime = next;
    } else if (still > LAGGING_MS) {
      this.#free(now);
    }
  }

  /** The playhead stands, and not at a gap: leaves the track behind that has no data. */
  #free(now) {
    const { video, media } = this;
    const ends = [media.videoTrack, media.audioTrack].filter((track) => track.buffer);
    const lagging = ends.find((track) => track.buffer.bufferedEnd < video.currentTime + 0.2);
    const other = ends.find((track) => track !== lagging);
    const isAhead = other && other.buffer.bufferedEnd > video.currentTime + LAGGING_MS / 1000;
    if (lagging && isAhead) media.rebuild(lagging);
    else if (this.ahead > 0.5) this.jump();
    this.movedAt = now;
  }

  #stalled() {
    if (this.build === 0 || this.build !== this.media.builds || this.video.seeking) return;
    this.stalls += 1;
    this.target = Math.min(TARGET_MAX, this.target + 0.3);
    this.changedAt = performance.now();
  }

  #calm(now) {
    if (now - this.changedAt < CALM_MS) return;
    this.changedAt = now;
    this.target = Math.max(TARGET, this.target - 0.3);
  }
}

/** Where the range begins that lies behind the gap at `time`, or null. */
function rangeBehind(ranges, time) {
  for (let i = 0; i < ranges.length; i += 1) {
    if (ranges.start(i) > time) return ranges.start(i) + 0.01;
    if (ranges.end(i) > time + 0.2) return null;
  }
  return null;
}
