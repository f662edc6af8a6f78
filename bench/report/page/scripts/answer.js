// The answer: contests as Python judged them where the filters leave their rows, else by the rows' own intervals.

const keyOf = (ids) => [...ids].sort((a, b) => a - b).join();
const judgedByPython = new Map(data.contests.map((contest) => [keyOf(contest.ids), contest]));
const disturbance = new Map(); // by the id of a row: why its contest over all ways has no winner
for (const contest of data.contests) if (contest.disturbance) for (const id of contest.ids) disturbance.set(id, contest.disturbance);
const severalLaunches = new Set(data.rows.cases.map((row) => row.launch)).size > 1; // of what was measured

const labelOf = (row) => [row.variant, row.precision, ...(row.launch === "graph" ? ["graph"] : [])].join("/");
const wayOf = (row) => `${row.variant}/${row.precision}`;

// The contest of some rows of one kind, which are in the order of their ids.
function judge(rows) {
  const contest = judgedByPython.get(keyOf(rows.map((row) => row.id)));
  if (contest) {
    const of = (ids) => ids.map((id) => data.rows.cases[id]);
    return { ...contest, rows: of(contest.ids), candidates: of(contest.candidates) };
  }
  const ordered = [...rows].sort((a, b) => b.speed - a.speed), [leader, ...others] = ordered;
  const behind = (row) => leader.speed_low !== undefined && row.speed_high < leader.speed_low && leader.speed >= (1 + LEAST_LEAD) * row.speed;
  const candidates = [leader, ...others.filter((row) => !behind(row))];
  const why = rows.map((row) => disturbance.get(row.id)).find(Boolean) ?? "";
  const verdict = !others.length ? "alone" : why || candidates.length > 1 ? "unknown" : "winner";
  const gain = leader.variant === "eager" || leader.eight ? undefined : leader.times;
  const judged = { rows: ordered, candidates, verdict, disturbance: why, gain, eager: gain && leader.eager, judgedHere: true };
  return { ...judged, text: sentenceOf(judged) };
}

const rateOf = (row) => `${digits(row.speed)}${row.speed_low === undefined ? "" : ` (${digits(row.speed_low)} to ${digits(row.speed_high)})`} images/s`;

// A sentence on ways of which Python judged no contest.
function sentenceOf({ rows, candidates, verdict, disturbance, eager }) {
  const [leader, next] = rows;
  const head = [`${leader.family}, batch ${leader.batch}`, ...(severalLaunches ? [LAUNCHED[leader.launch]] : []), ...(leader.eight ? [`in ${leader.precision}`] : [])].join(", ") + (leader.choices ? ` (${leader.choices})` : "");
  const over = eager ? `, ${eager.replace(/[*^]/g, "")} times ${leader.unlike ? "an eager of another precision or launch" : "eager in its precision and launch"}` : "";
  const ahead = `${labelOf(leader)}, ${rateOf(leader)}${over}`;
  if (verdict === "alone") return `${head}: of the ways chosen only ${ahead}.`;
  if (verdict === "winner") return `${head}: of the ways chosen ${ahead} is ahead; then ${labelOf(next)}, ${rateOf(next)}, by intervals that do not overlap.`;
  if (rows.every((row) => row.disturbed)) return `${head}: which of the ways chosen is fastest cannot be told, as every window was disturbed.`;
  const why = disturbance ? `as ${disturbance}` : leader.speed_low === undefined ? "as too few windows give no interval" : `as intervals overlap or lie within ${100 * LEAST_LEAD} % of each other`;
  const near = candidates.slice(1, 3).map((row) => `${labelOf(row)} (${digits(row.speed)})`);
  if (candidates.length > 3) near.push(`${candidates.length - 3} more`);
  return `${head}: which of the ways chosen is fastest cannot be told, ${why}; ahead in this run was ${ahead}${near.length ? `, then ${near.join(", ")}` : ""}.`;
}

