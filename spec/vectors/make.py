#!/usr/bin/env python3
"""A small, plain sealer (seal.md sections 3 to 6) that makes the known answers beside it, and a test's sealing tool.

    python spec/vectors/make.py --check      make all vectors again, compare byte for byte, run all defects
    python spec/vectors/make.py --write      write inputs, defects, evidence and signatures again; the known answers never change
    python spec/vectors/make.py seal --name N --seed HEX [--chains K] [--epoch-lines N] [--control plain|json]
           [--crash-after N] [--key-out FILE] [--public-out FILE] [--head-out FILE] < lines > sealed.log

It erases nothing and keeps no state between runs: it is for vectors and tests, never for a log that matters.

inputs.json: per log a list of steps, done in order:
    {"do": "open", "time": ms}                        the next chain begins
    {"do": "entry", "hex": "…"}                       one line of the application; a CR at its end is dropped
    {"do": "checkpoint", "kind": "…", "time": ms}     continues, closed or ended
    {"do": "notice", "kind": "…", "hex": "…"}         the log itself says something
    {"do": "head"}                                    the store's head is rewritten (every statement does that, too);
                                                      with "listed": true it stands in the .json file of the log
    {"do": "crash"}, {"do": "burn"}                   the chain ends without `closed`; a number is used up
    {"do": "repeat", "count": n, "time_step": ms, "steps": […]}   the same steps n times, each time so much later
A log is `keep_chains` of what that gives, where it says so.
"""
import argparse
import hashlib
import importlib
import json
import sys
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote_plus

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import check  # noqa: E402  (this file runs from anywhere)
from check import H, b64, derive, dotted, mac, mth, seal_line  # noqa: E402

SETUP_HEAD = "0.0.0." + b64(bytes(32))


# ---- section 3 ------------------------------------------------------------------------------------------------------

def signer(seed):
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_of(seed):
    return signer(seed).public_key().public_bytes_raw()


@lru_cache(maxsize=None)
def first_links(secret):
    """A[1] from V, B[1] from S, and those after it as far as they were wanted."""
    return [derive(secret, "chains")]


def chain_link(secret, chain):
    """A[chain] from V, B[chain] from S."""
    links = first_links(secret)
    while len(links) < chain:
        links.append(derive(links[-1], "next"))
    return links[chain - 1]


def chain_seed(S, chain):
    return derive(chain_link(S, chain), "chain key")


@lru_cache(maxsize=None)
def epoch_seeds(S, chain):
    link, seeds = derive(chain_link(S, chain), "epochs"), []
    for _ in range(256):
        seeds.append(derive(link, "epoch key"))
        link = derive(link, "next")
    return tuple(seeds)


def leaf_hashes(datas):
    return [H(b"\x00" + data) for data in datas]


@lru_cache(maxsize=None)
def epoch_leaves(S, chain):
    return tuple(leaf_hashes(map(public_of, epoch_seeds(S, chain))))


@lru_cache(maxsize=None)
def chain_leaves(S, generation):
    return tuple(leaf_hashes(public_of(chain_seed(S, 256 * generation + i)) for i in range(1, 257)))


def chain_root(S, generation):
    return mth(list(chain_leaves(S, generation)))


def inclusion_path(leaves, index):
    """RFC 6962 section 2.1.1, from the leaf up."""
    if len(leaves) < 2:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return inclusion_path(leaves[:split], index) + [mth(leaves[split:])]
    return inclusion_path(leaves[split:], index - split) + [mth(leaves[:split])]


def bech32m(hrp, data):
    letters, bits = "qpzry9x8gf2tvdw0s3jn54khce6mua7l", "".join(f"{byte:08b}" for byte in data)
    values = [int(bits[i:i + 5].ljust(5, "0"), 2) for i in range(0, len(bits), 5)]
    check_value = 1
    for value in [ord(x) >> 5 for x in hrp] + [0] + [ord(x) & 31 for x in hrp] + values + [0] * 6:
        top, check_value = check_value >> 25, (check_value & 0x1FFFFFF) << 5 ^ value
        for i, factor in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check_value ^= factor if top >> i & 1 else 0
    check_value ^= 0x2BC830A3
    return hrp + "1" + "".join(letters[x] for x in values + [check_value >> 5 * (5 - i) & 31 for i in range(6)])


def public_text(P, name):
    return bech32m("tallypub", P + name.encode())


def secret_text(P, name, keys, first=1, last=2**32 - 1, scope=0):
    """Scope 0: keys = [V]. Scope 1, narrowed: keys = C[first] … C[last]."""
    numbers = first.to_bytes(4, "big") + last.to_bytes(4, "big")
    return bech32m("tallysecret", bytes([scope]) + P + numbers + b"".join(keys) + name.encode())


# ---- sections 4 to 6 ------------------------------------------------------------------------------------------------

class Sealer:
    """One log from its set-up on: V, S, the head as the key store holds it, and the lines that came out."""

    def __init__(self, V, S, name, control="plain"):
        self.V, self.S, self.name, self.control = V, S, name, control
        self.P = chain_root(S, 0)
        self.log_id = check.Key(self.P, name).log_id
        self.chain, self.lines, self.listed = 0, [], []
        self.head, self.head_mac = SETUP_HEAD, mac(derive(V, "head"), SETUP_HEAD.encode())

    def certificate(self):
        epoch_root, generation = mth(list(epoch_leaves(self.S, self.chain))), (self.chain - 1) // 256
        seed, next_root = chain_seed(self.S, self.chain), chain_root(self.S, generation + 1)
        path = b"".join(inclusion_path(list(chain_leaves(self.S, generation)), (self.chain - 1) % 256))
        text = f"tallystick/v1 chain {self.name} {self.log_id} {self.chain} {b64(epoch_root)} {b64(next_root)}"
        parts = epoch_root, next_root, public_of(seed), path, signer(seed).sign(text.encode())
        return ".".join(map(b64, parts))

    def burn(self):
        self.chain += 1

    def open(self, time):
        self.chain += 1
        self.epoch_link = derive(derive(chain_link(self.V, self.chain), "chain"), "epochs")
        self.epoch, self.cert = 0, self.certificate()
        self.begin_epoch()
        proof = mac(self.head_mac, f"open {self.chain}".encode())[:16]
        self.statement(f"open {self.name} {self.log_id} {self.chain} {time} {self.head}.{b64(proof)} {self.cert}",
                       chain_seed(self.S, self.chain))
        self.keep_head()

    def begin_epoch(self):
        self.key, self.index, self.leaves = derive(self.epoch_link, "entry"), 0, []

    def line(self, m, mark=b"\x02"):
        line_hash = H(mark + m)
        tag = mac(self.key, line_hash)[:16]
        s = f"{self.log_id}.{self.chain}.{self.epoch}.{self.index}.{len(m)}.{b64(tag)}"
        self.lines.append(seal_line(m, s.encode()))
        self.leaves += leaf_hashes([tag + line_hash])
        self.key, self.index = H(self.key), self.index + 1

    def entry(self, m):
        self.line(m.removesuffix(b"\r"))

    def signed(self, fields, seed):
        """A control line, and the text of its statement."""
        body = ("tallystick/v1 " + fields).encode()
        text = body + b" " + b64(signer(seed).sign(body)).encode()
        self.line(text if self.control == "plain" else b'{"tallystick":"' + text + b'"}', b"\x03")
        return text

    def statement(self, fields, seed):
        self.newest = H(self.signed(fields, seed))

    def epoch_key(self):
        """The seed of the epoch's key, and what stands at the end of what it signs."""
        seed = epoch_seeds(self.S, self.chain)[self.epoch]
        path = b"".join(inclusion_path(list(epoch_leaves(self.S, self.chain)), self.epoch))
        return seed, f"{self.cert} {b64(public_of(seed))} {b64(path)}"

    def notice(self, kind, text, index=None):
        """text: as it is written. No statement names it."""
        seed, keys = self.epoch_key()
        at = f"{self.chain} {self.epoch} {self.index if index is None else index}"
        self.signed(f"notice {self.name} {self.log_id} {at} {kind} {text} {keys}", seed)

    def checkpoint(self, kind, time):
        seed, keys = self.epoch_key()
        self.statement(f"checkpoint {self.name} {self.log_id} {self.chain} {self.epoch} {len(self.leaves)} "
                       f"{b64(mth(self.leaves))} {b64(self.newest)} {time} {kind} {keys}", seed)
        if kind == "continues":
            self.epoch, self.epoch_link = self.epoch + 1, derive(self.epoch_link, "next")
            self.begin_epoch()
        self.keep_head()

    def keep_head(self):
        self.head = f"{self.chain}.{self.epoch}.{self.index}.{b64(self.newest)}"
        self.head_mac = mac(derive(self.key, "head"), self.head.encode())

    def head_text(self):
        return f"tallyhead {self.log_id} {self.head} {b64(self.head_mac)}"

    def do(self, step, later=0):
        what, time = step["do"], step.get("time", 0) + later
        if what == "open":
            self.open(time)
        elif what == "entry":
            self.entry(bytes.fromhex(step["hex"]))
        elif what == "checkpoint":
            self.checkpoint(step["kind"], time)
        elif what == "notice":
            self.notice(step["kind"], written(bytes.fromhex(step["hex"])))
        elif what == "head":
            self.keep_head()
            self.listed += [(self.head, self.head_mac)] * step.get("listed", False)
        elif what == "burn":
            self.burn()
        elif what == "repeat":
            for i in range(step["count"]):
                for inner in step["steps"]:
                    self.do(inner, later + i * step["time_step"])
        elif what != "crash":  # the next step simply opens another chain
            raise ValueError(what)


def written(text):
    """The text of a notice, as a statement holds it."""
    return quote_plus(text, safe="!#$&'()*,-./:;<>?@[]^_`{|}~")


def redacted_line(V, line, mark=b"\x02"):
    """Section 4, by a holder of V."""
    seal, m = check.as_bytes(line)
    chain, epoch, index = seal.pos
    leaf = H(b"\x00" + seal.tag + H(mark + m))
    r = mac(derive(entry_key(V, chain, epoch, index), "redact"), leaf)[:16]
    s = f"{seal.log_id}.{dotted(seal.pos)}.~{b64(leaf)}.{b64(r)}".encode()
    return seal_line(b'{"redacted":true}' if line.endswith(b'"}') else b"[redacted]", s)


def entry_key(V, chain, epoch, index):
    key = derive(derive(chain_link(V, chain), "chain"), "epochs")
    for _ in range(epoch):
        key = derive(key, "next")
    key = derive(key, "entry")
    for _ in range(index):
        key = H(key)
    return key


# ---- the known answers ----------------------------------------------------------------------------------------------

V, S, NAME, T = bytes(range(32)), bytes(range(32, 64)), "payments", 1795401650000


def entry(m):
    return {"do": "entry", "hex": m.hex()}


def checkpoint(kind, time):
    return {"do": "checkpoint", "kind": kind, "time": time}


def payment_steps():
    """The steps of plain.log and json.log: odd lines, look-alikes, an empty epoch, a crash, a burned chain."""
    odd = [b"user=alice action=login ok=true", b"", b"tab\there", b"ends with cr\r",
           "unicode \u2028 é 🔐".encode(), b"raw \xff\xfe bytes",
           b"text with fake tally=oedhcsck.1.0.1.5.AAAAAAAAAAAAAAAAAAAAAA", b'{"a":1,"b":"x"}', b"{}", b"{ }",
           b'{"a":1 }', b"{bad json}", b'{"tally":"mine"}', b'{"nested":{"tally":1}}', b'{"x":1} ',
           b"tallystick/v1 checkpoint payments aaaaaaaa 1 0 3 look-alike",
           b'{"tallystick":"tallystick/v1 open look-alike"}']
    head = {"do": "head", "listed": True}
    steps = [{"do": "open", "time": T}, head]
    for m in odd:
        steps += [entry(m), head]
    steps += [checkpoint("continues", T + 1), head, checkpoint("continues", T + 2), head]
    steps += [entry(f"second epoch entry {i}".encode()) for i in range(5)] + [checkpoint("closed", T + 3), head]
    steps += [{"do": "open", "time": T + 4}] + [entry(f"entry {i} before a crash".encode()) for i in range(3)]
    steps += [{"do": "head"}, {"do": "crash"}, {"do": "burn"}, {"do": "open", "time": T + 5}]
    return steps + [entry(b"after the crash"), checkpoint("ended", T + 6), head]


def notice(kind, text):
    return {"do": "notice", "kind": kind, "hex": text.hex()}


def notice_steps():
    """The steps of notices.log and notices-json.log: 12 lines, five of them notices, one a look-alike."""
    return [{"do": "open", "time": T}, entry(b"user=alice action=login"),
            notice("dropped", "3 lines were dropped: \"/var/log/größe\" is 100 % full \\ 1+1".encode()),
            entry(b"tallystick/v1 notice payments oedhcsck 1 0 3 dropped look-alike"), notice("output", bytes(range(256))),
            checkpoint("continues", T + 1), notice("rotation", b"at index 0"), entry(b'{"a":1,"b":"x"}'),
            checkpoint("closed", T + 2), {"do": "open", "time": T + 3}, notice("dropped", b"x" * 4096), checkpoint("ended", T + 4)]


