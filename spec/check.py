#!/usr/bin/env python3
"""Check a log sealed with Tallystick: the second implementation, written from seal.md alone.

One file, standard library and `cryptography` (Ed25519) only; it shares no code with the package. It holds everything in
memory and is slow: it is made to be read. Words are those of seal.md section 1; "section N" means seal.md.

    python spec/check.py PATH... [--key FILE] [--public FILE] [--head FILE] [--pin TEXT_OR_FILE]...
                         [--from CHAIN] [--json]

--key holds a `tallysecret1…` text (V, or a narrowed key), --public the public file, --head one `tallyhead …` line.
With V every line stands on its own, with P alone whole epochs do. Exit status: 0 ok, 3 incomplete, 5 failed, 2 usage,
4 input or output. Example, with the known answers beside this file (keys.json holds both texts):

    $ python spec/check.py spec/vectors/plain.log --key payments.key --head payments.head
    ok
    range 1.0.0 to 4.0.2, claimed times 1795401650000 to 1795401650006, start: set-up, end: head 4.0.3, ended
    note unclean end position 2.0.3: chain 2 has no closed: up to 1 s of lines may be lost

The same from Python: `verify({"app.log": bytes}, key_text=…, head_text=…)["verdict"] == "ok"`.
"""
import argparse
import base64
import hashlib
import hmac
import itertools
import json
import re
import sys
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

WEIGHTS = ("note", "incomplete", "failed")
CHAINS_WITHIN_REACH = 2**24  # walking the chain keys of V costs time; no honest log comes near
ZERO_HASH = bytes(32)


class Usage(Exception):
    """What the caller handed over is not a key, a public file, a pin: exit status 2."""


# ---- section 2: primitives ------------------------------------------------------------------------------------------

def H(data):
    return hashlib.sha256(data).digest()


def mac(key, data):
    return hmac.digest(key, data, "sha256")


