// The status page: asks the API once a second and fills charts and tables. What it knows of itself
// is in `window.tailwater.stats()`, for tests.

import { read, setToken, TokenWanted } from "./api.js";
import { Bans } from "./bans.js";
import { Chart } from "./chart.js";
import { Clients } from "./clients.js";
import { bits, bytes, count, duration, ms, percent, perSecond, UNKNOWN } from "./format.js";
import { Rates } from "./history.js";
import { cellButton, setText, Table } from "./table.js";

const EVERY_MS = 1000;
// As many as the table shows: the API sorts and filters, so that these are those that matter.
const STREAMS_MAX = 500;
const ERRORS_MAX = 20;
const PLAYERS_COLUMN = 6;
// After so many answers that did not come, the page says so.
const FAILURES_MAX = 1;

const part = (id) => document.getElementById(id);

class Status {
  constructor() {
    this.errors = [];
    this.state = "connecting";
    this.refreshes = 0;
    this.failures = 0;
    const [streams, workers, pushes, all] = Array.from({ length: 4 }, () => new Rates());
    this.rates = { streams, workers, pushes, all };
    this.streams = [];
    this.publicPort = null;
    this.bans = new Bans();
    const playerAddress = (stream) => this.playerAddress(stream);
    this.clients = new Clients(playerAddress, (address) => this.bans.open(address));
    this.#makeTables();
    this.#makeCharts();
    part("filter").addEventListener("input", () => this.#readStreams());
    part("ask").addEventListener("submit", (event) => this.#tokenGiven(event));
  }

  /** Asks again and again, the next time a second after the last answer or its failure. */
  async run() {
    for (;;) {
      const began = performance.now();
      if (this.state !== "token") await this.#refresh();
      const took = performance.now() - began;
      await new Promise((resolve) => setTimeout(resolve, Math.max(EVERY_MS / 2, EVERY_MS - took)));
    }
  }

  stats() {
    return {
      state: this.state,
      refreshes: this.refreshes,
      streams: this.streams.length,
      streamRows: part("streams").tBodies[0].querySelectorAll("tr.opens").length,
      workerRows: this.workerRows ?? 0,
      errors: [...this.errors],
    };
  }

  /** Where a stream can be watched, or null when the relay serves none by HTTP. */
  playerAddress(stream) {
    if (this.publicPort === null) return null;
    return `http://${this.publicPort}/${stream.split("/").map(encodeURIComponent).join("/")}`;
  }

  async #refresh() {
    try {
      const [streams, workers] = await Promise.all([
        read(this.#streamsPath()),
        read("workers"),
      ]);
      if (this.failures > 0 || this.refreshes === 0) await this.#readConfig();
      this.#takeWorkers(workers);
      this.#takeStreams(streams);
      await Promise.all([this.clients.refresh(), this.bans.refresh()]);
      this.#healthy(workers);
    } catch (error) {
      this.#failed(error);
    }
  }

  #streamsPath() {
    const wanted = encodeURIComponent(part("filter").value.trim());
    const filter = wanted ? `&q=${wanted}` : "";
    return `streams?limit=${STREAMS_MAX}&${this.tables.streams.order}${filter}`;
  }

  /** Another order or filter: the rows that are known are shown at once, the others as they come. */
  #readStreams() {
    this.#showStreams();
    const path = this.#streamsPath();
    const take = (answer) => {
      // What has been typed since then asks for itself.
      if (path === this.#streamsPath()) this.#takeStreams(answer);
    };
    read(path).then(take).catch((error) => this.#failed(error));
  }

  async #readConfig() {
    const { settings } = await read("config");
    const http = settings.find((setting) => setting.name === "http")?.value;
    this.publicPort = publicAddress(http);
  }

  #healthy(workers) {
    this.failures = 0;
    this.refreshes += 1;
    this.#setState(workers.draining ? "draining" : "connected");
    part("trouble").hidden = true;
    const { version, uptime_seconds: uptime } = workers;
    setText(part("about"), `version ${version}, up ${duration(uptime)}`);
  }

