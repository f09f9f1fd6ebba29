// Tests of the player's modules, run in a page by web/tests/modules: the FLV reader, packet
// headers, the clock, codec records, MP4. Exports `run()`: `{ passed, failed: ["name: why"] }`.

const load = (name) => import(`/-/${name}`);
const { FlvReader } = await load("flv.js");
const { audioPacket, videoPacket } = await load("packets.js");
const { Clock } = await load("clock.js");
const { videoFormat } = await load("video.js");
const { inBandConfig, withLengths } = await load("inband.js");
const { audioFormat } = await load("audio.js");
const { initSegment, mediaSegment } = await load("mp4.js");
const { Rates } = await load("history.js");
const format = await load("format.js");
const { banTarget, hostOf } = await load("bans.js");

const bytes = (text) => {
  const pairs = text.match(/[0-9a-f]{2}/gi) ?? [];
  return Uint8Array.from(pairs.map((two) => parseInt(two, 16)));
};
const letters = (text) => [...text].map((letter) => letter.charCodeAt(0).toString(16)).join("");

const hexAt = (file, at) => letters(String.fromCharCode(...file.slice(at, at + 4)));

function same(got, wanted) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`got ${a}, wanted ${b}`);
}

function throws(act) {
  try {
    act();
  } catch {
    return;
  }
  throw new Error("it did not throw");
}

/** Type, codec, composition and data of what a body holds. */
function seen(packet) {
  if (packet === null) return null;
  return [packet.type, packet.codec, packet.composition, packet.nanos, [...packet.data]];
}

const HEADER = "464c5601 05 00000009 00000000";
// A video tag at 0x01020304 ms with three bytes, and an audio tag with two.
const TAGS = "09 000003 020304 01 000000 aabbcc 0000000e 08 000002 000000 00 000000 dd ee 0000000d";
// Records as FFmpeg writes them, of x264, x265, SVT-AV1 and libvpx, and the pictures' sizes.
const RECORDS = {
  avc1: [
    ["0142c01effe100196742c01eda0280bfe5c044000003000400000300ca3c58ba8001000468ce0fc8", "",
      ["avc1.42C01E", 640, 360]],
    ["01640028ffe1001f67640028acd940780227a9bff04d004d11000003000100000300320f183196" +
      "01000668ebe3cb22c0fdf8f800", "", ["avc1.640028", 1918, 1078]],
    ["01f4000dffe1001f67f4000d919b282a33c7c6ffe014001422000003000200000300641e28532c" +
      "01000668ebe3c44844fff8f800", "", ["avc1.F4000D", 322, 180]],
  ],
  hvc1: [
    ["0101600000009000000000005af000fcfdf8f800000f03" +
      "200001001840010c01ffff01600000030090000003000003005a95940921" +
      "0001002f42010101600000030090000003000003005aa006c201e1cde595952930bffc14001405a02" +
      "00000030020000003032122000100064401c073c189", "", ["hvc1.1.6.L90.90", 854, 480]],
  ],
  av01: [["81040c000a0c0200002526355ef805f00080", "", ["av01.0.04M.08", 854, 480]]],
  vp09: [["01000000001e820202020000", "824983420035501df606", ["vp09.00.30.08", 854, 480]]],
};

/** The parameter sets in a record: of H.264 one of each kind, of HEVC all its arrays. */
function setsOf(codec, record) {
  const unit = (at) => [...record.slice(at + 2, at + 2 + record[at] * 256 + record[at + 1])];
  const sets = [];
  let at = codec === "avc1" ? 6 : 26;
  while (at + 2 < record.length && sets.length < (codec === "avc1" ? 2 : 3)) {
    sets.push(unit(at));
    at += 2 + sets.at(-1).length + (codec === "avc1" ? 1 : 3);
  }
  return sets;
}