def derive(key, label):
    """HKDF-Expand-SHA256 for 32 bytes is one HMAC, over info and the block number 1."""
    return mac(key, b"tallystick/v1 " + label.encode() + b"\x01")


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text, size):
    """Strict: encoding again must give the text, which refuses padding, other letters and non-zero spare bits."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return data if len(data) == size and b64(data) == text else None


def num(text, low, high):
    good = len(text) <= 16 and re.fullmatch("0|[1-9][0-9]*", text, re.ASCII)
    return int(text) if good and low <= int(text) <= high else None


def position(chain, epoch, index, first_chain=1):
    pos = (num(chain, first_chain, 2**32 - 1), num(epoch, 0, 255), num(index, 0, 65535))
    return None if None in pos else pos


def dotted(pos):
    return ".".join(map(str, pos))


def mth(leaves):
    """RFC 6962 section 2.1 over leaf hashes: join neighbours, carry an odd one up."""
    if not leaves:
        return H(b"")
    while len(leaves) > 1:
        joined = [H(b"\x01" + a + b) for a, b in zip(leaves[::2], leaves[1::2])]
        leaves = joined + leaves[len(joined) * 2:]
    return leaves[0]


def root_of_path(leaf_data, index, path):
    """Root of a tree of 256 leaves, from one leaf and its 8 neighbours joined."""
    node = H(b"\x00" + leaf_data)
    for level in range(8):
        other = path[32 * level:32 * level + 32]
        node = H(b"\x01" + other + node) if index >> level & 1 else H(b"\x01" + node + other)
    return node


@lru_cache(maxsize=4096)
def signed(public, signature, text):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
        return True
    except (InvalidSignature, ValueError):
        return False


# ---- section 3: keys ------------------------------------------------------------------------------------------------

def unbech32m(text, kind):
    """BIP 350 without the length limit -> the bytes, or Usage."""
    letters, low = "qpzry9x8gf2tvdw0s3jn54khce6mua7l", text.lower()
    hrp, _, data = low.rpartition("1")
    if text not in (low, text.upper()) or hrp != kind or len(data) < 6 or set(data) - set(letters):
        raise Usage(f"this is no {kind} text")
    values, check = [letters.index(letter) for letter in data], 1
    for value in [ord(x) >> 5 for x in hrp] + [0] + [ord(x) & 31 for x in hrp] + values:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for i, factor in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= factor if top >> i & 1 else 0
    out, held, bits = bytearray(), 0, 0
    for value in values[:-6]:
        held, bits = (held << 5 | value) & 0xFFF, bits + 5
        if bits >= 8:
            bits -= 8
            out.append(held >> bits & 255)
    if check != 0x2BC830A3 or bits >= 5 or held & ((1 << bits) - 1):
        raise Usage(f"this {kind} text was damaged")
    return bytes(out)


@dataclass
class Key:
    """What a text form holds. first, last: the chains that it can judge. keys: V or C[first] …; None with P only."""
    P: bytes
    name: str
    first: int = 1
    last: int = 2**32 - 1
    narrowed: bool = False
    keys: tuple = None

    def __post_init__(self):
        self.log_id = base64.b32encode(self.P).decode().lower()[:8]
        self.marks = []  # A[1], A[257], A[513], …: so that no stretch is walked twice
        self.last_used = {}  # (chain, epoch) -> (index, K[index]): lines come sorted, so each step is walked once
        self.chain_key = lru_cache(maxsize=4096)(self.walk_chains)

    def covers(self, chain):
        return self.first <= chain <= self.last

    def within_reach(self, chain):
        return self.covers(chain) and (self.narrowed or chain <= CHAINS_WITHIN_REACH)

    def walk_chains(self, chain):
        """C[chain]."""
        if self.narrowed:
            return self.keys[chain - self.first]
        block, rest = divmod(chain - 1, 256)
        while len(self.marks) <= block:
            link = self.marks[-1] if self.marks else derive(self.keys[0], "chains")
            for _ in range(256 if self.marks else 0):
                link = derive(link, "next")
            self.marks.append(link)
        link = self.marks[block]
        for _ in range(rest):
            link = derive(link, "next")
        return derive(link, "chain")

    def entry_key(self, chain, epoch, index):
        """K[index] of an epoch."""
        at, key = self.last_used.get((chain, epoch), (index + 1, None))
        if at > index:
            key, at = derive(self.chain_key(chain), "epochs"), 0
            for _ in range(epoch):
                key = derive(key, "next")
            key = derive(key, "entry")
        for _ in range(index - at):
            key = H(key)
        self.last_used[chain, epoch] = index, key
        return key

    def head_mac(self, pos, text):
        """mac of a head (section 6); None where this key cannot make it."""
        if pos[0] == 0:
            return None if self.narrowed else mac(derive(self.keys[0], "head"), text.encode())
        return mac(derive(self.entry_key(*pos), "head"), text.encode()) if self.within_reach(pos[0]) else None


def read_name(raw):
    name = raw.decode("ascii", "replace")
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise Usage("the key text holds no valid name")
    return name


def read_public(text):
    """First line of a public file: tallypub1… = P || name."""
    data = unbech32m(text, "tallypub")
    return Key(data[:32], read_name(data[32:]))


def read_secret(text):
    """tallysecret1… = u8(scope) || P || u32be(first) || u32be(last) || keys || name."""
    data = unbech32m(text.strip(), "tallysecret")
    scope, first, last = data[:1], int.from_bytes(data[33:37], "big"), int.from_bytes(data[37:41], "big")
    count = 1 if scope == b"\x00" else last - first + 1
    whole = scope == b"\x00" and (first, last) == (1, 2**32 - 1)
    if not (whole or scope == b"\x01" and 1 <= first <= last) or len(data) < 41 + 32 * count + 1:
        raise Usage("the key text holds no valid scope")
    keys = tuple(data[41 + 32 * i:73 + 32 * i] for i in range(count))
    return Key(data[1:33], read_name(data[41 + 32 * count:]), first, last, not whole, keys)


# ---- section 4: lines -----------------------------------------------------------------------------------------------

SEAL = re.compile(rb"([a-z2-7]{8})\.(\d{1,10})\.(\d{1,3})\.(\d{1,5})\."
                  rb"(?:(\d{1,8})\.([\w-]{22})|~([\w-]{43})\.([\w-]{22}))", re.ASCII)
SEAL_INSIDE = re.compile(rb'tally(?:=|"[ \t]{0,9}:[ \t]{0,9}")' + SEAL.pattern, re.ASCII)


@dataclass
class Seal:
    log_id: str
    pos: tuple
    length: int = None
    tag: bytes = None
    leaf: bytes = None  # leaf and r: of a redacted line only
    r: bytes = None


def read_seal(match):
    """The text s of a seal, with every number in its range; else None: it is no seal."""
    log_id, chain, epoch, index, length, tag, leaf, r = (x and x.decode() for x in match.groups())
    pos = position(chain, epoch, index)
    if length is not None:
        seal = Seal(log_id, pos, num(length, 0, 2**24), unb64(tag, 16))
        return seal if None not in (pos, seal.length, seal.tag) else None
    seal = Seal(log_id, pos, leaf=unb64(leaf, 32), r=unb64(r, 16))
    return seal if None not in (pos, seal.leaf, seal.r) else None


def seal_line(m, s):
    """The line of m and the seal text s, as a writer makes it."""
    if m[:1] == b"{" and m[-1:] == b"}" and b'"tally"' not in m:
        return m[:-1] + (b"," if m[1:-1].strip(b" \t") else b"") + b'"tally":"' + s + b'"}'
    return m + b" tally=" + s if m else b"tally=" + s


def fits(seal, m):
    """The length must be right, and a redacted line has fixed words."""
    return len(m) == seal.length if seal.leaf is None else m in (b"[redacted]", b'{"redacted":true}')


def as_bytes(text):
    """The seal at the end of a line and the m before it; m None: writing both again does not give the line."""
    for mark, end in ((b"tally=", b""), (b'"tally":"', b'"}')):
        start = text.rfind(mark)
        s = text[start + len(mark):len(text) - len(end)]
        match = SEAL.fullmatch(s) if start >= 0 and text.endswith(end) else None
        seal = match and read_seal(match)
        if seal:
            rest = text[:start]
            m = rest[:-1] if not end else (rest[:-1] if rest.endswith(b",") else rest) + b"}"
            return seal, m if seal_line(m, s) == text and fits(seal, m) else None
    return None, None


class Number(str):
    """The token of a JSON number, unread: only its exact value counts."""


def exact(token):
    """(sign, digits, exponent) without superfluous zeros: equal iff the values are equal; -0 is 0. None: absurd."""
    sign, whole, part, power = re.fullmatch(r"(-?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d+))?", token, re.ASCII).groups("")
    digits = (whole + part).lstrip("0")
    if not digits:
        return "", "", 0
    short = digits.rstrip("0")
    if len(power.lstrip("+-0")) > 15:
        return None
    return sign, short, int(power or 0) - len(part) + len(digits) - len(short)


def jcs_number(token):
    """RFC 8785 section 3.2.2.3 (ECMAScript), refused unless the exact value stays the same."""
    value = exact(token)
    if value is None or len(value[1]) > 17:  # no double's shortest form has more than 17 digits
        raise ValueError("number out of range")
    sign, digits, power = exact(repr(float(token))) if abs(float(token)) < float("inf") else ("", "inf", 0)
    point = len(digits) + power  # the value is 0.digits * 10 ** point
    if not digits:
        out = "0"
    elif 0 <= power and point <= 21:
        out = digits + "0" * power
    elif 0 < point <= 21:
        out = digits[:point] + "." + digits[point:]
    elif -6 < point <= 0:
        out = "0." + "0" * -point + digits
    else:
        out = digits[0] + ("." + digits[1:] if digits[1:] else "") + f"e{point - 1:+d}"
    if (sign, digits, power) != value:
        raise ValueError("number is not exact")
    return sign + out


def jcs(value, depth=1):
    """RFC 8785 form of a parsed value."""
    if isinstance(value, Number):
        return jcs_number(value)
    if not isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    if depth > 64:
        raise ValueError("nesting")
    if isinstance(value, list):
        return "[" + ",".join(jcs(x, depth + 1) for x in value) + "]"
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join(jcs(n) + ":" + jcs(value[n], depth + 1) for n in names) + "}"


def unique(pairs):
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name twice")
    return dict(pairs)


def refuse(token):
    raise ValueError(token)


def as_rfc8785(text):
    """The seal in a JSON line and the RFC 8785 form of the rest: what a carrier may have written anew."""
    if not (text.lstrip(b" \t\r").startswith(b"{") and b"tally" in text):
        return None, None
    try:
        value = json.loads(text.decode(), object_pairs_hook=unique, parse_int=Number, parse_float=Number,
                           parse_constant=refuse)
        match = SEAL.fullmatch(str(value.pop("tally", "")).encode())
        seal = match and read_seal(match)
        m = jcs(value).encode()
    except (ValueError, RecursionError):
        return None, None
    good = seal and fits(seal, m) and b'"tally"' not in m  # else the writer had not put the seal inside
    return seal, m if good else None


@dataclass(eq=False)
class Line:
    """One line that is there: sealed by this log (pos), or broken (kind altered or unsealed)."""
    path: str
    no: int
    raw: bytes
    kind: str = "sealed"
    pos: tuple = None
    seal: Seal = None
    forms: dict = field(default_factory=dict)  # form name -> m
    leaves: dict = field(default_factory=dict)  # form name -> leaf hash
    form: str = None  # the form that matched
    paths: set = field(default_factory=set)  # files that hold this very line
    statement: object = None
    detail: str = ""


def read_line(path, no, raw, log_id):
    """Section 4, reading. None: no line at all."""
    text = raw.rstrip(b" \t\r")
    if not text.strip(b"\x00 \t\r"):
        return None
    line, found = Line(path, no, text), []
    for form, (seal, m) in (("bytes", as_bytes(text)), ("rfc8785", as_rfc8785(text))):
        if seal and seal.log_id == log_id and line.seal in (None, seal):
            line.seal, line.pos = seal, seal.pos
            if m is not None and m not in line.forms.values():
                line.forms[form] = m
        found += [seal] if seal else []
    if line.seal:
        line.kind, line.detail = ("sealed" if line.forms else "altered"), "prefix, length or form are not the writer's"
        return line
    inside = [x for x in map(read_seal, SEAL_INSIDE.finditer(text)) if x]
    known = [x for x in inside if x.log_id == log_id]
    if known:
        line.kind, line.pos, line.detail = "altered", known[-1].pos, "its seal is not at its end"
    elif found or inside:
        line.kind, line.detail = "foreign", "its log id is unknown"
    else:
        line.kind, line.detail = "unsealed", "no well-formed seal"
    return line


# ---- section 5: statements ------------------------------------------------------------------------------------------

@dataclass
class Statement:
    kind: str  # open, continues, closed, ended
    name: str
    log_id: str
    pos: tuple
    time: int
    cert: list
    text: bytes
    body: bytes  # what sig covers
    sig: bytes
    R: bytes = None
    prev: bytes = None  # of a checkpoint
    head: str = None  # of an open: the head it names …
    head_pos: tuple = None
    head_hash: bytes = None
    proof: bytes = None
    epoch_pk: bytes = None
    path: bytes = None
    proven: bool = False  # signature, paths and cert hold

    def __post_init__(self):
        self.hash = H(self.text)


def read_head(text):
    """<chain>.<epoch>.<index>.<hash> -> (pos, hash), or None. Index 0 of epoch 0 is the set-up head's alone."""
    parts = text.split(".")
    pos = position(*parts[:3], first_chain=0) if len(parts) == 4 else None
    digest = unb64(parts[3], 32) if pos else None
    setup = pos == (0, 0, 0) and digest == ZERO_HASH
    return (pos, digest) if digest and (setup or pos[0] > 0 and pos[1:] != (0, 0)) else None


