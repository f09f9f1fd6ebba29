// Takes an FLV stream apart (FLV 10.1, Annex E): bytes go in as the network cut them, whole tags
// come out. It knows nothing of codecs (packets.js) and nothing of the network (source.js).

const HEADER_BYTES = 9;
const TAG_HEADER_BYTES = 11;
// A keyframe of 50 Mbit/s video is far below this; beyond it the stream is taken for rubbish.
const TAG_BYTES_MAX = 16 * 1024 * 1024;

export const AUDIO = 8;
export const VIDEO = 9;
export const SCRIPT = 18;

export class FlvReader {
  constructor() {
    this.held = new Uint8Array(0);
    this.headerSeen = false;
    /** What the header says the stream has; it may promise more than comes. */
    this.hasAudio = true;
    this.hasVideo = true;
  }

  /** Takes bytes and returns the tags they complete: `{ kind, time, body }`, time in ms. */
  push(bytes) {
    let left = this.#joined(bytes);
    const tags = [];
    for (;;) {
      const used = this.headerSeen ? this.#tag(left, tags) : this.#header(left);
      if (used === 0) break;
      left = left.subarray(used);
    }
    // A copy, so that the chunk it was cut from can go.
    this.held = left.slice();
    return tags;
  }

  #joined(bytes) {
    if (this.held.length === 0) return bytes;
    const joined = new Uint8Array(this.held.length + bytes.length);
    joined.set(this.held);
    joined.set(bytes, this.held.length);
    return joined;
  }

  #header(bytes) {
    if (bytes.length < HEADER_BYTES) return 0;
    if (bytes[0] !== 0x46 || bytes[1] !== 0x4c || bytes[2] !== 0x56) {
      throw new Error("this is not an FLV stream");
    }
    const length = bytes[7] * 0x100 + bytes[8];
    if (bytes.length < length + 4) return 0;
    this.hasAudio = (bytes[4] & 4) !== 0;
    this.hasVideo = (bytes[4] & 1) !== 0;
    this.headerSeen = true;
    // Four bytes more: the size of the tag before the first, which is none.
    return Math.max(length, HEADER_BYTES) + 4;
  }

  #tag(bytes, tags) {
    if (bytes.length < TAG_HEADER_BYTES) return 0;
    const size = bytes[1] * 0x10000 + bytes[2] * 0x100 + bytes[3];
    if (size > TAG_BYTES_MAX) throw new Error(`an FLV tag of ${size} bytes`);
    const end = TAG_HEADER_BYTES + size;
    if (bytes.length < end + 4) return 0;
    // The fourth byte of the time is its highest one.
    const time = bytes[7] * 0x1000000 + bytes[4] * 0x10000 + bytes[5] * 0x100 + bytes[6];
    tags.push({ kind: bytes[0] & 0x1f, time, body: bytes.subarray(TAG_HEADER_BYTES, end) });
    return end + 4;
  }
}
