// Filters: a list of boxes for each axis that has several values.

function filters() {
  byId("axes").replaceChildren(...axes.filter((axis) => valuesOf(axis).length > 1).map(filterOf));
  if (byId("setting")) byId("setting").value = setting;
}

function filterOf(axis) {
  const values = valuesOf(axis);
  const summary = make("summary");
  let fresh = true;
  const boxes = values.map((value) => make("input", { type: "checkbox", value, checked: !off[axis].has(value) }));
  const showChoice = () => {
    const on = chosen(axis);
    summary.textContent = `${axis}: ${on.length === values.length ? "all" : on.length === 1 ? nameOf(axis, on[0]) : `${on.length} of ${values.length}`}`;
    details.classList.toggle("some", on.length < values.length);
  };
  const set = (choose) => {
    boxes.forEach((box, place) => {
      box.checked = choose(values[place]);
      off[axis][box.checked ? "delete" : "add"](values[place]);
    });
    showChoice();
    filtered(!fresh); // all that is done while a list is open is one step back
    fresh = false;
  };
  boxes.forEach((box) => box.addEventListener("change", () => set((value) => boxes[values.indexOf(value)].checked)));
  const quick = make("div", { class: "quick" },
    make("button", { type: "button", onclick: () => set(() => true) }, "all"),
    make("button", { type: "button", onclick: () => set(() => false) }, "none"));
  const lines = values.map((value, place) => {
    const only = make("button", { type: "button", class: "only", "aria-label": `only ${nameOf(axis, value)}`, onclick: () => set((other) => other === value) }, "only");
    return make("div", {}, make("label", {}, boxes[place], nameOf(axis, value)), only);
  });
  const list = make("div", { role: "group", "aria-label": axis }, quick, ...lines);
  const details = make("details", { class: "axis", "data-axis": axis, ontoggle: () => {
    fresh = true;
    list.style.top = innerWidth > 640 ? "" : `${summary.getBoundingClientRect().bottom + 6}px`; // where the list is fixed
  } }, summary, list);
  showChoice();
  return details;
}

const nameOf = (axis, value) => (axis === "batch" && value === 0 ? "largest" : String(value));

function filtered(again = false) {
  section = "";
  writeState(again);
  changed();
}

byId("reset").addEventListener("click", () => {
  for (const axis of axes) off[axis].clear();
  filters();
  filtered();
});
byId("as-opened").addEventListener("click", () => {
  showOpening();
  filters();
  filtered();
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
});
byId("setting")?.addEventListener("change", (event) => {
  const untouched = axes.filter((axis) => same(off[axis], openingOff(axis)));
  setting = Number(event.target.value);
  for (const axis of untouched) off[axis] = openingOff(axis); // this machine's, where the reader chose nothing
  filters();
  filtered();
});

// The filters in words, for print.
function filterWords() {
  const some = axes.filter((axis) => chosen(axis).length < valuesOf(axis).length);
  return some.map((axis) => `${axis} ${chosen(axis).map((value) => nameOf(axis, value)).join(", ") || "none"}`).join("; ");
}