def read_statement(m):
    """Section 5, the grammar alone. None: m is no statement."""
    text = m[15:-2] if m.startswith(b'{"tallystick":"') and m.endswith(b'"}') else m
    fields = text.decode("ascii", "replace").split(" ") if text.startswith(b"tallystick/v1 ") else []
    if (fields[1:2], len(fields)) not in ((["open"], 9), (["checkpoint"], 15)):
        return None
    is_open = fields[1] == "open"
    time = num(fields[5 if is_open else 9], 0, 2**53 - 1)
    pos = position(fields[4], "0", "0") if is_open else position(*fields[4:7])
    cert = fields[7 if is_open else 11].split(".")
    cert = [unb64(*x) for x in zip(cert, (32, 32, 32, 256, 64))] if len(cert) == 5 else [None]
    st = Statement("open" if is_open else fields[10], fields[2], fields[3], pos, time, cert, text,
                   text.rpartition(b" ")[0], unb64(fields[-1], 64))
    if is_open:
        st.head, _, proof = fields[6].rpartition(".")
        st.proof, named = unb64(proof, 16), read_head(st.head)
        st.head_pos, st.head_hash = named or (None, None)
        parts = [st.proof, named]
    else:
        st.R, st.prev, st.epoch_pk = unb64(fields[7], 32), unb64(fields[8], 32), unb64(fields[12], 32)
        st.path = unb64(fields[13], 256)
        parts = [st.R, st.prev, st.epoch_pk, st.path, st.kind in ("continues", "closed", "ended") or None]
    return None if None in (pos, time, st.sig, *cert, *parts) else st


