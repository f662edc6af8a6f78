// Every record, opened as a tree.
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
