// The list of bans, and the dialog that makes one.

import { ban, lift, read } from "./api.js";
import { count, duration, UNKNOWN } from "./format.js";
import { cellButton, setText, Table } from "./table.js";

export class Bans {
  constructor() {
    this.table = new Table(part("bans"), this.#columns(), {
      key: (row) => row.stream ?? row.address,
      empty: "Nothing is banned.",
    });
    part("bans-add").addEventListener("click", () => this.open(""));
    part("ban-cancel").addEventListener("click", () => part("ban").close());
    part("ban-form").addEventListener("submit", () => this.#ban());
  }

  /** Opens the dialog for a stream's name, or an address without its port. */
  open(target) {
    part("ban-target").value = target;
    part("ban-reason").value = "";
    part("ban").showModal();
  }

  /** Asks what is banned. */
  async refresh() {
    this.#show(await read("bans"));
  }

  #show({ total, bans }) {
    this.table.fill(bans);
    setText(part("bans-count"), count(total));
  }

  #ban() {
    const text = part("ban-target").value.trim();
    const seconds = part("ban-time").value;
    const target = banTarget(text);
    const banned = ban(target, seconds === "" ? null : Number(seconds), part("ban-reason").value);
    this.#say(banned, ({ closed }) => `${text} is banned, ${count(closed)} closed.`);
  }

  #lift(row) {
    const target = row.stream === null ? { address: row.address } : { stream: row.stream };
    this.#say(lift(target), () => `${row.stream ?? row.address} is banned no more.`);
  }

  async #say(answer, words) {
    try {
      setText(part("bans-note"), words(await answer));
      await this.refresh();
    } catch (error) {
      setText(part("bans-note"), `That did not work: ${error.message}`);
    }
  }

  #columns() {
    const text = (title, show) => ({ title, show, value: show, isLong: true });
    return [
      text("Stream or address", (row) => row.stream ?? row.address),
      {
        title: "Left",
        isNumber: true,
        value: (row) => row.seconds_left,
        show: (row) => (row.seconds_left === null ? "until lifted" : duration(row.seconds_left)),
      },
      text("Because", (row) => row.reason || UNKNOWN),
      {
        title: "",
        value: () => "",
        show: () => "",
        kind: () => "stays",
        fill: (cell, row) => cellButton(cell, 0, "Lift", "", () => this.#lift(row)),
      },
    ];
  }
}

/** What is written as an address or network is one, such as `192.0.2.0/24` or `2001:db8::/64`. */
export function banTarget(text) {
  const [host, bits] = text.split("/");
  const isV4 = /^\d+(\.\d+){3}$/.test(host);
  const isV6 = /^[0-9a-f:.]+$/i.test(host) && (host.includes("::") || host.split(":").length === 8);
  const isAddress = (isV4 || isV6) && /^\d*$/.test(bits ?? "");
  return isAddress ? { address: text } : { stream: text };
}

/** The address of a client without its port. */
export function hostOf(address) {
  const match = /^\[(.*)\]:\d+$|^([^:]*):\d+$/.exec(address);
  return match?.[1] ?? match?.[2] ?? null;
}

function part(id) {
  return document.getElementById(id);
}