def prove(st, key, roots):
    """Signatures, paths and cert -> '' when all hold, 'lacking' when the chain root is unknown, else what is wrong."""
    epoch_root, next_root, chain_pk, path, sig = st.cert
    if (st.name, st.log_id) != (key.name, key.log_id):
        return "name or log id are not the log's"
    chain, epoch = st.pos[:2]
    certified = f"tallystick/v1 chain {st.name} {st.log_id} {chain} {b64(epoch_root)} {b64(next_root)}".encode()
    if not signed(chain_pk, sig, certified):
        return "the cert's signature fails"
    if not signed(chain_pk if st.kind == "open" else st.epoch_pk, st.sig, st.body):
        return "the signature fails"
    if st.kind != "open" and root_of_path(st.epoch_pk, epoch, st.path) != epoch_root:
        return "the path of the epoch key fails"
    generation, index = divmod(chain - 1, 256)
    if generation not in roots:
        return "lacking"
    if root_of_path(chain_pk, index, path) != roots[generation]:
        return "the path of the chain key fails"
    if roots.setdefault(generation + 1, next_root) != next_root:  # the oldest statement is right
        return "it names another next chain root than an older statement"
    return ""


# ---- section 7: the log as one set ----------------------------------------------------------------------------------

@dataclass
class Log:
    key: Key
    roots: dict
    start: tuple = None
    rows: dict = field(default_factory=dict)  # path -> its lines in order
    open_files: set = field(default_factory=set)  # files that do not end in LF
    slots: dict = field(default_factory=dict)  # position -> different lines there; the first one counts
    claimed: set = field(default_factory=set)  # positions of broken lines: told already, so not told as missing
    ends: dict = field(default_factory=dict)  # (chain, epoch) -> checkpoint
    closed: dict = field(default_factory=dict)  # chain -> position of its closed or ended
    named: dict = field(default_factory=dict)  # chain -> furthest (epoch, index) that an authentic prev names
    prevs: dict = field(default_factory=dict)  # chain -> the chain that its authentic prev names
    passed: list = field(default_factory=list)  # (p, c): the open of c passes over the chains between
    lasts: dict = field(default_factory=dict)  # chain -> its last position
    unclean: set = field(default_factory=set)
    anchors: list = field(default_factory=list)
    verified: int = 0
    findings: list = field(default_factory=list)

    @property
    def has_V(self):
        return self.key.keys is not None

    def tell(self, kind, weight, detail, line=None, pos=None, count=1):
        pos = pos or (line and line.pos)
        self.findings.append({
            "kind": kind, "weight": weight, "path": line and line.path, "line": line and line.no,
            "position": pos and dotted(pos), "count": count, "detail": detail})

    def bad(self, line, detail, weight="failed"):
        self.claimed.add(line.pos)
        self.tell("bad statement", weight, detail, line)

    def statement(self, pos):
        return self.slots[pos][0].statement if pos in self.slots else None

    def trusted(self, st):
        return st is not None and (st.proven or self.has_V)

    def passes_over(self, chain):
        return any(p < chain < c for p, c in self.passed)


def learn_roots(log, lines):
    """A cert proves itself, wherever it stands: learn the chain roots first, oldest chain first."""
    found = [st for line in lines for st in map(read_statement, line.forms.values()) if st]
    for st in sorted(found, key=lambda st: st.pos):
        prove(st, log.key, log.roots)


def leaf_hash(line, m, control):
    t_and_l = line.seal.tag + H((b"\x03" if control else b"\x02") + m)
    return H(b"\x00" + t_and_l)


def take_redacted(log, line):
    """Section 4: r proves a redacted line to a holder of V; no list of positions can be given here."""
    good = True
    if log.has_V:
        want = mac(derive(log.key.entry_key(*line.pos), "redact"), line.seal.leaf)[:16]
        good = hmac.compare_digest(want, line.seal.r)
    line.leaves, line.form = {"bytes": line.seal.leaf}, "bytes"
    log.tell("redacted", "incomplete" if good else "failed", "not listed" if good else "r fails", line)
    if not good:
        line.kind = "redacted"
        log.claimed.add(line.pos)


def take_with_V(log, line):
    """One line on its own: its tag says whether it is an entry or a control line. Bytes first, then RFC 8785."""
    entry_key = log.key.entry_key(*line.pos)
    for form, m in line.forms.items():
        for control in (False, True):
            if hmac.compare_digest(mac(entry_key, H((b"\x03" if control else b"\x02") + m))[:16], line.seal.tag):
                line.form, line.leaves = form, {form: leaf_hash(line, m, control)}
                if form == "rfc8785":
                    log.tell("reserialized", "note", "matches in RFC 8785 form", line)
                if control:
                    take_statement(log, line, m)
                return
    line.kind, line.detail = "altered", "the tag fails"


def take_statement(log, line, m):
    st = read_statement(m)
    wrong = "no statement" if not st else "its position is not the seal's" if st.pos != line.pos else ""
    wrong = wrong or prove(st, log.key, log.roots)
    if wrong in ("", "lacking"):
        line.statement, st.proven = st, not wrong
    if wrong:
        log.bad(line, "the open of an older generation is lacking" if wrong == "lacking" else wrong,
                "incomplete" if wrong == "lacking" else "failed")


