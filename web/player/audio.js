// Audio codecs: from a configuration or a first frame to what MP4 and the browser must be told,
// and how many samples a frame has, so that sound follows on sound without a gap.

import { BitReader, Reader } from "./bytes.js";
import { box, fullBox, u16, u32, zeros } from "./box.js";

const CODECS = {
  mp4a: { name: "AAC", needsConfig: true, describe: describeAac },
  Opus: { name: "Opus", needsConfig: false, describe: describeOpus },
  fLaC: { name: "FLAC", needsConfig: true, describe: describeFlac },
  ".mp3": { name: "MP3", needsConfig: false, describe: describeMp3 },
  "ac-3": { name: "AC-3", needsConfig: false, describe: describeAc3 },
  "ec-3": { name: "E-AC-3", needsConfig: false, describe: describeEac3 },
};

export function audioName(codec) {
  return CODECS[codec]?.name ?? codec;
}

/** Whether the codec cannot be played before its configuration has come. */
export function audioNeedsConfig(codec) {
  return CODECS[codec]?.needsConfig ?? false;
}

/** The format of an audio track, or null when the codec is not one of those above. */
export function audioFormat(codec, config, frame) {
  const known = CODECS[codec];
  if (!known) return null;
  const about = known.describe(config, frame);
  return {
    kind: "audio",
    codec,
    name: known.name,
    string: about.string,
    mime: `audio/mp4; codecs="${about.string}"`,
    rawMime: about.rawMime,
    scale: about.rate,
    rate: about.rate,
    channels: about.channels,
    width: 0,
    height: 0,
    entry: sampleEntry(about),
    samplesIn: about.samplesIn,
  };
}

function sampleEntry({ type, rate, channels, record }) {
  // The rate has 16 bits here; a higher one is in the codec's own record.
  const rateBits = rate < 0x10000 ? u16(rate) : u16(0);
  const head = [zeros(6), u16(1), zeros(8), u16(channels), u16(16), zeros(4), rateBits, u16(0)];
  return box(type, ...head, record);
}

/** The esds box (ISO/IEC 14496-14, 5.6; descriptors in 14496-1, 7.2.6). */
function elementaryStream(objectType, config) {
  const special = config.length > 0 ? [5, config.length, ...config] : [];
  const decoder = [objectType, 0x15, 0, 0, 0, ...u32(0), ...u32(0), ...special];
  const stream = [...u16(1), 0, 4, decoder.length, ...decoder, 6, 1, 2];
  return fullBox("esds", 0, 0, [3, stream.length, ...stream]);
}

// AAC: AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).

const AAC_RATES = [
  96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
];
const AAC_CHANNELS = [2, 1, 2, 3, 4, 5, 6, 8];

function describeAac(config) {
  if (config.length > 64) throw new Error("an AAC configuration that is too long");
  const bits = new BitReader(config);
  const objectType = aacObjectType(bits);
  const rate = aacRate(bits);
  const channels = AAC_CHANNELS[bits.bits(4)] ?? 2;
  const string = `mp4a.40.${objectType}`;
  const record = elementaryStream(0x40, config);
  return { type: "mp4a", string, rate, channels, record, samplesIn: () => 1024 };
}

function aacObjectType(bits) {
  const type = bits.bits(5);
  return type === 31 ? 32 + bits.bits(6) : type;
}

function aacRate(bits) {
  const index = bits.bits(4);
  const rate = index === 15 ? bits.bits(24) : AAC_RATES[index];
  if (!rate) throw new Error("an AAC configuration without a sample rate");
  return rate;
}

// Opus: the ID header (RFC 7845, 5.1), and the first byte of a packet (RFC 6716, 3.1).

function describeOpus(config) {
  const header = config.length >= 19 ? config.subarray(8) : opusStereo();
  const [, channels, skipLow, skipHigh, r0, r1, r2, r3, gainLow, gainHigh] = header;
  const numbers = [0, channels, skipHigh, skipLow, r3, r2, r1, r0, gainHigh, gainLow];
  const record = box("dOps", numbers, header.subarray(10));
  const samplesIn = (packet) => opusSamples(packet);
  return { type: "Opus", string: "opus", rate: 48000, channels, record, samplesIn };
}

function opusStereo() {
  // Version, channels, samples to skip, 48000 Hz, gain, mapping family.
  return Uint8Array.from([1, 2, 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, 0]);
}

function opusSamples(packet) {
  const config = packet[0] >> 3;
  const count = opusFrames(packet);
  if (config < 12) return count * [480, 960, 1920, 2880][config & 3];
  if (config < 16) return count * [480, 960][config & 1];
  return count * [120, 240, 480, 960][config & 3];
}

