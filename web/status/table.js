// A table that can be sorted by its columns and is filled anew each second: rows and cells are
// kept, so that focus and selection stay. Texts are set as text only: names come from strangers.

const ROWS_MAX = 500;

export class Table {
  /**
   * `columns`: `{ title, value(row), show(row), isNumber, kind, hint, isLong, fill(cell, row) }`.
   * `value` is what is sorted by, `show` what is read, `kind(row)` a class for the cell; `fill`
   * puts more than a text into it; with `isLong` what does not fit is shown below the mouse; `sort`
   * is what the API calls the column, where it can sort by it.
   * `options`: `key(row)`, `open(row)`, `empty`, the text when there is no row, `sort`, the number of
   * the column and 1, or -1 for the largest first, and `sorted()`, called when that changes.
   */
  constructor(table, columns, options) {
    this.table = table;
    this.columns = columns;
    this.options = options;
    [this.sortedBy, this.direction] = options.sort ?? [0, 1];
    this.rows = new Map();
    this.data = [];
    this.heads = [];
    this.#head();
    this.body = table.createTBody();
  }

  /** Shows these rows; gives how many of them there are to see. */
  fill(data) {
    this.data = data;
    const { value } = this.columns[this.sortedBy];
    const sorted = [...data].sort((a, b) => this.direction * compare(value(a), value(b)));
    const seen = sorted.slice(0, ROWS_MAX);
    const keys = new Set(seen.map((row) => this.options.key(row)));
    for (const [key, line] of this.rows) {
      if (keys.has(key)) continue;
      line.element.remove();
      this.rows.delete(key);
    }
    seen.forEach((row, place) => this.#row(row, place));
    this.#empty(seen.length === 0);
    return seen.length;
  }

  /** What to ask the API for to have the rows that come first: part of a query. */
  get order() {
    const { sort } = this.columns[this.sortedBy];
    return sort ? `sort=${sort}&order=${this.direction > 0 ? "asc" : "desc"}` : "";
  }

  #head() {
    const line = this.table.createTHead().insertRow();
    this.columns.forEach((column, number) => {
      const cell = document.createElement("th");
      const button = document.createElement("button");
      cell.scope = "col";
      cell.className = isNumber(column) ? "number" : "";
      button.type = "button";
      button.title = column.hint ?? "";
      button.addEventListener("click", () => this.#sort(number));
      cell.append(button);
      line.append(cell);
      this.heads.push({ cell, button });
    });
    this.#mark();
  }

  #sort(number) {
    const isSame = number === this.sortedBy;
    const first = isNumber(this.columns[number]) ? -1 : 1;
    this.direction = isSame ? -this.direction : first;
    this.sortedBy = number;
    this.#mark();
    this.fill(this.data);
    this.options.sorted?.();
  }

  #mark() {
    this.heads.forEach(({ cell, button }, number) => {
      const isSorted = number === this.sortedBy;
      const arrow = this.direction > 0 ? " ▴" : " ▾";
      button.textContent = this.columns[number].title + (isSorted ? arrow : "");
      cell.ariaSort = isSorted ? (this.direction > 0 ? "ascending" : "descending") : "none";
    });
  }

  #row(row, place) {
    const key = this.options.key(row);
    if (!this.rows.has(key)) this.rows.set(key, this.#newRow());
    const line = this.rows.get(key);
    line.row = row;
    this.columns.forEach((column, i) => {
      const cell = line.element.cells[i];
      const kind = `${isNumber(column) ? "number" : ""} ${column.kind?.(row) ?? ""}`.trim();
      if (cell.className !== kind) cell.className = kind;
      if (column.fill) column.fill(cell, row);
      else setText(cell, column.show(row));
      if (column.isLong) cell.title = column.show(row);
    });
    if (this.body.rows[place] !== line.element) {
      this.body.insertBefore(line.element, this.body.rows[place] ?? null);
    }
  }

  #newRow() {
    const line = { element: document.createElement("tr"), row: null };
    for (let i = 0; i < this.columns.length; i += 1) line.element.insertCell();
    if (this.options.open) {
      line.element.className = "opens";
      line.element.addEventListener("click", (event) => {
        if (!event.target.closest("a")) this.options.open(line.row);
      });
    }
    return line;
  }

  #empty(isEmpty) {
    if (!isEmpty) {
      this.none?.remove();
      this.none = null;
    } else if (!this.none) {
      this.none = this.body.insertRow();
      const cell = this.none.insertCell();
      cell.colSpan = this.columns.length;
      cell.className = "empty";
      cell.textContent = this.options.empty;
    }
  }
}

/** A button in a cell that stays the same one while the row does. */
export function cellButton(cell, place, text, className, act) {
  let button = cell.children[place];
  if (!button) {
    button = document.createElement("button");
    button.type = "button";
    cell.append(button);
  }
  button.className = className;
  setText(button, text);
  button.onclick = act;
}

/** Sets a text if it is another one: what the user has selected stays so. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function isNumber(column) {
  return column.isNumber ?? false;
}

const order = new Intl.Collator("en", { numeric: true });

/** What is not known comes last in a rising order. */
function compare(a, b) {
  const isNone = (value) => value === null || value === undefined;
  if (isNone(a) || isNone(b)) return Number(isNone(a)) - Number(isNone(b));
  return typeof a === "string" ? order.compare(a, b) : a - b;
}