def take_with_P(log, line):
    """Only a statement proves itself; what merely looks like one is an entry."""
    for form, m in line.forms.items():
        st = read_statement(m)
        wrong = prove(st, log.key, log.roots) if st and st.pos == line.pos else "look-alike"
        if wrong in ("", "lacking") and line.statement is None:
            line.statement, line.form, st.proven = st, form, not wrong
            if wrong:
                log.bad(line, "the open of an older generation is lacking", "incomplete")
            if form == "rfc8785":
                log.tell("reserialized", "note", "matches in RFC 8785 form", line)
        line.leaves[form] = leaf_hash(line, m, wrong in ("", "lacking"))


def take_lines(log):
    """Judge each line as far as it can be judged alone, then put it into its slot."""
    lines = [line for rows in log.rows.values() for line in rows if line.kind == "sealed"]
    learn_roots(log, lines)
    for line in sorted(lines, key=lambda line: line.pos):
        if not log.key.covers(line.pos[0]):
            line.kind = "unjudged"
        elif log.has_V and not log.key.within_reach(line.pos[0]):
            line.kind, line.detail = "altered", "its chain number is out of reach"
        elif line.seal.leaf:
            take_redacted(log, line)
        else:
            (take_with_V if log.has_V else take_with_P)(log, line)
        if line.kind == "sealed":
            put(log, line)
    if log.key.narrowed:
        log.tell("narrowed", "incomplete", f"the key covers chains {log.key.first} to {log.key.last} only")
    log.claimed |= {line.pos for rows in log.rows.values() for line in rows if line.kind == "altered" and line.pos}


def put(log, line):
    """Into the slot of its position: first of its kind, duplicate, or different."""
    others, line.paths = log.slots.setdefault(line.pos, []), {line.path}
    twins = [x for x in others if set(x.leaves.values()) & set(line.leaves.values())]
    if not others:
        others.append(line)
    elif twins:
        weight = "failed" if line.path in twins[0].paths else "note"
        log.tell("duplicate", weight, "this position is there already", line)
        line.kind = "duplicate"
        twins[0].paths.add(line.path)
    elif log.has_V or line.statement and others[0].statement and line.statement.hash != others[0].statement.hash:
        log.tell("fork", "failed", "another authentic line has this position", line)
        line.kind = "fork"
        others.append(line)
    else:  # P: at most one of them is real; a proven statement is
        others.insert(0, line) if log.trusted(line.statement) else others.append(line)


def judge_order(log):
    """Checkpoints by epoch; then no line may stand above one's n, in a later epoch after `closed`, or after `ended`."""
    ended = 2**32
    for pos in sorted(log.slots):
        st = log.statement(pos)
        if st and st.kind != "open":
            log.ends.setdefault(pos[:2], st)
        if st and st.kind in ("closed", "ended") and log.trusted(st):
            log.closed.setdefault(pos[0], pos)
            ended = min(ended, pos[0]) if st.kind == "ended" else ended
    told = set()
    for pos in sorted(log.slots):
        line, end = log.slots[pos][0], log.ends.get(pos[:2])
        above = end and pos[2] > end.pos[2]
        if above and not log.has_V and not log.trusted(line.statement):
            for line in log.slots.pop(pos):
                line.kind, line.detail = "altered", "its index is above the n of its epoch"
            log.claimed.add(pos)
        elif above or pos > log.closed.get(pos[0], pos):
            log.bad(line, "a line after the checkpoint that ended its epoch or chain")
        elif pos[0] > ended and pos[0] not in told:
            told.add(pos[0])
            log.bad(line, "a chain after ended")


def matches(log, end):
    """The lines of this epoch as R covers them -> (form name, lines), or None. With P only there may be a choice."""
    slots = [log.slots[(*end.pos[:2], i)] for i in range(end.pos[2])]
    for form in ("bytes", "rfc8785"):
        for lines in itertools.islice(itertools.product(*slots), 64):
            leaves = [x.leaves.get(x.form if log.has_V else form, x.leaves.get("bytes")) for x in lines]
            if all(leaves) and mth(leaves) == end.R:  # a line without this form keeps its bytes, if those are a form
                return form, lines
    return None


def judge_epochs(log):
    """Section 5: R covers the lines 0 to n-1 of its epoch."""
    epochs = {}
    for pos in sorted(log.slots):
        epochs.setdefault(pos[:2], []).append(pos)
    for epoch, positions in epochs.items():
        end = log.ends.get(epoch)
        inside = [pos for pos in positions if not end or pos < end.pos]
        complete = end and log.trusted(end) and len(inside) == end.pos[2]
        found = matches(log, end) if complete else None
        log.verified += len(positions) if log.has_V else len(inside) * bool(found) + bool(end and end.proven)
        if complete and not found:
            log.tell("altered", "failed", "R of its checkpoint does not match: one or more of these lines",
                     pos=(*epoch, 0), count=max(1, len(inside)))
        elif not log.has_V:
            if inside and not found:
                log.tell("uncovered", "incomplete", "no matching R covers these lines", None, inside[0], len(inside))
            judge_choice(log, positions, *(found or ("bytes", [log.slots[pos][0] for pos in positions])))


def judge_choice(log, positions, form, chosen):
    """P only: lines beside others that R covers are altered; those covered in RFC 8785 form were reserialized."""
    kept = {line.pos: line for line in chosen}
    for pos in positions:
        keep = kept.get(pos, log.slots[pos][0])
        for line in log.slots[pos]:
            if line is not keep and line.kind == "sealed":
                line.kind, line.detail = "altered", "another line has this position"
        log.slots[pos] = [keep]
        if form == "rfc8785" and form in keep.leaves and keep.statement is None:
            log.tell("reserialized", "note", "matches in RFC 8785 form", keep)


