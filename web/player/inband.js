// Parameter sets that come with the pictures and in no header of their own, as cameras and
// gateways send them: the decoder configuration is made of those in a key frame. H.264 (Annex B,
// 7.3.1) and HEVC (Annex B, 7.3.1.2); ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1.

import { BitReader, unescaped } from "./bytes.js";
import { joined, u16, u32 } from "./box.js";

const AVC_SPS = 7;
const AVC_PPS = 8;
const HEVC_VPS = 32;
const HEVC_SPS = 33;
const HEVC_PPS = 34;

/** The decoder configuration that the parameter sets in `frame` make, or null without them. */
export function inBandConfig(codec, frame) {
  if (codec === "avc1") return avcConfig(units(frame));
  if (codec === "hvc1") return hevcConfig(units(frame));
  return null;
}

/** A frame as MP4 wants it, with a length before each NAL unit. */
export function withLengths(frame) {
  if (lengthUnits(frame) !== null) return frame;
  return joined(units(frame).flatMap((unit) => [u32(unit.length), unit]));
}

/** The NAL units of a frame, behind lengths of four bytes or start codes. */
function units(frame) {
  return lengthUnits(frame) ?? startCodeUnits(frame);
}

/** Null when the lengths do not make up the frame. */
function lengthUnits(frame) {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const found = [];
  let at = 0;
  while (at + 4 <= frame.length) {
    const end = at + 4 + view.getUint32(at);
    if (end > frame.length || end === at + 4) return null;
    found.push(frame.subarray(at + 4, end));
    at = end;
  }
  return at === frame.length ? found : null;
}

function startCodeUnits(frame) {
  const found = [];
  let from = -1;
  for (let at = 0; at + 3 <= frame.length; at += 1) {
    if (frame[at] !== 0 || frame[at + 1] !== 0 || frame[at + 2] !== 1) continue;
    if (from >= 0) found.push(withoutZeros(frame.subarray(from, at)));
    from = at + 3;
    at += 2;
  }
  if (from >= 0) found.push(frame.subarray(from));
  return found.filter((unit) => unit.length > 0);
}

/** Zeros at the end belong to the next start code. */
function withoutZeros(unit) {
  let end = unit.length;
  while (end > 0 && unit[end - 1] === 0) end -= 1;
  return unit.subarray(0, end);
}

function avcConfig(all) {
  const ofType = (type) => all.find((unit) => (unit[0] & 31) === type);
  const [sps, pps] = [ofType(AVC_SPS), ofType(AVC_PPS)];
  if (!sps || !pps || sps.length < 4) return null;
  const head = [1, sps[1], sps[2], sps[3], 0xff, 0xe1];
  return joined([head, u16(sps.length), sps, [1], u16(pps.length), pps]);
}

function hevcConfig(all) {
  const ofType = (type) => all.find((unit) => ((unit[0] >> 1) & 63) === type);
  const sets = [HEVC_VPS, HEVC_SPS, HEVC_PPS].map((type) => [type, ofType(type)]);
  if (sets.some(([, unit]) => !unit)) return null;
  const sps = unescaped(sets[1][1].subarray(2));
  // Profile, tier and level take twelve bytes behind the first one.
  const { chroma, luma, colour } = hevcDepths(sps);
  const depths = [0xfc | chroma, 0xf8 | luma, 0xf8 | colour];
  const head = [[1], sps.subarray(1, 13), [0xf0, 0, 0xfc], depths, [0, 0, 0x0f, sets.length]];
  const arrays = sets.flatMap(([type, unit]) => [[0x80 | type, 0, 1], u16(unit.length), unit]);
  return joined([...head, ...arrays]);
}

/** Format of colours, and bits above eight of luma and chroma (H.265, 7.3.2.2). */
function hevcDepths(sps) {
  const bits = new BitReader(sps);
  bits.skip(4);
  const subLayers = bits.bits(3);
  bits.skip(1 + 96);
  const present = [];
  for (let i = 0; subLayers > 0 && i < 8; i += 1) present.push([bits.bit(), bits.bit()]);
  for (const [profile, level] of present.slice(0, subLayers)) {
    bits.skip((profile ? 88 : 0) + (level ? 8 : 0));
  }
  bits.unsigned();
  const chroma = bits.unsigned();
  if (chroma === 3) bits.skip(1);
  bits.unsigned();
  bits.unsigned();
  if (bits.bit()) for (let i = 0; i < 4; i += 1) bits.unsigned();
  return { chroma: chroma & 3, luma: bits.unsigned() & 7, colour: bits.unsigned() & 7 };
}
