// Puts the page's newest state in place every few seconds, without losing scroll position or opened details.
"use strict";
const PERIOD_MS = 10_000;
const TIMEOUT_MS = 8_000;
let seenAt = new Date();

async function refresh() {
  if (document.hidden || isBeingFilledIn()) return;
  const stale = document.getElementById("stale");
  try {
    const answer = await fetch(address(), { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    show(next);
    seenAt = new Date();
    stale.hidden = true;
  } catch {
    document.getElementById("stale-since").textContent = seenAt.toLocaleTimeString();
    stale.hidden = false;
  }
}

// What was just done is said once.
function address() {
  const asked = new URLSearchParams(location.search);
  asked.delete("done");
  return `${location.pathname}?${asked}`;
}

// Nobody's words are taken away while they write.
function isBeingFilledIn() {
  const fields = [...document.querySelectorAll("#main input, #main textarea, #main select")];
  return fields.some((field) => field === document.activeElement || isChanged(field));
}

function isChanged(field) {
  if (field.type === "checkbox") return field.checked !== field.defaultChecked;
  if (field.options) return [...field.options].some((option) => option.selected !== option.defaultSelected && option.selected);
  return field.value !== field.defaultValue;
}

function show(next) {
  const main = document.getElementById("main");
  const fresh = next.getElementById("main");
  for (const details of main.querySelectorAll("details[open][id]")) {
    next.getElementById(details.id)?.setAttribute("open", "");
  }
  if (fresh.dataset.headline !== main.dataset.headline) {
    document.getElementById("announce").textContent = fresh.dataset.headline;
  }
  const focused = document.activeElement?.id || document.activeElement?.closest("details[id]")?.id;
  document.title = next.title;
  main.replaceWith(fresh);
  const place = focused && document.getElementById(focused);
  if (place) (place.querySelector("summary") ?? place).focus();
}

setInterval(refresh, PERIOD_MS);
document.addEventListener("visibilitychange", refresh);