def prior_statement(log, chain, epoch):
    """The statement before those of this epoch."""
    return log.ends.get((chain, epoch - 1)) if epoch else log.statement((chain, 0, 0))


def newest_before(log, pos):
    """The newest statement before a position; None where lines lack that could hold it."""
    chain, epoch, index = pos
    end = log.ends.get((chain, epoch))
    if end and end.pos[2] < index:
        return end
    absent = any((chain, epoch, i) not in log.slots for i in range(index))
    return None if absent else prior_statement(log, chain, epoch)


def judge_prevs(log):
    """Section 5, prev: hashes of the statements before, and what each open says about the chains before it."""
    for pos in sorted(log.slots):
        line, st = log.slots[pos][0], log.statement(pos)
        if pos[1:] == (0, 0) and (st is None or st.kind != "open") and pos not in log.claimed:
            log.bad(line, "epoch 0 index 0 is no open")
        if not log.trusted(st) or pos < log.start:
            continue
        if st.kind != "open":
            before = prior_statement(log, *pos[:2])
            if before and before.hash != st.prev:
                log.bad(line, "prev is not the hash of the statement before it")
        else:
            judge_open(log, line, st)


def judge_open(log, line, st):
    named, chain = st.head_pos, st.pos[0]
    if named[0] >= chain:
        return log.bad(line, "prev names a chain that is not before this one")
    if log.has_V:
        key = log.key.head_mac(named, st.head)
        if key is None:
            return None  # narrowed: proofs into other chains are not judged
        if not hmac.compare_digest(mac(key, f"open {chain}".encode())[:16], st.proof):
            return log.bad(line, "the proof of prev fails")
    log.prevs[chain] = named[0]
    log.passed += [(named[0], chain)] if named[0] < chain - 1 else []
    if named[0]:
        log.named[named[0]] = max(named[1:], log.named.get(named[0], (0, 0)))
    before = newest_before(log, named) if named[0] and named > log.start else None
    if before and before.hash != st.head_hash:
        return log.bad(line, "prev names another statement than the newest before its position")
    return None


def next_position(log, pos):
    """Where the next line would stand, as a head counts it."""
    st = log.statement(pos)
    return (pos[0], pos[1] + 1, 0) if st and st.kind == "continues" else (pos[0], pos[1], pos[2] + 1)


def judge_head(log, text):
    """Section 6 -> the position of an authentic head, or None. Only V can tell."""
    words = text.split()
    head = read_head(words[2]) if len(words) == 4 and words[:2] == ["tallyhead", log.key.log_id] else None
    if head is None:
        return log.tell("bad head", "failed", "this is no head of this log")
    made = log.key.head_mac(head[0], words[2])
    if made is None and log.key.narrowed:
        return None  # a chain that is not judged
    if made is None or unb64(words[3], 32) != made:
        return log.tell("bad head", "failed", "its mac fails", pos=head[0])
    before = newest_before(log, head[0]) if head[0] > log.start else None
    if before and before.hash != head[1]:
        log.tell("bad head", "failed", "it names another statement than the newest before it", pos=head[0])
    return head[0]


def end_told(log, last, goal):
    """Whether only broken lines, told already, stand between the last present position and the goal."""
    pos = (*last[:2], last[2] + 1)
    while pos in log.claimed and pos < goal:
        pos = (*pos[:2], pos[2] + 1)
    return pos == goal or pos > (*last[:2], last[2] + 1) and goal == (last[0], last[1] + 1, 0)


def judge_goals(log, head, pins, expect):
    """The head and the pins: what the log reached at least. What lies beyond the last line was truncated."""
    last = max(log.slots, default=None)
    goals = ([("head", head)] if head and head[0] else []) + [("pin", (*pos[:2], pos[2] + 1)) for pos, _ in pins]
    for what, goal in goals:
        if last and goal <= log.start:
            continue
        if last is None or next_position(log, last) < goal and last < (*goal[:2], goal[2] - 1):
            if last is None or not end_told(log, last, goal):
                log.tell("truncated", "failed", f"the {what} counts lines up to {dotted(goal)}", pos=last)
            log.anchors.append("truncated")
        else:
            expect(goal)
            if what == "head" and goal[0] == last[0]:
                log.anchors.append("head " + dotted(goal))
    for pos, digest in pins:
        if pos in log.slots and (log.statement(pos) is None or log.statement(pos).hash != digest):
            log.bad(log.slots[pos][0], "another statement at a pin")
        elif pos == last:  # a pin anchors an end only where nothing follows it
            log.anchors.append("pin " + dotted(pos))


def judge_presence(log, head, pins):
    """Missing positions, chains and checkpoints, and truncation."""
    need, need_epochs = {}, {}

    def expect(pos):
        """Everything of this chain before pos must be there."""
        need[pos[:2]] = max(pos[2], need.get(pos[:2], 0))
        need_epochs[pos[0]] = max(pos[1], need_epochs.get(pos[0], 0))

    tops = {pos[:2]: pos[2] for pos in sorted(log.slots)}
    for epoch, top in tops.items():
        if (*epoch, top) >= log.start:
            expect((*epoch, top))
    for chain, rest in log.named.items():
        if (chain, *rest) > log.start:
            expect((chain, *rest))
    judge_goals(log, head, pins, expect)
    if log.slots and log.start[1:] == (0, 0):
        expect((*log.start[:2], 1))
    known, claimed_tops = {}, {pos[:2]: pos[2] for pos in sorted(log.claimed)}
    for pos in sorted(log.claimed.union(log.slots)):
        known.setdefault(pos[:2], []).append(pos[2])
    epochs = {}
    for chain, e in sorted(known):
        epochs.setdefault(chain, []).append(e)
    for epoch, bound in sorted(need.items()):
        at = log.start[2] if epoch == log.start[:2] else 0
        for i in [i for i in known.get(epoch, []) if at <= i < bound] + [bound]:
            if i > at:
                log.tell("missing", "failed", f"up to index {i - 1}", pos=(*epoch, at), count=i - at)
            at = i + 1
    for chain, bound in sorted(need_epochs.items()):
        at = log.start[1] if chain == log.start[0] else 0
        for e in [e for e in epochs.get(chain, []) if at <= e < bound] + [bound]:
            if e > at:
                log.tell("missing", "failed", f"epochs {at} to {e - 1}", pos=(chain, at, 0), count=e - at)
            there, told = tops.get((chain, e), -1), claimed_tops.get((chain, e), -2)
            if e < bound and (chain, e) not in log.ends and told < there:
                log.tell("missing", "failed", "the checkpoint of this epoch", pos=(chain, e, there + 1))
            at = e + 1
    chains = sorted(c for c in {pos[0] for pos in log.slots} | {c for c, _ in need} if c >= log.start[0])
    judge_absent_chains(log, chains)


