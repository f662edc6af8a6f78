// Explanations stay inside the window.

let explained = null;
function beside() {
  if (!explained) return;
  const tip = explained.querySelector(".tip"), box = explained.getBoundingClientRect();
  const below = box.bottom + 6 + tip.offsetHeight < document.documentElement.clientHeight;
  tip.style.top = `${below ? box.bottom + 6 : Math.max(8, box.top - 6 - tip.offsetHeight)}px`;
  tip.style.left = `${Math.max(8, Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8))}px`;
}
function explain(event) {
  const term = event.target.closest?.(".term");
  if (!term || (term === explained && event.type === "mouseover")) return;
  explained = term;
  term.classList.remove("quiet");
  beside();
}
document.addEventListener("mouseover", explain);
document.addEventListener("focusin", explain);
document.addEventListener("scroll", beside, true);
