// Charts: each is drawn when it comes near the window, and again when the filters have changed since.

const ERRORS = 1; // vega.Error: a panel without values for a layer is a warning, and often so
const EMBED = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, logLevel: ERRORS, tooltip: { theme: "custom", formatTooltip } };

// What a mark says of itself, without the numbers that it does not have.
function formatTooltip(value, safe) {
  const lines = Object.entries(value).filter(([, text]) => !/^(NaN|undefined|null)\b/.test(text));
  return `<table>${lines.map(([name, text]) => `<tr><td class="key">${safe(name)}</td><td class="value">${safe(text)}</td></tr>`).join("")}</table>`;
}
const drawnUnasked = Object.keys(data.charts).filter((name) => !data.charts[name].usermeta.opened); // others wait for a reader
// Where charts stand side by side, each has a column of panels.
const panelsOf = (name) => (byId(`chart-${name}`).closest(".charts").childElementCount > 2 ? PANELS / 2 : PANELS);
const pictures = Object.fromEntries(drawnUnasked.map((name) => [name, { panels: panelsOf(name), near: false, stale: true }]));

// The lines (or bars) of a panel that are drawn: at most `most`, those with the least `rank` of any of their rows, the
// first of equals; eager's best takes the last place where it would be left out, as all others are read against it.
function linesOf(rows, line, most) {
  const lines = [...groupBy(rows, (row) => row[line]).values()].map((of) => ({ of, rank: Math.min(...of.map((row) => row.rank ?? 0)) }));
  if (!most || lines.length <= most) return { rows, left: 0 };
  lines.sort((a, b) => a.rank - b.rank);
  const kept = lines.slice(0, most), isEager = ({ of }) => of[0].variant === "eager";
  if (!kept.some(isEager)) {
    const eager = lines.find(isEager);
    if (eager) kept[most - 1] = eager;
  }
  const ids = new Set(kept.flatMap(({ of }) => of));
  return { rows: rows.filter((row) => ids.has(row)), left: lines.length - most };
}

// The rows of a chart: those of its first panels, in each the fastest lines.
function rowsOf(name) {
  const { panel, ids, most, dataset, line = "id", free = [] } = data.charts[name].usermeta;
  const wanted = ids && new Set(ids);
  const panels = [...groupBy(data.rows[dataset].filter((row) => passes(row, free) && (!wanted || wanted.has(row.id))), (row) => row[panel]).values()];
  const drawn = panels.slice(0, pictures[name].panels).map((rows) => linesOf(rows, line, most));
  const left = Math.max(0, ...drawn.map((of) => of.left));
  const note = left ? `In each panel the ${most} fastest and eager; ${left}${drawn.length > 1 ? " at most" : ""} left out. The filters choose others.` : "";
  const longest = Math.max(0, ...drawn.map(({ rows }) => new Set(rows.map((row) => row[line])).size));
  return { rows: drawn.flatMap((of) => of.rows), panels: drawn.length, more: panels.length - drawn.length, note, longest };
}

function layout(name, width, panels) {
  const { gutter } = data.charts[name].usermeta;
  const columns = panels > 1 && width >= 2 * (gutter + 230) ? 2 : 1;
  const each = Math.floor(width / columns) - gutter - (columns > 1 ? 6 : 4);
  return { columns, each: Math.max(120, Math.min(each, columns > 1 ? 470 : 760)), legend: width < 420 ? 2 : width < 760 ? 3 : 5 };
}

// The height that a chart will have, so that nothing below it moves far when it is drawn.
function heightOf(name, { panels, longest }, columns) {
  const { spec: { height }, usermeta: { step = height?.step } } = data.charts[name];
  return Math.ceil(panels / columns) * ((step ? step * longest : Number(height) || 200) + 75) + 40;
}

function noteOf(name, { note, more }) {
  const button = more > 0 ? [make("button", { type: "button", class: "more", onclick: () => {
    pictures[name].panels = Infinity;
    pictures[name].stale = true;
    drawNear();
  } }, `show ${more} more`)] : [];
  byId(`note-${name}`).replaceChildren(...(note ? [note, " "] : []), ...button);
}

async function draw(name) {
  const picture = pictures[name], element = byId(`chart-${name}`), of = rowsOf(name);
  picture.stale = false;
  noteOf(name, of);
  if (!of.rows.length) {
    clear(name);
    return;
  }
  const { dataset, step } = data.charts[name].usermeta; // the pixels of a bar, where Vega-Lite is not to work them out
  const size = { ...layout(name, element.clientWidth, of.panels), height: step && step * of.longest }, key = JSON.stringify(size);
  const rows = of.rows.map((row) => ({ ...row }));
  if (picture.key === key) {
    await picture.result.view.data(dataset, rows).resize().runAsync();
  } else {
    const spec = structuredClone(data.charts[name]);
    spec.columns = size.columns;
    spec.spec.width = size.each;
    if (step) spec.spec.height = size.height;
    spec.config.legend = { ...spec.config.legend, columns: size.legend };
    if (size.legend < 5) spec.config.legend.layout = { top: { direction: "vertical", anchor: "start" } };
    spec.datasets = { [dataset]: rows };
    picture.result?.finalize();
    picture.key = key;
    picture.result = await vegaEmbed(element, spec, EMBED);
  }
  const { width, height } = element.querySelector("svg")?.viewBox.baseVal ?? {};
  element.classList.toggle("tall", height > 1.4 * width);
  element.style.minHeight = "";
  element.classList.remove("stale");
}

function clear(name) {
  const element = byId(`chart-${name}`);
  pictures[name].result?.finalize();
  Object.assign(pictures[name], { result: null, key: "" });
  element.replaceChildren(make("p", { class: "empty" }, "The filters leave nothing to draw here."));
  element.style.minHeight = "";
  element.classList.remove("stale");
}

// Pictures are of other filters from now on; what waits keeps the room that it will need.
function spoil() {
  for (const picture of Object.values(pictures)) picture.stale = true;
}
function keepRoom() {
  const widths = Object.fromEntries(Object.keys(pictures).map((name) => [name, byId(`chart-${name}`).clientWidth])); // read before anything is written
  for (const [name, picture] of Object.entries(pictures)) {
    if (!picture.stale || picture.near) continue;
    const element = byId(`chart-${name}`), of = rowsOf(name);
    if (!of.rows.length) {
      picture.stale = false;
      noteOf(name, of);
      clear(name);
    } else {
      element.style.minHeight = `${heightOf(name, of, layout(name, widths[name], of.panels).columns)}px`;
      element.classList.add("stale");
    }
  }
}

// One chart after the other, so that the page answers meanwhile; a newer change ends an older one's round.
let turn = 0, drawing = false, watched = !Object.keys(pictures).length;
async function drawNear() {
  if (drawing) return;
  drawing = true;
  for (let name; (name = Object.keys(pictures).find((one) => pictures[one].near && pictures[one].stale)); ) {
    await draw(name).catch((error) => console.error(name, error)); // the others are drawn all the same
    takeAim();
    await new Promise((resolve) => setTimeout(resolve));
  }
  drawing = false;
  if (watched) document.documentElement.dataset.drawn = String(turn);
}

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) pictures[target.dataset.chart].near = isIntersecting;
  watched = true;
  drawNear();
}, { rootMargin: "600px 0px" });
const watchCharts = () => Object.keys(pictures).forEach((name) => observer.observe(byId(`chart-${name}`)));

// Print has all of them; no timer runs between this and the paper.
window.addEventListener("beforeprint", () => {
  for (const [name, picture] of Object.entries(pictures)) if (picture.stale) draw(name);
});