def inputs():
    one_line = [{"do": "open", "time": T}, entry(b"one line"), checkpoint("closed", T)]
    return {
        "about": "what goes into the logs beside this file; the steps are described at the top of make.py",
        "V": V.hex(), "S": S.hex(), "name": NAME,
        "logs": {"plain.log": {"control": "plain", "steps": payment_steps()},
                 "json.log": {"control": "json", "steps": payment_steps()},
                 "notices.log": {"control": "plain", "steps": notice_steps()},
                 "notices-json.log": {"control": "json", "steps": notice_steps()},
                 "generation.log": {"control": "plain", "keep_chains": [256, 257], "steps": [
                     {"do": "repeat", "count": 257, "time_step": 1, "steps": one_line}]}},
    }


def sealed(log):
    sealer = Sealer(V, S, NAME, log["control"])
    for step in log["steps"]:
        sealer.do(step)
    return sealer


def log_bytes(sealer, keep_chains=None):
    def kept(line):
        return not keep_chains or check.read_line("", 0, line, sealer.log_id).pos[0] in keep_chains
    return b"".join(line + b"\n" for line in sealer.lines if kept(line))


def log_answers(sealer):
    note = ("times are T=1795401650000 plus 0..6; before the crash of chain 2 a head was written; chain 3 was burned "
            "(state written, no line), so the last chain is 4")
    return {"control_lines": sealer.control, "heads": [{"text": a, "mac": b.hex()} for a, b in sealer.listed],
            "lines": len(sealer.lines), "note": note,
            "setup_head": [SETUP_HEAD, mac(derive(V, "head"), SETUP_HEAD.encode()).hex()]}


def key_answers():
    first = derive(derive(chain_link(V, 1), "chain"), "epochs")
    chain_keys = {c: derive(chain_link(V, c), "chain") for c in (1, 2, 3, 1000)}
    P, leaf = chain_root(S, 0), [i.to_bytes(4, "big") for i in range(4096)]
    values = {
        "A1": chain_link(V, 1), "A2": chain_link(V, 2), "C1": chain_keys[1], "C2": chain_keys[2],
        "C1000": chain_keys[1000], "E0_of_chain_1": first, "K0_of_1_0": entry_key(V, 1, 0, 0),
        "K1_of_1_0": entry_key(V, 1, 0, 1), "K0_of_1_255": entry_key(V, 1, 255, 0), "B1": chain_link(S, 1),
        "chain_pk_1": public_of(chain_seed(S, 1)), "chain_pk_256": public_of(chain_seed(S, 256)),
        "chain_pk_257": public_of(chain_seed(S, 257)), "epoch_pk_1_0": public_of(epoch_seeds(S, 1)[0]),
        "epoch_pk_1_255": public_of(epoch_seeds(S, 1)[255]), "epoch_root_1": mth(list(epoch_leaves(S, 1))),
        "chain_root_0": P, "chain_root_1": chain_root(S, 1)}
    sizes = (0, 1, 2, 3, 4, 5, 7, 8, 4095, 4096)
    places = ((1, 0), (2, 1), (3, 2), (5, 3), (7, 6), (8, 0), (300, 299))
    return {
        "about": "tallystick/v1 known answers; bytes in hex", "V": V.hex(), "S": S.hex(), "name": NAME,
        "keys": {name: value.hex() for name, value in values.items()},
        "mth": [{"n": n, "leaf_data": "i-th leaf = u32be(i)", "root": mth(leaf_hashes(leaf[:n])).hex()} for n in sizes],
        "paths": [{"n": n, "leaf": i, "path": [x.hex() for x in inclusion_path(leaf_hashes(leaf[:n]), i)]}
                  for n, i in places],
        "text": {"log_id": check.Key(P, NAME).log_id, "public_key": public_text(P, NAME),
                 "verification_key": secret_text(P, NAME, [V]),
                 "narrowed_2_3": secret_text(P, NAME, [chain_keys[2], chain_keys[3]], 2, 3, scope=1)}}


def as_json(value):
    return json.dumps(value, indent=1).encode()


def known_answers():
    """Everything that came from outside, made again: file name -> bytes."""
    out, logs = {}, {name: sealed(log) for name, log in inputs()["logs"].items()}
    for name, sealer in logs.items():
        out[name] = log_bytes(sealer, inputs()["logs"][name].get("keep_chains"))
    for name in ("plain", "json"):
        out[name + ".json"] = as_json(log_answers(logs[name + ".log"]))
    out["keys.json"] = as_json(key_answers())
    line = logs["plain.log"].lines[1]
    out["redacted.json"] = as_json({"position": "1.0.1", "original": line.decode(),
                                    "redacted": redacted_line(V, line).decode()})
    return out


# ---- defects --------------------------------------------------------------------------------------------------------

ABOUT_DEFECTS = [
    "Each case holds one defect and names the findings (kinds, of any weight) and the verdict that must result.",
    "log: name -> {base, edit}. base names a file beside this one, or is a list of lines. Lines are bytes without LF:",
    "a string is its UTF-8 bytes, {hex: …} is bytes. Then every edit is done in order; line numbers count from 1:",
    "[keep, a, b] lines a to b only; [delete, a, b]; [insert, n, line] before line n; [copy, a, b, n] lines a to b",
    "again before line n; [swap, a, b]; [sub, n, old, new] the one occurrence of old in line n becomes new. Every line",
    "gets a LF; with open_end the last one has none. V: the verification key of keys.json with `head` (null: none).",
    "P: the public key of keys.json, no head. pins, start (--from), to, and the lines of an exceptions file are given to",
    "both; used_V and used_P say which exceptions are used. unread: what cannot be read, and whether anything is there.",
    "refused: lines that make an exceptions file a usage error."]
REFUSED = [
    "fork 1.0.1: r", "bad statement 1.0.0: r", "bad head 1.0.0: r", "uncovered 1.0.0: r", "torn line 1.0.0: r", "unreadable 1.0.0: r",
    "altered 1.0.2: r", "altered sha256:" + "ab" * 32 + ": r", "altered 1.0.2 sha256:" + "ab" * 31 + ": r", "unsealed 1.0.2: r",
    "missing 1.0.2", "missing 1.0.2:", "missing 1.0.2 : ", "missing: r", "missing 1.0: r", "missing 01.0.2: r",
    "missing 1.0.*: r", "missing 0.*: r", "missing 2.* to 3.0.1: r", "missing 1.0.2 to 2.*: r", "missing 1.*.2: r", "truncated 2.*: r",
    "duplicate 1.0.2 to 1.0.*: r", "duplicate 2.*: r", "open end 1.0.2 to 1.0.4: r", "late start 1.*: r", "reordered 1.0.2 to 1.0.4: r",
    "redacted 1.0.2 to 1.0.3: r", "missing 1.0.2 until 2026-1-1: r", "missing 1.0.2 until never: r", "Missing 1.0.2: r"]


def as_line(text):
    return bytes.fromhex(text["hex"]) if isinstance(text, dict) else text.encode()


def edited(log):
    """The bytes of one file of a case."""
    base = log["base"]
    lines = [as_line(x) for x in base] if isinstance(base, list) else (HERE / base).read_bytes().split(b"\n")[:-1]
    for what, *args in log["edit"]:
        a = args[0] - 1
        if what == "keep":
            lines = lines[a:args[1]]
        elif what == "delete":
            del lines[a:args[1]]
        elif what == "insert":
            lines.insert(a, as_line(args[1]))
        elif what == "copy":
            lines[args[2] - 1:args[2] - 1] = lines[a:args[1]]
        elif what == "swap":
            lines[a], lines[args[1] - 1] = lines[args[1] - 1], lines[a]
        elif what == "sub":
            old, new = map(as_line, args[1:])
            if lines[a].count(old) != 1:
                raise ValueError(f"{old!r} is not there once")
            lines[a] = lines[a].replace(old, new)
        else:
            raise ValueError(what)
    data = b"".join(line + b"\n" for line in lines)
    return data[:-1] if log.get("open_end") else data


class Cases:
    """Collects the cases. chain1: chain 1 of plain.log, with its head, and a pin on its last statement."""

    def __init__(self):
        self.cases = []
        sealer = sealed(inputs()["logs"]["plain.log"])
        self.lines = sealer.lines
        self.heads = {}
        for head, head_mac in sealer.listed:
            self.heads[head.rpartition(".")[0]] = f"tallyhead {sealer.log_id} {head} {b64(head_mac)}"
        self.setup_head = f"tallyhead {sealer.log_id} {SETUP_HEAD} {b64(mac(derive(V, 'head'), SETUP_HEAD.encode()))}"
        self.whole_head = self.heads["4.0.3"]
        text = check.read_statement(check.as_bytes(self.lines[25])[1])
        self.pin = f"tallypin {sealer.log_id} 1.2.5.{b64(text.digest)}"

    def add(self, name, spec, why, V, P, log, head=None, pins=(), start=None, used=None, **more):
        """V, P: "verdict kind, kind"; used: of each exception, the keys that use it."""
        def words(text):
            verdict, _, kinds = text.partition(" ")
            return verdict, sorted(kinds.split(", ")) if kinds else []
        if "base" in log:
            log = {"app.log": log}
        (verdict_V, kinds_V), (verdict_P, kinds_P) = words(V), words(P)
        self.cases.append({
            "name": name, "spec": spec, "why": why, "log": log, "with": ["V", "P"], "head": head, "pins": list(pins),
            "start": start, "expect": {"verdict_V": verdict_V, "verdict_P": verdict_P, "kinds_V": kinds_V,
                                       "kinds_P": kinds_P}} | more)
        if used is not None:
            self.cases[-1]["expect"] |= {"used_" + key: [key in one for one in used] for key in "VP"}

    def chain1(self, name, spec, why, V, P, *edits, open_end=False, **more):
        log = {"base": "plain.log", "edit": [["keep", 1, 26], *edits]}
        more.setdefault("head", self.heads["1.2.6"])
        more.setdefault("pins", [self.pin])
        # Nothing that a holder of P has anchors the end of this chain.
        if "truncated" not in P and "open end" not in P:
            verdict, _, kinds = P.partition(" ")
            P = ("incomplete" if verdict == "ok" else verdict) + " " + ", ".join(filter(None, (kinds, "open end")))
        self.add(name, spec, why, V, P, {**log, "open_end": True} if open_end else log, **more)

    def whole(self, name, spec, why, V, P, *edits, base="plain.log", **more):
        head = self.whole_head if base == "plain.log" else None
        self.add(name, spec, why, V, P, {"base": base, "edit": list(edits)}, **{"head": head, **more})


def as_text(line):
    text = line.decode("utf-8", "replace")
    return text if text.encode() == line and text.isprintable() else {"hex": line.hex()}


def forged(pos, m, control=False):
    """A line as a holder of V can make it at any position."""
    tag = mac(entry_key(V, *pos), H((b"\x03" if control else b"\x02") + m))[:16]
    return as_text(seal_line(m, f"oedhcsck.{dotted(pos)}.{len(m)}.{b64(tag)}".encode()))


def line_defects(add, lines):
    fine, altered, lost = "ok", "failed altered", "failed altered, uncovered"
    sub, seal2 = "sub", ".31.nlVE6ODUh8wL_0Qn_gqnEQ"
    add("untouched", "section 7", "nothing was done to it", fine, fine)
    add("text bit flip", "section 4", "the tag covers m", altered, altered, [sub, 2, "alice", "blice"])
    add("tag bit flip", "section 4", "the tag fails", altered, altered, [sub, 2, "nlVE6", "nlVE7"])
    add("swapped seals", "section 4", "texts of equal length, each under the other's seal", altered, altered,
        [sub, 21, "entry 0", "entry 1"], [sub, 22, "entry 1", "entry 0"])
    add("wrong length", "section 4", "the length is not covered by the tag, so it must be right", altered, lost,
        [sub, 2, ".31.", ".30."])
    add("prefix", "section 4", "a prefix counts only where the caller names its kind", altered, lost,
        [sub, 2, "user=", "<13>user="])
    add("words behind the seal", "section 4", "the seal is at the end of the line", altered, lost,
        [sub, 2, "gqnEQ", "gqnEQ and more"])
    add("seal without its blank", "section 4", "writing m and seal again must give the bytes that were read", altered,
        lost, [sub, 2, "true tally", "truetally"])
    add("blank before the seal of an empty line", "section 4", "m empty: without the leading blank", altered, lost,
        [sub, 3, "tally=", " tally="])
    add("JSON comma where none belongs", "section 4", "no comma if only blanks stand between the braces", altered, lost,
        [sub, 10, '{"tally"', '{,"tally"'])
    add("seal of another form", "section 4", "m says which form its seal takes", altered, lost,
        [sub, 2, " tally=oedhcsck.1.0.1" + seal2, ',"tally":"oedhcsck.1.0.1' + seal2 + '"}'])
    for name, tail in (("blanks", "  "), ("tab and CR", "\t\r")):
        add("trailing " + name, "section 4", "trailing blanks, tabs and CR are dropped", fine, fine,
            [sub, 2, "gqnEQ", "gqnEQ" + tail])
    add("blank line", "section 4", "blank lines are no lines", fine, fine, ["insert", 5, " \t"], ["insert", 5, ""])
    add("line of NULs", "section 4", "lines of NULs are no lines", fine, fine, ["insert", 5, {"hex": "000000"}])
    unsealed, gap = "failed missing, unsealed", "failed missing, uncovered, unsealed"
    for name, old, new in (
            ("tag with spare bits", "gqnEQ", "gqnER"), ("padded tag", "gqnEQ", "gqnEQ=="),
            ("short tag", "gqnEQ", "gqnE"), ("leading zero", ".1.0.1.31.", ".1.0.01.31."),
            ("signed number", ".1.0.1.31.", ".1.0.+1.31."), ("chain 0", ".1.0.1.31.", ".0.0.1.31."),
            ("chain 2^32", ".1.0.1.31.", ".4294967296.0.1.31."), ("epoch 256", ".1.0.1.31.", ".1.256.1.31."),
            ("index 65536", ".1.0.1.31.", ".1.0.65536.31."), ("length 2^24+1", ".31.", ".16777217."),
            ("upper-case log id", "oedhcsck", "OEDHCSCK")):
        if name == "padded tag":  # the seal is still there, and something stands behind it
            add(name, "section 2", "b64 has no padding", altered, lost, [sub, 2, old, new])
        else:
            add(name, "section 2", "not a seal: no second spelling of anything", unsealed, gap, [sub, 2, old, new])
    for name, chain in ("chain out of reach", 16777217), ("chain far beyond those that are known", 131074):
        add(name, "section 9", "with V, a line 2^17 chains beyond those that are named is altered", altered,
            "failed missing, open end, uncovered", ["insert", 27, f"x tally=oedhcsck.{chain}.0.1.1." + "A" * 22])
    redacted = redacted_line(V, lines[1]).decode()
    add("redacted, not listed", "section 4", "a redacted line counts only where the caller lists it",
        "incomplete redacted", "incomplete redacted", ["delete", 2, 2], ["insert", 2, redacted])
    add("redacted, false r", "section 4", "only a holder of V can make r", "failed redacted", "incomplete redacted",
        ["delete", 2, 2], ["insert", 2, redacted.replace("TW8PEb", "TW8PEc")])
    add("redacted open", "section 4", "never a control line", "failed bad statement, redacted",
        "failed bad statement, redacted", ["delete", 1, 1], ["insert", 1, redacted_line(V, lines[0], b"\x03").decode()])


