// What all scripts of the page share; they are parts of one function, in the order of SCRIPTS in document.py.
const PANELS = 6, PAGE = 50, SOME = 15; // panels of a chart, rows of a long table and of one beside charts, before a reader wants all
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const axes = ["model", "variant", "precision", "batch", "image", "launch"];
const { lead: LEAST_LEAD, named: NAMED, launched: LAUNCHED, steps: STEPS } = data.rules;
const off = Object.fromEntries(axes.map((axis) => [axis, new Set()])); // values that are filtered away
let setting = 0;

const whenChanged = []; // functions that draw a section again when the filters have changed

// Data: rows are held as columns, as `pack` of data.py makes them.

function unpackColumn(column) {
  return column.words ? column.at.map((place) => (place ? column.words[place - 1] : null)) : column;
}

function unpack({ n, of }) {
  const rows = Array.from({ length: n }, () => ({}));
  for (const [field, column] of Object.entries(of)) {
    unpackColumn(column).forEach((value, place) => {
      if (value !== null) rows[place][field] = value;
    });
  }
  return rows;
}

data.rows = Object.fromEntries(Object.entries(data.rows).map(([name, packed]) => [name, unpack(packed)]));
data.cells = data.cells.map(unpackColumn);
data.contests = unpack(data.contests);

// The axes of a case, from its name.
function axesOf(name) {
  const [model, variant, precision, batch, image, launch] = name.split("/");
  return { model, variant, precision, launch, image: Number(image.slice(1)), batch: batch === "bmax" ? 0 : Number(batch.slice(1)) };
}

let unpacked = null;
function records() { // which are thousands: first when a reader wants one
  unpacked ??= unpack(data.records).map((record) => ({ ...record, ...axesOf(record.case) }));
  return unpacked;
}

// Building: text is always text, never markup.

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

// A word with an explanation; `click` is what a heading that sorts does.
function term(word, meaning, attributes = {}) {
  if (!meaning && !attributes.onclick) return word;
  const explained = meaning ? { "data-tip": meaning, "aria-describedby": "tip" } : {};
  return make("span", { class: "term" }, make("button", { type: "button", ...explained, ...attributes }, word));
}

// Numbers as `digits` of bench/text.py has them: four digits, all of a larger one.
function digits(value) {
  if (Math.abs(value) >= 1e15 || (value && Math.abs(value) < 5e-5)) return value.toExponential(3);
  const places = value >= 1 ? Math.max(0, 4 - String(Math.trunc(value)).length) : 4;
  const [whole, part] = value.toFixed(places).split(".");
  return [whole.replace(/\B(?=(\d{3})+$)/g, ","), ...(part ? [part] : [])].join(".");
}

const plural = (count, one, more = `${one}s`) => (count === 1 ? one : more);
const groupBy = (rows, key) => {
  const groups = new Map();
  for (const row of rows) {
    const of = key(row);
    if (groups.has(of)) groups.get(of).push(row);
    else groups.set(of, [row]);
  }
  return groups;
};
