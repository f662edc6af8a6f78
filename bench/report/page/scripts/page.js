// All of it.

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
  for (const draw of whenChanged) draw();
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
