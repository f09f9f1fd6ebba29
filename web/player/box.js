// The smallest parts of an MP4 file: big-endian numbers and boxes (ISO/IEC 14496-12, 4.2).

export function u16(number) {
  return [(number >> 8) & 255, number & 255];
}

export function u24(number) {
  return [(number >> 16) & 255, ...u16(number)];
}

export function u32(number) {
  return [(number >>> 24) & 255, (number >>> 16) & 255, (number >>> 8) & 255, number & 255];
}

/** 64 bits of a number that is a whole one below 2^53. */
export function u64(number) {
  return [...u32(Math.floor(number / 0x1_0000_0000)), ...u32(number % 0x1_0000_0000)];
}

export function text(letters) {
  return [...letters].map((letter) => letter.charCodeAt(0));
}

export function zeros(count) {
  return new Uint8Array(count);
}

export function joined(parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** A box of `type` around `parts`, which are arrays of bytes. */
export function box(type, ...parts) {
  const body = joined(parts);
  return joined([u32(body.length + 8), text(type), body]);
}

/** A box that has a version and flags. */
export function fullBox(type, version, flags, ...parts) {
  return box(type, [version], u24(flags), ...parts);
}
