// Every record, folded and built when a reader opens them; and all numbers of one case.

function recordTable() {
  if (!byId("record-fold").open) return;
  const some = records().filter(shown), limit = ROWS.get("record-table") ?? PAGE;
  const heads = [["case", true], ["round"], ["status", true], ["started, UTC", true], ["lasted, s"], ["", true]].map(([title, text]) => ({ title, text }));
  const rows = some.slice(0, limit).map((record) => {
    const all = make("button", { type: "button", class: "more", "aria-expanded": "false", onclick: () => {
      const open = all.getAttribute("aria-expanded") === "true";
      all.setAttribute("aria-expanded", String(!open));
      if (open) row.nextSibling.remove();
      else row.after(make("tr", {}, make("td", { colspan: heads.length, class: "wrap" }, tree(allOf(record)))));
    } }, "all of it");
    const row = line(heads, [record.case, String(record.round), record.status, startOf(record), record.wall_s ? record.wall_s.toFixed(1) : "-", all], isGood(record) ? null : "bad");
    return row;
  });
  rows.length = some.length;
  table(byId("record-table"), byId("record-note"), heads, rows, limit, () => { ROWS.set("record-table", Infinity); recordTable(); });
}
byId("record-fold").addEventListener("toggle", recordTable);

const startOf = (record) => record.started.slice(0, 19).replace("T", " ");
const isGood = (record) => ["ok", "skipped"].includes(record.status);
const allOf = (record) => ({
  ...(record.reason && { reason: record.reason }), folder: record.folder, device: record.device, order: record.order,
  ...Object.fromEntries(Object.entries(record).filter(([name]) => name.startsWith("of ")).map(([name, place]) => [name.slice(3), data.values[place]])),
});

function tree(value) {
  if (value === null || typeof value !== "object") return document.createTextNode(String(value));
  if (Array.isArray(value)) return value.some((one) => one && typeof one === "object" && !Array.isArray(one)) ? make("div", {}, ...value.map(tree)) : document.createTextNode(JSON.stringify(value).slice(1, -1).replaceAll(",", ", "));
  return make("dl", {}, ...Object.entries(value).flatMap(([key, inner]) => [make("dt", {}, key), make("dd", {}, tree(inner))]));
}

function openCase(row) {
  const seen = new Set(["variant", "prec", "batch"]);
  const numbers = Object.values(data.views).flatMap(({ columns }) => columns.flatMap(({ title, at, words }) => {
    const cell = data.cells[at][row.id], name = `${title} ${cell}`;
    if (cell === "-" || seen.has(title) || seen.has(name)) return [];
    seen.add(name);
    return [make("div", {}, make("dt", {}, term(title, words)), make("dd", {}, cell))];
  }));
  const ofCase = records().filter((record) => record.case === row.case && record.setting === row.setting);
  const folds = ofCase.map((record) => {
    const fold = make("details", { ontoggle: () => { if (fold.open && fold.children.length === 1) fold.append(tree(allOf(record))); } },
      make("summary", {}, `round ${record.round}: ${record.status}, ${startOf(record)} UTC`));
    return fold;
  });
  byId("one-case").replaceChildren(
    make("form", { method: "dialog" }, make("button", { class: "more" }, "close")),
    make("h2", { id: "one-case-title" }, ...row.case.split("/").flatMap((word, place) => (place ? ["/", make("wbr"), word] : [word]))), make("p", { class: "soft" }, [row.way, `rounds: ${row.rounds}`].join("; ")),
    make("dl", { class: "numbers-of" }, ...numbers), make("h3", {}, "Its records"), ...folds);
  byId("one-case").showModal();
}
byId("one-case").addEventListener("click", (event) => { if (event.target === byId("one-case")) byId("one-case").close(); });
byId("one-case").addEventListener("close", () => { document.body.append(tip); quiet(); });