def json_defects(cases):
    """Carriers that write JSON anew. One log of RFC 8785 lines, so that R with P alone can match anew, too."""
    deep = '{"d":' + "[" * 63 + "]" * 63 + "}"
    deeper = '{"d":' + "[" * 64 + "]" * 64 + "}"
    sealer = Sealer(V, S, NAME, "json")
    sealer.open(T)
    for text in ('{"a":1,"b":"x"}', '{"n":0}', '{"e":"\u00e9","k":1e+21}', deep, deeper):
        sealer.entry(text.encode())
    sealer.checkpoint("ended", T + 1)
    base = [as_text(line) for line in sealer.lines]
    seals = [line.rpartition(b',"tally":')[2][:-1].decode() for line in sealer.lines]

    def add(name, why, n, text, V, P):
        new = text.replace("SEAL", '"tally":' + seals[n - 1])
        edit = [["delete", n, n], ["insert", n, new]]
        cases.add("JSON " + name, "section 4", why, V, P, {"base": base, "edit": edit})

    note, bad, lost = "ok reserialized", "failed altered", "failed altered, uncovered"
    cases.add("JSON untouched", "section 4", "nothing was done to it", "ok", "ok", {"base": base, "edit": []})
    add("key order", "RFC 8785 sorts", 2, '{"b":"x",SEAL,"a":1}', note, note)
    add("blanks", "RFC 8785 has none", 2, ' { "a": 1, "b": "x", SEAL }', note, note)
    add("escapes", "RFC 8785 writes characters", 4, '{"\\u0065":"\\u00e9","k":1e+21,SEAL}', note, note)
    add("1.0 for 1", "the same exact value", 2, '{"a":1.0,"b":"x",SEAL}', note, note)
    add("10e-1 for 1", "the same exact value", 2, '{"a":10e-1,"b":"x",SEAL}', note, note)
    add("-0 for 0", "-0 counts as 0", 3, '{"n":-0,SEAL}', note, note)
    add("1000000000000000000000 for 1e+21", "the same exact value", 4,
        '{"e":"\u00e9","k":1000000000000000000000,SEAL}', note, note)
    add("1e400", "no double holds it", 2, '{"a":1e400,"b":"x",SEAL}', bad, lost)
    add("1e-400 for 0", "another exact value, though the same double", 3, '{"n":1e-400,SEAL}', bad, lost)
    add("1.00000000000000000001 for 1", "another exact value, though the same double", 2,
        '{"a":1.00000000000000000001,"b":"x",SEAL}', bad, lost)
    add("2 for 1", "another value", 2, '{"a":2,"b":"x",SEAL}', bad, bad)
    add("name twice", "I-JSON: unique names", 2, '{"a":1,"b":"x","b":"x",SEAL}', bad, lost)
    add("name twice, once escaped", "unique after unescaping", 2, '{"a":1,"b":"x","\\u0062":"x",SEAL}', bad, lost)
    add("lone surrogate", "I-JSON: valid Unicode", 4, '{"e":"\\ud800","k":1e+21,SEAL}', bad, lost)
    add("nesting 64", "64 at most, the outermost counts", 5, deep[:-1] + ", SEAL}", note, note)
    add("nesting 65", "64 at most, the outermost counts", 6, deeper[:-1] + ", SEAL}", bad, lost)
    add("member added", "m is what was sealed", 2, '{"a":1,"b":"x","c":1,SEAL}', bad, lost)
    add("wrong length", "a wrong length makes the line altered, anew written or not", 2,
        '{"b":"x","a":1,SEAL}'.replace("SEAL", '"tally":' + seals[1].replace(".15.", ".16.")), bad, lost)


def set_defects(cases):
    add, lines = cases.chain1, cases.lines
    gap, unsealed = "failed missing, uncovered", "failed unsealed"
    add("entry deleted", "section 7", "positions absent between present ones", "failed missing", gap, ["delete", 3, 3])
    add("checkpoint deleted", "section 7", "the chain has lines after it", "failed missing", gap, ["delete", 19, 19])
    add("epoch dropped", "section 7", "epochs 0 to last, each with its checkpoint", "failed missing", "failed missing",
        ["delete", 20, 20])
    add("first open deleted", "section 7", "what stood before the first position is not judged",
        "incomplete late start", "incomplete late start, uncovered", ["delete", 1, 1])
    add("first open deleted, start named", "section 7", "the caller names the start", "failed missing", gap,
        ["delete", 1, 1], start=1)
    add("late start", "section 7", "a rotated file is gone", "incomplete late start", "incomplete late start",
        ["delete", 1, 20])
    add("tail cut", "section 7", "the end lies before head and pin", "failed truncated",
        "failed truncated, uncovered", ["delete", 26, 26])
    add("tail cut, no pin", "section 8", "P alone cannot know the end", "failed truncated",
        "incomplete open end, uncovered", ["delete", 24, 26], pins=[])
    add("everything cut", "section 7", "an empty log is before every head", "failed truncated", "failed truncated",
        ["delete", 1, 26])
    add("no head", "section 7", "nothing anchors the end", "incomplete open end", "incomplete open end", head=None,
        pins=[])
    add("cut to its pin, no head", "section 7", "a pin is a lower bound and no end", "incomplete open end",
        "incomplete open end", head=None)
    add("set-up head put back", "section 6", "authentic, but it anchors nothing", "incomplete open end",
        "incomplete open end", head=cases.setup_head, pins=[])
    add("head mac forged", "section 6", "a head's mac fails", "failed bad head, open end", "ok",
        head=cases.heads["1.2.6"].replace("1.2.6", "1.2.5"))
    add("line twice", "section 7", "a position twice in one file", "failed duplicate", "failed duplicate",
        ["copy", 3, 3, 4])
    cut = {"base": "plain.log", "edit": [["keep", 2, 3]]}
    cases.add("line twice in two files", "section 7", "a note across files", "ok duplicate", "incomplete duplicate, open end",
              {"a.log": {"base": "plain.log", "edit": [["keep", 1, 26]]}, "b.log": cut},
              head=cases.heads["1.2.6"], pins=[cases.pin])
    add("lines swapped", "section 7", "positions out of order in one file", "failed reordered", "failed reordered",
        ["swap", 3, 4])
    add("line injected", "section 7", "a line without a seal", unsealed, unsealed, ["insert", 5, "user=mallory"])
    add("statement injected without a seal", "section 7", "a line without a seal", unsealed, unsealed,
        ["insert", 5, check.as_bytes(lines[18])[1].decode()])
    add("statement copied to another position", "section 5", "seal and statement must agree on the position",
        "failed altered", "failed altered",
        ["insert", 27, as_text(lines[25].replace(b"=oedhcsck.1.2.5.", b"=oedhcsck.1.2.6."))])
    foreign = Sealer(bytes(32), bytes(32), "other")
    foreign.open(T)
    foreign.entry(b"a line of another log")
    add("line of another log", "section 7", "an unknown log id beside known ones", unsealed, unsealed,
        ["insert", 5, as_text(foreign.lines[1])])
    foreign.entry(lines[1])
    add("line sealed again for another log", "section 9", "the seal of a known log that is not at the end of its line",
        "failed altered", "failed altered, uncovered", ["delete", 2, 2], ["insert", 2, as_text(foreign.lines[2])])
    cases.add("lines sealed again for another log only", "section 9", "they claim to be lines of this log",
              "failed altered", "failed altered",
              {"base": [as_text(foreign.lines[2])], "edit": []})
    cases.add("another log only", "section 7", "a wrong key is incomplete, never ok", "incomplete", "incomplete",
              {"base": [as_text(foreign.lines[1])], "edit": []})
    add("line after closed", "section 5", "made by a holder of V", "failed bad statement", "failed altered",
        ["insert", 27, forged((1, 2, 6), b"one more")])
    add("epoch after closed", "section 5", "made by a holder of V", "failed bad statement",
        "failed bad statement, open end, uncovered", ["insert", 27, forged((1, 3, 0), b"one more")])
    add("fork", "section 7", "a position twice, both authentic: made by a holder of V", "failed fork", "failed altered",
        ["insert", 3, forged((1, 0, 1), b"user=alice action=login ok=fals")])
    statement = check.as_bytes(lines[19])[1]
    add("statement signature forged", "section 5", "V forges tags, never signatures; with P alone it is an entry",
        "failed bad statement", gap, ["delete", 20, 20],
        ["insert", 20, forged((1, 1, 0), statement.replace(b" 1795401650002 ", b" 1795401650009 "), control=True)])
    add("statement as an entry", "section 5", "with V the tag says whether a line is control", "failed missing", "ok",
        ["delete", 20, 20], ["insert", 20, forged((1, 1, 0), statement)])
    add("open bit flip", "section 7", "its position was claimed: neither missing nor a late start", "failed altered",
        "failed altered, bad statement", ["sub", 1, "1795401650000", "1795401650001"])
    add("checkpoint bit flip", "section 7", "its position was claimed: not told as missing, too", "failed altered", gap,
        ["sub", 19, "1795401650001", "1795401650002"])
    add("last line bit flip", "section 7", "its position was claimed: not told as truncated, too", "failed altered",
        "failed bad statement, open end, uncovered", ["sub", 26, "1795401650003", "1795401650004"])
    add("open replaced by an entry", "section 7", "epoch 0 index 0 is no open",
        "failed altered, bad statement", "failed altered, bad statement",
        ["delete", 1, 1], ["insert", 1, forged((1, 0, 0), b"hello")])
    add("another statement at a pin", "section 7", "the log was written anew from there on", "failed bad statement",
        "failed bad statement, open end", pins=[cases.pin[:-4] + "AAAA"])


