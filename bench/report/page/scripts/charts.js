// Charts.

const views = {};

// the rows of a chart: those of the first panels, the fastest of each
function rowsOf(name) {
  const { panel, ids, most, dataset } = data.charts[name].usermeta;
  const wanted = ids && new Set(ids);
  const panels = new Map();
  for (const row of data.rows[dataset]) {
    if (!shown(row) || (wanted && !wanted.has(row.id))) continue;
    if (!panels.has(row[panel])) panels.set(row[panel], []);
    panels.get(row[panel]).push(row);
  }
  const notes = [];
  const drawn = [...panels.values()].slice(0, PANELS);
  if (panels.size > PANELS) notes.push(`${PANELS} of ${panels.size} panels`);
  const longest = Math.max(0, ...drawn.map((rows) => rows.length));
  if (most && longest > most) notes.push(`the ${most} fastest of up to ${longest} ways in a panel`);
  const rows = drawn.flatMap((rows) => (most && rows.length > most ? [...rows].sort((a, b) => a.rank - b.rank).slice(0, most) : rows));
  return { rows, panels: drawn.length, note: notes.length ? `Shown: ${notes.join("; ")}. The filters choose others.` : "" };
}

function layout(name, width, panels) {
  const { gutter } = data.charts[name].usermeta;
  const columns = panels > 1 && width >= 2 * (gutter + 230) ? 2 : 1;
  const each = Math.floor(width / columns) - gutter - (columns > 1 ? 6 : 4);
  return { columns, each: Math.max(120, Math.min(each, columns > 1 ? 470 : 760)), legend: width < 420 ? 2 : width < 760 ? 3 : 5 };
}

async function draw(name) {
  const element = byId(`chart-${name}`);
  const { rows, panels, note } = rowsOf(name);
  byId(`note-${name}`).textContent = note;
  if (!rows.length) {
    views[name]?.result.finalize();
    delete views[name];
    element.replaceChildren(make("p", { class: "empty" }, "The filters leave nothing to draw here."));
    return;
  }
  const size = layout(name, element.clientWidth, panels);
  const key = JSON.stringify(size);
  if (views[name]?.key === key) {
    await views[name].result.view.data(data.charts[name].usermeta.dataset, rows.map((row) => ({ ...row }))).resize().runAsync();
    return;
  }
  const spec = structuredClone(data.charts[name]);
  spec.columns = size.columns;
  spec.spec.width = size.each;
  spec.config.legend.columns = size.legend;
  if (size.legend < 5) spec.config.legend.layout = { top: { direction: "vertical", anchor: "start" } };
  spec.datasets = { [spec.usermeta.dataset]: rows };
  views[name]?.result.finalize();
  const result = await vegaEmbed(element, spec, { mode: "vega-lite", renderer: "svg", actions: false, ast: true, logLevel: ERRORS, tooltip: { theme: "custom" } });
  views[name] = { key, result };
}

// one chart after the other, so that the page answers meanwhile; a newer change ends an older one's round
let turn = 0;
async function drawAll() {
  const thisTurn = ++turn;
  for (const name of Object.keys(data.charts)) {
    if (thisTurn !== turn) return;
    await draw(name);
    await new Promise((resolve) => setTimeout(resolve));
  }
  document.documentElement.dataset.drawn = String(thisTurn);
}
