// The history: a row for each case and metric over the commits of a machine, which opens its chart.

const FIRST = 10; // rows of a kind that are shown unasked, but for what got worse
const HEADS = { worse: "worse", better: "better", unsure: "cannot be told yet", quiet: "accepted", same: "without a change" };
const SVG = "http://www.w3.org/2000/svg";
const machines = new Map(data.machines.map((machine) => [machine.name, machine]));
const unfolded = new Set(); // kinds whose rows are all shown
let opened = null; // the series whose chart is open, and its view

const many = (count, one, more) => `${count} ${plural(count, one, more)}`;

function svgOf(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// a change's shape, on its own or within a sparkline: a cross for the worse, a ring for the better
function shapeOf(kind, x, y) {
  return kind === "worse"
    ? svgOf("path", { class: kind, d: `M${x - 3.5},${y - 3.5}l7,7m0,-7l-7,7` })
    : svgOf("circle", { class: kind, cx: x, cy: y, r: 3.5 });
}

function markOf(kind) {
  return svgOf("svg", { class: "mark", viewBox: "0 0 12 12", width: 12, height: 12, "aria-hidden": "true" }, shapeOf(kind, 6, 6));
}

// what moved this series with all others of its machine
const movesOf = (series) => machines.get(series.machine).moves.filter((move) => move.metrics.includes(series.metric));

// values over commits: each as a point of a thin line, the levels, and the changes above
function sparkline(series) {
  const width = 168, height = 40, top = 11, edge = 5;
  const commits = machines.get(series.machine).commits.length;
  const kept = series.values.filter((_, place) => !series.spikes.includes(place));
  const low = Math.min(...kept), high = Math.max(...kept);
  const x = (at) => edge + ((width - 2 * edge) * at) / Math.max(1, commits - 1);
  const y = (value) => {
    const share = high > low ? (Math.max(low, Math.min(high, value)) - low) / (high - low) : 0.5;
    return height - 4 - share * (height - 4 - top);
  };
  const round = (number) => number.toFixed(1);
  const line = series.values.map((value, place) => `${round(x(series.at[place]))},${round(y(value))}`).join(" ");
  const levels = series.levels.map(([first, last, level]) => `M${round(x(series.at[first]))},${round(y(level))}H${round(x(series.at[last]))}`).join("");
  const changes = series.changes.flatMap((change) => {
    const at = x(change.at - 0.5);
    return [svgOf("path", { class: `edge ${change.kind}`, d: `M${round(at)},${top}V${height}` }), shapeOf(change.kind, at, 5)];
  });
  const moves = movesOf(series).map(({ at }) => svgOf("path", { class: "edge all", d: `M${round(x(at - 0.5))},${top}V${height}` }));
  const said = `${many(series.values.length, "commit")}, from ${digits(series.values[0])} to ${digits(series.values.at(-1))} ${series.unit}`;
  return svgOf("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": said },
    svgOf("path", { class: "level", d: levels }), svgOf("polyline", { points: line }), ...moves, ...changes);
}

// ---- the table

const ofMachine = () => data.rows.history.filter((series) => series.machine === data.machine[setting]);

function historyTable() {
  const element = byId("history-table");
  if (!element) return;
  const all = ofMachine(), series = all.filter(shown);
  const hidden = all.filter((one) => one.kind === "worse" && !shown(one)).length;
  closeChart();
  byId("history-finding").textContent = `${historyFinding(series)}${hidden ? ` ${hidden} more got worse in what the filters leave out.` : ""}`;
  const titles = ["case", "over the commits", "newest", "change", "at commit", "how sure"];
  const heads = titles.map((title) => make("th", { scope: "col", class: title === "newest" ? "n" : null }, term(title, data.headings[title])));
  const bodies = Object.keys(HEADS).map((kind) => historyGroup(kind, series.filter((one) => one.kind === kind)));
  element.replaceChildren(make("thead", {}, make("tr", {}, ...heads)), ...bodies.filter(Boolean));
}

