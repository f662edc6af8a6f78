// Tables.

function table(element, note, columns, rows, limit, more) {
  const head = columns.map(({ title, text, sort, sorted }) =>
    make("th", { class: text ? null : "n", scope: "col", "aria-sort": sorted }, sort ? make("button", { type: "button", onclick: sort }, title) : title));
  element.replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows.slice(0, limit)));
  note.replaceChildren(rows.length > limit ? `The first ${limit} of ${rows.length}. ` : "");
  if (rows.length > limit) note.append(make("button", { type: "button", class: "more", onclick: more }, "show all"));
}

const line = (columns, cells, style) => make("tr", { class: style }, ...cells.map((cell, place) => make("td", { class: columns[place].text ? null : "n" }, cell)));
// a case's cells in a view, behind its model
const columnsOf = (name) => [{ title: "model", text: true }, ...data.views[name].columns];
const cellsOf = (name, row) => [row.family, ...data.tables[name][row.id]];

let view = Object.keys(data.views)[0], sorted = null, down = false, caseLimit = PAGE, recordLimit = PAGE;
const sortKey = (text) => {
  const value = parseFloat(text.replaceAll(",", ""));
  return Number.isNaN(value) ? text : value;
};
const compare = (one, other) => (typeof one === typeof other ? (one < other ? -1 : one > other ? 1 : 0) : typeof one === "number" ? -1 : 1);

function caseTable() {
  const cases = data.rows.cases.filter(shown).map((row) => ({ row, cells: cellsOf(view, row) }));
  if (sorted !== null) {
    cases.sort((a, b) => compare(sortKey(a.cells[sorted]), sortKey(b.cells[sorted])));
    if (down) cases.reverse();
  }
  const heads = columnsOf(view).map((column, place) => ({
    ...column,
    sorted: sorted === place ? (down ? "descending" : "ascending") : "none",
    sort: () => {
      down = sorted === place && !down;
      sorted = place;
      caseTable();
      byId("case-table").querySelectorAll("th button")[place].focus();
    },
  }));
  const rows = cases.map(({ row, cells }) => line(heads, cells, row.wins && sorted === null ? "lead" : null));
  table(byId("case-table"), byId("case-note"), heads, rows, caseLimit, () => { caseLimit = Infinity; caseTable(); });
  byId("view-note").textContent = data.views[view].note;
}

byId("view").addEventListener("change", (event) => choose(event.target.value));
function choose(name) {
  view = name;
  sorted = null;
  byId("view").value = name;
  caseTable();
}
document.addEventListener("click", (event) => {
  const name = event.target.closest?.("a[data-view]")?.dataset.view;
  if (name) choose(name);
});

function frontTable() {
  const element = byId("front-table");
  if (!element) return;
  const fronts = new Map(); // by model, as the chart has a panel for each, and apart in 8 bits
  for (const row of data.rows.cases.filter(shown).sort((a, b) => a.p50 - b.p50 || b.speed - a.speed)) {
    const key = `${row.family} ${row.eight ?? ""}`, front = fronts.get(key) ?? [];
    if (!front.length || row.speed > front.at(-1).speed) fronts.set(key, [...front, row]);
  }
  rowsTable(element, "speed", [...fronts.values()].flat(), Infinity);
}

function rowsTable(element, name, rows, limit) {
  const heads = columnsOf(name);
  table(element, make("p"), heads, rows.map((row) => line(heads, cellsOf(name, row), row.wins ? "lead" : null)), limit);
}

function precisionTable() {
  const element = byId("precision-table"), name = "precision-speed";
  if (!element || !data.charts[name]) return;
  const ids = data.charts[name].usermeta.ids && new Set(data.charts[name].usermeta.ids);
  rowsTable(element, "precisions", data.rows.cases.filter((row) => shown(row) && (!ids || ids.has(row.id))), Infinity);
  byId("precision-note").textContent = data.views.precisions.note;
}
