// Video codecs: from a decoder configuration (and, for VP9, a key frame) to what MP4 and the
// browser must be told: the sample entry, the codecs string of RFC 6381 and the picture's size.

import { BitReader, hex, Reader, unescaped } from "./bytes.js";
import { box, u16, u32, zeros } from "./box.js";

/** Units a second of video times: the usual number, which milliseconds go into. */
export const VIDEO_SCALE = 90_000;

const CODECS = {
  avc1: { name: "H.264", record: "avcC", describe: describeAvc },
  hvc1: { name: "HEVC", record: "hvcC", describe: describeHevc },
  av01: { name: "AV1", record: "av1C", describe: describeAv1 },
  vp09: { name: "VP9", record: "vpcC", describe: describeVp },
  vp08: { name: "VP8", record: "vpcC", describe: describeVp },
};

export function videoName(codec) {
  return CODECS[codec]?.name ?? (codec === "vvc1" ? "VVC" : codec);
}

/** Whether the codec cannot be played before its configuration has come. */
export function videoNeedsConfig(codec) {
  return codec in CODECS;
}

/** The format of a video track, or null when the codec is not one of those above. */
export function videoFormat(codec, config, keyFrame) {
  const known = CODECS[codec];
  if (!known) return null;
  const about = known.describe(codec, config, keyFrame);
  const { string, width, height } = about;
  return {
    kind: "video",
    codec,
    name: known.name,
    string,
    mime: `video/mp4; codecs="${string}"`,
    scale: VIDEO_SCALE,
    width,
    height,
    entry: sampleEntry(codec, width, height, box(known.record, about.record ?? config)),
  };
}

function sampleEntry(type, width, height, record) {
  const size = [u16(width), u16(height)];
  const resolution = [u32(0x480000), u32(0x480000), zeros(4), u16(1)];
  const head = [zeros(6), u16(1), zeros(16), ...size, ...resolution, zeros(32)];
  return box(type, ...head, u16(24), u16(0xffff), record);
}

// H.264: AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) and the SPS (H.264, 7.3.2.1).

function describeAvc(codec, config) {
  const reader = new Reader(config);
  reader.u8();
  const string = `avc1.${hex(reader.u8())}${hex(reader.u8())}${hex(reader.u8())}`;
  reader.u8();
  if ((reader.u8() & 31) === 0) throw new Error("H.264 without a sequence parameter set");
  const sps = unescaped(reader.take(reader.u16()));
  return { string, ...avcSize(new BitReader(sps.subarray(1))) };
}

const AVC_WITH_CHROMA = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135]);

function avcSize(bits) {
  const profile = bits.bits(8);
  bits.skip(16);
  bits.unsigned();
  const chroma = AVC_WITH_CHROMA.has(profile) ? avcChroma(bits) : 1;
  bits.unsigned();
  avcPictureOrder(bits);
  bits.unsigned();
  bits.skip(1);
  const columns = bits.unsigned() + 1;
  const rows = bits.unsigned() + 1;
  const isFrameOnly = bits.bit();
  if (!isFrameOnly) bits.skip(1);
  bits.skip(1);
  const [left, right, top, bottom] = cropping(bits);
  const [unitX, unitY] = cropUnits(chroma, isFrameOnly ? 1 : 2);
  return {
    width: columns * 16 - (left + right) * unitX,
    height: rows * 16 * (isFrameOnly ? 1 : 2) - (top + bottom) * unitY,
  };
}

function avcChroma(bits) {
  const chroma = bits.unsigned();
  if (chroma === 3) bits.skip(1);
  bits.unsigned();
  bits.unsigned();
  bits.skip(1);
  if (bits.bit()) {
    const lists = chroma === 3 ? 12 : 8;
    for (let i = 0; i < lists; i += 1) {
      if (bits.bit()) skipScalingList(bits, i < 6 ? 16 : 64);
    }
  }
  return chroma;
}

function skipScalingList(bits, size) {
  let last = 8;
  for (let i = 0; i < size; i += 1) {
    const next = (last + bits.signed() + 256) % 256;
    if (next === 0) return;
    last = next;
  }
}

function avcPictureOrder(bits) {
  const type = bits.unsigned();
  if (type === 0) bits.unsigned();
  if (type !== 1) return;
  bits.skip(1);
  bits.signed();
  bits.signed();
  const count = bits.unsigned();
  for (let i = 0; i < count && i < 256; i += 1) bits.signed();
}

function cropping(bits) {
  if (!bits.bit()) return [0, 0, 0, 0];
  return [bits.unsigned(), bits.unsigned(), bits.unsigned(), bits.unsigned()];
}

/** Pixels a unit of cropping is, across and down; chroma 1 is 4:2:0, 2 is 4:2:2. */
function cropUnits(chroma, fields) {
  return [chroma === 1 || chroma === 2 ? 2 : 1, (chroma === 1 ? 2 : 1) * fields];
}

// HEVC: HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1) and the SPS (H.265, 7.3.2.2).

function describeHevc(codec, config) {
  const string = hevcString(new Reader(config, 1));
  const sps = hevcUnit(new Reader(config, 22), 33);
  if (!sps) throw new Error("HEVC without a sequence parameter set");
  return { string, ...hevcSize(new BitReader(unescaped(sps.subarray(2)))) };
}

