// Explanations: one box, beside whatever has the pointer or the focus and a `data-tip`, and inside the window.

const tip = byId("tip");
let explained = null, leaving;

function beside() {
  if (!explained) return;
  const box = explained.getBoundingClientRect(), { clientHeight, clientWidth } = document.documentElement;
  const below = box.bottom + 6 + tip.offsetHeight < clientHeight;
  tip.style.top = `${below ? box.bottom + 6 : Math.max(8, box.top - 6 - tip.offsetHeight)}px`;
  tip.style.left = `${Math.max(8, Math.min(box.left, clientWidth - tip.offsetWidth - 8))}px`;
}

function explain(event) {
  const from = event.target.closest?.("[data-tip]");
  if (event.target.closest?.("#tip")) return clearTimeout(leaving);
  if (!from) return;
  clearTimeout(leaving);
  explained = from;
  tip.textContent = from.dataset.tip;
  (from.closest("dialog") ?? document.body).append(tip); // what lies behind a dialog could not be seen
  tip.hidden = false;
  beside();
}

function quiet() {
  explained = null;
  tip.hidden = true;
}

document.addEventListener("mouseover", explain);
document.addEventListener("focusin", explain);
document.addEventListener("mouseout", (event) => {
  if (!explained || explained.contains(event.relatedTarget) || tip.contains(event.relatedTarget)) return;
  clearTimeout(leaving);
  leaving = setTimeout(() => { if (explained !== document.activeElement) quiet(); }, 120); // to reach the box itself
});
document.addEventListener("focusout", (event) => { if (event.target === explained) quiet(); });
document.addEventListener("scroll", beside, true);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") quiet(); });