def notice_defects(cases):
    """notices.log: 3, 5, 7 and 11 are notices, 4 looks like one, 6 and 9 are checkpoints. Its end is `ended`."""
    lines, fine = sealed(inputs()["logs"]["notices.log"]).lines, "ok notice"

    def add(name, why, V, P, *edits, base="notices.log"):
        cases.add("notice: " + name, "section 5", why, V, P, {"base": base, "edit": list(edits)})

    def log(name, why, V, P, sealer):
        add(name, why, V, P, base=[as_text(line) for line in sealer.lines])

    altered, gap = "failed altered, notice", "failed missing, notice, uncovered"
    add("untouched", "nothing was done to it", fine, fine)
    add("untouched, JSON control lines", "nothing was done to it", fine, fine, base="notices-json.log")
    add("text changed", "the tag covers it", altered, altered, ["sub", 3, "3+lines", "2+lines"])
    add("removed", "its position is absent", "failed missing, notice", gap, ["delete", 3, 3])
    add("moved", "its position is out of order", "failed notice, reordered", "failed notice, reordered", ["swap", 3, 4])
    add("twice", "its position is there already", "failed duplicate, notice", "failed duplicate, notice", ["copy", 3, 3, 4])
    moved = as_text(lines[2].replace(b"=oedhcsck.1.0.2.", b"=oedhcsck.1.0.1."))
    add("under the seal of another position", "seal and statement must agree on the position", altered, altered,
        ["delete", 2, 2], ["insert", 2, moved])
    add("without a seal", "a line without a seal", "failed notice, unsealed", "failed notice, unsealed",
        ["insert", 4, check.as_bytes(lines[2])[1].decode()])
    statement = check.as_bytes(lines[2])[1]
    add("forged by a holder of V", "V forges tags, never signatures; with P alone it is an entry",
        "failed altered, bad statement, notice",
        altered, ["delete", 3, 3], ["insert", 3, forged((1, 0, 2), statement.replace(b" 3+lines", b" 2+lines"), control=True)])
    add("as an entry", "with V the tag says whether a line is control", altered, altered, ["delete", 3, 3],
        ["insert", 3, forged((1, 0, 2), statement)])
    add("rewritten by a carrier", "control lines in JSON are in RFC 8785 form", "ok notice, reserialized",
        "ok notice, reserialized", ["sub", 3, '","tally"', '", "tally"'], base="notices-json.log")
    for name, text in {"no letter": "a+%41", "an equals sign": "a=b", "small hex": "%c3%a4", "half an escape": "a%4", "a quote": 'a"', "nothing": "",
                       "too long": "x" * 4097}.items():
        sealer = Sealer(V, S, NAME)
        sealer.open(T)
        sealer.notice("dropped", text)
        sealer.checkpoint("ended", T)
        log("text with " + name if text else "without a text", "a text has one spelling", "failed bad statement", "failed altered",
            sealer)
    for name, kind in ("in capitals", "Dropped"), ("too long", "a" * 17), ("with a hyphen", "a-b"):
        sealer = Sealer(V, S, NAME)
        sealer.open(T)
        sealer.notice(kind, "x")
        sealer.checkpoint("ended", T)
        log("kind " + name, "1 to 16 of a-z", "failed bad statement", "failed altered", sealer)
    first = Sealer(V, S, NAME)
    first.open(T)
    first.begin_epoch()
    first.lines.clear()
    first.notice("dropped", "x")
    first.checkpoint("ended", T)
    log("in the place of an open", "a chain begins with its open", "failed bad statement", "failed altered, bad statement", first)
    more_notice_defects(log, statement)


def more_notice_defects(log, statement):
    """Logs that are sealed so: what the application writes, what runs, what another key signs."""
    same = Sealer(V, S, NAME)
    same.open(T)
    same.entry(b"one")
    same.entry(statement.replace(b" 3+lines", b" 2+lines"))
    same.checkpoint("ended", T)
    log("an application writes one at the position that it names", "its signature fails: it is an entry", "ok", "ok", same)
    copied = Sealer(V, S, NAME)
    copied.open(T)
    copied.entry(statement)
    copied.checkpoint("ended", T)
    log("an application copies one", "it is of another position: it is an entry", "ok", "ok", copied)
    stranger = Sealer(V, bytes(32), NAME)
    stranger.log_id, stranger.chain = "oedhcsck", 0
    stranger.open(T)
    stranger.entry(b"one")
    stranger.notice("dropped", "x")
    self_made = check.as_bytes(stranger.lines[2])[1]
    own = Sealer(V, S, NAME)
    own.open(T)
    own.entry(b"one")
    own.entry(self_made)
    own.checkpoint("ended", T)
    log("an application signs one with keys of its own", "its paths lead to another chain root: it is an entry", "ok", "ok", own)
    forger = Sealer(V, S, NAME)
    forger.open(T)
    forger.entry(b"one")
    forger.line(self_made, b"\x03")
    forger.checkpoint("ended", T)
    log("signed with other keys, tagged with V", "its paths fail", "failed bad statement", "failed altered", forger)
    running = Sealer(V, S, NAME)
    running.open(T)
    running.notice("dropped", "x")
    log("in a running epoch", "cert and epoch pk prove it before there is a checkpoint", "incomplete notice, open end",
        "incomplete notice, open end, uncovered", running)
    other = Sealer(V, S, NAME)
    other.open(T)
    other.notice("dropped", "x", index=2)
    other.checkpoint("ended", T)
    log("that names another index", "seal and statement must agree", "failed bad statement", "failed altered", other)
    two = Sealer(V, S, NAME)
    two.open(T)
    two.notice("dropped", "x")
    before = two.lines[:]
    two.begin_epoch()
    two.open(T) if two.chain == 0 else two.line(check.as_bytes(before[0])[1], b"\x03")
    two.notice("dropped", "y")
    two.checkpoint("ended", T)
    two.lines = [before[0], before[1], *two.lines[3:]]
    log("two at one position", "made by whoever had the epoch key; with P alone R tells which is here", "failed fork, notice",
        "failed altered, notice", two)


def adopting(past, lines=None, kind="adopted", text=None, wait=0):
    """A log whose file held something before, and which adopted that: the lines of the file."""
    held = b"".join(line + b"\n" for line in past)
    sealer = Sealer(V, S, NAME)
    sealer.open(T)
    for i in range(wait):
        sealer.entry(b"before it")
    count = len(past) if lines is None else lines
    sealer.notice(kind, written(text or f"sha256:{H(held).hex()} {len(held)} {count}".encode()))
    sealer.entry(b"after it")
    sealer.checkpoint("ended", T)
    return [as_text(line) for line in [*past, *sealer.lines]]


def past_defects(cases):
    """Files of five old lines: the first two, a blank one, one that is sealed in another log, one that looks like a seal."""
    foreign = Sealer(bytes(32), bytes(32), "other")
    foreign.open(T)
    foreign.entry(b"a line of another log")
    past = [b"old one", b"old two\r", b"", foreign.lines[1], b"old three \xff"]
    good = adopting(past)

    def add(name, why, V, P, *edits, base=good, other=None, open_end=False):
        log = {"a.log": {"base": base, "edit": list(edits)}}
        if other is not None:
            log["b.log"] = {"base": [as_text(line) for line in other], "edit": []}
        if open_end:
            log["a.log"]["open_end"] = True
        cases.add("past: " + name, "section 5", why, V, P, log)

    fine, bad = "ok adopted", "failed adopted, unsealed"
    add("untouched", "it is as it was when sealing began", fine, fine)
    add("line changed", "it is not as it was", bad, bad, ["sub", 1, "one", "0ne"])
    add("line removed", "it is not as it was", bad, bad, ["delete", 2, 2])
    add("line added", "it is not as it was", bad, bad, ["insert", 1, "old zero"])
    add("blank added", "its bytes are adopted, not its lines", bad, bad, ["sub", 1, "old one", "old one "])
    add("all of it removed", "it is not here", "failed adopted", "failed adopted", ["delete", 1, 5])
    add("line put behind it", "`open` follows at once", bad, bad, ["insert", 6, "old four"])
    add("blank line put behind it", "`open` follows at once", bad, bad, ["insert", 6, ""])
    add("line put into the log", "only what stood before is adopted", "failed adopted, unsealed", "failed adopted, unsealed", ["insert", 8, "new"])
    add("in another file", "it is the beginning of the file in which chain 1 opens", bad, bad, ["delete", 1, 5], other=past)
    add("also in another file", "there it is what stands there", bad, bad, other=past)
    add("open in a second file without it", "one file that begins so is enough", "ok adopted, duplicate", "ok adopted, duplicate",
        other=[as_line(good[5])])
    mine = b"x tally=oedhcsck.1.0.9.1." + b"A" * 22
    add("with an altered line of the log", "lines of known logs in it are judged as such", "failed adopted, altered",
        "failed adopted, altered, reordered", base=adopting([*past, mine]))
    add("wrong count of lines", "lines are counted, too", bad, bad, base=adopting(past, lines=6))
    add("of blanks only", "nothing in it is a line", fine, fine, base=adopting([b"", b" "]))
    refused, unsealed = "failed bad statement, unsealed", "failed altered, unsealed"
    add("adopted later in the epoch", "at 1.0.1 and nowhere else", refused, unsealed, base=adopting(past, wait=1))
    for name, text in {"a size of 0": b"sha256:" + b"0" * 64 + b" 0 0", "large hex": b"sha256:" + b"A" * 64 + b" 1 0",
                       "another hash": b"sha512:" + b"0" * 64 + b" 1 0", "a word more": b"sha256:" + b"0" * 64 + b" 1 0 0",
                       "a leading zero": b"sha256:" + b"0" * 64 + b" 01 0",
                       "2^53 bytes": b"sha256:" + b"0" * 64 + b" 9007199254740992 0"}.items():
        add("with " + name, "no such text", "failed bad statement", "failed altered", base=adopting([], text=text))
    two = Sealer(V, S, NAME)
    two.open(T)
    two.checkpoint("closed", T)
    two.open(T)
    two.notice("adopted", written(f"sha256:{H(b'x').hex()} 1 0".encode()))
    two.checkpoint("ended", T)
    add("adopted by chain 2", "at 1.0.1 and nowhere else", "failed bad statement", "failed altered", base=[as_text(line) for line in two.lines])


def predecessor_defects(cases):
    """A log that names the one before it, whose key is not at hand; that one's lines before it, after it and beside it."""
    other = Sealer(bytes(32), bytes(32), "other")
    id_, key = other.log_id, public_text(other.P, "other")
    other.open(T)
    other.entry(b"of the log before")
    other.checkpoint("ended", T)
    before = other.lines

    def log(text, chain=1, wait=0, killed="", claims=""):
        """killed: writers that no head counted, each before or after its `open` ("-" or "o"), or its notice ("n")."""
        sealer = Sealer(V, S, NAME)
        set_up = sealer.head, sealer.head_mac
        for step in killed:
            sealer.burn() if step == "-" else sealer.open(T)
            if step == "n":
                sealer.notice("predecessor", written(text.encode()))
            sealer.head, sealer.head_mac = set_up
        for number in range(1, chain + 1):
            if claims and number == chain:
                sealer.head = set_up[0]
                sealer.head_mac = set_up[1] if claims == "proven" else sealer.head_mac
            sealer.open(T)
            for _ in range(wait):
                sealer.entry(b"before it")
            if number == chain:
                sealer.notice("predecessor", written(text.encode()))
                sealer.entry(b"after it")
            sealer.checkpoint("ended" if number == chain else "closed", T)
        return [as_text(line) for line in sealer.lines]

    def add(name, why, told, lines, beside=None, with_p=None):
        files = {"a.log": {"base": lines, "edit": []}}
        if beside is not None:
            files["b.log"] = {"base": beside, "edit": []}
        cases.add("predecessor: " + name, "section 9", why, told, with_p or told, files)

    old, fine = [as_text(line) for line in before], log(f"{id_} {key}")
    needs, failed = "incomplete notice, predecessor", "failed notice, unsealed"
    add("its lines before", "its key is needed", needs, old + fine)
    add("its lines in a file of their own", "its key is needed", needs, fine, old)
    add("its lines after", "nobody sealed for it any more", failed, fine + old)
    add("its lines after the open", "nobody sealed for it any more", failed, fine[:1] + old + fine[1:])
    add("its lines before and one after", "the one after is unsealed", "failed notice, predecessor, unsealed", old + fine + old[1:2])
    add("its lines before a later line", "there the log had begun", "failed notice, unsealed", fine[:2], old + fine[2:])
    add("a line without a seal before", "it is nobody's", "failed notice, predecessor, unsealed", [*old, "x", *fine])
    add("of another log id", "the id is not that of the key", failed, old + log(f"aaaaaaaa {key}"))
    add("without a key", "the text names no key", failed, old + log(id_))
    add("with a word more", "no such text", failed, old + log(f"{id_} {key} x"))
    add("with a damaged key", "no such text", failed, old + log(f"{id_} {key[:-1]}{'q' if key[-1] != 'q' else 'p'}"))
    add("in capitals", "no such text", failed, old + log(f"{id_} {key.upper()}"))
    add("named later in the epoch", "right after an opening and nowhere else", failed, old + log(f"{id_} {key}", wait=1))
    add("named by chain 2", "a head counted lines before it", failed, old + log(f"{id_} {key}", chain=2))
    add("named by chain 2 after a number was left out", "no head counted a line before it", needs, old + log(f"{id_} {key}", killed="-"),
        with_p="incomplete late start, notice, predecessor")
    killed = "incomplete notice, predecessor, unclean end", "incomplete notice, predecessor, unclean end, uncovered"
    add("named by chain 2 after a killed opening", "it was killed before the notice", killed[0], old + log(f"{id_} {key}", killed="o"), with_p=killed[1])
    add("named by chains 1 and 2", "no head counted chain 1", killed[0], old + log(f"{id_} {key}", killed="n"), with_p=killed[1])
    add("named by chains 2 and 4", "no head counted chains 1 to 3", killed[0], old + log(f"{id_} {key}", killed="on-"),
        with_p=killed[1].replace("notice", "missing, notice"))
    begun = log(f"{id_} {key}", killed="o")
    add("an opening that broke off after its lines", "the writer was killed in its first line", "incomplete notice, predecessor, torn line",
        [*old, begun[0][:90], *begun[1:]], with_p="incomplete late start, notice, predecessor, torn line")
    add("something else between its lines and ours", "no writer of ours began so", "failed notice, predecessor, unsealed",
        [*old, "x" + begun[0][:90], *begun[1:]], with_p="failed late start, notice, predecessor, unsealed")
    add("its lines between two openings", "there the log had begun", "failed notice, unclean end, unsealed", begun[:1] + old + begun[1:],
        with_p="failed notice, unclean end, uncovered, unsealed")
    add("its lines before the second of two openings, in a file of its own", "the log had not begun there", killed[0], begun[:1], old + begun[1:], with_p=killed[1])
    add("named by chain 2, which says that it is the first", "the proof of its prev fails", "failed bad statement, notice, unsealed",
        old + log(f"{id_} {key}", chain=2, claims="unproven"), with_p="incomplete notice, predecessor, unclean end")
    add("named by chain 2, which passes over chain 1", "a holder of the set-up head can do that", "incomplete notice, predecessor, unclean end",
        old + log(f"{id_} {key}", chain=2, claims="proven"))