def judge_absent_chains(log, chains):
    """Only an authentic prev excuses an absent chain, and only before a holder of V. chains: those that are there."""
    there = {*chains, *(pos[0] for pos in log.claimed)}
    edges = {*there, *(c + 1 for c in there), *(x for p, c in log.passed for x in (p + 1, c))}
    edges = sorted(x for x in edges if chains and chains[0] <= x <= chains[-1])
    for first, after in zip(edges, edges[1:]):
        over = first not in there and log.passes_over(first)
        if first not in there and not (over and log.has_V):
            weight, why = ("incomplete", "an open passes over it") if over else ("failed", "no open passes over it")
            log.tell("missing", weight, f"chains {first} to {after - 1}: {why}", pos=(first, 0, 0), count=after - first)


def judge_ends(log, head):
    """What anchors the end of each chain."""
    log.lasts = {pos[0]: pos for pos in sorted(log.slots) if pos >= log.start}
    newest = max(log.lasts, default=None)
    for chain, last in log.lasts.items():
        closed = chain in log.closed
        if log.closed.get(chain) == last and chain == newest and log.statement(last).kind == "ended":
            log.anchors.append("ended")
        goal = head[1:] if head and head[0] == chain else log.named.get(chain)
        passed = log.passes_over(chain)
        reached = goal and next_position(log, last)[1:] >= goal
        if not closed and (reached or not goal and passed):
            log.unclean.add(chain)
            log.tell("unclean end", "note" if log.has_V else "incomplete",
                     f"chain {chain} has no closed: up to 1 s of lines may be lost", pos=last)
        elif chain != newest and not closed and not goal and not passed or chain == newest and not log.anchors:
            log.tell("open end", "incomplete", f"nothing anchors the end of chain {chain}", pos=last)


def judge_torn(log):
    """One broken line where a writer was interrupted is a note; any other broken line is altered or unsealed."""
    for path, rows in log.rows.items():
        before, broken = None, []
        for line in [*rows, None]:
            if line is None or line.kind == "sealed":
                if len(broken) == 1 and broken[0].kind != "redacted" and is_torn(log, before, broken[0], line):
                    log.tell("torn line", "note", "one broken line where the writer was interrupted", broken[0])
                    broken[0].kind = "torn"
                before, broken = line, []
            elif line.kind not in ("duplicate", "fork"):
                broken.append(line)


def is_torn(log, before, broken, after):
    chain = before.pos[0] if before else 0
    last = before and before.pos == log.lasts.get(chain)
    closed = last and log.closed.get(chain) == before.pos
    if after is None:
        if not last or chain != max(log.lasts) or broken.path not in log.open_files and closed:
            return False
        return chain in log.unclean or closed and begins_open(log, broken.raw, chain)
    p = log.prevs.get(after.pos[0])
    if p is None or after.pos[1:] != (0, 0) or chain >= after.pos[0]:
        return False
    if before is None:
        return p in log.unclean or p < after.pos[0] - 1
    return last and (chain in log.unclean or closed and max(p, chain) < after.pos[0] - 1)


def begins_open(log, raw, chain):
    """Whether these bytes are a proper beginning of an `open` of this log with a higher chain number."""
    for start in (b"", b'{"tallystick":"'):
        text = start + f"tallystick/v1 open {log.key.name} {log.key.log_id} ".encode()
        number = raw[len(text):].split(b" ")[0].decode("ascii", "replace")
        whole = len(raw) > len(text) + len(number)
        if text.startswith(raw) or raw.startswith(text) and num(number, chain + 1 if whole else 1, 2**32 - 1):
            return True
    return False


def find_start(log, first_chain):
    """The first position that is judged; `late start` unless the caller named it or nothing can stand before it."""
    if first_chain is not None:
        return (first_chain, 0, 0), "named by the caller"
    first = min(log.slots, default=(1, 0, 0))
    st = log.statement(first)
    setup = log.has_V and st and st.kind == "open" and st.head_pos == (0, 0, 0) and not log.key.narrowed and \
        hmac.compare_digest(mac(log.key.head_mac((0, 0, 0), st.head), f"open {first[0]}".encode())[:16], st.proof)
    if not setup:
        while (*first[:2], first[2] - 1) in log.claimed:  # broken lines, told as such
            first = (*first[:2], first[2] - 1)
    if first == (1, 0, 0) or setup or log.key.narrowed and first == (log.key.first, 0, 0):
        return first, "set-up"
    log.tell("late start", "incomplete", "what stood before is not judged", pos=first)
    return first, "late"


