// Filters.

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