// the rows of a kind, below a heading that says how many; most kinds show their first rows, those without a change none
function historyGroup(kind, series) {
  if (!series.length) return null;
  const first = kind === "worse" || unfolded.has(kind) ? Infinity : kind === "same" ? 0 : FIRST;
  const cases = new Set(series.map((one) => one.name)).size;
  const title = `${many(series.length, "series", "series")} of ${many(cases, "case")} ${HEADS[kind]}`;
  const toggle = series.length > Math.min(first, FIRST) || unfolded.has(kind) ? foldButton(kind, series.length - first) : "";
  const head = make("tr", { class: "group" }, make("th", { colspan: 6, scope: "rowgroup" }, markOf(kind), ` ${title} `, kind === "worse" ? "" : toggle));
  return make("tbody", { class: kind }, head, ...series.slice(0, first).map(historyRow));
}

function foldButton(kind, left) {
  const open = unfolded.has(kind);
  return make("button", { type: "button", class: "more", "aria-expanded": String(open), onclick: () => {
    unfolded[open ? "delete" : "add"](kind);
    historyTable();
    byId("history-table").querySelector(`tbody.${kind} .group button`)?.focus();
  } }, open ? "fewer" : kind === "same" ? "show them" : `show ${left} more`);
}

function historyFinding(series) {
  if (!series.length) return "The filters leave no series of this machine.";
  const { commits, days } = machines.get(series[0].machine);
  const worse = series.filter((one) => one.kind === "worse"), better = series.filter((one) => one.kind === "better");
  const over = `over ${many(commits.length, "commit")}, ${days[0]} to ${days.at(-1)}`;
  const count = `${series.length} series ${over}: `;
  const most = (some) => {
    const size = (one) => Math.abs(Math.log1p(one.changes[one.main].size));
    const one = some.reduce((a, b) => (size(b) > size(a) ? b : a)), change = one.changes[one.main];
    return `${some.length > 1 ? "the most " : ""}${one.name}, ${one.title} ${change.text} at ${commits[change.at]}`;
  };
  if (!worse.length && !better.length) return `${count}no change was found.`;
  const parts = [[worse, "got worse"], [better, "got better"]].map(([some, what]) => (some.length ? `${some.length} ${what} (${most(some)})` : `none ${what}`));
  return `${count}${parts.join(", ")}.`;
}

function historyRow(series) {
  const { commits, days } = machines.get(series.machine), change = series.changes[series.main];
  const name = make("button", { type: "button", class: "name", "aria-expanded": "false" }, ...series.name.split("/").flatMap((word, place) => (place ? ["/", make("wbr"), word] : [word])));
  const others = series.changes.length - 1;
  const sure = [change?.sure, series.unsure, change?.marks, others > 0 && `${many(others, "other change")} in its chart`, series.flips && `flips between two levels, ${series.flips} times`].filter(Boolean).join("; ");
  const last = change ? [make("span", { class: change.kind }, markOf(change.kind), ` ${change.text} ${change.kind}`), make("small", {}, change.interval)] : ["-"];
  const row = make("tr", { class: "series" },
    make("td", { class: "case" }, name, make("small", {}, series.title)),
    make("td", { class: "drawn" }, sparkline(series)),
    make("td", { class: "n newest" }, `${digits(series.values.at(-1))} ${series.unit}`),
    make("td", { class: "last" }, ...last),
    make("td", { class: "at" }, ...(change ? [make("code", {}, commits[change.at]), make("small", {}, days[change.at])] : ["-"])),
    make("td", { class: "sure" }, sure || "-"));
  row.addEventListener("click", () => {
    if (!String(window.getSelection())) toggleChart(series, row, name);
  });
  return row;
}

// ---- the chart of one series, below its row

function closeChart() {
  if (!opened) return;
  opened.view?.finalize();
  opened.row.remove();
  opened.button.setAttribute("aria-expanded", "false");
  opened = null;
}