def kin(number, before=None, after=None, *, chains=1, ending="ended", wait=0, said=None, left_out=0):
    """One of a row of logs, as lines: it names the one before after its first `open`, the one after in its last chain."""
    name, secrets = ("log", (V, S)) if number is None else (f"log{number}", (bytes([number]) * 32,) * 2)
    sealer = Sealer(*secrets, NAME if number is None else name)
    sealer.chain += left_out
    for chain in range(1, chains + 1):
        sealer.open(T)
        if chain == 1 and before:
            sealer.notice("predecessor", written(before.encode()))
        for _ in range(wait):
            sealer.entry(b"one more")
        sealer.entry(b"an entry")
        if chain == (said or chains) and after:
            sealer.notice("successor", written(after.encode()))
        sealer.checkpoint(ending if chain == chains else "closed", T)
    return [as_text(line) for line in sealer.lines]


def kin_defects(cases):
    """Logs in a row, each rekeyed into the next; the key of one of them is at hand."""
    def named(number):
        sealer = Sealer(*((V, S) if number is None else (bytes([number]) * 32,) * 2), NAME if number is None else f"log{number}")
        return f"{sealer.log_id} {public_text(sealer.P, sealer.name)}"

    def add(name, why, told, lines, beside=None, with_p=None):
        files = {"a.log": {"base": lines, "edit": []}}
        if beside is not None:
            files["b.log"] = {"base": beside, "edit": []}
        cases.add("kin: " + name, "section 9", why, told, with_p or told, files)

    needs, failed = "incomplete notice, successor", "failed notice, unsealed"
    mine, next_ = kin(None, after=named(1)), kin(1, before=named(None))
    add("the successor's lines after", "its key is needed", needs, mine + next_)
    add("the successor's lines in a file of their own", "its key is needed", needs, mine, next_)
    add("the successor's lines before", "it had not begun", failed, next_ + mine)
    add("the successor's lines before the end", "it had not begun", failed, mine[:-1] + next_ + mine[-1:])
    add("a line of the successor among ours", "it had not begun", "failed notice, successor, unsealed", [*mine[:2], next_[1], *mine[2:], *next_])
    add("a line without a seal after", "it is nobody's", "failed notice, successor, unsealed", [*mine, *next_, "x"])
    add("after lines from before the notice", "there the log went on", failed, mine[2:], mine[:2] + next_)
    two = kin(None, after=named(1), chains=2)
    add("named by the last chain of two", "where it ended", needs, two + next_)
    add("named by the chain before", "the log went on: that one was given up", failed, kin(None, after=named(1), chains=2, said=1) + next_)
    add("named by a log without an end", "an interrupted rekey ended it, before a line could say so",
        "incomplete notice, open end, successor", mine[:-1] + next_, with_p="incomplete notice, open end, successor, uncovered")
    add("of another log id", "the id is not that of the key", failed, kin(None, after=f"aaaaaaaa {named(1).split()[1]}") + next_)
    add("without a key", "the text names no key", failed, kin(None, after=named(1).split()[0]) + next_)
    add("another log's lines", "nobody named it", failed, mine + kin(2))
    third, last = kin(1, before=named(None), after=named(2)), kin(2, before=named(1))
    add("the next but one", "the next one names it", needs, mine + third + last)
    add("the next but one alone", "nobody names it here", failed, mine + last)
    add("the next but one, named in a log of another key", "who names it is not the one that was named",
        failed, mine + kin(3, after=named(2)) + last)
    changed = [line.replace(named(2).replace(" ", "+"), named(4).replace(" ", "+")) for line in third]
    add("the next but one, named in a notice that was changed", "its signature fails", "failed notice, successor, unsealed", mine + changed + kin(4))
    first, middle, end = kin(1, after=named(2)), kin(2, before=named(1), after=named(None)), kin(None, before=named(2))
    add("the last but one", "the one before names it", "incomplete notice, predecessor", first + middle + end)
    add("the last but one, named in the first chain of a log of which none had number 1", "the one before names it",
        "incomplete notice, predecessor", first + kin(2, before=named(1), after=named(None), left_out=1) + end)
    add("the last but one alone", "nobody names it here", failed, first + end)
    between = kin(None, before=named(1), after=named(2))
    both = "incomplete notice, predecessor, successor"
    add("one before and one after", "both keys are needed", both, kin(1, after=named(None)) + between + kin(2, before=named(None)))
    add("one before and one after, exchanged", "they stand where they cannot",
        failed, kin(2, before=named(None)) + between + kin(1, after=named(None)))
    circle = kin(None, before=named(1), after=named(1))
    add("one that is before and after", "no line can be both", failed, kin(1) + circle)


def chain_defects(cases):
    whole, lines = cases.whole, cases.lines
    crash = "incomplete missing, unclean end, uncovered"  # what P alone says about the crash and the burned chain
    broken = "entry 3 before a cra"
    torn = "incomplete missing, torn line, unclean end, uncovered"
    whole("unclean end", "section 7", "chain 2 crashed, chain 3 was never written", "ok unclean end", crash)
    whole("chain dropped", "section 5", "prev names it", "failed missing", "failed missing", ["delete", 27, 30])
    whole("open deleted", "section 7", "prev counts it", "failed missing, unclean end",
          "failed missing, unclean end, uncovered", ["delete", 27, 27])
    whole("end of a crashed chain cut", "section 5", "prev counts the line", "failed missing",
          "failed missing, uncovered", ["delete", 30, 30])
    whole("chain replayed", "section 7", "positions twice", "failed duplicate, unclean end",
          "failed duplicate, missing, unclean end, uncovered", ["copy", 27, 30, 34])
    old = Sealer(V, S, NAME)
    for step in payment_steps()[:-5]:  # up to the crash of chain 2
        old.do(step)
    whole("head rolled back", "section 7", "the head's chain is not the newest one", "incomplete open end, unclean end",
          "incomplete missing, open end, unclean end, uncovered", ["delete", 33, 33], head=old.head_text())
    whole("torn line", "section 7", "one broken last line of an unclean end", "ok torn line, unclean end", torn,
          ["insert", 31, broken])
    whole("torn line with half a seal", "section 7", "one broken last line of an unclean end",
          "ok torn line, unclean end", torn, ["insert", 31, broken + "sh tally=oedhcsck.2.0.4.22.PsICVui8"])
    whole("two broken lines", "section 7", "only one can be torn", "failed unclean end, unsealed",
          "failed missing, unclean end, uncovered, unsealed", ["insert", 31, broken], ["insert", 31, broken])
    whole("broken line amid a crashed chain", "section 7", "only the last can be torn", "failed unclean end, unsealed",
          "failed missing, unclean end, uncovered, unsealed", ["insert", 30, broken])
    whole("broken line between closed and the next chain", "section 7", "no chain was passed over there",
          "failed unclean end, unsealed", "failed missing, unclean end, uncovered, unsealed", ["insert", 27, broken])
    whole("broken line before the first open", "section 7", "no chain was passed over there",
          "failed unclean end, unsealed", "failed missing, unclean end, uncovered, unsealed", ["insert", 1, broken])
    cases.add("torn last line", "section 7", "the newest chain crashed, its head is there", "ok torn line, unclean end",
              "incomplete open end, torn line, uncovered",
              {"base": "plain.log", "edit": [["keep", 1, 30], ["insert", 31, broken]], "open_end": True},
              head=old.head_text())
    cases.add("torn last line, no head", "section 7", "a live log, read in the middle of a line",
              "incomplete open end, torn line", "incomplete open end, torn line, uncovered",
              {"base": "plain.log", "edit": [["keep", 1, 30], ["insert", 31, broken]], "open_end": True})
    cases.add("broken last line that ends in LF", "section 7", "nothing vouches for it, with a line end or without",
              "ok torn line, unclean end", "incomplete open end, torn line, uncovered",
              {"base": "plain.log", "edit": [["keep", 1, 30], ["insert", 31, broken]]}, head=old.head_text())
    begun = lines[26][:60].decode()
    cases.chain1("torn open at the end", "section 7", "a later chain was being opened", "ok torn line",
                 "incomplete open end, torn line",
                 ["insert", 27, begun], open_end=True)
    cases.chain1("broken open that ends in LF", "section 7", "nothing was torn off", "failed unsealed",
                 "failed unsealed", ["insert", 27, begun])
    cases.chain1("broken open of an old chain", "section 7", "only a higher chain can be opened", "failed unsealed",
                 "failed unsealed", ["insert", 27, lines[0][:60].decode()], open_end=True)
    opening = lines[26].decode()
    words = opening.split(" ")
    named, cert = words[6].split("."), words[7].split(".")

    def no_opening(name, why, text, with_P="failed unsealed"):
        cases.chain1(name, "section 9", why, "failed unsealed", with_P, ["insert", 27, text], open_end=True)
    for name, cut in (("within its cert", 400), ("within its signature", 760), ("within its tag", -3)):
        cases.chain1("open that broke off " + name, "section 9", "all before is whole, and holds", "ok torn line",
                     "ok torn line", ["insert", 27, opening[:cut]], open_end=True)
    cases.chain1("broken open and NULs", "section 9", "a power loss leaves them", "ok torn line", "ok torn line",
                 ["insert", 27, {"hex": (begun.encode() + bytes(50)).hex()}], open_end=True)
    for name, data in (("NULs and text", bytes(160) + b"user=root"), ("NULs and a broken open", bytes(9) + begun.encode()),
                       ("broken open, NULs and text", begun.encode() + bytes(160) + b"user=root")):
        no_opening(name, "no open begins like this", {"hex": data.hex()})
    no_opening("open with text behind its chain", "a time stands there", " ".join(words[:5]) + " user=root action=login")
    no_opening("broken open of a head of its own chain", "prev is a head before it", " ".join(words[:6]) + " 2.0.1.")
    no_opening("broken open of a head to come", "the lines end before", " ".join(words[:6]) + " " + ".".join(
        ["1", "2", "7", named[3]]))
    no_opening("broken open of another statement", "the newest one before that position has another hash",
               " ".join(words[:6]) + " " + ".".join([*named[:3], other_end(named[3].encode()).decode()]))
    no_opening("broken open with another proof", "only V can tell", " ".join(words[:6]) + " " + ".".join(
        [*named[:4], other_end(named[4].encode()).decode()]), "ok torn line")
    no_opening("broken open with another path", "it does not lead to the chain root", " ".join(words[:7]) + " " + ".".join(
        [*cert[:3], other_end(cert[3].encode()).decode()]))
    no_opening("broken open with another cert", "the chain key did not sign it", " ".join(words[:7]) + " " + ".".join(
        [*cert[:4], other_end(cert[4].encode()).decode()]))
    no_opening("broken open with another signature", "the chain key did not sign it", " ".join(words[:8]) + " "
               + other_end(words[8].encode()).decode())
    no_opening("broken open with another length", "its seal names another one", opening[:opening.rindex(".") - 3] + "1.")
    def copy(name, why, V, P, *edits, open_end=True):
        half = {"base": "plain.log", "edit": [["keep", 1, 22], *edits], "open_end": open_end}
        cases.add(name, "section 9", why, V, P, {"app.log": {"base": "plain.log", "edit": [["keep", 1, 26]]}, "copy.log": half},
                  head=cases.heads["1.2.6"], pins=[cases.pin])
    begins = lines[22][:15].decode()
    both_failed = ("failed duplicate, unsealed", "failed duplicate, open end, unsealed")
    copy("copy that ends within a line", "it stands whole in the other file", "ok duplicate, torn line",
         "incomplete duplicate, open end, torn line", ["insert", 23, begins])
    copy("copy that ends within its first line", "it stands whole in the other file", "ok torn line",
         "incomplete open end, torn line", ["keep", 1, 1], ["sub", 1, lines[0][30:].decode(), ""])
    copy("copy that ends in other bytes", "another line stands there", *both_failed, ["insert", 23, begins[:-1] + "X"])
    copy("copy that ends within another line", "it stands elsewhere", *both_failed, ["insert", 23, lines[1][:15].decode()])
    copy("copy with a broken line that ends in LF", "nothing was cut off", *both_failed, ["insert", 23, begins],
         open_end=False)
    cases.chain1("broken line behind closed", "section 7", "no open begins like this", "failed unsealed",
                 "failed unsealed", ["insert", 27, broken], open_end=True)
    cases.add("older generation lacking", "section 5", "chain 257 is proven by an open of generation 0",
              "incomplete bad statement, late start, open end",
              "incomplete bad statement, late start, open end, uncovered",
              {"base": "generation.log", "edit": [["delete", 1, 3]]})
    small = Sealer(V, S, NAME)
    for i in range(3):
        kept = small.head, small.head_mac
        small.open(T + i)
        small.entry(b"a line")
        small.checkpoint("ended" if i == 2 else "closed", T + i) if i != 1 else None
        if i == 1:
            pin = f"tallypin {small.log_id} 2.0.0.{b64(small.newest)}"
            small.head, small.head_mac = kept  # the host died before the head was rewritten
    base = [as_text(line) for line in small.lines]
    cases.add("lines of a passed-over chain", "section 7", "no head counted them", "ok unclean end",
              "incomplete unclean end, uncovered", {"base": base, "edit": []})
    dropped = {"base": base, "edit": [["delete", 4, 5]]}
    cases.add("passed-over chain dropped", "section 7", "an authentic prev passes over it", "ok", "incomplete missing",
              dropped)
    cases.add("pinned passed-over chain dropped", "section 7", "a pin overrides", "failed missing", "failed missing",
              dropped, pins=[pin])
    reuse = Sealer(V, S, NAME)
    for i in range(3):
        reuse.open(T + i)
        reuse.checkpoint("ended" if i == 2 else "closed", T + i)
        if i == 0:
            kept = reuse.head, reuse.head_mac, b64(mac(reuse.head_mac, b"open 2")[:16])
        if i == 1:
            reuse.head, reuse.head_mac = kept[0], mac(b"", b"")  # the thief has no mac, only what stood in the log
    cases.add("prev used again to pass over a chain", "section 5", "the proof is bound to the chain that opens",
              "failed bad statement, missing", "incomplete missing",
              {"base": [as_text(line) for line in reuse.lines], "edit": [["delete", 3, 4]]})


