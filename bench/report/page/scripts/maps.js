// Heat maps: a table a model, variants over batches, of one precision and launch.

// The classes of the cells, by the least ratio of each step away from 1: `f` faster, `s` slower.
function heat(row) {
  if (row.times === undefined || row.variant === "eager") return "";
  if (row.times_low !== undefined && row.times_low <= 1 && row.times_high >= 1) return "h0";
  const ratio = Math.max(row.times, 1 / row.times), step = STEPS.filter((least) => ratio >= least).length;
  return step ? `h${row.times > 1 ? "f" : "s"}${step}` : "h0";
}

const timesText = (times) => times.toFixed(times < 9.995 ? 2 : times < 99.95 ? 1 : 0);
const short = (value) => (value < 9999.5 ? digits(value).replace(/(\.\d)\d+$/, "$1") : value < 999500 ? `${(value / 1e3).toPrecision(3)}k` : `${(value / 1e6).toPrecision(3)}M`);

// What the maps show where the filters leave several: what the reader chose, else the fastest that eager ran in, too.
function mapOf(rows) {
  const wide = rows.some((row) => !row.eight) ? rows.filter((row) => !row.eight) : rows;
  let left = wide;
  for (const axis of ["precision", "launch"]) {
    const wanted = mapWanted[axis];
    if (wanted && rows.some((row) => row[axis] === wanted)) left = (left === wide ? rows : left).filter((row) => row[axis] === wanted);
  }
  if (!left.length) left = wide;
  const models = [...groupBy(left, (row) => row.model).values()], most = models.reduce((one, other) => (other.length > one.length ? other : one), []);
  const alike = most.filter((row) => row.unlike === "");
  const fastest = (alike.length ? alike : most).reduce((one, other) => (!one || other.speed > one.speed ? other : one), null);
  return fastest && { precision: fastest.precision, launch: fastest.launch };
}

function chooser(axis, rows, now) {
  const values = valuesOf(axis).filter((value) => rows.some((row) => row[axis] === value));
  if (values.length < 2) return [];
  const select = make("select", { "aria-label": `${axis} of the heat maps`, onchange: (event) => {
    mapWanted[axis] = event.target.value;
    writeState();
    maps(data.rows.cases.filter(shown));
    document.querySelector(`#maps select[data-axis="${axis}"]`)?.focus();
  }, "data-axis": axis }, ...values.map((value) => make("option", { selected: value === now[axis] }, value)));
  return [make("label", {}, `${axis} `, select)];
}

const MAPS = 6; // models beyond these are folded
function maps(rows) {
  const now = mapOf(rows);
  if (!now) return byId("maps").replaceChildren();
  const drawn = rows.filter((row) => row.precision === now.precision && row.launch === now.launch);
  const launch = severalLaunches ? `, ${LAUNCHED[now.launch] ?? now.launch}` : "";
  const lead = make("p", { class: "map-lead" },
    make("span", {}, `Images per second over eager's, in ${now.precision}${launch}; eager's own row in images per second. `),
    ...chooser("precision", rows, now), " ", ...chooser("launch", rows.filter((row) => row.precision === now.precision), now));
  const lost = lostCases(now);
  const tables = [...groupBy(drawn, (row) => row.family)].map(([family, ofFamily]) => mapTable(family, ofFamily, lost));
  const folded = tables.length > MAPS ? [make("details", {}, make("summary", {}, `${tables.length - MAPS} more models`), make("div", { class: "maps compact" }, ...tables.slice(MAPS)))] : [];
  byId("maps").replaceChildren(lead, legend(drawn, lost), make("div", { class: tables.length > 2 ? "maps compact" : "maps" }, ...tables.slice(0, MAPS)), ...folded);
}

// The cases without a speed that belong on the maps, by their name.
function lostCases(now) {
  const lost = new Map();
  for (const { status, reason, cases } of data.missing[setting]) {
    for (const name of cases) {
      const of = axesOf(name);
      if (of.precision === now.precision && of.launch === now.launch && passes(of, [])) lost.set(name, { ...of, status, reason });
    }
  }
  return lost;
}

function legend(rows, lost) {
  const swatch = (step) => make("span", { class: `swatch ${step}` });
  const scale = make("span", { class: "scale" }, "slower ", ...[4, 3, 2, 1].map((step) => swatch(`hs${step}`)), swatch("h0"), ...[1, 2, 3, 4].map((step) => swatch(`hf${step}`)), " faster than eager");
  const marks = ["★", "≈", "?", ...["*", "^"].filter((mark) => rows.some((row) => row.unlike?.includes(mark))), ...(lost.size ? ["-", "✗"] : [])];
  const words = { "★": "fastest", "≈": "as fast", "?": "cannot be told", "*": "over eager's fp32", "^": "over its other launch", "-": "skipped", "✗": "failed" };
  return make("p", { class: "legend soft" }, scale, ...marks.flatMap((mark) => [" ", term(`${mark} ${words[mark]}`, data.marks[mark])]));
}