const tests = {
  "what is banned is an address or a stream"() {
    for (const address of ["192.0.2.7", "10.0.0.0/8", "::1", "2001:db8::/64"]) {
      same(banTarget(address), { address });
    }
    for (const stream of ["live/cam", "cam", "live/10.0.0.1", "a:b", "2024/1"]) {
      same(banTarget(stream), { stream });
    }
    same([hostOf("192.0.2.7:5"), hostOf("[::1]:5"), hostOf("unix")], ["192.0.2.7", "::1", null]);
  },

  "tags come whole however the network cuts them"() {
    const all = bytes(HEADER + TAGS);
    for (let size = 1; size <= all.length; size += 1) {
      const reader = new FlvReader();
      const tags = [];
      for (let at = 0; at < all.length; at += size) {
        for (const { kind, time, body } of reader.push(all.slice(at, at + size))) {
          tags.push([kind, time, [...body]]);
        }
      }
      same(tags, [[9, 0x01020304, [0xaa, 0xbb, 0xcc]], [8, 0, [0xdd, 0xee]]]);
    }
  },

  "what is not FLV is refused"() {
    throws(() => new FlvReader().push(bytes(`48${HEADER.slice(2)}`)));
  },

  "a legacy H.264 frame has a composition time with a sign"() {
    same(seen(videoPacket(bytes("27 01 ffffd8 01"))), ["frame", "avc1", -40, 0, [1]]);
  },

  "a legacy AAC header is a configuration"() {
    same(seen(audioPacket(bytes("af 00 1210"))), ["config", "mp4a", 0, 0, [0x12, 0x10]]);
  },

  "coded frames of HEVC have a composition time, those of AV1 have none"() {
    const hevc = videoPacket(bytes(`91 ${letters("hvc1")} 000028 07`));
    same(seen(hevc), ["frame", "hvc1", 40, 0, [7]]);
    same(seen(videoPacket(bytes(`91 ${letters("av01")} 12`))), ["frame", "av01", 0, 0, [0x12]]);
    same(seen(videoPacket(bytes(`93 ${letters("hvc1")} 07`))), ["frame", "hvc1", 0, 0, [7]]);
  },

  "ModEx gives nanoseconds, in its short and its long form"() {
    const short = videoPacket(bytes(`97 02 0f4240 01 ${letters("av01")} 12`));
    same(seen(short), ["frame", "av01", 0, 1_000_000, [0x12]]);
    const long = audioPacket(bytes(`97 ff 0003 00000500 01 ${letters("Opus")} 55`));
    same(seen(long), ["frame", "Opus", 0, 5, [0x55]]);
  },

  "of several tracks, track 0 is played"() {
    const one = `96 01 ${letters("av01")} 00 12`;
    same(seen(videoPacket(bytes(one))), ["frame", "av01", 0, 0, [0x12]]);
    const many = `96 11 ${letters("av01")} 01 000001 aa 00 000002 bbcc`;
    same(seen(videoPacket(bytes(many))), ["frame", "av01", 0, 0, [0xbb, 0xcc]]);
    const codecs = `95 21 ${letters("mp4a")} 01 000001 aa ${letters("Opus")} 00 000001 bb`;
    same(seen(audioPacket(bytes(codecs))), ["frame", "Opus", 0, 0, [0xbb]]);
    same(seen(videoPacket(bytes(`96 01 ${letters("av01")} 03 12`))), null);
  },

  "metadata, commands and silence are nothing to play"() {
    same(seen(videoPacket(bytes(`94 ${letters("hvc1")} 02 0000`))), null);
    same(seen(videoPacket(bytes("57 00"))), null);
    same(seen(audioPacket(bytes(""))), null);
    same(seen(audioPacket(bytes(`94 ${letters("Opus")} 00 02`))), null);
  },

  "a packet that is cut short throws"() {
    throws(() => videoPacket(bytes("91 6876")));
    throws(() => audioPacket(bytes("97 05 00")));
    throws(() => videoPacket(bytes(`96 11 ${letters("av01")} 00 0000ff aa`)));
  },

  "times wrap at 32 bits without a jump"() {
    const clock = new Clock();
    same(clock.place("video", 0xffff_fff0), 1000);
    same(clock.place("video", 0x10), 1032);
  },

  "times that start anew go on behind what there is, for both tracks"() {
    const clock = new Clock();
    clock.place("video", 50_000);
    clock.place("audio", 50_010);
    same(clock.place("video", 50_040), 1040);
    same(clock.place("video", 0), 1080);
    same(clock.place("audio", 10), 1090);
    same(clock.place("audio", 30), 1110);
  },

  "a step back of one track only is jitter"() {
    const clock = new Clock();
    clock.place("video", 1000);
    clock.place("audio", 1000);
    same([clock.place("audio", 980), clock.place("audio", 1020)], [980, 1020]);
  },

  "a pause of some seconds stays a pause"() {
    const clock = new Clock();
    clock.place("video", 0);
    same(clock.place("video", 5000), 6000);
  },

  "a new connection goes on behind the old one"() {
    const clock = new Clock();
    clock.place("video", 700);
    clock.place("audio", 720);
    clock.restart();
    same([clock.place("audio", 90_000), clock.place("video", 89_990)], [1060, 1050]);
  },

  "a configuration gives the codec's string and the size of the picture"() {
    for (const [codec, records] of Object.entries(RECORDS)) {
      for (const [record, frame, wanted] of records) {
        const { string, width, height } = videoFormat(codec, bytes(record), bytes(frame));
        same([string, width, height], wanted);
      }
    }
  },

  "parameter sets in a picture make the configuration that a header has"() {
    const startCodes = (units) => units.flatMap((unit) => [0, 0, 0, 1, ...unit]);
    const lengths = (units) => units.flatMap((unit) => [0, 0, 0, unit.length, ...unit]);
    for (const codec of ["avc1", "hvc1"]) {
      for (const [record, , wanted] of RECORDS[codec]) {
        const picture = codec === "avc1" ? [0x65, 0x88, 0x84] : [0x26, 1, 0xaf, 0x09];
        const units = [...setsOf(codec, bytes(record)), picture];
        for (const form of [startCodes, lengths]) {
          const frame = Uint8Array.from(form(units));
          const config = inBandConfig(codec, frame);
          const { string, width, height } = videoFormat(codec, config, frame);
          same([string, width, height], wanted);
          same([...withLengths(frame)], lengths(units));
        }
        same(inBandConfig(codec, Uint8Array.from(lengths([picture]))), null);
      }
    }
    same(inBandConfig("av01", bytes("12 00")), null);
    same(inBandConfig("avc1", bytes("")), null);
  },

  "configurations that are cut short throw"() {
    for (const [codec, [[record, frame]]] of Object.entries(RECORDS)) {
      const whole = bytes(record);
      const least = { avc1: 12, hvc1: 90, av01: 14, vp09: 3 }[codec];
      for (let end = 0; end < least; end += 1) {
        throws(() => videoFormat(codec, whole.slice(0, end), bytes(frame)));
      }
    }
    throws(() => audioFormat("mp4a", bytes("12"), null));
    throws(() => audioFormat("fLaC", bytes("664c6143"), null));
  },

  "a codec nobody knows has no format"() {
    same(videoFormat("vvc1", bytes("00"), null), null);
    same(audioFormat("Speex", bytes("00"), null), null);
  },

  "AAC, MP3 and Opus tell rate, channels and samples in a frame"() {
    const about = (codec, config, frame) => {
      const { string, rate, channels, samplesIn } = audioFormat(codec, bytes(config), bytes(frame));
      return [string, rate, channels, samplesIn(bytes(frame))];
    };
    same(about("mp4a", "1210", "00"), ["mp4a.40.2", 44100, 2, 1024]);
    same(about(".mp3", "00", "fffb9064"), ["mp3", 44100, 2, 1152]);
    same(about("Opus", "00", "fc00"), ["opus", 48000, 2, 960]);
  },

  "boxes are as long as they say"() {
    const about = audioFormat("mp4a", bytes("1210"), null);
    const times = { at: 2 ** 33, duration: 1024, composition: -5 };
    const sample = { ...times, isKey: true, data: bytes("010203") };
    const types = (file) => {
      const view = new DataView(file.buffer, file.byteOffset, file.length);
      const found = [];
      let at = 0;
      for (; at < file.length; at += view.getUint32(at)) {
        found.push(String.fromCharCode(...file.slice(at + 4, at + 8)));
      }
      return [...found, at === file.length];
    };
    same(types(initSegment(about)), ["ftyp", "moov", true]);
    const segment = mediaSegment(1, [sample, sample]);
    same(types(segment), ["moof", "mdat", true]);
    same([...segment.slice(-6)], [1, 2, 3, 1, 2, 3]);
    const run = [...segment.keys()].find((at) => letters("trun") === hexAt(segment, at));
    const number = (at) => new DataView(segment.buffer).getUint32(run + at);
    // The run's size, the number of samples, and where the data begins.
    same([number(-4), number(8), number(12)], [20 + 2 * 16, 2, segment.length - 6]);
  },

  "rates need two answers and no restart"() {
    const rates = new Rates();
    const take = (time, number) => rates.take(time, [["a", { n: number }]]).get("a").n;
    same([take(1000, 5), take(3000, 25), take(4000, 3), take(5000, 4)], [null, 10, null, 1]);
  },

  "numbers read well"() {
    same(format.bits(1_234_567), "1.23 Mbit/s");
    same([0, 59, 93_784].map(format.duration), ["0 s", "59 s", "1 d 2 h"]);
    same([format.count(null), format.percent(0.05), format.ms(12_345)], ["–", "5.0 %", "12.3 s"]);
  },
};

/** Runs them all. */
export function run() {
  const failed = [];
  for (const [name, test] of Object.entries(tests)) {
    try {
      test();
    } catch (error) {
      failed.push(`${name}: ${error.message}`);
    }
  }
  return { passed: Object.keys(tests).length - failed.length, failed };
}