def exception_defects(cases):
    """Exceptions, exactly: each form that section 9 has, and the nearest one that is another."""
    lines = cases.lines
    def excepted(name, why, V, P, exceptions, used, *edits, **more):
        cases.chain1(name, "section 9", why, V, P, *edits, exceptions=exceptions, used=used.split(","), **more)
    def whole(name, why, V, P, exceptions, used, *edits):  # with P, too, nothing is said of an open end
        log = {"base": "plain.log", "edit": [["keep", 1, 26], *edits]}
        cases.add(name, "section 9", why, V, P, log, exceptions=exceptions, used=used.split(","), head=cases.heads["1.2.6"],
                  pins=[cases.pin])
    gone, uncovered = "ok excepted", "incomplete excepted, uncovered"
    gap = "failed missing", "failed missing, uncovered"
    one, mark, two = ["delete", 3, 3], ["delete", 19, 19], ["delete", 19, 20]
    for name, text in (("", "missing 1.0.2: known"), (" with its name", "missing payments 1.0.2: known"),
                       (" until a day to come", "\tmissing \t1.0.2 until 9999-12-31 : known\r")):
        excepted("gap excepted" + name, "kind and positions are these", gone, uncovered, [text], "VP", one)
    excepted("gap of another position excepted", "positions are exact", *gap, ["missing 1.0.3: known"], "", one)
    excepted("longer gap excepted", "positions are exact", *gap, ["missing 1.0.2 to 1.0.3: known"], "", one)
    excepted("gap of another log excepted", "the name is another one", *gap, ["missing other 1.0.2: known"], "", one)
    excepted("gap excepted until yesterday", "the last day is over", *gap, ["missing 1.0.2 until 2020-02-02: known"], "", one)
    excepted("gap of three excepted", "one gap is one finding", gone, uncovered, ["# a copy was lost", "", "missing 1.0.2 to 1.0.4: known"],
             "VP", ["delete", 3, 5])
    excepted("two gaps, one excepted", "each gap is one finding", "failed excepted, missing", "failed excepted, missing, uncovered",
             ["missing 1.0.2: known"], "VP", ["delete", 5, 5], one)
    excepted("gap without an end excepted", "nobody knows how many lines the epoch had", gone, uncovered, ["missing 1.0.18 to 1.0.*: known"],
             "VP", mark)
    excepted("gap without an end, its first line excepted", "it is more than that line", *gap, ["missing 1.0.18: known"], "", mark)
    excepted("epochs in a row excepted", "the second is wholly absent", gone, uncovered, ["missing 1.0.18 to 1.1.*: known"], "VP", two)
    excepted("epochs in a row, the first excepted", "they are one gap", *gap, ["missing 1.0.18 to 1.0.*: known"], "", two)
    whole("end excepted", "head and pin count one line more", gone, uncovered, ["truncated 1.2.5: known"], "VP", ["delete", 26, 26])
    whole("end of three excepted", "head and pin count three lines more", gone, uncovered, ["truncated 1.2.3 to 1.2.5: known"], "VP",
          ["delete", 24, 26])
    excepted("end of three, a gap of them excepted", "it is no gap", "failed truncated", "failed truncated, uncovered",
             ["missing 1.2.3 to 1.2.5: known"], "", ["delete", 24, 26])
    excepted("end before a head at index 0 excepted", "nobody names a checkpoint's index", gone, "incomplete open end, uncovered",
             ["truncated 1.0.18 to 1.0.*: known"], "V", ["keep", 1, 18], head=cases.heads["1.1.0"], pins=[])
    changed = lines[1].replace(b"alice", b"mallory")
    altered = ["sub", 2, "alice", "mallory"]
    excepted("altered line excepted", "position and bytes are these", gone, "failed altered, uncovered",
             [f"altered 1.0.1 sha256:{check.H(changed).hex().upper()}: known"], "V", altered)
    excepted("altered line of other bytes excepted", "it was rewritten since", "failed altered", "failed altered, uncovered",
             [f"altered 1.0.1 sha256:{check.H(lines[1]).hex()}: known"], "", altered)
    excepted("altered line of another position excepted", "its seal claims this one", "failed altered", "failed altered, uncovered",
             [f"altered 1.0.2 sha256:{check.H(changed).hex()}: known"], "", altered)
    stray = ["insert", 5, "user=mallory"]
    excepted("unsealed line excepted", "its bytes are these", gone, "ok excepted", [f"unsealed sha256:{check.H(b'user=mallory').hex()}: known"],
             "VP", stray)
    excepted("another unsealed line excepted", "its bytes are others", "failed unsealed", "failed unsealed",
             [f"unsealed sha256:{check.H(b'user=mallor').hex()}: known"], "", stray)
    twice = ["copy", 3, 5, 6]
    excepted("duplicates excepted", "each position between is named", gone, gone, ["duplicate 1.0.1 to 1.0.9: known"], "VP", twice)
    excepted("duplicates, two of three excepted", "the third is not named", "failed duplicate, excepted", "failed duplicate, excepted",
             ["duplicate 1.0.2 to 1.0.3: known"], "VP", twice)
    excepted("order excepted", "the position of the line behind", gone, gone, ["reordered 1.0.2: known"], "VP", ["swap", 3, 4])
    excepted("order of the line before excepted", "the line behind is told", "failed reordered", "failed reordered",
             ["reordered 1.0.3: known"], "", ["swap", 3, 4])
    excepted("late start excepted", "the position of the first line", gone, gone, ["late start 1.2.0: known"], "VP", ["delete", 1, 20])
    cases.add("open end excepted", "section 9", "the position of the last line", gone, gone, {"base": "plain.log", "edit": [["keep", 1, 26]]},
              exceptions=["open end 1.2.5: known"], used=["VP"])
    excepted("open end of another line excepted", "the log went on", "incomplete open end", "incomplete open end", ["open end 1.2.4: known"],
             "", head=None, pins=[])
    blanked = redacted_line(V, lines[2])
    excepted("redacted line listed", "V checks r, P cannot", "ok redacted", "incomplete redacted", ["redacted 1.0.2: known"], "V",
             ["delete", 3, 3], ["insert", 3, as_text(blanked)])
    excepted("false redaction listed", "no exception makes it anything but failed", "failed redacted", "incomplete redacted",
             ["redacted 1.0.2: known"], "", ["delete", 3, 3], ["insert", 3, as_text(other_end(blanked))])


def chain_exceptions(cases):
    """Whole chains: exceptions, `--from` and `--to`, and what cannot be read."""
    whole = cases.whole
    def named(name, why, V, P, *edits, used=None, **more):
        whole(name, "section 9", why, V, P, *edits, used=None if used is None else used.split(","), **more)
    chain = ["delete", 27, 30]
    named("chain excepted", "a whole chain has a form of its own", "ok excepted", "incomplete excepted, missing", chain,
          exceptions=["missing 2.*: known"], used="VP")
    named("chain, its first line excepted", "it is more than that line", "failed missing", "failed missing", chain,
          exceptions=["missing 2.0.0: known"], used="")
    named("chain, a row of two excepted", "a prev passes over the second", "failed missing", "failed missing", chain,
          exceptions=["missing 2.* to 3.*: known"], used="")
    named("unclean end excepted", "with V it is a note already", "ok unclean end", "incomplete excepted, missing, uncovered",
          exceptions=["unclean end 2.0.3: known"], used="P")
    named("to the first chain", "newer ones are elsewhere, and so are their head and prevs", "ok", "ok", ["keep", 1, 26], to=1)
    named("to the first chain, which is not whole", "that chain is judged", "failed missing", "failed missing, uncovered",
          ["keep", 1, 26], ["delete", 3, 3], to=1)
    named("to a chain that broke off", "no prev names its end", "incomplete open end", "incomplete open end, uncovered", ["keep", 1, 30], to=2)
    named("to a chain that a prev names", "the crash is known", "ok unclean end", "incomplete unclean end, uncovered", to=2)
    named("to the first chain, a gap in a newer one", "what is absent behind it is not judged", "ok", "incomplete uncovered",
          ["delete", 28, 28], to=1)
    named("to the first chain, an altered line in a newer one", "each line is judged by itself, with P by its epoch", "failed altered", "incomplete uncovered",
          ["sub", 28, as_text(cases.lines[27][:4]), "xxxx"], to=1)
    named("to a chain that is not here", "the caller names it", "failed missing, open end", "failed missing, open end, uncovered",
          ["keep", 1, 30], to=3)
    named("from and to one chain", "older and newer ones are elsewhere", "ok", "ok", ["keep", 31, 33], start=4, to=4)
    gap = {"app.log": {"base": "plain.log", "edit": [["delete", 3, 3]]}}
    for name, why, V, P, there in (
            ("gap beside what cannot be read", "it may stand there", "incomplete missing", "incomplete missing", True),
            ("gap beside a name at which nothing is", "it cannot stand there", "failed missing", "failed missing", False)):
        cases.add(name, "section 9", why, V + ", unclean end, unreadable", P + ", unclean end, uncovered, unreadable", gap,
                  head=cases.whole_head, unread={"b.log": there})
    cases.add("nothing but a name at which nothing is", "section 9", "it may be the wrong name", "incomplete truncated, unreadable",
              "incomplete unreadable", {}, head=cases.whole_head, unread={"b.log": False})
    cases.add("altered line beside what cannot be read", "section 9", "nothing else becomes less grave",
              "failed altered, unclean end, unreadable", "failed altered, missing, unclean end, uncovered, unreadable",
              {"app.log": {"base": "plain.log", "edit": [["sub", 2, "alice", "mallory"]]}}, head=cases.whole_head,
              unread={"b.log": True})


def defects():
    cases = Cases()
    line_defects(cases.chain1, cases.lines)
    json_defects(cases)
    set_defects(cases)
    notice_defects(cases)
    past_defects(cases)
    predecessor_defects(cases)
    kin_defects(cases)
    chain_defects(cases)
    exception_defects(cases)
    chain_exceptions(cases)
    return {"about": ABOUT_DEFECTS, "refused": REFUSED, "cases": cases.cases}


def run_case(case, key_text, public_text):
    """What check.py says differently than the case expects."""
    files = {name: edited(log) for name, log in case["log"].items()}
    wrong = []
    for with_what in case["with"]:
        keys = {"key_text": key_text, "head_text": case["head"]} if with_what == "V" else {"public_text": public_text}
        exceptions = "\n".join(case["exceptions"]) if "exceptions" in case else None
        result = check.verify(files, pins=case["pins"], start=case["start"], end=case.get("to"), exceptions=exceptions,
                              unread=case.get("unread"), **keys)
        got = [result["verdict"], sorted({x["kind"] for x in result["findings"]}), result["exceptions"]]
        want = [case["expect"].get(what + with_what, []) for what in ("verdict_", "kinds_", "used_")]
        wrong += [] if got == want else [f"{case['name']} with {with_what}: {got}, not {want}"]
    return wrong


# ---- evidence -------------------------------------------------------------------------------------------------------

ABOUT_EVIDENCE = [
    "Each case is an evidence file (section 10) and what must be said of it; a refused one holds one defect. evidence: a",
    "string is its UTF-8 bytes, {hex: …} is bytes. P: the public key of keys.json; opens are the further lines of the",
    "public file. V: the verification key of keys.json. For what holds, position and text (null: redacted) are given."]


def leaf_of(line, control=False):
    seal, m = check.as_bytes(line)
    return seal.leaf or H(b"\x00" + seal.tag + H((b"\x03" if control else b"\x02") + m))


def statement_in(line):
    return check.read_statement(check.as_bytes(line)[1])


def evidence(lines, position, shown=None, opens=()):
    """Section 10: evidence of the line at a position of a log; shown: in its place, a line with the same leaf."""
    chain, epoch, index = position
    mine = [line for line in lines if check.as_bytes(line)[0].pos[:2] == (chain, epoch)]
    control = [statement_in(line) for line in mine[:-1]]
    leaves = [leaf_of(line, control=bool(st) and st.pos == (chain, epoch, i)) for i, (line, st) in enumerate(zip(mine, control))]
    proof = "".join(" " + b64(node) for node in inclusion_path(leaves, index))
    parts = [b"tallystick/v1 evidence", *opens, statement_in(mine[-1]).text, b"proof" + proof.encode(),
             b"line " + (shown or mine[index])]
    return b"".join(part + b"\n" for part in parts)


