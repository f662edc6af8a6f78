// The layers of a case: what they show in words above the charts, their numbers in a table below.

const layerSection = byId("layers");
if (layerSection) {
  const says = make("ul", { class: "answers", id: "layer-says" });
  const choice = make("select", { id: "layer-choice" });
  const tableOf = make("table", { id: "layer-table" }), note = make("p", { id: "layer-note", class: "soft" });
  const headings = [
    { title: "layer", text: true, value: (row) => row.layer },
    { title: "stage", text: true, value: (row) => row.stage },
    { title: "time", value: (row) => row.ms, cell: (row) => digits(row.ms) + (row.half == null ? "" : ` ±${(100 * row.half / row.ms).toPrecision(2)}%`) },
    { title: "share", value: (row) => row.share, cell: (row) => `${(100 * row.share).toFixed(1)}%` },
    { title: "floor", value: (row) => row.floor, cell: (row) => digits(row.floor) },
    { title: "% of floor", value: (row) => row.of_floor, cell: (row) => (row.of_floor == null ? "-" : `${Math.round(100 * row.of_floor)}%`) },
    { title: "bound", text: true, value: (row) => row.bound },
    { title: "rival", value: (row) => row.rival_ms, cell: (row) => (row.together ? `in ${row.together}` : digits(row.rival_ms)) },
    { title: "difference", value: (row) => row.difference, cell: difference },
    { title: "sure", text: true, value: (row) => (row.sure == null ? "-" : row.sure ? "yes" : "no") },
    { title: "kernels", text: true, value: (row) => row.kernels },
  ];
  const times = ["time", "floor", "rival", "difference"]; // in the unit of the longest
  let sortedBy = null, descending = false, limit = 60, factor = 1;

  layerSection.querySelector(".charts").before(says);
  layerSection.querySelector(".charts").after(
    make("p", {}, make("label", {}, "numbers of ", choice)),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Every layer" }, tableOf), note);
  choice.addEventListener("change", () => layerTable());

  function digits(value) {
    if (value == null) return "-";
    const scaled = factor * value;
    return Math.abs(scaled) >= 1000 ? scaled.toFixed(0) : scaled.toPrecision(3);
  }

  function difference(row) {
    if (row.difference == null) return "-";
    const signed = (value, text) => (value > 0 ? "+" : "") + text.replace("-", "−");
    const percent = row.percent == null ? "" : ` (${signed(row.percent, row.percent.toFixed(0))}%)`;
    return signed(row.difference, digits(row.difference)) + percent;
  }

  function layerTable() {
    const rows = data.rows.layers.filter((row) => row.kind === "layer" && row.panel === choice.value && shown(row));
    if (sortedBy !== null) {
      const { value } = headings[sortedBy], blank = (row) => value(row) == null;
      rows.sort((a, b) => blank(a) - blank(b) || compare(value(a), value(b)) * (descending ? -1 : 1));
    }
    factor = rows.some((row) => row.ms >= 1) ? 1 : 1000;
    const heads = headings.map((heading, place) => ({
      ...heading,
      title: times.includes(heading.title) ? `${heading.title}, ${factor === 1 ? "ms" : "µs"}` : heading.title,
      sorted: sortedBy === place ? (descending ? "descending" : "ascending") : "none",
      sort: () => {
        descending = sortedBy === place ? !descending : !heading.text; // of numbers the largest are looked for
        sortedBy = place;
        layerTable();
        tableOf.querySelectorAll("th button")[place].focus();
      },
    }));
    const cells = (row) => headings.map(({ value, cell, text }) => (cell ? cell(row) : value(row)));
    table(tableOf, note, heads, rows.map((row) => line(heads, cells(row))), limit, () => { limit = Infinity; layerTable(); });
  }

  whenChanged.push(() => {
    const visible = data.rows.layers.filter(shown);
    says.replaceChildren(...visible.filter((row) => row.says).map((row) => make("li", {}, row.says)));
    const panels = [...new Set(visible.map((row) => row.panel))];
    const chosen = panels.includes(choice.value) ? choice.value : panels[0];
    choice.replaceChildren(...panels.map((panel) => make("option", { selected: panel === chosen }, panel)));
    layerTable();
  });
}