function opusFrames(packet) {
  const code = packet[0] & 3;
  if (code === 3) return (packet[1] ?? 1) & 63;
  return code === 0 ? 1 : 2;
}

// FLAC: "fLaC", then the STREAMINFO block (RFC 9639, 8.1 and 8.2).

function describeFlac(config) {
  // FFmpeg 9 sends the contents of the STREAMINFO block and nothing in front of them.
  const start = config.length === 34 ? 0 : config[0] === 0x66 ? 8 : 4;
  const info = new Reader(config, start).take(34);
  const block = Uint8Array.from([0x80, 0, 0, 34, ...info]);
  const bits = new BitReader(info);
  const smallest = bits.bits(16);
  const largest = bits.bits(16);
  bits.skip(48);
  const rate = bits.bits(20);
  const channels = bits.bits(3) + 1;
  const samplesIn = () => (smallest === largest ? largest : null);
  const record = fullBox("dfLa", 0, 0, block);
  return { type: "fLaC", string: "flac", rate, channels, record, samplesIn };
}

// MP3: the header of a frame (ISO/IEC 11172-3, 2.4.2.3).

const MP3_RATES = [44100, 48000, 32000];

function describeMp3(config, frame) {
  if (frame[0] !== 0xff || (frame[1] & 0xe0) !== 0xe0) throw new Error("not an MP3 frame");
  const version = (frame[1] >> 3) & 3;
  const divisor = { 3: 1, 2: 2, 0: 4 }[version];
  const rate = MP3_RATES[(frame[2] >> 2) & 3] / divisor;
  if (!rate) throw new Error("an MP3 frame without a sample rate");
  const channels = frame[3] >> 6 === 3 ? 1 : 2;
  const samples = divisor === 1 ? 1152 : 576;
  const record = elementaryStream(0x6b, []);
  // Chromium takes MP3 only as it is, without MP4 around it.
  return {
    type: "mp4a", string: "mp3", rawMime: "audio/mpeg", rate, channels, record,
    samplesIn: () => samples,
  };
}

// AC-3 and E-AC-3: the start of a frame, and the dac3 and dec3 boxes (ETSI TS 102 366, 4.3, E.1.2
// and annex F).

const AC3_RATES = [48000, 44100, 32000];
const AC3_CHANNELS = [2, 1, 2, 3, 3, 4, 4, 5];

function describeAc3(config, frame) {
  const bits = new BitReader(frame);
  if (bits.bits(16) !== 0x0b77) throw new Error("not an AC-3 frame");
  bits.skip(16);
  const rateCode = bits.bits(2);
  const sizeCode = bits.bits(6);
  const id = bits.bits(5);
  const service = bits.bits(3);
  const mode = bits.bits(3);
  if (mode & 1 && mode !== 1) bits.skip(2);
  if (mode & 4) bits.skip(2);
  if (mode === 2) bits.skip(2);
  const low = bits.bit();
  const fields = [
    [rateCode, 2], [id, 5], [service, 3], [mode, 3], [low, 1], [sizeCode >> 1, 5], [0, 5],
  ];
  return dolby("ac-3", rateCode, mode, low, box("dac3", packed(fields)), () => 1536);
}

function describeEac3(config, frame) {
  const bits = new BitReader(frame);
  if (bits.bits(16) !== 0x0b77) throw new Error("not an E-AC-3 frame");
  bits.skip(5);
  const frameBytes = (bits.bits(11) + 1) * 2;
  const rateCode = bits.bits(2);
  const blocks = [1, 2, 3, 6][bits.bits(2)];
  const mode = bits.bits(3);
  const low = bits.bit();
  const id = bits.bits(5);
  const samples = blocks * 256;
  const kbits = Math.round((frameBytes * 8 * (AC3_RATES[rateCode] ?? 48000)) / samples / 1000);
  const fields = [
    [kbits, 13], [0, 3], [rateCode, 2], [id, 5], [0, 5], [mode, 3], [low, 1], [0, 8],
  ];
  return dolby("ec-3", rateCode, mode, low, box("dec3", packed(fields)), () => samples);
}

function dolby(type, rateCode, mode, low, record, samplesIn) {
  const rate = AC3_RATES[rateCode];
  if (!rate) throw new Error(`${type} at a sample rate that is not supported`);
  return { type, string: type, rate, channels: AC3_CHANNELS[mode] + low, record, samplesIn };
}

/** Bytes out of fields of `[value, bits]`, the most significant bit first. */
function packed(fields) {
  const all = fields.map(([value, bits]) => value.toString(2).padStart(bits, "0")).join("");
  return all.match(/.{8}/g).map((byte) => parseInt(byte, 2));
}
