// Writes fragmented MP4 with one track a file, as Media Source Extensions take it: the
// initialisation segment (ftyp, moov) and media segments (moof, mdat). ISO/IEC 14496-12, 8.8.

import { box, fullBox, joined, text, u16, u32, u64, zeros } from "./box.js";

const TRACK = 1;
const MATRIX = [u32(0x10000), zeros(12), u32(0x10000), zeros(12), u32(0x40000000)];

// sample_flags of ISO/IEC 14496-12, 8.8.3.1: what a sample depends on, and if it is no sync point.
const SYNC_SAMPLE = 0x0200_0000;
const OTHER_SAMPLE = 0x0101_0000;

/** `format` is what formats.js made; its `scale` is the number of time units a second. */
export function initSegment(format) {
  const isVideo = format.kind === "video";
  const brands = text("iso6iso5mp41");
  return joined([
    box("ftyp", text("iso6"), u32(1), brands),
    box("moov", movieHeader(), track(format, isVideo), box("mvex", trackExtends())),
  ]);
}

function movieHeader() {
  const times = [zeros(8), u32(1000), zeros(4)];
  const rate = [u32(0x10000), u16(0x100), zeros(10)];
  return fullBox("mvhd", 0, 0, ...times, ...rate, ...MATRIX, zeros(24), u32(TRACK + 1));
}

function track(format, isVideo) {
  const size = [u32(format.width << 16), u32(format.height << 16)];
  const volume = u16(isVideo ? 0 : 0x100);
  const head = [zeros(8), u32(TRACK), zeros(8), zeros(8), zeros(4), volume, zeros(2)];
  return box("trak", fullBox("tkhd", 0, 7, ...head, ...MATRIX, ...size), media(format, isVideo));
}

function media(format, isVideo) {
  // 0x55c4 says that the language is not known.
  const language = u16(0x55c4);
  const header = fullBox("mdhd", 0, 0, zeros(8), u32(format.scale), zeros(4), language, zeros(2));
  const handler = [zeros(4), text(isVideo ? "vide" : "soun"), zeros(12), [0]];
  const about = isVideo ? fullBox("vmhd", 0, 1, zeros(8)) : fullBox("smhd", 0, 0, zeros(4));
  const here = box("dinf", fullBox("dref", 0, 0, u32(1), fullBox("url ", 0, 1)));
  const info = box("minf", about, here, sampleTable(format.entry));
  return box("mdia", header, fullBox("hdlr", 0, 0, ...handler), info);
}

function sampleTable(entry) {
  const none = (type) => fullBox(type, 0, 0, zeros(4));
  const sizes = fullBox("stsz", 0, 0, zeros(8));
  const description = fullBox("stsd", 0, 0, u32(1), entry);
  return box("stbl", description, none("stts"), none("stsc"), sizes, none("stco"));
}

function trackExtends() {
  return fullBox("trex", 0, 0, u32(TRACK), u32(1), zeros(12));
}

/**
 * One segment of `samples`: `{ at, duration, composition, isKey, data }`, times in units of the
 * track's scale, `at` that of decoding.
 */
export function mediaSegment(number, samples) {
  const data = box("mdat", ...samples.map((sample) => sample.data));
  const length = fragment(number, samples, 0).length;
  return joined([fragment(number, samples, length + 8), data]);
}

function fragment(number, samples, offset) {
  // Duration, size, flags and composition offset of each sample, and where the data begins.
  const flags = 0x000f01;
  const rows = samples.map((sample) => [
    ...u32(sample.duration),
    ...u32(sample.data.length),
    ...u32(sample.isKey ? SYNC_SAMPLE : OTHER_SAMPLE),
    ...u32(sample.composition),
  ]);
  // Version 1: composition offsets may be below zero.
  const run = fullBox("trun", 1, flags, u32(samples.length), u32(offset), ...rows);
  const start = fullBox("tfdt", 1, 0, u64(samples[0].at));
  // Data offsets count from the start of the moof box.
  const traf = box("traf", fullBox("tfhd", 0, 0x020000, u32(TRACK)), start, run);
  return box("moof", fullBox("mfhd", 0, 0, u32(number)), traf);
}