function mapTable(family, rows, lost) {
  const model = rows[0].model, image = rows[0].image;
  const missing = [...lost.values()].filter((one) => one.model === model && one.image === image);
  const lineOf = (row) => [row.variant, row.choices].filter(Boolean).join(", ");
  const names = [...new Set([...rows.map(lineOf), ...missing.filter((one) => one.status !== "skipped").map(lineOf)])];
  const places = valuesOf("variant");
  names.sort((a, b) => places.indexOf(a.split(", ")[0]) - places.indexOf(b.split(", ")[0]));
  const batches = [...new Set([...rows, ...missing.filter((one) => names.includes(one.variant))].map((row) => row.batch))].sort((a, b) => a - b);
  const of = new Map(rows.map((row) => [`${lineOf(row)} ${row.batch}`, row]));
  const reasons = new Map(missing.map((one) => [`${one.variant} ${one.batch}`, one]));
  const verdicts = new Map();
  for (const ways of groupBy(rows, (row) => row.contest).values()) {
    const contest = judge(ways);
    for (const row of contest.candidates) verdicts.set(row.id, contest);
  }
  const cell = (name, batch) => {
    const row = of.get(`${name} ${batch}`);
    return row ? mapCell(row, verdicts.get(row.id)) : emptyCell(name, batch, reasons.get(`${name.split(", ")[0]} ${batch}`));
  };
  const head = make("tr", {}, make("th", { scope: "col" }, "batch"), ...batches.map((batch) => make("th", { scope: "col", class: "n" }, nameOf("batch", batch))));
  const body = names.map((name) => make("tr", { class: name === "eager" ? "eager" : null }, make("th", { scope: "row" }, name), ...batches.map((batch) => cell(name, batch))));
  const table = make("table", { class: "map", role: "grid", "aria-label": `${family}: times eager by variant and batch`, onkeydown: moveInMap }, make("thead", {}, head), make("tbody", {}, ...body));
  table.querySelector("tbody td")?.setAttribute("tabindex", "0");
  return make("div", { class: "of-model" }, make("h3", {}, family), make("div", { class: "scroll" }, table), ...skippedWays(missing, names));
}

// The variants without a row, as all of their cases were skipped; each says why.
function skippedWays(missing, names) {
  const skipped = new Map(missing.filter((one) => !names.includes(one.variant)).map((one) => [one.variant, one.reason]));
  const words = [...skipped].flatMap(([variant, reason], place) => [place ? ", " : "skipped: ", term(variant, reason.trim().split("\n")[0].slice(0, 300))]);
  return words.length ? [make("p", { class: "soft" }, ...words)] : [];
}

function mapCell(row, contest) {
  const mark = contest ? data.signs[contest.verdict] ?? "" : "", isEager = row.variant === "eager";
  const text = isEager || row.times === undefined ? short(row.speed) : timesText(row.times);
  const open = () => openCase(row);
  return make("td", {
    class: ["n", heat(row), mark === "★" ? "best" : ""].filter(Boolean).join(" "), tabindex: "-1", "data-tip": cellWords(row, contest), "aria-describedby": "tip",
    onclick: open, onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); } },
  }, text, make("span", { class: "mark" }, `${row.unlike ?? ""}${mark}`));
}

function cellWords(row, contest) {
  const words = [`${row.way}, batch ${nameOf("batch", row.batch)}: ${rateOf(row)}, p50 ${digits(row.p50)} ms`];
  if (row.variant !== "eager") words.push(row.eager ? `${row.eager.replace(/[*^]/g, "")} times eager${row.unlike?.includes("*") ? " in fp32" : ""}${row.unlike?.includes("^") ? " with the other launch" : ""}` : "no eager to compare with");
  if (row.times_low <= 1 && row.times_high >= 1 && row.variant !== "eager") words.push("not told from eager");
  const says = { winner: "the fastest of its column", tie: "may be as fast as the fastest of its column", unknown: `which is fastest cannot be told${contest?.disturbance ? `, as ${contest.disturbance}` : ""}` };
  if (contest && says[contest.verdict]) words.push(says[contest.verdict]);
  if (row.disturbed) words.push("every window was disturbed");
  return `${words.join("; ")}. Press for all its numbers.`;
}

function emptyCell(name, batch, why) {
  const tells = why ? `${name}, batch ${nameOf("batch", batch)}: ${why.status}: ${why.reason.trim().split("\n")[0].slice(0, 300)}` : `${name}, batch ${nameOf("batch", batch)}: not measured in these records, or taken out by the filters.`;
  const failed = why && why.status !== "skipped";
  return make("td", { class: failed ? "n none bad" : "n none", tabindex: "-1", "data-tip": tells, "aria-describedby": "tip" }, failed ? "✗" : why ? "-" : "");
}

// One stop of the Tab key a table; the arrows move within it.
function moveInMap(event) {
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -99], End: [0, 99] };
  const cell = event.target.closest("td"), step = steps[event.key];
  if (!cell || !step || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const lines = [...cell.closest("tbody").rows], within = (place, list) => Math.max(0, Math.min(list.length - 1, place));
  const line = lines[within(lines.indexOf(cell.parentElement) + step[0], lines)], cells = [...line.querySelectorAll("td")];
  const next = cells[within([...cell.parentElement.querySelectorAll("td")].indexOf(cell) + step[1], cells)];
  cell.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}
