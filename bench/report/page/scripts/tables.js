// Tables: the first rows, and all on demand; headings explain themselves and sort.

function table(element, note, columns, rows, limit, more) {
  const head = columns.map(({ title, text, words, sort, sorted }) =>
    make("th", { class: text ? null : "n", scope: "col", "aria-sort": sorted }, term(title, words ?? data.headings[title], sort ? { onclick: sort } : {})));
  element.replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows.slice(0, limit)));
  note.replaceChildren(rows.length > limit ? `The first ${limit} of ${rows.length}. ` : "");
  if (rows.length > limit) note.append(make("button", { type: "button", class: "more", onclick: more }, "show all"));
}

const line = (columns, cells, style) => make("tr", { class: style }, ...cells.map((cell, place) => make("td", { class: columns[place].text ? null : "n" }, cell)));

// The columns of a view behind the mark of the fastest and the model; one that no row fills is left out.
function columnsOf(name, rows) {
  const { columns, sparse } = data.views[name];
  const filled = ({ at }) => !sparse || rows.some((row) => data.cells[at][row.id] !== "-");
  return [
    { title: "★", text: true, words: `${data.marks["★"]} ≈: ${data.marks["≈"]} ?: ${data.marks["?"]}`, cell: (row) => signs.get(row.id) ?? "" },
    { title: "model", text: true, cell: (row) => row.family },
    ...columns.filter(filled).map((column) => ({ ...column, cell: (row) => data.cells[column.at][row.id] })),
  ];
}

const ROWS = new Map(); // the rows that each table shows, by its id
function rowsTable(element, note, name, rows, again, columns = columnsOf(name, rows), plain = true) {
  const limit = ROWS.get(element.id) ?? (element.id === "case-table" ? PAGE : SOME);
  const lines = rows.slice(0, limit).map((row) => line(columns, columns.map(({ cell }) => cell(row)), signs.get(row.id) === "★" && plain ? "lead" : null));
  lines.length = rows.length;
  table(element, note, columns, lines, limit, () => { ROWS.set(element.id, Infinity); again(); });
}

let sorted = null, down = false;
const sortKey = (text) => {
  const value = parseFloat(text.replaceAll(",", ""));
  return Number.isNaN(value) ? text : value;
};
const compare = (one, other) => (typeof one === typeof other ? (one < other ? -1 : one > other ? 1 : 0) : typeof one === "number" ? -1 : 1);
const compareDown = (one, other) => compare(one, other) * (typeof one === typeof other ? -1 : 1); // what has no number is last in both

function caseTable() {
  const rows = data.rows.cases.filter(shown), columns = columnsOf(view, rows);
  const by = columns.find(({ title }) => title === sorted);
  if (by) {
    const keys = new Map(rows.map((row) => [row, sortKey(by.cell(row))]));
    const ordered = down ? compareDown : compare;
    rows.sort((a, b) => ordered(keys.get(a), keys.get(b)));
  }
  const heads = columns.map((column, place) => ({
    ...column,
    sorted: sorted === column.title ? (down ? "descending" : "ascending") : "none",
    sort: () => {
      down = sorted === column.title && !down;
      sorted = column.title;
      caseTable();
      byId("case-table").querySelectorAll("th button")[place].focus();
    },
  }));
  rowsTable(byId("case-table"), byId("case-note"), view, rows, caseTable, heads, !by);
  byId("view-note").textContent = data.views[view].note ? `${data.views[view].note}.` : "";
  byId("view").value = view;
}

byId("view").addEventListener("change", (event) => {
  chooseView(event.target.value);
  writeState();
});
function chooseView(name) {
  view = name;
  sorted = null;
  caseTable();
}

function frontTable() {
  const element = byId("front-table");
  if (!element) return;
  const fronts = new Map(); // by model, as the chart has a panel for each, and apart in 8 bits
  for (const row of data.rows.cases.filter(shown).sort((a, b) => a.p50 - b.p50 || b.speed - a.speed)) {
    const key = `${row.family} ${row.eight ?? ""}`;
    if (!fronts.has(key)) fronts.set(key, []);
    const front = fronts.get(key);
    if (!front.length || row.speed > front.at(-1).speed) front.push(row);
  }
  rowsTable(element, byId("front-note"), "speed", [...fronts.values()].flat(), frontTable);
}

function precisionTable() {
  const element = byId("precision-table"), name = "precision-speed";
  if (!element) return;
  const { ids, free = [] } = data.charts[name]?.usermeta ?? {}, wanted = ids && new Set(ids);
  rowsTable(element, byId("precision-note"), "precisions", data.rows.cases.filter((row) => passes(row, free) && (!wanted || wanted.has(row.id))), precisionTable);
}