  #failed(error) {
    if (error instanceof TokenWanted) {
      this.#setState("token");
      part("ask").hidden = false;
      this.#trouble(error.message ? `The relay refuses: ${error.message}.` : "");
      return;
    }
    this.failures += 1;
    this.errors.push(error.message);
    if (this.errors.length > ERRORS_MAX) this.errors.shift();
    if (this.failures <= FAILURES_MAX) return;
    this.#setState("lost");
    this.#trouble(`The relay does not answer (${error.message}). Trying again…`);
    for (const [chart, values] of this.charts) chart.add(values.map(() => null));
  }

  #trouble(text) {
    setText(part("trouble"), text);
    part("trouble").hidden = text === "";
  }

  #setState(state) {
    const kinds = { connected: "good", draining: "warn", lost: "bad", token: "warn" };
    const words = { token: "needs a token", lost: "connection lost" };
    this.state = state;
    setText(part("state"), words[state] ?? state);
    part("state").className = `badge ${kinds[state] ?? ""}`;
  }

  #tokenGiven(event) {
    event.preventDefault();
    setToken(part("token").value);
    part("token").value = "";
    part("ask").hidden = true;
    this.#trouble("");
    this.#setState("connecting");
  }

  #takeStreams({ time_ms: time, total, streams }) {
    const things = streams.map((stream) => [streamKey(stream), {
      in: stream.bytes_in, out: stream.bytes_out, dropped: stream.skipped_bytes,
    }]);
    const rates = this.rates.streams.take(time, things);
    this.streams = streams.map((stream) => ({ ...stream, rate: rates.get(streamKey(stream)) }));
    this.total = total;
    this.#showStreams();
  }

  #showStreams() {
    const wanted = part("filter").value.trim().toLowerCase();
    const found = this.streams.filter((stream) => stream.name.toLowerCase().includes(wanted));
    const shown = this.tables.streams.fill(found);
    const all = this.total ?? 0;
    const hidden = Math.max(0, all - shown);
    const words = hidden > 0 ? `${count(shown)} of ${count(all)}, ${count(hidden)} not shown` : "";
    setText(part("streams-count"), words || count(all));
  }

  #takeWorkers({ time_ms: time, process, workers, pushes, closes }) {
    const counters = (worker) => ({
      in: worker.bytes_in,
      out: worker.bytes_out,
      dropped: worker.skipped_bytes,
      busy: worker.busy_seconds,
      turns: worker.turns,
    });
    const rates = this.rates.workers.take(time, workers.map((one) => [one.worker, counters(one)]));
    const rows = workers.map((one) => ({ ...one, rate: rates.get(one.worker) }));
    this.workerRows = this.tables.workers.fill(rows);
    this.#takePushes(time, pushes);
    this.#showCloses(closes);
    this.#addToCharts(time, process, rows);
  }

  #takePushes(time, pushes) {
    const things = pushes.map((push) => [push.target, { out: push.bytes_out }]);
    const rates = this.rates.pushes.take(time, things);
    const rows = pushes.map((push) => ({ ...push, rate: rates.get(push.target) }));
    this.tables.pushes.fill(rows);
    part("pushes").closest("section").hidden = rows.length === 0;
  }

  #showCloses(closes) {
    const rows = Object.entries(closes ?? {}).filter(([, number]) => number > 0);
    rows.sort(([, a], [, b]) => b - a);
    const items = rows.map(([code, number]) => {
      const item = document.createElement("li");
      item.textContent = `${code.replaceAll("_", " ")}: ${count(number)}`;
      return item;
    });
    part("closes").replaceChildren(...items);
    part("closes").closest("section").hidden = items.length === 0;
  }

  #addToCharts(time, process, workers) {
    const all = this.rates.all.take(time, [["process", { cpu: process.cpu_seconds }]]);
    const add = (value) => {
      const values = workers.map(value);
      return values.includes(null) ? null : values.reduce((sum, one) => sum + one, 0);
    };
    const newest = {
      traffic: [scale(add((one) => one.rate.in)), scale(add((one) => one.rate.out))],
      players: [add((one) => one.players)],
      cpu: [all.get("process").cpu],
      memory: [process.resident_bytes],
      drops: [add((one) => one.rate.dropped)],
    };
    this.charts.forEach(([chart], i) => chart.add(Object.values(newest)[i]));
  }

  #makeCharts() {
    const chart = (title, lines, show) => [
      new Chart(part("charts"), title, lines, (value) => (value === null ? UNKNOWN : show(value))),
      lines,
    ];
    this.charts = [
      chart("Traffic", ["in", "out"], bits),
      chart("Players", [""], count),
      chart("CPU", [""], percent),
      chart("Memory", [""], bytes),
      chart("Dropped", [""], (rate) => `${bytes(rate)}/s`),
    ];
  }

  #makeTables() {
    this.tables = {
      streams: new Table(part("streams"), streamColumns(), {
        key: streamKey,
        open: (stream) => this.clients.open(stream.name),
        empty: "No stream matches.",
        sort: [PLAYERS_COLUMN, -1],
        sorted: () => this.#readStreams(),
      }),
      workers: new Table(part("workers"), workerColumns(), {
        key: (worker) => worker.worker,
        empty: "No worker has answered.",
      }),
      pushes: new Table(part("pushes"), pushColumns(), {
        key: (push) => push.target,
        empty: "None.",
      }),
    };
  }
}