def judge_rows(log):
    """Broken lines. A foreign log's lines beside known ones were not sealed by this log."""
    rows = [line for rows in log.rows.values() for line in rows]
    known = any(line.seal or line.pos for line in rows)
    for line in rows:
        if line.kind in ("altered", "unsealed") or line.kind == "foreign" and known:
            log.tell("altered" if line.kind == "altered" else "unsealed", "failed", line.detail, line)


def verify(lines_by_file, key_text=None, public_text=None, head_text=None, pins=(), start=None):
    """Check one log. lines_by_file: name -> bytes, or the list that splitting them at LF gives. Raises Usage.

    Returns {"verdict", "range", "counts", "findings"}, each finding {"kind", "weight", "path", "line", "position",
    "count", "detail"}.
    """
    key, roots = read_keys(key_text, public_text)
    if start is not None and not 1 <= start < 2**32:
        raise Usage("no chain has this number")
    log = Log(key, roots)
    for path, content in lines_by_file.items():
        raws = content.split(b"\n") if isinstance(content, bytes) else list(content)
        log.rows[path] = [x for x in (read_line(path, i, raw, key.log_id) for i, raw in enumerate(raws, 1)) if x]
        if raws and raws[-1]:
            log.open_files.add(path)
    pins = [read_pin(text, key) for text in pins]
    take_lines(log)
    judge_order(log)
    judge_epochs(log)
    log.start, started = find_start(log, start)
    judge_prevs(log)
    head = judge_head(log, head_text) if head_text is not None and log.has_V else None
    judge_presence(log, head, pins)
    judge_ends(log, head)
    judge_reordered(log)
    judge_torn(log)
    judge_rows(log)
    return report(log, started)


def judge_reordered(log):
    for rows in log.rows.values():
        there = [line for line in rows if line.kind == "sealed"]
        for before, after in zip(there, there[1:]):
            if after.pos < before.pos:
                log.tell("reordered", "failed", f"stands after {dotted(before.pos)}", after)


def read_keys(key_text, public_text):
    """The key, with V where there is one, and the chain roots that the public file proves."""
    if key_text is None and public_text is None:
        raise Usage("a key or a public file is needed")
    first, *opens = public_text.split("\n") if public_text else [""]
    public = read_public(first.strip()) if public_text is not None else None
    key = read_secret(key_text) if key_text is not None else public
    if public and (public.P, public.name) != (key.P, key.name):
        raise Usage("key and public file are of different logs")
    roots = {0: key.P}
    for text in filter(None, map(str.strip, opens)):
        st = read_statement(text.encode())
        if st is None or st.kind != "open" or prove(st, key, roots):
            raise Usage("the public file holds a line that is no valid open")
    return key, roots


def read_pin(text, key):
    words = text.split()
    pin = words[2].split(".") if len(words) == 3 and words[:2] == ["tallypin", key.log_id] else []
    pos = position(*pin[:3]) if len(pin) == 4 else None
    if pos is None or unb64(pin[3], 32) is None:
        raise Usage("this is no pin of this log")
    return pos, unb64(pin[3], 32)


def report(log, started):
    findings = sorted(log.findings, key=lambda x: -WEIGHTS.index(x["weight"]))
    worst = findings[0]["weight"] if findings else "note"
    verdict = worst if worst != "note" else "ok" if log.verified else "incomplete"
    times = [st.time for pos in sorted(log.slots) for st in [log.statement(pos)] if log.trusted(st)]
    span = "nothing verified"
    if log.slots and log.verified:
        claimed = f", claimed times {times[0]} to {times[-1]}" if times else ""
        span = (f"range {dotted(min(log.slots))} to {dotted(max(log.slots))}{claimed}, start: {started}, "
                f"end: {', '.join(log.anchors) or 'not anchored'}")
    counts = {"lines": sum(map(len, log.rows.values())), "positions": len(log.slots), "verified": log.verified,
              "chains": len({pos[0] for pos in log.slots}), "epochs": len({pos[:2] for pos in log.slots})}
    return {"verdict": verdict, "range": span, "findings": findings, "counts": counts}


def printable(text):
    """File names come from anywhere: no control characters for the terminal."""
    return "".join(x if x.isprintable() else f"\\x{ord(x):02x}" for x in text.encode("utf-8", "replace").decode())


def main(argv=None):
    parser = argparse.ArgumentParser(description="Check a log sealed with Tallystick.")
    parser.add_argument("paths", nargs="+", metavar="PATH")
    for option in ("key", "public", "head"):
        parser.add_argument("--" + option, metavar="FILE")
    parser.add_argument("--pin", action="append", default=[], metavar="TEXT_OR_FILE")
    parser.add_argument("--from", dest="start", type=int, metavar="CHAIN", help="the chain that must be the first")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    try:
        head = read_text(options.head)  # before the log: it may grow meanwhile
        pins = [x for pin in options.pin
                for x in (pin if pin.startswith("tallypin ") else read_text(pin)).splitlines() if x.strip()]
        contents = {}
        for path in options.paths:
            with open(path, "rb") as file:
                contents[path] = file.read()
        result = verify(contents, read_text(options.key), read_text(options.public), head, pins, options.start)
    except OSError as error:
        print(f"check.py: {error}", file=sys.stderr)
        return 4
    except Usage as error:
        print(f"check.py: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(result))
    else:
        print(result["verdict"], result["range"], sep="\n")
        for x in result["findings"]:
            where = f" {printable(x['path'])}:{x['line']}" if x["path"] else ""
            where += f" position {x['position']}" if x["position"] else ""
            count = f" ({x['count']})" if x["count"] > 1 else ""
            print(f"{x['weight']} {x['kind']}{where}{count}: {x['detail']}")
    return {"ok": 0, "incomplete": 3, "failed": 5}[result["verdict"]]


def read_text(path):
    if path is None:
        return None
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


if __name__ == "__main__":
    sys.exit(main())
