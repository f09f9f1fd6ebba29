// The rows of the player's overlay: names and values for people.

export function figureRows(stats) {
  return [
    ["State", `${stats.state}, by ${stats.transport}`],
    ["Video", stats.videoCodec ?? "none"],
    ["Picture", picture(stats)],
    ["Audio", audio(stats)],
    ["Frames", `${stats.decodedFrames} decoded, ${stats.droppedFrames} dropped`],
    ["Buffer", `${stats.bufferedSeconds.toFixed(1)} s`],
    ["Behind", `${stats.delaySeconds.toFixed(1)} s at ${stats.playbackRate} ×`],
    ["Rate", `${Math.round(stats.kbits)} kbit/s`],
    ["Received", `${(stats.bytes / 1e6).toFixed(1)} MB`],
    ["Connections", String(stats.connects)],
    ["Waits, jumps", `${stats.stalls}, ${stats.jumps}`],
  ];
}

function picture({ width, height, frameRate, videoCodec }) {
  if (!videoCodec) return "none";
  const rate = frameRate ? `, ${frameRate.toFixed(1)} a second` : "";
  return `${width} × ${height}${rate}`;
}

function audio({ audioCodec, sampleRate, channels }) {
  if (!audioCodec) return "none";
  const places = { 1: "mono", 2: "stereo" }[channels] ?? `${channels} channels`;
  return `${audioCodec}, ${(sampleRate / 1000).toFixed(1)} kHz, ${places}`;
}