function text(title, show, more = {}) {
  return { title, show, value: show, ...more };
}

function number(title, value, show = count, hint = "", sort = "") {
  return { title, value, hint, sort, isNumber: true, show: (row) => show(value(row)) };
}

function streamColumns() {
  const states = { live: "good", away: "warn", waiting: "warn" };
  return [
    text("Stream", (row) => row.name, { isLong: true, fill: nameButton, sort: "name" }),
    text("State", (row) => row.state, { kind: (row) => states[row.state] ?? "", sort: "state" }),
    text("Codecs", codecs),
    text("Picture", picture),
    number("In", (row) => scale(row.rate.in), bits, "", "in_bps"),
    number("Out", (row) => scale(row.rate.out), bits, "", "out_bps"),
    number("Players", (row) => row.players, count, "", "players"),
    number("HTTP", (row) => row.http_players, count, "Of the players, those by HTTP", "http_players"),
    number("Waiting", (row) => row.waiting, count, "Players that wait for the stream", "waiting"),
    number("Key frames", (row) => row.key_frame_interval_ms, ms, "Time between key frames",
      "key_frame_interval_ms"),
    number("Delay", (row) => row.delay_ms, ms, "Age of the newest message given to players",
      "delay_ms"),
    number("Skips", (row) => row.skips, count, "Times a slow player was moved on", "skips"),
    number("Dropped", (row) => row.skipped_bytes, bytes, "What slow players never got",
      "skipped_bytes"),
    number("Gaps", (row) => row.gaps, count, "Times the publisher was away and came back", "gaps"),
    number("Uptime", (row) => row.uptime_seconds, duration, "", "uptime_seconds"),
    number("Publisher", (row) => row.publisher, count, "The number of its connection", "publisher"),
  ];
}

/** For the keyboard; a click anywhere in the row does the same. */
function nameButton(cell, row) {
  cellButton(cell, 0, row.name, "link", null);
}

function workerColumns() {
  return [
    { title: "Worker", value: (row) => row.worker, show: workerName, kind: workerKind },
    number("Players", (row) => row.players),
    number("By HTTP", (row) => row.http_players),
    number("Publishers", (row) => row.publishers),
    number("Connections", (row) => row.connections),
    number("In", (row) => scale(row.rate.in), bits),
    number("Out", (row) => scale(row.rate.out), bits),
    number("Busy", (row) => row.rate.busy, percent, "Of the time, not waiting for the network"),
    number("Pace", (row) => row.pace_ms, ms, "How often the worker looks at its connections"),
    number("Turns", (row) => row.rate.turns, perSecond),
    number("Mail", (row) => row.mail_queue, count, "Messages from other workers that wait"),
    number("Skips", (row) => row.skips),
  ];
}

function pushColumns() {
  return [
    text("Target", (row) => row.target),
    number("Streams", (row) => row.pushes),
    number("Out", (row) => scale(row.rate.out), bits),
    number("Failures", (row) => row.failures),
    number("Refusals", (row) => row.refusals),
    number("Dropped", (row) => row.skipped_bytes, bytes),
  ];
}

function codecs({ video_codec: video, video_header: header, audio_codec: audio }) {
  const pictures = header === false ? `${video} without sequence header` : video;
  return [pictures, audio].filter(Boolean).join(", ") || UNKNOWN;
}

function workerName({ worker, answers }) {
  return answers ? String(worker) : `${worker} does not answer`;
}

function workerKind({ answers }) {
  return answers ? "" : "bad";
}

function picture({ width, height, frame_rate: rate }) {
  if (!width || !height) return UNKNOWN;
  return `${width}×${height}${rate ? `, ${Math.round(rate * 100) / 100}/s` : ""}`;
}

/** A stream that ends and begins again counts from 0. */
function streamKey(stream) {
  return `${stream.name} ${stream.epoch}`;
}

function scale(bytesPerSecond) {
  return bytesPerSecond === null ? null : bytesPerSecond * 8;
}

/** Host and port where the page's own user reaches the public port: `0.0.0.0` is this host. */
function publicAddress(setting) {
  const match = /^(?:\[(.*)\]|([^:]*)):(\d+)$/.exec(setting ?? "");
  if (!match) return null;
  const host = match[1] ?? match[2];
  const isAny = host === "" || host === "0.0.0.0" || host === "::";
  const name = isAny ? location.hostname : host.includes(":") ? `[${host}]` : host;
  return `${name}:${match[3]}`;
}

const status = new Status();
globalThis.tailwater = { stats: () => status.stats() };
status.run();
