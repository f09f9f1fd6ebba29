// The dialog with the clients of one stream, and the buttons that end their connections.

import { kick, read } from "./api.js";
import { hostOf } from "./bans.js";
import { bits, count, duration, ms, UNKNOWN } from "./format.js";
import { Rates } from "./history.js";
import { cellButton, Table } from "./table.js";

const PAGE = 100;
const PAGE_MAX = 1000;
// How long a publisher's names are closed to everybody, with "Ban".
const BAN_SECONDS = 60;
// In the order of the API.
const ROLES = ["publisher", "player", "waiting", "pull", "push", "none"];

export class Clients {
  /** `ban(address)` asks about a ban of an address. */
  constructor(playerAddress, ban) {
    this.playerAddress = playerAddress;
    this.ban = ban;
    this.dialog = part("clients");
    this.note = part("clients-note");
    this.rates = new Rates();
    this.stream = null;
    this.limit = PAGE;
    this.table = new Table(part("clients-table"), this.#columns(), {
      key: (client) => client.id,
      empty: "Nobody is connected to this stream.",
      sort: [1, 1],
      sorted: () => this.refresh().catch((error) => this.#say(error.message)),
    });
    part("clients-close").addEventListener("click", () => this.dialog.close());
    part("clients-more").addEventListener("click", () => this.#more());
    this.dialog.addEventListener("close", () => {
      this.stream = null;
    });
  }

  /** Opens the dialog for a stream's name. */
  async open(stream) {
    this.stream = stream;
    this.limit = PAGE;
    this.said = "";
    part("clients-title").textContent = stream;
    this.#link(stream);
    this.table.fill([]);
    if (!this.dialog.open) this.dialog.showModal();
    await this.refresh().catch((error) => this.#say(error.message));
  }

  /** Asks anew, if the dialog is open. */
  async refresh() {
    const { stream } = this;
    if (stream === null) return;
    const { order } = this.table;
    const query = `stream=${encodeURIComponent(stream)}&limit=${this.limit}&${order}`;
    const { time_ms: time, total, clients } = await read(`clients?${query}`);
    if (stream !== this.stream || order !== this.table.order) return;
    const counters = ({ bytes_in, bytes_out }) => ({ in: bytes_in, out: bytes_out });
    const rates = this.rates.take(time, clients.map((client) => [client.id, counters(client)]));
    this.table.fill(clients.map((client) => ({ ...client, rate: rates.get(client.id) })));
    part("clients-more").hidden = clients.length >= total || this.limit >= PAGE_MAX;
    const hidden = total - clients.length;
    const rest = hidden > 0 ? `, ${count(hidden)} not shown` : "";
    const words = `${count(total)} ${total === 1 ? "client" : "clients"}${rest}`;
    this.#say(this.said ? `${words}. ${this.said}` : words);
  }

  #more() {
    this.limit = Math.min(PAGE_MAX, this.limit * 3);
    this.refresh().catch((error) => this.#say(error.message));
  }

  #say(text) {
    if (this.note.textContent !== text) this.note.textContent = text;
  }

  #link(stream) {
    const link = part("clients-play");
    const address = this.playerAddress(stream);
    link.hidden = address === null;
    if (address !== null) link.href = address;
    link.target = "_blank";
    link.rel = "noreferrer";
  }

  #columns() {
    const text = (title, show, more = {}) => ({ title, show, value: show, ...more });
    const number = (title, value, show, hint = "", sort = "") => ({
      title, value, hint, sort, isNumber: true, show: (row) => show(value(row)),
    });
    return [
      text("Address", (row) => row.address),
      text("Role", (row) => row.role, { value: (row) => ROLES.indexOf(row.role), sort: "role" }),
      text("Protocol", (row) => row.protocol),
      number("Worker", (row) => row.worker, count),
      number("Uptime", (row) => row.uptime_seconds, duration, "", "uptime_seconds"),
      number("In", (row) => scale(row.rate.in), bits, "", "bytes_in"),
      number("Out", (row) => scale(row.rate.out), bits, "", "bytes_out"),
      number("Lag", (row) => row.lag_ms, ms, "How far behind the newest message", "lag_ms"),
      number("RTT", (row) => row.rtt_ms, ms, "To the client and back, as the kernel measures it"),
      number("Skips", (row) => row.skips, count, "Times it was too slow and moved on", "skips"),
      text("Software", (row) => row.software || UNKNOWN, { isLong: true, kind: () => "cut" }),
      text("", () => "", { kind: () => "stays", fill: (cell, row) => this.#buttons(cell, row) }),
    ];
  }

  #buttons(cell, row) {
    cellButton(cell, 0, "Kick", "danger", () => this.#kick(row, null));
    const host = hostOf(row.address);
    if (host !== null) cellButton(cell, 1, "Ban address", "danger", () => this.ban(host));
    if (row.role !== "publisher" || host === null) return;
    cellButton(cell, 2, "Kick and ban name", "danger", () => this.#kick(row, BAN_SECONDS));
  }

  async #kick(client, ban) {
    const names = client.streams.join(", ");
    const who = `${client.role} ${client.id} at ${client.address}`;
    const then = ban === null ? "" : ` Nobody may publish ${names} for ${ban} seconds.`;
    if (!(await confirmed(`The connection of ${who} is ended.${then}`))) return;
    try {
      const { banned } = await kick(client.id, ban);
      const closed = banned?.length > 0 ? `, ${banned.join(", ")} banned` : "";
      this.said = `Client ${client.id} was ended${closed}.`;
    } catch (error) {
      this.said = `Client ${client.id} was not ended: ${error.message}`;
    }
    await this.refresh().catch((error) => this.#say(error.message));
  }
}

/** Asks, and gives whether the answer was yes. */
function confirmed(text) {
  const dialog = part("confirm");
  part("confirm-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

function scale(bytesPerSecond) {
  return bytesPerSecond === null ? null : bytesPerSecond * 8;
}

function part(id) {
  return document.getElementById(id);
}
