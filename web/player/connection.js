// Keeps a stream coming: connects, connects anew when the connection ends, waits longer each time
// it fails, and gives up on a connection that has gone silent.

import { FlvReader } from "./flv.js";
import { NotLive, readStream } from "./source.js";

const WAIT_MIN_MS = 500;
const WAIT_MAX_MS = 8000;
// A stream that is not there yet is asked for at least this often.
const NOT_LIVE_WAIT_MAX_MS = 3000;
const SILENCE_MAX_MS = 30_000;

export class Connection {
  /**
   * Calls `handlers.opened(flvReader)` with the first bytes of a connection, `handlers.tag(tag)`,
   * `handlers.chunk()` after the tags of one read, and `handlers.closed(error)`, the error null
   * when the stream just ended.
   */
  constructor(url, isSocket, handlers) {
    this.url = url;
    this.isSocket = isSocket;
    this.handlers = handlers;
    this.bytes = 0;
    this.failures = 0;
    this.connects = 0;
    this.abort = null;
    this.isWanted = false;
    /** The stream has begun on this connection. */
    this.isOpen = false;
  }

  start() {
    if (this.isWanted) return;
    this.isWanted = true;
    this.#run();
  }

  stop() {
    this.isWanted = false;
    this.abort?.abort();
  }

  /** To be called now and then: ends a connection that has been silent for too long. */
  tick(now) {
    const isSilent = this.abort && this.heardAt && now - this.heardAt > SILENCE_MAX_MS;
    if (isSilent) this.abort.abort(new Error("the connection has gone silent"));
  }

  /** Ms since the last byte of a stream that has begun; 0 while there is none. */
  silence(now) {
    return this.isOpen ? now - this.heardAt : 0;
  }

  async #run() {
    while (this.isWanted) {
      const error = await this.#once();
      if (!this.isWanted) return;
      this.handlers.closed(error);
      await pause(this.#wait(error));
    }
  }

  async #once() {
    this.abort = new AbortController();
    this.heardAt = performance.now();
    this.connects += 1;
    let flv = null;
    try {
      await readStream(this.url, this.isSocket, this.abort.signal, (bytes) => {
        flv ??= this.#opened();
        this.#take(flv, bytes);
      });
      return null;
    } catch (error) {
      return error.name === "AbortError" ? null : error;
    } finally {
      // A fetch that is still open ends here: its tags could not be read.
      this.abort.abort();
      this.abort = null;
      this.isOpen = false;
    }
  }

  #opened() {
    const flv = new FlvReader();
    this.isOpen = true;
    this.failures = 0;
    this.handlers.opened(flv);
    return flv;
  }

  #take(flv, bytes) {
    this.bytes += bytes.length;
    this.heardAt = performance.now();
    for (const tag of flv.push(bytes)) this.handlers.tag(tag);
    this.handlers.chunk();
  }

  #wait(error) {
    const max = error instanceof NotLive ? NOT_LIVE_WAIT_MAX_MS : WAIT_MAX_MS;
    const wait = Math.min(max, WAIT_MIN_MS * 2 ** this.failures);
    this.failures += 1;
    // Not all pages at once, when it is the server that has gone.
    return wait * (0.75 + Math.random() / 2);
  }
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
