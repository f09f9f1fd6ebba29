// What changed from one answer to the next: the API gives totals since the start, the page shows
// rates. And the last five minutes of a few figures, for the charts.

export const SPAN_SECONDS = 300;

/** Rates a second of the counters of many things, each known by a key. */
export class Rates {
  constructor() {
    this.last = new Map();
  }

  /**
   * Takes all things at once: `[key, counters]`, and the time in ms. Gives a Map from key to the
   * rates under the same names, null where there is no answer before to compare with.
   */
  take(timeMs, things) {
    const next = new Map();
    const rates = new Map();
    for (const [key, counters] of things) {
      const before = this.last.get(key);
      rates.set(key, difference(before, { timeMs, counters }));
      next.set(key, before && before.timeMs === timeMs ? before : { timeMs, counters });
    }
    // What was not in this answer is forgotten.
    this.last = next;
    return rates;
  }
}

function difference(before, { timeMs, counters }) {
  const seconds = before ? (timeMs - before.timeMs) / 1000 : 0;
  const rate = (name) => {
    // A counter that fell is another one: a stream's new life, or a relay started anew.
    if (seconds <= 0 || counters[name] < before.counters[name]) return null;
    return (counters[name] - before.counters[name]) / seconds;
  };
  return Object.fromEntries(Object.keys(counters).map((name) => [name, rate(name)]));
}

/** The values of some lines in the last minutes, oldest first: `{ at, values }`. */
export class History {
  constructor() {
    this.samples = [];
  }

  /** `at` in seconds; a value is null where there was no answer. */
  add(at, values) {
    this.samples.push({ at, values });
    while (this.samples[0].at < at - SPAN_SECONDS) this.samples.shift();
  }

  /** The largest value that is known, or null. */
  get most() {
    const known = this.samples.flatMap(({ values }) => values).filter((value) => value !== null);
    return known.length > 0 ? Math.max(...known) : null;
  }
}
