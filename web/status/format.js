// Numbers as people read them. What is not known is a dash.

export const UNKNOWN = "–";

export function count(number) {
  return number === null || number === undefined ? UNKNOWN : Number(number).toLocaleString("en");
}

/** Bits a second, with a prefix. */
export function bits(rate) {
  return rate === null ? UNKNOWN : `${scaled(rate, 1000)}bit/s`;
}

export function bytes(number) {
  return number === null || number === undefined ? UNKNOWN : `${scaled(number, 1000)}B`;
}

export function percent(part) {
  return part === null ? UNKNOWN : `${(part * 100).toFixed(part < 0.0995 ? 1 : 0)} %`;
}

export function ms(number) {
  if (number === null || number === undefined) return UNKNOWN;
  return number < 10_000 ? `${Math.round(number)} ms` : `${(number / 1000).toFixed(1)} s`;
}

/** A number that comes with a clause of its own: 12.3/s. */
export function perSecond(rate) {
  return rate === null ? UNKNOWN : `${rate < 10 ? rate.toFixed(1) : Math.round(rate)}/s`;
}

/** Seconds as days, hours, minutes and seconds: the two that matter. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return UNKNOWN;
  const whole = Math.floor(seconds);
  const parts = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([number]) => number > 0);
  if (first < 0) return "0 s";
  return parts.slice(first, first + 2).map(([number, unit]) => `${number} ${unit}`).join(" ");
}

function scaled(number, base) {
  const prefixes = ["", "k", "M", "G", "T", "P"];
  let at = 0;
  let value = number;
  while (Math.abs(value) >= base && at < prefixes.length - 1) {
    value /= base;
    at += 1;
  }
  const digits = at === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${prefixes[at]}`;
}
