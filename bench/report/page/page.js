"use strict";
(() => {
  const PANELS = 6, PAGE = 200;
  const ERRORS = 1; // vega.Error: a panel without values for a layer is a warning, and often so
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const axes = ["model", "variant", "precision", "batch", "image", "launch"];
  const off = Object.fromEntries(axes.map((axis) => [axis, new Set()])); // values that are filtered away
  let setting = 0;

  // ---- building: text is always text, never markup

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children);
    return element;
  }

  // ---- filters

  const shown = (row) => (row.setting ?? setting) === setting && axes.every((axis) => !off[axis].has(row[axis]));

  for (const record of data.records) {
    const [model, variant, precision, batch, image, launch] = record.case.split("/");
    Object.assign(record, { model, variant, precision, launch, image: Number(image.slice(1)), batch: batch === "bmax" ? 0 : Number(batch.slice(1)) });
  }

  function filters() {
    byId("axes").replaceChildren();
    for (const axis of axes) {
      const values = data.axes[axis];
      if (values.length < 2) continue;
      const summary = make("summary");
      const boxes = values.map((value) => make("input", { type: "checkbox", value, checked: !off[axis].has(value) }));
      const showChoice = () => {
        const on = values.length - off[axis].size;
        summary.textContent = `${axis}: ${on === values.length ? "all" : on === 1 ? values.find((value) => !off[axis].has(value)) : `${on} of ${values.length}`}`;
        details.classList.toggle("some", on < values.length);
      };
      const set = (choose) => {
        boxes.forEach((box, place) => {
          box.checked = choose(values[place]);
          off[axis][box.checked ? "delete" : "add"](values[place]);
        });
        showChoice();
        changed();
      };
      boxes.forEach((box) => box.addEventListener("change", () => set((value) => boxes[values.indexOf(value)].checked)));
      const quick = make("div", { class: "quick" },
        make("button", { type: "button", onclick: () => set(() => true) }, "all"),
        make("button", { type: "button", onclick: () => set(() => false) }, "none"));
      const labels = values.map((value, place) => {
        const only = axis === "batch" && value === 0 ? "largest" : String(value);
        return make("label", {}, boxes[place], only);
      });
      const details = make("details", { class: "axis", "data-axis": axis }, summary, make("div", { role: "group", "aria-label": axis }, quick, ...labels));
      showChoice();
      byId("axes").append(details);
    }
  }

  byId("reset").addEventListener("click", () => {
    for (const axis of axes) off[axis].clear();
    filters();
    changed();
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("click", (event) => {
    for (const open of document.querySelectorAll(".axis[open]")) if (!open.contains(event.target)) open.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const open of document.querySelectorAll(".axis[open]")) {
      open.open = false;
      open.querySelector("summary").focus();
    }
    for (const term of document.querySelectorAll(".term")) if (term.matches(":hover, :focus-within")) term.classList.add("quiet");
  });
  byId("setting")?.addEventListener("change", (event) => {
    setting = Number(event.target.value);
    changed();
  });

  // ---- explanations stay inside the window

  let explained = null;
  function beside() {
    if (!explained) return;
    const tip = explained.querySelector(".tip"), box = explained.getBoundingClientRect();
    const below = box.bottom + 6 + tip.offsetHeight < document.documentElement.clientHeight;
    tip.style.top = `${below ? box.bottom + 6 : Math.max(8, box.top - 6 - tip.offsetHeight)}px`;
    tip.style.left = `${Math.max(8, Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8))}px`;
  }
  function explain(event) {
    const term = event.target.closest?.(".term");
    if (!term || (term === explained && event.type === "mouseover")) return;
    explained = term;
    term.classList.remove("quiet");
    beside();
  }
  document.addEventListener("mouseover", explain);
  document.addEventListener("focusin", explain);
  document.addEventListener("scroll", beside, true);

  // ---- charts

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

  // ---- tables

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

  function recordTable() {
    const records = data.records.filter(shown);
    const heads = [["case", true], ["round"], ["status", true], ["started, UTC", true], ["lasted, s"], ["", true]].map(([title, text]) => ({ title, text }));
    const rows = records.slice(0, recordLimit).map((record) => {
      const all = make("button", { type: "button", class: "more", "aria-expanded": "false", onclick: () => {
        const open = all.getAttribute("aria-expanded") === "true";
        all.setAttribute("aria-expanded", String(!open));
        if (open) row.nextSibling.remove();
        else row.after(make("tr", {}, make("td", { colspan: heads.length, class: "wrap" }, tree(allOf(record)))));
      } }, "all of it");
      const cells = [record.case, String(record.round), record.status, record.started.slice(0, 19).replace("T", " "), record.wall_s ? record.wall_s.toFixed(1) : "-", all];
      const row = line(heads, cells, ["ok", "skipped"].includes(record.status) ? null : "bad");
      return row;
    });
    while (rows.length < records.length) rows.push("");
    table(byId("record-table"), byId("record-note"), heads, rows, recordLimit, () => { recordLimit = Infinity; recordTable(); });
  }

  const allOf = (record) => ({
    ...(record.reason && { reason: record.reason }), folder: record.folder, device: record.device, order: record.order,
    ...Object.fromEntries(Object.entries(record.fields).map(([name, place]) => [name, data.values[place]])),
  });

  function tree(value) {
    if (value === null || typeof value !== "object") return document.createTextNode(String(value));
    if (Array.isArray(value)) return value.some((one) => one && typeof one === "object" && !Array.isArray(one)) ? make("div", {}, ...value.map(tree)) : document.createTextNode(JSON.stringify(value).slice(1, -1).replaceAll(",", ", "));
    return make("dl", {}, ...Object.entries(value).flatMap(([key, inner]) => [make("dt", {}, key), make("dd", {}, tree(inner))]));
  }

  // ---- all of it

  function changed() {
    for (const element of document.querySelectorAll(".of-setting")) element.hidden = Number(element.dataset.setting) !== setting;
    const all = data.rows.cases.filter((row) => row.setting === setting).length;
    const some = data.rows.cases.filter(shown).length;
    byId("count").textContent = some === all ? `${all} cases` : `${some} of ${all} cases`;
    byId("reset").hidden = axes.every((axis) => !off[axis].size);
    frontTable();
    precisionTable();
    caseTable();
    recordTable();
    return drawAll();
  }

  let width = window.innerWidth, waiting;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 150);
  });

  filters();
  changed();
})();
