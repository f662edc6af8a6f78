// What all scripts of the page share; they are parts of one function, in the order of SCRIPTS in document.py.
const PANELS = 6, PAGE = 200;
const ERRORS = 1; // vega.Error: a panel without values for a layer is a warning, and often so
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const axes = ["model", "variant", "precision", "batch", "image", "launch"];
const off = Object.fromEntries(axes.map((axis) => [axis, new Set()])); // values that are filtered away
let setting = 0;

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

const whenChanged = []; // functions that draw a section again when the filters have changed