// The contests of the rows that the filters leave: 8 bits last, and none of eager alone beside another launch.
function contestsOf(rows) {
  const contests = [];
  for (const group of groupBy(rows, (row) => `${row.family} ${row.batch}`).values()) {
    const kinds = [...groupBy(group, (row) => row.contest).values()].sort((a, b) => Boolean(a[0].eight) - Boolean(b[0].eight));
    for (const ways of kinds) {
      if (kinds.length === 1 || ways[0].eight || ways[0] === group.find((row) => !row.eight) || ways.some((row) => row.variant !== "eager")) contests.push(judge(ways));
    }
  }
  return contests;
}

// The headline, word for word as settings.py has it of all ways.
function headline(contests) {
  if (!contests.length) return data.rows.cases.some((row) => row.setting === setting) ? "The filters leave no case that was measured." : "No case was measured: the reasons are below.";
  const wide = contests.filter((contest) => !contest.rows[0].eight);
  if (!wide.length || wide.length === contests.length) return headlineOf(contests);
  return [headlineOf(wide), ...inEightBits(contests.filter((contest) => contest.rows[0].eight))].join(" ");
}

function inEightBits(contests) {
  const sentences = [];
  for (const [bits, ofBits] of groupBy(contests, (contest) => contest.rows[0].precision)) {
    const ways = new Set(ofBits.map((contest) => (contest.verdict === "winner" ? contest.rows[0].variant : "")));
    const over = ofBits.map((contest) => contest.wider).filter(Boolean).sort((a, b) => a - b);
    const [variant] = ways;
    if (ways.size !== 1 || !variant || !over.length) continue;
    const gain = over[0] === over.at(-1) ? over[0].toFixed(2) : `${over[0].toFixed(2)} to ${over.at(-1).toFixed(2)}`;
    sentences.push(`In ${bits}, whose answers differ from float32's, ${variant} runs it at ${gain} times that speed.`);
  }
  return sentences;
}

function headlineOf(contests) {
  const winners = contests.filter((contest) => contest.verdict === "winner"), wins = groupBy(winners, (contest) => wayOf(contest.rows[0]));
  const leaders = contests.map((contest) => contest.rows[0]);
  const models = new Set(leaders.map((row) => row.model)), sizes = new Set(leaders.map((row) => row.image)), batches = [...new Set(leaders.map((row) => row.batch))].sort((a, b) => a - b);
  const of = models.size > 1 ? `${models.size} models` : sizes.size > 1 ? `${leaders[0].model} at ${sizes.size} image sizes` : leaders[0].family;
  const launches = chosen("launch");
  const launch = severalLaunches && launches.length === 1 ? `, ${LAUNCHED[launches[0]] ?? launches[0]}` : "";
  const at = (batches.length < 6 ? `batch ${batches.join(", ")}` : `batch ${batches[0]} to ${batches.at(-1)}`) + launch;
  const count = (verdict) => contests.filter((contest) => contest.verdict === verdict).length;
  const several = contests.length > 1 ? ` in ${count("tie")} of ${contests.length} comparisons` : "";
  let ties = count("tie") ? `several ways are equally fast${several}` : "";
  const most = (groups) => [...groups].reduce((one, other) => (other[1].length > one[1].length ? other : one), ["", []]);
  const [best, won] = most(wins);
  const tied = groupBy(contests.filter((contest) => contest.verdict === "tie"), (contest) => [...new Set(contest.candidates.map(wayOf))].sort().join(" "));
  const [equal, drawn] = most(tied), ways = equal.split(" ");
  const share = (some) => (some.length === contests.length ? "" : ` in ${some.length} of ${contests.length} comparisons`);
  if (drawn.length > Math.max(won.length, count("unknown")) && ways.length <= NAMED) {
    const gain = ways.some((way) => way.startsWith("eager/")) ? "" : gainOverEager(drawn);
    const rest = `${best && `; ${best} is fastest in ${won.length}`}${count("unknown") ? `; cannot be told in ${count("unknown")}` : ""}`;
    return `${joined([ways.slice(0, -1).join(", "), ways.at(-1)].filter(Boolean))} run ${of} equally fast${share(drawn)} (${at})${gain}${rest}.`;
  }
  if (!wins.size) {
    if (count("alone") === contests.length) return `Only one way of running ${of} ${contests[0].judgedHere ? "is chosen" : "was measured"} (${at}).`;
    if (!count("unknown")) return `Several ways run ${of} equally fast (${at}).`;
    const unknown = contests.filter((contest) => contest.verdict === "unknown");
    const ahead = new Set(unknown.map((contest) => (contest.rows.every((row) => row.disturbed) ? "" : wayOf(contest.rows[0]))));
    const [way] = ahead;
    const leader = ahead.size === 1 && way ? `: ${way} was ahead` : "", tiedIn = ties && `; several ways are equally fast in ${count("tie")}`;
    return `Which way runs ${of} fastest cannot be told${share(unknown)} (${at})${leader}${tiedIn}.`;
  }
  if (count("unknown")) ties = [ties, `cannot be told in ${count("unknown")}`].filter(Boolean).join("; ");
  const also = [...wins].filter(([, of]) => of.length === won.length).map(([way]) => way);
  if (also.length > 1) {
    return `${also.length < 4 ? joined(also) : `${also.length} ways`} each are the fastest to run ${of}${share(won)} (${at})${ties && `; ${ties}`}.`;
  }
  return `${best} runs ${of} fastest${share(won)} (${at})${gainOverEager(won)}${ties && `; ${ties}`}.`;
}

