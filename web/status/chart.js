// A small line chart in SVG: a name, the newest values, and one or two lines of history.

import { History, SPAN_SECONDS } from "./history.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 100;

export class Chart {
  /** `lines` are the names of the lines, `show` turns a value into text. */
  constructor(parent, title, lines, show) {
    this.history = new History();
    this.lines = lines;
    this.show = show;
    this.figure = element(parent, "figure", "chart");
    const caption = element(this.figure, "figcaption");
    element(caption, "span").textContent = title;
    this.most = element(caption, "span");
    this.now = element(this.figure, "div", "now");
    this.texts = lines.map((line, i) => element(this.now, "span", `line-${i}`));
    this.#draw(title);
  }

  /** Adds the newest values, null for those that are not known. */
  add(values) {
    const now = performance.now() / 1000;
    this.history.add(now, values);
    const { most } = this.history;
    this.most.textContent = most === null ? "" : `≤ ${this.show(most)}`;
    values.forEach((value, i) => {
      const name = this.lines[i] ? `${this.lines[i]} ` : "";
      this.texts[i].textContent = name + this.show(value);
      this.paths[i].setAttribute("points", this.#points(i, now, most ?? 0));
    });
  }

  #draw(title) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 -4 ${SPAN_SECONDS} ${HEIGHT + 8}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${title}, the last five minutes`);
    const axis = document.createElementNS(SVG, "line");
    const ends = { x1: 0, x2: SPAN_SECONDS, y1: HEIGHT, y2: HEIGHT };
    for (const [name, value] of Object.entries(ends)) axis.setAttribute(name, String(value));
    axis.setAttribute("class", "axis");
    svg.append(axis);
    this.paths = this.lines.map((line, i) => {
      const path = document.createElementNS(SVG, "polyline");
      path.setAttribute("class", `line-${i}`);
      svg.append(path);
      return path;
    });
    this.figure.append(svg);
  }

  /** The newest value is at the right edge. */
  #points(line, now, most) {
    const points = this.history.samples
      .filter(({ values }) => values[line] !== null)
      .map(({ at, values }) => {
        const height = most > 0 ? (values[line] / most) * HEIGHT : 0;
        return `${(SPAN_SECONDS - now + at).toFixed(1)},${(HEIGHT - height).toFixed(1)}`;
      });
    return points.join(" ");
  }
}

function element(parent, tag, className = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  parent.append(made);
  return made;
}
