// Python in a thread of its own: the page stays alive meanwhile, and ends it to stop. After each verification the page
// throws it away with all that it holds, the key first of all. Where there is much to read, it has others like itself
// scan what it reads: they are given the same files, and end with it.
"use strict";

const NOWHERE = "https://tallystick.invalid/"; // parts have names below it; nothing is ever fetched
const EIO = 29; // as this C library numbers it
const MUCH = 64e6; // bytes that are worth others, of which each takes a second and 150 MB
const MOST = 3; // others: what reads cannot feed more
const AHEAD = 2; // pieces that each of them has at most
const WHOLE = 2 ** 30; // bytes of a file that the browser takes into memory at once, to hash it by the processor's instructions
let python = null;
let parts = null;
let WORKERFS = null; // reads files of the browser in pieces
let begun = null; // done when Python has begun
let prepared = null; // others that begin, or have begun

// A file that changed under the browser cannot be read any more; Python reports that as it does everywhere.
function guard({ read }, FS) {
  WORKERFS.stream_ops.read = (...what) => {
    try {
      return read(...what);
    } catch {
      throw new FS.ErrnoError(EIO);
    }
  };
}

async function begin(given) {
  parts = given;
  self.fetch = async (url) => {
    const name = String(url).replace(NOWHERE, "");
    if (!(name in parts)) throw new TypeError(`${name} is no part of this page`);
    const type = name.endsWith(".wasm") ? "application/wasm" : "application/octet-stream";
    return new Response(parts[name], { headers: { "Content-Type": type } });
  };
  python = await self.loadPyodide({
    indexURL: NOWHERE,
    createPyodideModule: self.createPyodideModule,
    lockFileContents: JSON.parse(new TextDecoder().decode(parts["pyodide-lock.json"])),
    stdout: () => {},
    stderr: console.error,
  });
  WORKERFS = python.FS.filesystems.WORKERFS;
  guard(WORKERFS.stream_ops, python.FS);
  python.unpackArchive(parts["tallystick.zip"], "zip", { extractDir: "/tallystick" });
  python.runPython("import sys; sys.path.insert(0, '/tallystick'); import lacking; lacking.fill(); import judging");
}

// Have Python do something with what was given.
async function done(name, { files, pasted, options }, ...more) {
  const { FS } = python;
  FS.mkdirTree("/given");
  FS.mount(WORKERFS, { blobs: files.map(({ path, file }) => ({ name: path, data: file })) }, "/given");
  FS.chdir("/given");
  if (pasted) FS.writeFile("/pasted", `${pasted}\n`, { mode: 0o600 });
  try {
    const work = python.pyimport("judging")[name];
    const paths = python.toPy(files.map(({ path }) => path));
    const what = [paths, options, pasted ? "/pasted" : undefined, ...more];
    return await (waits() ? work.callPromising(...what) : work(...what));
  } finally {
    FS.chdir("/");
    FS.unmount("/given");
  }
}

async function judge(given) {
  const progress = (done, total) => postMessage({ done, total });
  const beside = await prepare(given.files.reduce((sum, { file }) => sum + file.size, 0));
  for (const { worker } of beside) worker.postMessage({ help: given });
  try {
    const elsewhere = beside.length ? outside(beside) : undefined;
    return JSON.parse(await done("judged", given, progress, elsewhere, waits() ? sums(given.files) : undefined));
  } finally {
    for (const { worker } of beside) worker.terminate();
    prepared = null;
  }
}

// The SHA-256 of files, one after the other: each is in memory as a whole meanwhile. Python hashes the larger ones.
function sums(files) {
  if (!self.crypto?.subtle) return undefined;
  const found = new Map();
  let before = Promise.resolve();
  for (const { path, file } of files) {
    if (file.size > WHOLE) continue;
    const sum = before.then(() => hashed(file));
    before = sum.catch(() => {});
    found.set(path, sum);
  }
  return { of: (path) => found.get(path) };
}

async function hashed(file) {
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// -- others

// Can Python wait for what comes from outside?
function waits() {
  return "Suspending" in WebAssembly;
}

// Have as many others begin as are worth it for so many bytes.
function prepare(bytes) {
  if (bytes < MUCH || !waits()) return [];
  prepared ??= others(Math.min(navigator.hardwareConcurrency - 1, MOST));
  return prepared;
}

async function others(count) {
  const made = [];
  const url = URL.createObjectURL(new Blob([parts["worker.js"]], { type: "text/javascript" }));
  for (let number = 0; number < count; number++) {
    const one = { worker: new Worker(url, { name: "other" }), ready: false, asked: [] };
    made.push(one);
    one.loaded = new Promise((resolve) => { one.worker.onmessage = one.worker.onerror = resolve; });
  }
  // To load its script one needs this worker, which has no time for that later. Python begins there without it.
  await Promise.all(made.map(({ loaded }) => loaded));
  URL.revokeObjectURL(url);
  for (const one of made) {
    one.worker.onerror = ({ message }) => broken(one, message);
    one.worker.onmessage = ({ data }) => {
      if (data.bug !== undefined) broken(one, data.bug);
      else if (data.waits) one.ready = true;
      else one.asked.shift().resolve(data.found);
    };
    one.worker.postMessage({ parts });
  }
  return made;
}

// One that is broken before it was given anything is not missed.
function broken(one, message) {
  one.ready = false;
  for (const { reject } of one.asked) reject(new Error(message));
}

// What Python sees of them.
function outside(beside) {
  const least = () => beside.filter(({ ready, asked }) => ready && asked.length < AHEAD)
    .sort((a, b) => a.asked.length - b.asked.length)[0];
  return {
    hear: () => new Promise((resolve) => setTimeout(resolve)), // messages come in meanwhile
    free: () => least() !== undefined,
    give(data, place) {
      const one = least();
      const given = { done: false };
      given.found = new Promise((resolve, reject) => one.asked.push({ resolve, reject }));
      given.found.then(() => { given.done = true; }, () => { given.done = true; });
      one.worker.postMessage({ data, place }, [data.buffer]);
      return given;
    },
  };
}

// What one of the others is given, piece by piece.
const pieces = [];
let hungry = null;

async function help(given) {
  await done("help_along", given, {
    next() {
      postMessage({ waits: true });
      return new Promise((resolve) => {
        if (pieces.length) resolve(pieces.shift());
        else hungry = resolve;
      });
    },
    give: (found) => postMessage({ found }, [found.buffer]),
  });
}

onmessage = async ({ data }) => {
  try {
    if (data.parts) {
      begun = begin(data.parts);
      await begun;
      if (self.name !== "other") postMessage({ ready: true });
    } else if (data.help) {
      await begun;
      await help(data.help);
    } else if (data.expect !== undefined) {
      await prepare(data.expect);
    } else if (data.data) {
      const piece = [data.data, data.place];
      if (hungry) hungry(piece);
      else pieces.push(piece);
      hungry = null;
    } else {
      postMessage({ result: await judge(data) });
    }
  } catch (error) {
    postMessage({ bug: String(error.message ?? error) });
  }
};

if (self.name === "other") postMessage({ loaded: true });
