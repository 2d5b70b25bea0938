// Keeps the page up to date. When something has changed, the same page is fetched again and its content is put in:
// whatever the server shows without scripts is what is shown with them.
"use strict";

const PACE = 10000; // ms between two looks where no event comes
const PATIENCE = 40000; // ms without a beat after which the connection is dead
const live = document.getElementById("live");
const lost = document.getElementById("lost");
const said = document.getElementById("said");
let source = null;
let heard = Date.now();
let updated = Date.now();
let turned = Date.now(); // when the page was last looked at again
let busy = false;
let again = false;
let paused = false; // while text is selected, nothing is put in its place
let pressed = false; // nor under a finger: a click would be lost

function states(page) {
  const rows = new Map();
  for (const row of page.querySelectorAll("tr[data-state]")) {
    rows.set(row.querySelector("th a").textContent, row.dataset.state);
  }
  return rows;
}

// What a reader who does not see the page hears: which logs changed, or the new summary.
function announce(before, after) {
  const old = states(before);
  const changed = [...states(after)].filter(([name, state]) => old.has(name) && old.get(name) !== state);
  if (changed.length && changed.length <= 3) {
    said.textContent = changed.map(([name, state]) => `${name}: ${state}`).join(", ");
    return;
  }
  const head = (page, part) => (part && page.querySelector(`h1 ${part}`)?.textContent) || page.querySelector("h1")?.textContent || "";
  if (head(before, "b") !== head(after, "b")) said.textContent = head(after, "").trim();
}

function found(page, from) {
  if (from.id) return page.querySelector(`#${CSS.escape(from.id)}`);
  const href = from.getAttribute("href");
  return href === null ? null : page.querySelector(`a[href="${CSS.escape(href)}"]`);
}

function put(text) {
  const other = new DOMParser().parseFromString(text, "text/html");
  const [before, after] = [document.getElementById("page"), other.getElementById("page")];
  if (!after) throw new Error("this is not the page");
  announce(before, after);
  const focused = before.contains(document.activeElement) && document.activeElement !== before ? document.activeElement : null;
  for (const open of before.querySelectorAll("details[open][id]")) {
    after.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
  }
  const aside = [...before.querySelectorAll(".wide")].map((box) => box.scrollLeft);
  const kept = focused && found(after, focused);
  before.replaceWith(document.adoptNode(after));
  after.querySelectorAll(".wide").forEach((box, at) => { box.scrollLeft = aside[at] ?? 0; });
  if (kept) kept.focus({ preventScroll: true });
  aim();
  document.title = other.title;
  const icon = (page) => page.querySelector('link[rel="icon"]');
  if (icon(document).getAttribute("href") !== icon(other).getAttribute("href")) icon(document).href = icon(other).getAttribute("href");
}

// The part that the address names: a browser forgets it when the page's content is replaced.
function aim() {
  document.querySelector(".aimed")?.classList.remove("aimed");
  if (location.hash) document.getElementById(location.hash.slice(1))?.classList.add("aimed");
}

function clock(time) {
  return new Date(time).toISOString().slice(11, 19);
}

function show() {
  const streams = source !== null && source.readyState === EventSource.OPEN && Date.now() - heard < PATIENCE;
  const late = !paused && Date.now() - Math.max(updated, turned) > 3 * PACE;
  live.className = streams && !late && !paused ? "live on" : "live";
  const text = paused ? "paused: text is selected" : streams && !late ? "live" : `looked at ${clock(updated)} UTC`;
  if (live.textContent !== text) live.textContent = text;
  document.body.classList.toggle("old", late);
  if (late && lost.hidden) lost.textContent = `The service has not answered since ${clock(updated)} UTC: what is shown here may be out of date.`;
  lost.hidden = !late;
}

async function update() {
  if (busy || pressed) { again = true; return; }
  if (document.hidden) return;
  paused = getSelection().type === "Range";
  if (paused) return; // the next look is soon enough
  busy = true;
  try {
    const answer = await fetch(location.pathname + location.search, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(PACE) });
    if (answer.ok || answer.status === 404) {
      const text = await answer.text();
      if (pressed) again = true;
      else put(text);
      updated = Date.now(); // and not before: a page that could not be put in is old
    }
  } catch { /* `show` says since when */ }
  busy = false;
  show();
  rest();
}

function rest() {
  if (!again || pressed) return;
  again = false;
  update();
}

function listen() {
  source?.close();
  source = null;
  if (document.hidden) return; // a page that nobody sees keeps no connection
  heard = Date.now();
  source = new EventSource("/events");
  source.onopen = source.onerror = show;
  for (const kind of ["change", "beat"]) source.addEventListener(kind, () => { heard = Date.now(); if (kind === "change") update(); else show(); });
}

for (const kind of ["pointerdown", "pointerup", "pointercancel"]) {
  addEventListener(kind, () => { pressed = kind === "pointerdown"; setTimeout(rest, 300); }, { capture: true, passive: true });
}
addEventListener("hashchange", aim);
document.addEventListener("visibilitychange", () => { turned = Date.now(); listen(); update(); });
setInterval(() => {
  if (source !== null && Date.now() - heard > PATIENCE) listen();
  if (Date.now() - updated >= PACE) update();
  show();
}, 1000);
listen();
