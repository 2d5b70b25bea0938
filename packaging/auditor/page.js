// What the reader of the page does: add files, verify, stop, save. Judging is the worker's.
"use strict";

const MANY = 200; // files that are listed one by one
const at = (id) => document.getElementById(id);
const given = new Map(); // path: File
let parts = null;
let worker = null;
let ready = false;
let begun = false; // did Python ever start here?
let asked = null; // what waits for a worker that begins
let report = null;

// -- parts of the page

async function unpacked(element) {
  const text = atob(element.textContent.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  element.remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function load() {
  const found = {};
  for (const element of document.querySelectorAll("script[data-part]")) found[element.dataset.part] = await unpacked(element);
  return found;
}

// -- the worker: one for each verification

function start() {
  worker?.terminate();
  ready = false;
  const url = URL.createObjectURL(new Blob([parts["worker.js"]], { type: "text/javascript" }));
  const begun = new Worker(url);
  worker = begun;
  URL.revokeObjectURL(url);
  // One that was ended may still say something; nobody listens.
  begun.onerror = (event) => { if (worker === begun) fail({ bug: event.message }); };
  begun.onmessage = ({ data }) => { if (worker === begun) heard(data); };
  worker.postMessage({ parts });
}

function heard(data) {
  if (data.ready) {
    if (asked) worker.postMessage(asked);
    else if (!begun) say("Ready.");
    ready = begun = true;
  } else if (data.result) {
    asked = null;
    if (data.result.trouble) fail(data.result);
    else show(data.result);
    start();
  } else if (data.bug !== undefined) {
    if (ready) start();
    fail(begun ? data : { trouble: `Python does not start in this browser: ${data.bug}`, hint: "Use a current one, or the command." });
  } else {
    at("bar").hidden = false;
    at("bar").value = data.total ? data.done / data.total : 1;
    say(`Verifying: ${size(data.done)} of ${size(data.total)} were read.`);
  }
}

// -- what was found

function say(text) {
  if (at("status").textContent !== text) at("status").textContent = text;
}

function busy(now) {
  at("verify").disabled = now;
  at("stop").hidden = !now;
  if (!now) at("bar").hidden = true;
}

function fail({ trouble, hint, bug }) {
  asked = null;
  busy(false);
  say("Not verified.");
  const box = at("trouble");
  box.replaceChildren();
  const lines = bug === undefined ? [trouble, hint] : ["This page made a mistake; it says nothing of the log. Please report this:", bug];
  for (const line of lines.filter(Boolean)) {
    const p = document.createElement("p");
    p.textContent = line;
    box.append(p);
  }
  box.hidden = false;
}

function show(result) {
  report = result;
  busy(false);
  say(`Verified. ${result.said}.`);
  document.title = `${result.verdict}: tallystick for auditors`;
  at("found").hidden = false;
  at("shown").srcdoc = result.html;
  at("report").focus();
}

// The report is as long as it is: the page scrolls, not the frame. No script runs in there. What it would scroll by is
// never less than the frame is high, so that is of no use here.
function fit() {
  const inner = at("shown").contentDocument?.documentElement;
  if (inner) at("shown").style.setProperty("height", `${inner.offsetHeight + 4}px`);
}

function save(form, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([report[form]], { type }));
  link.download = `tallystick-report.${form}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// -- files

function size(bytes) {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

function add(path, file) {
  let free = path;
  for (let number = 2; given.has(free) && given.get(free) !== file; number++) free = `${number}/${path}`;
  given.set(free, file);
}

function list() {
  const rows = [...given].slice(0, MANY).map(([path, file]) => {
    const row = document.createElement("li");
    const name = document.createElement("span");
    name.className = "mono";
    name.textContent = path;
    const much = document.createElement("span");
    much.className = "soft";
    much.textContent = size(file.size);
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Remove";
    button.setAttribute("aria-label", `Remove ${path}`);
    button.onclick = () => {
      given.delete(path);
      list();
    };
    row.append(name, much, button);
    return row;
  });
  at("list").replaceChildren(...rows);
  const bytes = [...given.values()].reduce((sum, file) => sum + file.size, 0);
  const rest = given.size > MANY ? `; the first ${MANY} are listed` : "";
  if (ready) worker.postMessage({ expect: bytes });
  at("counted").textContent = given.size ? `${given.size} ${given.size === 1 ? "file" : "files"}, ${size(bytes)}${rest}.` : "No file was added yet.";
  at("clear").hidden = !given.size;
}

async function walk(folder, path) {
  for await (const [name, one] of folder.entries()) {
    if (one.kind === "directory") await walk(one, `${path}/${name}`);
    else add(`${path}/${name}`, await one.getFile());
  }
}

// A page of a file has no origin, so the older way into folders, by entries, is closed to it.
async function dropped(event) {
  event.preventDefault();
  at("drop").classList.remove("over");
  const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
  const taken = items.map((item) => [item.getAsFile(), item.webkitGetAsEntry()?.isDirectory, item.getAsFileSystemHandle?.()]);
  try {
    for (const [file, isFolder, asked] of taken) {
      const handle = await asked?.catch(() => null);
      if (!isFolder) add(file.name, file);
      else if (handle) await walk(handle, handle.name);
      else throw new Error("the browser keeps this folder from the page");
    }
  } catch (error) {
    fail({ trouble: `A file could not be added: ${error.message}`, hint: "Choose it with the buttons." });
  }
  list();
}

function chosen(input) {
  for (const file of input.files) add(file.webkitRelativePath || file.name, file);
  input.value = "";
  list();
}

// -- what the reader does

at("files").onchange = () => chosen(at("files"));
at("folder").onchange = () => chosen(at("folder"));
at("clear").onclick = () => {
  given.clear();
  list();
};
at("shown").onload = fit;
addEventListener("resize", fit);
addEventListener("drop", dropped);
addEventListener("dragover", (event) => {
  event.preventDefault();
  at("drop").classList.add("over");
});
addEventListener("dragleave", () => at("drop").classList.remove("over"));
at("html").onclick = () => save("html", "text/html");
at("json").onclick = () => save("json", "application/json");
at("stop").onclick = () => {
  asked = null;
  busy(false);
  say("Stopped. Nothing was judged.");
  start();
};
at("ask").onsubmit = (event) => {
  event.preventDefault();
  at("trouble").hidden = true;
  at("found").hidden = true;
  report = null;
  document.title = "tallystick for auditors";
  busy(true);
  say("Verifying.");
  asked = {
    files: [...given].map(([path, file]) => ({ path, file })),
    pasted: at("pasted").value.trim(),
    options: at("options").value,
  };
  if (ready) worker.postMessage(asked);
};

load().then((found) => {
  parts = found;
  start();
}, (error) => fail({ bug: String(error) }));