class EvidenceCases:
    def __init__(self):
        self.cases = []

    def add(self, name, why, data, verdicts, opens=(), position=None, text=None):
        """verdicts: with P, and with V."""
        try:
            shown = data.decode()
        except UnicodeDecodeError:
            shown = {"hex": data.hex()}
        verdict_P, verdict_V = verdicts if isinstance(verdicts, tuple) else (verdicts, verdicts)
        case = {"name": name, "why": why, "evidence": shown, "opens": list(opens), "verdict_P": verdict_P,
                "verdict_V": verdict_V}
        self.cases.append({**case, "position": position, "text": text} if "ok" in (verdict_P, verdict_V) else case)


def good_evidence(cases, plain, in_json, old):
    def text(line):
        return check.as_bytes(line)[1].decode("utf-8", "backslashreplace")
    places = ((21, (1, 2, 1)), (0, (1, 0, 0)), (1, (1, 0, 1)), (2, (1, 0, 2)), (7, (1, 0, 7)), (8, (1, 0, 8)), (17, (1, 0, 17)))
    for form, lines in (("plain", plain), ("JSON", in_json)):
        for at, position in places:
            cases.add(f"{form} {dotted(position)}", "it holds", evidence(lines, position), "ok",
                      position=dotted(position), text=text(lines[at]))
    for form in ("notices", "notices-json"):
        lines = sealed(inputs()["logs"][form + ".log"]).lines
        for at, position in ((2, (1, 0, 2)), (3, (1, 0, 3)), (6, (1, 1, 0)), (7, (1, 1, 1)), (10, (2, 0, 1))):
            cases.add(f"{form} {dotted(position)}", "it holds", evidence(lines, position), "ok", position=dotted(position),
                      text=text(lines[at]))
    redacted = redacted_line(V, plain[1])
    cases.add("redacted", "its leaf is covered", evidence(plain, (1, 0, 1), redacted), "ok", position="1.0.1")
    redacted = redacted_line(V, plain[8])
    cases.add("redacted, JSON form", "its leaf is covered", evidence(plain, (1, 0, 8), redacted), "ok",
              position="1.0.8")
    cases.add("redacted by a stranger", "r is made with V", evidence(plain, (1, 0, 1), other_end(redacted_line(V, plain[1]))),
              ("ok", "failed"), position="1.0.1")
    opening = statement_in(old[0]).text
    cases.add("generation 1", "an open of generation 0 leads to it", evidence(old, (257, 0, 1), opens=[opening]), "ok",
              position="257.0.1", text="one line")
    cases.add("generation 1, public file", "the open may come from there", evidence(old, (257, 0, 1)),
              ("ok", "incomplete"), opens=[opening.decode()], position="257.0.1", text="one line")
    cases.add("generation 1, open twice", "known already, and the same", evidence(old, (257, 0, 1), opens=[opening]),
              "ok", opens=[opening.decode()], position="257.0.1", text="one line")
    heartbeat = Sealer(V, S, NAME)
    heartbeat.open(T)
    heartbeat.checkpoint("closed", T)
    cases.add("an epoch of one line", "no hash is needed", evidence(heartbeat.lines, (1, 0, 0)), "ok", position="1.0.0",
              text=text(heartbeat.lines[0]))


def other_end(data):
    """Another last letter, such that no spare bit is set."""
    return data[:-1] + (b"A" if data[-1:] != b"A" else b"Q")


def bad_evidence(cases, plain, old):
    good, at = evidence(plain, (1, 2, 1)), (1, 2, 1)
    proof = good.split(b"\nproof ")[1].split(b"\n")[0].split(b" ")
    opening, late = statement_in(old[0]).text, evidence(old, (257, 0, 1))

    def sub(name, why, a, b, data=good, verdict="failed"):
        if data.count(a) != 1:
            raise ValueError(f"{a!r} is not there once")
        cases.add(name, why, data.replace(a, b), verdict)
    sub("text", "the leaf covers m", b"second epoch entry 1", b"second epoch entry 2")
    sub("tag", "the leaf covers t", plain[21][-22:], other_end(plain[21][-22:]))
    sub("index", "another leaf is covered there", b".1.2.1.20.", b".1.2.2.20.")
    sub("index of the checkpoint", "only indices below n are covered", b".1.2.1.20.", b".1.2.5.20.")
    sub("epoch", "another epoch than the checkpoint's", b".1.2.1.20.", b".1.1.1.20.")
    sub("chain", "another chain than the checkpoint's", b".1.2.1.20.", b".2.2.1.20.")
    sub("length", "m and seal written again differ", b".1.2.1.20.", b".1.2.1.19.")
    sub("log id of the line", "another log than the checkpoint's", b"tally=oedhcsck", b"tally=oedhcscl")
    sub("prefix", "nothing may stand before m", b"\nline ", b"\nline host ")
    sub("CR", "nothing may stand behind the seal", plain[21], plain[21] + b"\r")
    sub("claimed time", "the signature covers it", b" 1795401650003 ", b" 1795401650004 ")
    sub("n", "the signature covers it", b" 1 2 5 ", b" 1 2 6 ")
    sub("name", "it is another log's", b"checkpoint payments", b"checkpoint payment5")
    sub("word", "no such ending", b" closed ", b" opened ")
    sub("hash", "the proof leads elsewhere", proof[0], other_end(proof[0]))
    sub("hash dropped", "index and n ask for three", b" " + proof[2], b"")
    sub("hash added", "index and n ask for three", b" " + proof[2], (b" " + proof[2]) * 2)
    sub("hashes swapped", "they go from the leaf up", b" ".join(proof[:2]), b" ".join(proof[1::-1]))
    sub("spare bits", "b64 with a spare bit set", proof[0], proof[0][:-1] + bytes([proof[0][-1] + 1]))
    sub("two blanks", "one blank before each hash", b"proof ", b"proof  ")
    sub("CR LF", "lines end in LF", b"\nline", b"\r\nline")
    sub("no proof", "its line has another word", b"\nproof ", b"\npath ")
    cases.add("no last LF", "every line ends in one", good[:-1], "failed")
    cases.add("a line more", "nothing stands behind", good + b"\n", "failed")
    cases.add("cut off", "the line is lacking", good[:good.index(b"line ")], "failed")
    cases.add("no checkpoint", "nothing is signed", b"".join(x + b"\n" for i, x in enumerate(good[:-1].split(b"\n")) if i != 1),
              "failed")
    cases.add("an open in the checkpoint's place", "it covers no line",
              good.replace(statement_in(plain[25]).text, statement_in(plain[0]).text), "failed")
    cases.add("redacted open", "control lines are never redacted",
              evidence(plain, (1, 0, 0), redacted_line(V, plain[0], b"\x03")), "failed")
    cases.add("an open of its own generation", "only older ones lead to it", evidence(plain, at, opens=[opening]), "failed")
    cases.add("generation 1, open lacking", "its chain root is not known", late, "incomplete")
    cases.add("generation 1, another signature", "the open is not signed",
              evidence(old, (257, 0, 1), opens=[other_end(opening)]), "failed")
    cases.add("generation 1, checkpoint as open", "only an open may stand there",
              evidence(old, (257, 0, 1), opens=[statement_in(old[2]).text]), "failed")
    cases.add("generation 1, open twice in the file", "one of each generation",
              evidence(old, (257, 0, 1), opens=[opening, opening]), "failed")
    forger = Sealer(V, bytes(32), NAME)
    forger.P, forger.log_id = chain_root(S, 0), check.Key(chain_root(S, 0), NAME).log_id
    forger.open(T)
    forger.entry(b"forged")
    forger.checkpoint("closed", T)
    cases.add("forged", "signed with other keys, tagged with V", evidence(forger.lines, (1, 0, 1)), "failed")
    other = Sealer(V, bytes(32), NAME)
    other.open(T)
    other.entry(b"another log")
    other.checkpoint("closed", T)
    cases.add("another log", "the key is not its key", evidence(other.lines, (1, 0, 1)), "incomplete")
    entry_first = Sealer(V, S, NAME)
    entry_first.open(T)
    entry_first.lines, entry_first.leaves, entry_first.index = [], [], 0
    entry_first.key = entry_key(V, 1, 0, 0)
    entry_first.entry(b"no open")
    entry_first.checkpoint("closed", T)
    cases.add("an entry where the open stands", "a chain begins with its open",
              evidence_of_entry(entry_first.lines), "failed")
    twisted = Sealer(V, S, NAME)
    twisted.open(T)
    twisted.line(statement_in(twisted.lines[0]).text, b"\x03")
    twisted.checkpoint("closed", T)
    cases.add("a control line's l elsewhere", "lines but the first are entries",
              evidence_of_control(twisted.lines), "failed")


def evidence_of_entry(lines):
    """Evidence of an entry at index 0, in a tree of one leaf."""
    return b"".join(part + b"\n" for part in (b"tallystick/v1 evidence", statement_in(lines[1]).text, b"proof",
                                             b"line " + lines[0]))


def evidence_of_control(lines):
    """Evidence of the second line, whose leaf is that of a control line."""
    proof = b64(leaf_of(lines[0], control=True)).encode()
    return b"".join(part + b"\n" for part in (b"tallystick/v1 evidence", statement_in(lines[2]).text, b"proof " + proof,
                                             b"line " + lines[1]))


def evidence_cases():
    cases, logs = EvidenceCases(), {name: sealed(log) for name, log in inputs()["logs"].items()}
    old = [line for line in logs["generation.log"].lines if check.as_bytes(line)[0].pos[0] in (256, 257)]
    good_evidence(cases, logs["plain.log"].lines, logs["json.log"].lines, old)
    bad_evidence(cases, logs["plain.log"].lines, old)
    return {"about": ABOUT_EVIDENCE, "cases": cases.cases}


def run_evidence(case, key_text, public_text):
    """What check.py says differently than the case expects."""
    wrong, data = [], as_line(case["evidence"])
    public_file = "\n".join([public_text, *case["opens"]])
    for with_what, keys in (("P", {"public_text": public_file}), ("V", {"key_text": key_text})):
        got = check.check_evidence(data, **keys)
        if got["verdict"] != case["verdict_" + with_what]:
            wrong.append(f"evidence {case['name']} with {with_what}: {got}")
        elif got["verdict"] == "ok" and (got["position"], got["text"]) != (case["position"], case["text"]):
            wrong.append(f"evidence {case['name']} shows {got}")
    return wrong


# ---- signatures -----------------------------------------------------------------------------------------------------

ABOUT_SIGNATURES = [
    "Section 2: Ed25519 as every verifier must read it. key, message and signature in hex; holds: what must be said of it.",
    "Of each refused one with a weak key or R, S*B = R + k*A holds for the points that its bytes decode to: a verifier",
    "that only solves the equation takes it."]

