"use strict";
// The page is complete without this script: it makes tips quick, lights up the trials of one seed
// in all figures, and marks the section in view.
(() => {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);

  for (const title of document.querySelectorAll(".chart [data-key] > title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.remove();
  }

  const byKey = new Map();
  for (const mark of document.querySelectorAll(".chart [data-key]")) {
    const key = mark.dataset.key;
    if (!key) continue;
    if (!byKey.has(key)) byKey.set(key, []);
    byKey.get(key).push(mark);
  }

  let lit = "";
  const light = (key) => {
    if (key === lit) return;
    for (const mark of byKey.get(lit) || []) mark.classList.remove("lit");
    for (const mark of byKey.get(key) || []) mark.classList.add("lit");
    document.body.classList.toggle("lighting", Boolean(key));
    lit = key;
  };

  const show = (event) => {
    const mark = event.target.closest && event.target.closest(".chart [data-key]");
    light(mark ? mark.dataset.key : "");
    const text = mark && mark.dataset.tip;
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const left = event.clientX + 14;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(8, Math.min(left, room))}px`;
    tip.style.top = `${Math.max(8, event.clientY - tip.offsetHeight - 12)}px`;
  };
  document.addEventListener("pointermove", show, { passive: true });
  document.addEventListener("pointerdown", show, { passive: true });

  const links = new Map();
  for (const link of document.querySelectorAll(".contents a")) {
    links.set(link.getAttribute("href").slice(1), link);
  }
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id).setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  for (const id of links.keys()) {
    const section = document.getElementById(id);
    if (section) watcher.observe(section);
  }
})();
