// Reading numbers out of bytes: whole bytes (Reader), single bits (BitReader) and texts of four
// letters. Reading past the end throws a RangeError, which the caller takes as "not valid".

/** Reads big-endian numbers one after the other. */
export class Reader {
  constructor(bytes, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  get left() {
    return this.bytes.length - this.at;
  }

  u8() {
    if (this.at >= this.bytes.length) throw new RangeError("cut short");
    return this.bytes[this.at++];
  }

  u16() {
    return this.u8() * 0x100 + this.u8();
  }

  u24() {
    return this.u16() * 0x100 + this.u8();
  }

  u32() {
    return this.u16() * 0x10000 + this.u16();
  }

  /** A signed number of 24 bits: a composition time. */
  i24() {
    const value = this.u24();
    return value >= 0x800000 ? value - 0x1000000 : value;
  }

  f64() {
    const bytes = this.take(8);
    return new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0);
  }

  text(length) {
    return String.fromCharCode(...this.take(length));
  }

  take(length) {
    if (length > this.left) throw new RangeError("cut short");
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  rest() {
    return this.take(this.left);
  }
}

/** Reads bits, the most significant one first, and Exp-Golomb numbers as H.264 and HEVC do. */
export class BitReader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  bit() {
    const byte = this.bytes[this.at >> 3];
    if (byte === undefined) throw new RangeError("cut short");
    return (byte >> (7 - (this.at++ & 7))) & 1;
  }

  bits(count) {
    let value = 0;
    for (let i = 0; i < count; i += 1) value = value * 2 + this.bit();
    return value;
  }

  skip(count) {
    this.at += count;
  }

  unsigned() {
    let zeros = 0;
    while (this.bit() === 0) {
      zeros += 1;
      if (zeros > 32) throw new RangeError("not an Exp-Golomb number");
    }
    return 2 ** zeros - 1 + this.bits(zeros);
  }

  signed() {
    const code = this.unsigned();
    return code % 2 === 1 ? (code + 1) / 2 : -code / 2;
  }
}

/** The payload of a NAL unit: without the 03 that follows two zero bytes. */
export function unescaped(nal) {
  const out = [];
  let zeros = 0;
  for (const byte of nal) {
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    zeros = byte === 0 ? zeros + 1 : 0;
    out.push(byte);
  }
  return Uint8Array.from(out);
}

export function equal(a, b) {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** The low digits of a number in base 16, at least two of them. */
export function hex(number, digits = 2) {
  return number.toString(16).toUpperCase().padStart(digits, "0");
}