FIELD, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, FIELD) % FIELD
ROOT = pow(2, (FIELD - 1) // 4, FIELD)  # of -1


def point_of(encoding):
    """The point that bytes decode to, however they write it; None: they decode to none."""
    sign, y = divmod(int.from_bytes(encoding, "little"), 2**255)
    square = (y * y - 1) * pow(D * y * y + 1, -1, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    x = x if x * x % FIELD == square else x * ROOT % FIELD
    return None if x * x % FIELD != square else ((FIELD - x) % FIELD if x % 2 != sign else x, y % FIELD)


def encoding_of(point, y=None, sign=None):
    y, sign = point[1] if y is None else y, point[0] % 2 if sign is None else sign
    return (y + (sign << 255)).to_bytes(32, "little")


@lru_cache(maxsize=None)  # the same points are doubled again and again
def plus(a, b):
    (x1, y1), (x2, y2) = a, b
    d = D * x1 * x2 * y1 * y2 % FIELD
    inverse = pow(1 - d * d, -1, FIELD)  # of 1 + d and of 1 - d at once
    return (x1 * y2 + x2 * y1) * inverse * (1 - d) % FIELD, (y1 * y2 + x1 * x2) * inverse * (1 + d) % FIELD


def times(count, point):
    out = (0, 1)
    while count:
        out, point, count = plus(out, point) if count & 1 else out, plus(point, point), count >> 1
    return out


def small_order():
    """The 14 encodings of the 8 points whose order divides 8: name -> bytes."""
    base, found = point_of((4 * pow(5, -1, FIELD) % FIELD).to_bytes(32, "little")), {}
    y = 2
    while times(4, torsion := times(ORDER, point_of(y.to_bytes(32, "little")) or base)) == (0, 1):
        y += 1
    for i in range(8):
        point = times(i, torsion)
        order = next(n for n in (1, 2, 4, 8) if times(n, point) == (0, 1))
        for high in (0, FIELD) if point[1] + FIELD < 2**255 else (0,):
            for sign in (0, 1) if point[0] == 0 else (point[0] % 2,):
                plain = not high and sign == point[0] % 2
                encoding = encoding_of(point, point[1] + high, sign)
                found[f"order {order}, {encoding[:2].hex()}…{encoding[-1:].hex()}"] = plain, encoding
    return found


def challenge(R, A, message):
    return int.from_bytes(hashlib.sha512(R + A + message).digest(), "little") % ORDER


def solved(make, right):
    """The first message for which the equation holds: it depends on k modulo 8 only."""
    return next((m, sig) for m in (b"message %d" % i for i in range(500)) for sig in [make(m)] if right(m, sig))


@lru_cache(maxsize=None)
def signature_cases():
    base, cases = point_of((4 * pow(5, -1, FIELD) % FIELD).to_bytes(32, "little")), []

    def add(name, key, message, signature, holds):
        cases.append({"name": name, "key": key.hex(), "message": message.hex(), "signature": signature.hex(),
                      "holds": holds})

    def equal(A, factor=1):
        def right(message, signature):
            R, s = signature[:32], int.from_bytes(signature[32:], "little")
            other = plus(point_of(R), times(challenge(R, A, message), point_of(A)))
            return times(factor, times(s, base)) == times(factor, other)
        return right

    def forged(a, A, R, r):
        return lambda message: R + ((r + challenge(R, A, message) * a) % ORDER).to_bytes(32, "little")

    a, r = 1234567, 7654321
    R = encoding_of(times(r, base))
    seed = bytes(range(32))
    good = signer(seed).sign(b"a message")
    add("as it should be", public_of(seed), b"a message", good, True)
    add("another message", public_of(seed), b"A message", good, False)
    raised = good[:32] + (int.from_bytes(good[32:], "little") + ORDER).to_bytes(32, "little")
    add("S + L", public_of(seed), b"a message", raised, False)
    small = small_order()
    eighth = next(point_of(x) for name, (plain, x) in small.items() if plain and name.startswith("order 8"))
    mixed = encoding_of(plus(times(a, base), eighth))
    add("key with a part of small order, k a multiple of 8", mixed, *solved(forged(a, mixed, R, r), equal(mixed)), True)
    add("only 8 times the equation holds", mixed,
        *solved(forged(a, mixed, R, r), lambda m, s: equal(mixed, 8)(m, s) and not equal(mixed)(m, s)), False)
    for name, (_, weak) in small.items():
        add(f"key of {name}", weak, *solved(forged(0, weak, R, r), equal(weak)), False)
    for name, (_, weak) in small.items():
        add(f"R of {name}", mixed, *solved(forged(a, mixed, weak, 0), equal(mixed)), False)
    if [plain for plain, _ in small.values()].count(True) != 8 or len(small) != 14:
        raise ValueError("there are 14 encodings, 8 of them canonical")
    return {"about": ABOUT_SIGNATURES, "cases": cases}


def run_signature(case):
    key, message, signature = (bytes.fromhex(case[part]) for part in ("key", "message", "signature"))
    right = check.signed(key, signature, message) == case["holds"]
    return [] if right else [f"signature {case['name']}: check.py says {not case['holds']}"]


# ---- command line ---------------------------------------------------------------------------------------------------

def witness_script(name="witnesses"):
    """A script beside this one, which takes from this one."""
    sys.path[:0] = [str(HERE)]
    try:
        return importlib.import_module(name)
    finally:
        del sys.path[0]


# ---- section 12 -----------------------------------------------------------------------------------------------------

def partial_cases():
    """Partial results of no inputs: what holds, and one defect each of what does not."""
    V = bytes.fromhex(inputs()["V"])
    narrowed = [(chain, derive(chain_link(V, chain), "chain")) for chain in (2, 3)]
    header = json.dumps({"program": "vectors", "logs": [], "weakened": [], "context": "0" * 64, "paths": ["audit.log"],
                         "time": T, "inputs": []}, separators=(",", ":")).encode()
    content = len(header).to_bytes(4, "big") + header
    # A zstd frame of one raw block: magic, one segment with its size in one byte, the block's header, its bytes.
    assert len(content) < 256
    block = (len(content) << 3 | 1).to_bytes(3, "little")
    body = b"\x28\xb5\x2f\xfd" + bytes([0x20, len(content)]) + block + content
    def file(vouching, body=body, version=2, label="partial", log=0):
        begin = b"tallypart" + bytes([version]) + len(vouching).to_bytes(2, "big")
        names = [log.to_bytes(4, "big") + chain.to_bytes(4, "big") for chain, _ in vouching]
        covered = H(begin + b"".join(names) + body)
        macs = [mac(derive(secret, label), covered) for _, secret in vouching]
        return begin + b"".join(name + one for name, one in zip(names, macs)) + body
    whole = [(0, V)]
    good, cases = file(whole), []
    def case(name, data, key, why=None):
        cases.append({"name": name, "key": key, "why": why, "hex": data.hex()})
    case("made with V", good, "verification_key")
    case("made with a narrowed key", file(narrowed), "narrowed_2_3")
    case("made with P alone", file([]), "public_key")
    case("made with P alone, read with V", file([]), "verification_key", "other keys")
    case("made with V, read with P alone", good, "public_key", "other keys")
    case("made with V, read with a narrowed key", good, "narrowed_2_3", "other keys")
    case("made with a narrowed key, read with V", file(narrowed), "verification_key")
    case("made with C of one chain, read with those of two", file(narrowed[1:]), "narrowed_2_3")
    case("made with C of a chain that the reader has not", file([(4, derive(chain_link(V, 4), "chain"))]),
         "narrowed_2_3", "other keys")
    case("one chain twice", file(narrowed[:1] * 2), "verification_key", "other keys")
    case("of another log", file(whole, log=1), "verification_key", "other keys")
    case("one bit of the header is another one", good[:-20] + bytes([good[-20] ^ 1]) + good[-19:], "verification_key",
         "changed or cut")
    case("one bit of the HMAC is another one", good[:20] + bytes([good[20] ^ 1]) + good[21:], "verification_key",
         "changed or cut")
    case("the HMAC of what is remembered", file(whole, label="memory"), "verification_key", "changed or cut")
    two = file(narrowed)
    case("the HMACs of two chains, exchanged", two[:20] + two[60:92] + two[52:60] + two[20:52] + two[92:],
         "narrowed_2_3", "changed or cut")
    case("one of two HMACs left out", two[:11] + b"\1" + two[12:52] + two[92:], "verification_key", "changed or cut")
    case("cut off among its HMACs", two[:60], "verification_key", "changed or cut")
    case("cut off", good[:-1], "verification_key", "changed or cut")
    case("something after its end", good + b"\0", "verification_key", "changed or cut")
    case("more HMACs than keys", good[:10] + (2).to_bytes(2, "big") + good[12:], "verification_key", "other keys")
    case("another version", file(whole, version=3), "verification_key", "another version")
    case("not compressed", file(whole, body=content), "verification_key", "another form")
    case("only its first word", good[:9], "verification_key", "no partial result")
    case("a log", b"user=7 action=login\n", "verification_key", "no partial result")
    about = ["Partial results (seal.md section 12). Each case is a file in hex, read with one of the keys of keys.json.",
             "why: null where it holds, else what a reader must notice first."]
    return {"about": about, "cases": cases}


def run_partial(case, texts):
    key = texts[case["key"]]
    key, _ = check.read_keys(*((None, key) if case["key"] == "public_key" else (key, None)))
    why = check.check_partial(bytes.fromhex(case["hex"]), key)
    return [] if why == case["why"] else [f"partial result, {case['name']}: {why}"]


def new_files():
    """The files that are ours to write: name -> bytes. One case a line keeps the defects small."""
    witnesses, receipted = witness_script(), witness_script("receipted")
    def text(found):
        rows = [json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in found["cases"]]
        about = json.dumps(found["about"], indent=1)
        refused = f'"refused": {json.dumps(found["refused"])},\n' if "refused" in found else ""
        return ('{"about": ' + about + ',\n' + refused + '"cases": [\n' + ",\n".join(rows) + "\n]}\n").encode()
    return {"inputs.json": as_json(inputs()) + b"\n", "defects.json": text(defects()),
            "evidence.json": text(evidence_cases()), "partial.json": text(partial_cases()),
            "signatures.json": text(signature_cases()),
            "witnesses.json": witnesses.text_of(witnesses.witness_cases()),
            "receipts.json": witnesses.text_of(receipted.receipt_cases())}


def run_check():
    """Vectors made anew against those on disk, then every defect. 0: all is as it should be."""
    wrong, texts = [], json.loads((HERE / "keys.json").read_bytes())["text"]
    for name, data in {**known_answers(), **new_files()}.items():
        if not (HERE / name).is_file() or (HERE / name).read_bytes() != data:
            wrong.append(f"{name} is not what is made from its inputs")
    cases = defects()["cases"]
    for case in cases:
        wrong += run_case(case, texts["verification_key"], texts["public_key"])
    for text in REFUSED:
        try:
            check.read_exceptions(text, NAME, "2026-01-01")
            wrong.append(f"check.py takes this for an exception: {text}")
        except check.Usage:
            pass
    proofs = evidence_cases()["cases"]
    for case in proofs:
        wrong += run_evidence(case, texts["verification_key"], texts["public_key"])
    witnesses = witness_script()
    witnessed = witnesses.witness_cases()
    for case in witnessed["cases"]:
        wrong += witnesses.run(case, check, texts["verification_key"], texts["public_key"], edited)
    for name, data in witnessed["refused"].items():
        try:
            check.verify({}, None, texts["public_key"], receipts=[data.encode()], witnesses=[witnessed["key"]])
            wrong.append(f"check.py takes this for a file of receipts: {name}")
        except check.Usage:
            pass
    partials = partial_cases()["cases"]
    for case in partials:
        wrong += run_partial(case, texts)
    receipted = witness_script("receipted")
    received = receipted.receipt_cases()
    for case in received["cases"]:
        wrong += receipted.run(case, check, texts["verification_key"], texts["public_key"])
    for text in received["usage"]:
        try:
            check.read_policy(text)
            wrong.append(f"check.py takes this for a policy: {text}")
        except check.Usage:
            pass
    signatures = signature_cases()["cases"]
    for case in signatures:
        wrong += run_signature(case)
    for name in ("plain", "json"):
        answers = json.loads((HERE / f"{name}.json").read_bytes())["heads"][-1]
        head = f"tallyhead oedhcsck {answers['text']} {b64(bytes.fromhex(answers['mac']))}"
        result = check.verify({name: (HERE / f"{name}.log").read_bytes()}, texts["verification_key"], head_text=head)
        wrong += [] if result["verdict"] == "ok" else [f"{name}.log is {result['verdict']}"]
    print(*wrong, f"{len(cases)} defects, {len(proofs)} evidence files, {len(signatures)} signatures, "
          f"{len(witnessed['cases'])} cases of witnesses, {len(received['cases'])} with receipts, "
          f"{len(wrong)} differences", sep="\n")
    return 5 if wrong else 0


def run_seal(options):
    """Seal standard input: in --chains pieces, with a checkpoint every --epoch-lines lines."""
    seed = bytes.fromhex(options.seed)
    sealer = Sealer(H(b"V" + seed), H(b"S" + seed), options.name, options.control)
    data = sys.stdin.buffer.read()
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    size = -(-len(lines) // options.chains)
    time, crashed = options.time, options.crash_after is not None and options.crash_after < len(lines)
    done = 0
    for i in range(options.chains):
        sealer.open(time)
        for m in lines[i * size:(i + 1) * size]:
            if crashed and done == options.crash_after:  # the head counts every line, `closed` is lacking
                sealer.keep_head()
                sealer.open(time)
            if sealer.index >= options.epoch_lines:
                sealer.checkpoint("continues", time)
            sealer.entry(m)
            done, time = done + 1, time + 1
        sealer.checkpoint("ended" if options.end and i == options.chains - 1 else "closed", time)
    sys.stdout.buffer.write(log_bytes(sealer))
    opens = [check.read_statement(check.as_bytes(line)[1]) for line in sealer.lines]
    opens = {(st.pos[0] - 1) // 256: st for st in reversed(opens) if st and st.kind == "open"}
    finished = [opens[g].text.decode() for g in range((sealer.chain - 1) // 256) if g in opens]
    outputs = ((options.key_out, [secret_text(sealer.P, options.name, [sealer.V])]),
               (options.public_out, [public_text(sealer.P, options.name), *finished]),
               (options.head_out, [sealer.head_text()]))
    for path, texts in outputs:
        if path:
            Path(path).write_text("".join(text + "\n" for text in texts))
    return 0


def main():
    parser = argparse.ArgumentParser(description="Make the test vectors, or seal lines for a test.")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    seal = parser.add_subparsers(dest="command").add_parser("seal")
    seal.add_argument("--name", required=True)
    seal.add_argument("--seed", required=True, metavar="HEX")
    seal.add_argument("--epoch-lines", type=int, default=4096, metavar="N")
    seal.add_argument("--control", choices=("plain", "json"), default="plain")
    seal.add_argument("--chains", type=int, default=1, metavar="K")
    seal.add_argument("--crash-after", type=int, metavar="N", help="after N lines the writer dies and opens again")
    seal.add_argument("--end", action="store_true", help="the last chain ends with `ended`")
    seal.add_argument("--time", type=int, default=T, metavar="MS")
    for option in ("key", "public", "head"):
        seal.add_argument(f"--{option}-out", metavar="FILE")
    options = parser.parse_args()
    if options.command == "seal":
        return run_seal(options)
    if options.write:
        for name, data in new_files().items():
            (HERE / name).write_bytes(data)
    return run_check()


if __name__ == "__main__":
    sys.exit(main())