const joined = (words) => words.join(" and ");

function gainOverEager(won) {
  const gains = won.filter((contest) => contest.eager).sort((a, b) => a.gain - b.gain);
  if (!gains.length) return "";
  const low = gains[0].eager, high = gains.at(-1).eager;
  const marks = { "*": "eager in another precision", "^": "eager with the other launch" };
  const legend = Object.entries(marks).filter(([mark]) => (low + high).includes(mark)).map(([mark, meaning]) => ` (${mark} ${meaning})`).join("");
  return `: ${low === high ? low : `${low} to ${high}`} times the images per second of ${won.some((contest) => contest.judgedHere) ? "eager" : "the best eager"}${legend}`;
}

// What the filters' contests make of a row: the fastest for sure, as fast, or maybe.
const signs = new Map();
function sign(contests) {
  signs.clear();
  for (const contest of contests) {
    for (const row of contest.candidates) signs.set(row.id, data.signs[contest.verdict] ?? "");
  }
}

const SENTENCES = 6;
function answer(contests) {
  const here = document.querySelector(`#answer .of-setting[data-setting="${setting}"]`);
  document.querySelector(`header .of-setting[data-setting="${setting}"] h1`).textContent = headline(contests);
  const list = (some) => make("ul", { class: "answers" }, ...some.map((contest) => make("li", {}, contest.text)));
  const rest = contests.slice(SENTENCES);
  const more = rest.length ? [make("details", {}, make("summary", {}, `${rest.length} more`), list(rest))] : [];
  const basis = contests.some((contest) => contest.judgedHere) ? [make("p", { class: "soft" }, "Of ways that the filters take out of a comparison the rest is judged by the intervals of its own images/s.")] : [];
  here.querySelector(".sentences").replaceChildren(...(contests.length ? [list(contests.slice(0, SENTENCES)), ...more, ...basis] : [make("p", {}, headline(contests))]));
  const only = (axis) => (valuesOf(axis).length > 1 && chosen(axis).length === 1 ? chosen(axis)[0] : "");
  const open = contests.some((contest) => contest.verdict === "unknown");
  const settling = open ? data.settling[setting][`${only("precision")}/${only("launch")}`] ?? "" : "";
  here.querySelector(".settling").replaceChildren(...settling.split("`").map((piece, place) => (place % 2 ? make("code", {}, piece) : piece)));
}
