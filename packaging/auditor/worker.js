// Python in a thread of its own: the page stays alive meanwhile, and ends it to stop. After each verification the page
// throws it away with all that it holds, the key first of all.
"use strict";

const NOWHERE = "https://tallystick.invalid/"; // parts have names below it; nothing is ever fetched
const EIO = 29; // as this C library numbers it
let python = null;
let WORKERFS = null; // reads files of the browser in pieces

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

async function begin(parts) {
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

function judge({ files, pasted, options }) {
  const { FS } = python;
  FS.mkdirTree("/given");
  FS.mount(WORKERFS, { blobs: files.map(({ path, file }) => ({ name: path, data: file })) }, "/given");
  FS.chdir("/given");
  if (pasted) FS.writeFile("/pasted", `${pasted}\n`, { mode: 0o600 });
  try {
    const { judged } = python.pyimport("judging");
    const progress = (done, total) => postMessage({ done, total });
    const paths = python.toPy(files.map(({ path }) => path));
    return JSON.parse(judged(paths, options, pasted ? "/pasted" : undefined, progress));
  } finally {
    FS.chdir("/");
    FS.unmount("/given");
  }
}

onmessage = async ({ data }) => {
  try {
    if (data.parts) {
      await begin(data.parts);
      postMessage({ ready: true });
    } else {
      postMessage({ result: judge(data) });
    }
  } catch (error) {
    postMessage({ bug: String(error.message ?? error) });
  }
};
