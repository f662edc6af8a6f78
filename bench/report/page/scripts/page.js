// All of it, as the filters leave it.

function changed() {
  turn += 1;
  for (const element of document.querySelectorAll(".of-setting")) element.hidden = Number(element.dataset.setting) !== setting;
  const rows = data.rows.cases.filter(shown), all = data.rows.cases.filter((row) => row.setting === setting).length;
  byId("count").textContent = rows.length === all ? `${all} ${plural(all, "case")}` : `${rows.length} of ${all} cases`;
  byId("filter-words").textContent = `Shown: ${[filterWords(), byId("count").textContent].filter(Boolean).join("; ")}.`;
  byId("reset").hidden = axes.every((axis) => !off[axis].size);
  byId("as-opened").hidden = isOpening() || !Object.keys(data.openings[setting] ?? {}).length;
  const contests = contestsOf(rows);
  sign(contests);
  answer(contests);
  maps(rows);
  spoil();
  frontTable();
  precisionTable();
  caseTable();
  recordTable();
  for (const draw of whenChanged) draw();
  document.documentElement.dataset.answered = String(turn);
  requestAnimationFrame(() => setTimeout(() => { keepRoom(); drawNear(); })); // the answer is seen first
}

let width = window.innerWidth, waiting;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return;
  width = window.innerWidth;
  clearTimeout(waiting);
  waiting = setTimeout(() => { spoil(); keepRoom(); drawNear(); }, 150);
});

readFragment(location.hash.slice(1));
filters();
changed();
watchCharts();
if (section) goTo(section);
