// What an audio or video tag carries: which codec, and a configuration, a frame or the end of the
// sequence. Reads the headers of FLV 10.1 (E.4.2, E.4.3) and those of Enhanced RTMP v2 (FourCC,
// ModEx, Multitrack: of several tracks, track 0). It does not look into the codecs' own data.

import { Reader } from "./bytes.js";

// Packet types of Enhanced RTMP v2, "ExVideoTagHeader" and "ExAudioTagHeader".
const SEQUENCE_START = 0;
const CODED_FRAMES = 1;
const SEQUENCE_END = 2;
const CODED_FRAMES_X = 3;
const AUDIO_MULTITRACK = 5;
const VIDEO_MULTITRACK = 6;
const MOD_EX = 7;

const ONE_TRACK = 0;
const MANY_CODECS = 2;

const KEY_FRAME = 1;
const COMMAND_FRAME = 5;
const EX_AUDIO = 9;

// Codec numbers of FLV by the FourCC they have now. 12 is what encoders used for HEVC before
// there was a FourCC for it.
const VIDEO_CODECS = { 7: "avc1", 12: "hvc1" };
const AUDIO_CODECS = { 2: ".mp3", 10: "mp4a", 14: ".mp3" };
const VIDEO_NAMES = { 2: "Sorenson H.263", 3: "Screen video", 4: "VP6", 5: "VP6", 6: "Screen 2" };
const AUDIO_NAMES = {
  0: "PCM", 1: "ADPCM", 3: "PCM", 4: "Nellymoser", 5: "Nellymoser", 6: "Nellymoser",
  7: "G.711", 8: "G.711", 11: "Speex",
};
// Codecs whose coded frames have a composition time in front (E-RTMP v2, "ExVideoTagBody").
const WITH_COMPOSITION = new Set(["avc1", "hvc1", "vvc1"]);

/**
 * Reads the body of a video tag: `{ codec, type, isKey, composition, nanos, data }` with type
 * "config", "frame" or "end", or null when there is nothing in it to play.
 */
export function videoPacket(body) {
  if (body.length < 2) return null;
  const reader = new Reader(body);
  const first = reader.u8();
  const frameType = (first >> 4) & 7;
  const packet = { isKey: frameType === KEY_FRAME, composition: 0, nanos: 0 };
  if (first & 0x80) return enhancedVideo(reader, packet, first & 15, frameType);
  if (frameType === COMMAND_FRAME) return null;
  const number = first & 15;
  packet.codec = VIDEO_CODECS[number] ?? VIDEO_NAMES[number] ?? `FLV video codec ${number}`;
  if (!VIDEO_CODECS[number]) return finish(packet, CODED_FRAMES, reader);
  const type = reader.u8();
  packet.composition = reader.i24();
  return finish(packet, type, reader);
}

/** Type, codec and rest of what is played: of several tracks the first, or all there is. */
function trackOf(reader, type, multitrackType) {
  if (type === multitrackType) return multitrack(reader);
  return { type, codec: reader.text(4), reader };
}

function enhancedVideo(reader, packet, firstType, frameType) {
  const first = modEx(reader, packet, firstType);
  if (frameType === COMMAND_FRAME && first !== 4) return null;
  const track = trackOf(reader, first, VIDEO_MULTITRACK);
  if (track === null) return null;
  const { type } = track;
  packet.codec = track.codec;
  reader = track.reader;
  if (type === CODED_FRAMES && WITH_COMPOSITION.has(packet.codec)) {
    packet.composition = reader.i24();
  }
  return finish(packet, type === CODED_FRAMES_X ? CODED_FRAMES : type, reader);
}

/** As videoPacket, for an audio tag. */
export function audioPacket(body) {
  // An empty message means silence (E-RTMP v2, "ExAudioTagHeader").
  if (body.length < 2) return null;
  const reader = new Reader(body);
  const first = reader.u8();
  const number = first >> 4;
  const packet = { isKey: true, composition: 0, nanos: 0 };
  if (number === EX_AUDIO) return enhancedAudio(reader, packet, first & 15);
  packet.codec = AUDIO_CODECS[number] ?? AUDIO_NAMES[number] ?? `FLV audio codec ${number}`;
  const type = packet.codec === "mp4a" ? reader.u8() : CODED_FRAMES;
  return finish(packet, type, reader);
}

function enhancedAudio(reader, packet, firstType) {
  const first = modEx(reader, packet, firstType);
  const track = trackOf(reader, first, AUDIO_MULTITRACK);
  if (track === null) return null;
  packet.codec = track.codec;
  return finish(packet, track.type, track.reader);
}

/** Reads over the ModEx parts in front, keeps the nanoseconds, returns the type behind them. */
function modEx(reader, packet, firstType) {
  let type = firstType;
  while (type === MOD_EX) {
    let size = reader.u8() + 1;
    if (size === 256) size = reader.u16() + 1;
    const data = reader.take(size);
    const next = reader.u8();
    if (next >> 4 === 0 && size >= 3) packet.nanos = new Reader(data).u24();
    type = next & 15;
  }
  return type;
}

/** The type, codec and body of track 0, or null when it is not in this packet. */
function multitrack(reader) {
  const first = reader.u8();
  const kind = first >> 4;
  const type = first & 15;
  let codec = kind === MANY_CODECS ? "" : reader.text(4);
  while (reader.left > 0) {
    if (kind === MANY_CODECS) codec = reader.text(4);
    const id = reader.u8();
    const body = kind === ONE_TRACK ? reader.rest() : reader.take(reader.u24());
    if (id === 0) return { type, codec, reader: new Reader(body) };
  }
  return null;
}

function finish(packet, type, reader) {
  const types = { [SEQUENCE_START]: "config", [CODED_FRAMES]: "frame", [SEQUENCE_END]: "end" };
  packet.type = types[type];
  if (packet.type === undefined) return null;
  packet.data = reader.rest();
  if (packet.type === "frame" && packet.data.length === 0) return null;
  return packet;
}