/** The string of ISO/IEC 14496-15, E.3. */
function hevcString(reader) {
  const first = reader.u8();
  const space = ["", "A", "B", "C"][first >> 6];
  let reversed = 0;
  const compatible = reader.u32();
  for (let i = 0; i < 32; i += 1) reversed = reversed * 2 + ((compatible >>> i) & 1);
  const constraints = [...reader.take(6)];
  while (constraints.length > 0 && constraints.at(-1) === 0) constraints.pop();
  const tier = first & 0x20 ? "H" : "L";
  const parts = [`hvc1.${space}${first & 31}`, hex(reversed, 1), `${tier}${reader.u8()}`];
  return [...parts, ...constraints.map((byte) => hex(byte, 1))].join(".");
}

/** The first NAL unit of a type in the arrays of the record. */
function hevcUnit(reader, type) {
  for (let arrays = reader.u8(); arrays > 0; arrays -= 1) {
    const found = reader.u8() & 63;
    for (let units = reader.u16(); units > 0; units -= 1) {
      const unit = reader.take(reader.u16());
      if (found === type) return unit;
    }
  }
  return null;
}

function hevcSize(bits) {
  bits.skip(4);
  const subLayers = bits.bits(3);
  bits.skip(1 + 96);
  skipSubLayers(bits, subLayers);
  bits.unsigned();
  const chroma = bits.unsigned();
  if (chroma === 3) bits.skip(1);
  const width = bits.unsigned();
  const height = bits.unsigned();
  const [left, right, top, bottom] = cropping(bits);
  const [unitX, unitY] = cropUnits(chroma, 1);
  return { width: width - (left + right) * unitX, height: height - (top + bottom) * unitY };
}

function skipSubLayers(bits, count) {
  if (count === 0) return;
  const present = [];
  for (let i = 0; i < 8; i += 1) present.push([bits.bit(), bits.bit()]);
  for (const [profile, level] of present.slice(0, count)) {
    bits.skip((profile ? 88 : 0) + (level ? 8 : 0));
  }
}

// AV1: AV1CodecConfigurationRecord (AV1 in ISOBMFF, 2.3.3) and the sequence header OBU (AV1, 5.5).

function describeAv1(codec, config) {
  const [, second, third] = config;
  if (config.length < 4) throw new RangeError("cut short");
  const depth = third & 0x40 ? (third & 0x20 ? 12 : 10) : 8;
  const level = String(second & 31).padStart(2, "0");
  const tier = third & 0x80 ? "H" : "M";
  const string = `av01.${second >> 5}.${level}${tier}.${String(depth).padStart(2, "0")}`;
  return { string, ...av1Size(config.subarray(4)) };
}

function av1Size(units) {
  const reader = new Reader(units);
  const header = reader.u8();
  if (((header >> 3) & 15) !== 1) throw new Error("AV1 without a sequence header");
  if (header & 4) reader.u8();
  if (header & 2) while (reader.u8() & 0x80);
  const bits = new BitReader(reader.rest());
  bits.skip(4);
  if (bits.bit()) bits.skip(5);
  else skipOperatingPoints(bits);
  const widthBits = bits.bits(4) + 1;
  const heightBits = bits.bits(4) + 1;
  return { width: bits.bits(widthBits) + 1, height: bits.bits(heightBits) + 1 };
}

function skipOperatingPoints(bits) {
  const hasTiming = bits.bit();
  if (hasTiming) {
    bits.skip(64);
    if (bits.bit()) bits.unsigned();
  }
  const hasModel = hasTiming && bits.bit();
  const delayBits = hasModel ? bits.bits(5) + 1 : 0;
  if (hasModel) bits.skip(42);
  const hasDelay = bits.bit();
  const points = bits.bits(5) + 1;
  for (let i = 0; i < points; i += 1) {
    bits.skip(12);
    if (bits.bits(5) > 7) bits.skip(1);
    if (hasModel && bits.bit()) bits.skip(2 * delayBits + 1);
    if (hasDelay && bits.bit()) bits.skip(4);
  }
}

// VP8, VP9: VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding); sizes are in the
// key frame.

function describeVp(codec, config, keyFrame) {
  // Some writers put the version and flags of the box in front of the record.
  const isBoxed = config.length >= 12 && config[0] === 1 && config[1] === 0 && config[2] === 0;
  const record = isBoxed ? config.subarray(4) : config;
  if (record.length < 3) throw new RangeError("cut short");
  const two = (number) => String(number).padStart(2, "0");
  const string = `${codec}.${two(record[0])}.${two(record[1])}.${two(record[2] >> 4)}`;
  const size = codec === "vp09" ? vp9Size(keyFrame, record[0]) : vp8Size(keyFrame);
  return { string, ...size, record: Uint8Array.from([1, 0, 0, 0, ...record]) };
}

/** From the uncompressed header of a key frame (VP9 bitstream, 6.2). */
function vp9Size(frame, profile) {
  const bits = new BitReader(frame);
  bits.skip(profile === 3 ? 5 : 4);
  // No frame that is shown again, a key frame, two flags, and the sync code.
  bits.skip(4 + 24);
  if (profile >= 2) bits.skip(1);
  const isRgb = bits.bits(3) === 7;
  if (!isRgb) bits.skip(1);
  if (profile === 1 || profile === 3) bits.skip(isRgb ? 1 : 3);
  return { width: bits.bits(16) + 1, height: bits.bits(16) + 1 };
}

/** From the start of a key frame (RFC 6386, 9.1). */
function vp8Size(frame) {
  if (frame.length < 10) throw new RangeError("cut short");
  const size = (at) => (frame[at] + frame[at + 1] * 256) & 0x3fff;
  return { width: size(6), height: size(8) };
}
