// What is shown, in the address: `#precision=fp16&view=memory`, only what differs from what the page opens on, behind
// the section that a link led to. What is unknown there is ignored.

const shown = (row) => passes(row, []);
const passes = (row, free) => (row.setting ?? setting) === setting && axes.every((axis) => free.includes(axis) || !off[axis].has(row[axis]));

const valuesOf = (axis) => data.axes[axis];
const chosen = (axis) => valuesOf(axis).filter((value) => !off[axis].has(value));
const same = (one, other) => one.size === other.size && [...one].every((value) => other.has(value));
function openingOff(axis) {
  const only = data.openings[setting]?.[axis];
  return new Set(only === undefined ? [] : valuesOf(axis).filter((value) => value !== only));
}
const isOpening = () => axes.every((axis) => same(off[axis], openingOff(axis)));
function showOpening() {
  for (const axis of axes) off[axis] = openingOff(axis);
}

let section = "", view = Object.keys(data.views)[0];
const mapWanted = { precision: null, launch: null }; // chosen by hand, where the filters leave several

function inWords(axis) {
  const values = chosen(axis);
  if (values.length === valuesOf(axis).length) return "all";
  return values.length ? values.map(encodeURIComponent).join(",") : "none";
}

function fragment() {
  const pairs = axes.filter((axis) => !same(off[axis], openingOff(axis))).map((axis) => `${axis}=${inWords(axis)}`);
  if (setting) pairs.unshift(`machine=${setting + 1}`);
  if (view !== Object.keys(data.views)[0]) pairs.push(`view=${encodeURIComponent(view)}`);
  for (const [axis, value] of Object.entries(mapWanted)) if (value) pairs.push(`map-${axis}=${encodeURIComponent(value)}`);
  return [...(section ? [section] : []), ...pairs].join("&");
}

function readFragment(text) {
  const pieces = text.split("&").filter(Boolean);
  const pairs = new Map(pieces.filter((piece) => piece.includes("=")).map((piece) => {
    const [name, value] = piece.split(/=(.*)/s);
    return [name, value.split(",").map(decoded)];
  }));
  section = decoded(pieces.find((piece) => !piece.includes("=")) ?? "");
  if (!byId(section)) section = "";
  const machine = Number(pairs.get("machine")?.[0] ?? 1) - 1;
  setting = data.openings[machine] ? machine : 0;
  showOpening();
  for (const axis of axes) {
    const wanted = pairs.get(axis);
    if (!wanted) continue;
    const all = valuesOf(axis), on = all.filter((value) => wanted.includes(String(value)));
    if (wanted.join() === "all") off[axis] = new Set();
    else if (on.length || wanted.join() === "none") off[axis] = new Set(all.filter((value) => !on.includes(value)));
  }
  view = [pairs.get("view")?.[0]].find((name) => Object.hasOwn(data.views, name ?? "")) ?? Object.keys(data.views)[0];
  for (const axis of Object.keys(mapWanted)) mapWanted[axis] = valuesOf(axis).find((value) => value === pairs.get(`map-${axis}`)?.[0]) ?? null;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

function writeState(again = false) {
  const text = fragment();
  if (text !== location.hash.slice(1)) history[again ? "replaceState" : "pushState"](null, "", text ? `#${text}` : location.pathname + location.search);
}

// The section that a link led to stays where it is, while charts above it are drawn, until the reader does something.
let aim = null;
const takeAim = () => aim?.scrollIntoView();
for (const event of ["wheel", "touchstart", "pointerdown", "keydown"]) window.addEventListener(event, () => { aim = null; }, { capture: true, passive: true });

function goTo(id) {
  const target = byId(id);
  if (!target) return;
  if (!target.hasAttribute("tabindex")) target.setAttribute("tabindex", "-1");
  for (let around = target; around; around = around.parentElement) if (around.tagName === "DETAILS") around.open = true;
  aim = target;
  takeAim();
  target.focus({ preventScroll: true });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#"]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  section = link.getAttribute("href").slice(1);
  if (link.dataset.view) chooseView(link.dataset.view);
  writeState();
  goTo(section);
});

window.addEventListener("popstate", () => {
  readFragment(location.hash.slice(1));
  filters();
  changed();
  if (section) goTo(section);
});
