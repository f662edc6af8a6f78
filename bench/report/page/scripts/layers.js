// The layers of a case: what they show in words above the charts, their numbers in a table below.

const layerSection = byId("layers");
if (layerSection) {
  const says = make("ul", { class: "answers", id: "layer-says" });
  const choice = make("select", { id: "layer-choice" });
  const tableOf = make("table", { id: "layer-table" }), note = make("p", { id: "layer-note", class: "soft" });
  const headings = [
    { title: "layer", text: true, words: "+n: computed together with n others", value: (row) => row.layer },
    { title: "stage", text: true, words: "What the layer's name begins with", value: (row) => row.stage },
    { title: "time", words: "Median over executions, and half its 95 % interval", value: (row) => row.ms, cell: (row) => scaled(row.ms) + (row.half == null ? "" : ` ±${part(row.half / row.ms)}%`) },
    { title: "share", words: "Of the whole execution", value: (row) => row.share, cell: (row) => `${(100 * row.share).toFixed(1)}%` },
    { title: "floor", words: "The least time of one kernel for it, by this machine's ceilings", value: (row) => row.floor, cell: (row) => scaled(row.floor) },
    { title: "% of floor", words: "Floor over time: 100 % is as fast as the roofs allow", value: (row) => row.of_floor, cell: (row) => (row.of_floor == null ? "-" : `${Math.round(100 * row.of_floor)}%`) },
    { title: "bound", text: true, words: "What sets the floor: products, bytes, or a launch", value: (row) => row.bound },
    { title: "rival", words: "The same layer's time of the case beside it", value: (row) => row.rival_ms, cell: (row) => (row.together ? `in ${row.together}` : scaled(row.rival_ms)) },
    { title: "difference", words: "Beyond the rival's time; negative: faster", value: (row) => row.difference, cell: difference },
    { title: "sure", text: true, words: "Whether the difference is more than the noise of both", value: (row) => (row.sure == null ? "-" : row.sure ? "yes" : "no") },
    { title: "kernels", text: true, words: "What computes it, the longest first", value: (row) => row.kernels },
  ];
  const times = ["time", "floor", "rival", "difference"]; // in the unit of the longest
  let sortedBy = null, descending = false, limit = SOME, factor = 1;

  layerSection.querySelector(".charts").before(says);
  layerSection.querySelector(".charts").after(
    make("p", { id: "layer-choosing" }, make("label", {}, "numbers of ", choice)),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Every layer" }, tableOf), note);
  choice.addEventListener("change", () => layerTable());

  function scaled(value) {
    if (value == null) return "-";
    const number = factor * value;
    return Math.abs(number) >= 1000 ? number.toFixed(0) : number.toPrecision(3);
  }

  const part = (share) => (share >= 0.1 ? (100 * share).toFixed(0) : (100 * share).toPrecision(2));

  function difference(row) {
    if (row.difference == null) return "-";
    const signed = (value, text) => (value > 0 ? "+" : "") + text.replace("-", "−");
    const percent = row.percent == null ? "" : ` (${signed(row.percent, row.percent.toFixed(0))}%)`;
    return signed(row.difference, scaled(row.difference)) + percent;
  }

  function layerTable() {
    const rows = data.rows.layers.filter((row) => row.kind === "layer" && row.panel === choice.value && shown(row));
    if (sortedBy !== null) {
      const { value } = headings[sortedBy], blank = (row) => value(row) == null;
      rows.sort((a, b) => blank(a) - blank(b) || compare(value(a), value(b), descending));
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
    says.replaceChildren(...[...new Set(visible.map((row) => row.says))].map((words) => make("li", {}, words)));
    const panels = [...new Set(visible.map((row) => row.panel))];
    const chosen = panels.includes(choice.value) ? choice.value : panels[0];
    choice.replaceChildren(...panels.map((panel) => make("option", { selected: panel === chosen }, panel)));
    byId("layer-choosing").hidden = !panels.length;
    tableOf.hidden = !panels.length;
    layerTable();
  });
}
