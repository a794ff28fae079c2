// Keeps what stands in [data-live] fresh: the server renders it again, and it is swapped.
// Not while the tab is hidden, nor while somebody types, selects rows or marks text in it.
"use strict";
(() => {
  const EVERY = 2000, SLOWEST = 30000;
  const region = document.querySelector("[data-live]");
  let delay = EVERY, timer;

  const busy = () =>
    document.hidden || region.querySelector("input[name=id]:checked") ||
    region.contains(document.activeElement) && document.activeElement.matches("input, select") ||
    (getSelection().toString() && region.contains(getSelection().anchorNode));

  async function refresh() {
    const address = new URL(location.href);
    address.searchParams.set("live", "");
    const response = await fetch(address, { headers: { Accept: "text/html" } });
    if (response.redirected) return location.reload(); // logged out
    if (!response.ok) throw new Error(response.status);
    const html = await response.text();
    if (busy()) return;
    const open = [...region.querySelectorAll("details[id][open]")].map((item) => item.id);
    const focused = region.contains(document.activeElement) && document.activeElement.id;
    const scrolled = [...region.querySelectorAll(".ops-scroll")].map((item) => item.scrollLeft);
    region.innerHTML = html;
    open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
    region.querySelectorAll(".ops-scroll").forEach((item, i) => (item.scrollLeft = scrolled[i] || 0));
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  async function tick() {
    clearTimeout(timer);
    if (!busy()) {
      try {
        await refresh();
        delay = EVERY;
        region.classList.remove("ops-stale");
      } catch {
        delay = Math.min(delay * 2, SLOWEST);
        region.classList.add("ops-stale");
      }
    }
    timer = setTimeout(tick, delay);
  }

  if (region) {
    timer = setTimeout(tick, delay);
    document.addEventListener("visibilitychange", () => document.hidden || tick());
  }
  document.addEventListener("change", ({ target }) => {
    if (target.matches("[data-select-all]"))
      target.form.querySelectorAll("input[name=id]").forEach((box) => (box.checked = target.checked));
  });
  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });
})();