async function toggleChart(series, row, button) {
  const same = opened?.button === button;
  closeChart();
  if (same) return;
  const chart = make("div", { class: "chart", role: "img", "aria-label": `${series.name}, ${series.title} over commits` });
  const below = make("tr", { class: "opened" }, make("td", { colspan: 6 }, chart, ...aboutChanges(series)));
  button.setAttribute("aria-expanded", "true");
  row.after(below);
  const mine = { button, row: below, view: null };
  opened = mine;
  const { view } = await vegaEmbed(chart, seriesSpec(series, chart.clientWidth), EMBED);
  if (opened === mine) mine.view = view;
  else view.finalize();
}

function aboutChanges(series) {
  const { commits, days } = machines.get(series.machine);
  const lines = series.changes.map((change) => make("li", {},
    make("span", { class: change.kind }, markOf(change.kind), ` ${change.text} ${change.kind}`),
    ` (${[change.interval, change.sure].filter(Boolean).join("; ")}) at ${commits[change.at]} of ${days[change.at]}, after ${commits[change.before]}`,
    [change.software, change.marks].filter(Boolean).map((text) => `; ${text}`).join(""), ". To confirm: ", make("code", {}, change.confirm)));
  if (series.unsure) lines.push(make("li", {}, `${series.unsure}. To confirm: `, make("code", {}, series.confirm)));
  return lines.length ? [make("ul", {}, ...lines)] : [];
}

function seriesSpec(series, width) {
  const { commits, days } = machines.get(series.machine);
  const spec = structuredClone(data.charts.history);
  spec.width = Math.max(200, Math.min(width - 80, 900));
  spec.datasets = { history: seriesRows(series) };
  const first = series.at[0], last = series.at.at(-1), ticks = Math.max(2, Math.floor(spec.width / 95));
  const places = Array.from({ length: last - first + 1 }, (_, place) => first + place);
  const step = Math.ceil(places.length / ticks);
  const values = places.filter((_, place) => (places.length - 1 - place) % step === 0);
  const labels = Object.fromEntries(values.map((at) => [at, days[at]]));
  for (const { encoding } of spec.layer) {
    encoding.x.axis = { ...encoding.x.axis, values, labelExpr: `(${JSON.stringify(labels)})[datum.value]` };
    encoding.x.title = `${many(places.length, "commit")} in order, by the day first measured`;
    if (encoding.y?.field === "value") encoding.y.title = `${series.title}, ${series.unit}`;
  }
  return spec;
}

// the rows of the chart's layers: points and spikes with their rounds, levels, changes, and moves of all series
function seriesRows(series) {
  const { commits, days, software } = machines.get(series.machine);
  const said = new Map(series.changes.map((change) => [change.at, `${change.text} ${change.kind}, ${change.sure}`]));
  const levelAt = (place) => series.levels.find(([first, last]) => first <= place && place <= last)[2];
  const points = series.values.map((value, place) => {
    const at = series.at[place], level = levelAt(place), rounds = series.rounds?.[place];
    const spike = series.spikes.includes(place);
    const row = { what: spike ? "spike" : "point", at, value, level, commit: commits[at], day: days[at], software: software[at] ?? "as before", said: said.get(at) ?? (spike ? "left out: a single point far from both neighbours" : "none") };
    return rounds ? { ...row, rounds } : row;
  });
  const intervals = (series.lows ?? []).flatMap((low, place) => (low === null ? [] : [{ what: "round", at: series.at[place], low, high: series.highs[place] }]));
  const levels = series.levels.map(([first, last, value]) => ({ what: "level", at: series.at[first] - 0.3, until: series.at[last] + 0.3, value }));
  const all = movesOf(series).map((move) => ({ ...move, kind: "all", text: `all ${move.text} in time` }));
  const middle = (series.at[0] + series.at.at(-1)) / 2;
  const changes = [...series.changes, ...all].sort((a, b) => a.at - b.at).map(({ at, kind, text }, place) => ({
    what: "change", at: at - 0.5, kind, text: kind === "all" ? text : `${text} ${kind}`, late: at > middle, row: -8 - 14 * (place % 2),
  }));
  return [...points, ...intervals, ...levels, ...changes];
}

whenChanged.push(historyTable);
