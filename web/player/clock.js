// From the times in an FLV stream to those on the page's own time line. The line never goes
// back: FLV times are 32 bits of milliseconds that wrap, start anywhere, and start anew when the
// publisher or the connection does; then the new part is put right behind what there is.

// Where the line begins, in ms: room for a track that starts a little before the other one.
const START = 1000;
// A step back of less is jitter of the publisher's interleaving.
const BACK_MAX = 500;
// A step of more ahead of both tracks is another clock, not a pause.
const AHEAD_MAX = 30_000;
// Two tracks of one clock are not farther apart than this.
const APART_MAX = 3000;

export class Clock {
  constructor() {
    this.tracks = new Map();
  }

  /** Says that another stream of times begins: a new connection. */
  restart() {
    for (const track of this.tracks.values()) track.isNew = true;
  }

  /** The time on the line, in ms, of what track `name` has at `time`; never falls by much. */
  place(name, time) {
    const track = this.#track(name);
    let at = this.#next(track, time);
    if (at === null) at = this.#behindAll();
    track.raw = time;
    track.at = at;
    track.isNew = false;
    return at;
  }

  #track(name) {
    if (!this.tracks.has(name)) this.tracks.set(name, { raw: 0, at: null, isNew: true });
    return this.tracks.get(name);
  }

  /** The place that follows from what came before, or null when the times have jumped. */
  #next(track, time) {
    const other = this.#other(track);
    if (!track.isNew) {
      const at = track.at + step(track.raw, time);
      const ahead = at - Math.max(track.at, other?.at ?? 0);
      if (at >= track.at - BACK_MAX && ahead <= AHEAD_MAX) return at;
    }
    if (!other || other.isNew) return null;
    // The other track has jumped before this one: go with it.
    const at = other.at + step(other.raw, time);
    const fits = Math.abs(at - other.at) <= APART_MAX && at >= (track.at ?? 0) - BACK_MAX;
    return fits ? at : null;
  }

  #behindAll() {
    const ends = [...this.tracks.values()].map((track) => track.at ?? 0);
    const end = Math.max(...ends);
    // One frame of 25 a second behind the last one.
    return end > 0 ? end + 40 : START;
  }

  #other(track) {
    return [...this.tracks.values()].find((other) => other !== track && other.at !== null);
  }
}

/** From one time of 32 bits to another, the shorter way round. */
function step(from, to) {
  return (to - from) | 0;
}
