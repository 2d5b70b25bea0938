#!/usr/bin/env python3
"""Check a log sealed with Tallystick: a second implementation, written from the text of seal.md ("section …") alone.

    check.py PATH... [--key FILE] [--public FILE] [--head FILE] [--pin TEXT_OR_FILE]... [--from CHAIN] [--to CHAIN]
             [--exceptions FILE] [--witness KEY]... [--receipts FILE]... [--fresh SECONDS] [--quorum K]
             [--retention SECONDS] [--json]
    check.py --evidence FILE [--key FILE] [--public FILE] [--witness KEY]... [--policy FILE] [--roots FILE] [--json]

--key holds a `tallysecret1…` text (V, or a narrowed key), --public the public file, --head one `tallyhead …` line.
Exit status: 0 ok, 3 incomplete, 5 failed, 2 usage, 4 input or output. The same from Python:
`verify({"app.log": bytes}, key_text=…, head_text=…)["verdict"] == "ok"`.
It holds everything in memory and is slow: it is made to be read, from top to bottom. It is one file, so that it can be
copied and read as a whole. It is in the order of seal.md, and each part uses only those above it:

    section 2         primitives: hashes, trees, signatures
    sections 2 to 6   the grammar of seals, heads, pins and statements
    section 3         keys, and their text forms
    section 4         a line alone: its bytes, its RFC 8785 form
    section 5         a statement alone: signatures, paths, certs
    section 7         the log as one set: `Log` gathers what is known, and a function `judge_…` for each row of the table adds
                      findings: lines, epochs, start, prevs, head, pins, what is absent, ends, torn lines, order
    section 11        notes, receipts, answers: what witnesses say; what completes a receipt, time-stamps included
    section 9         exceptions
    verify()          puts these in order, twice where torn lines are found, and gives the verdict
    section 10        evidence
    section 12        whether anything vouches for a partial result; and the command line
"""
import argparse, base64, datetime, errno, hashlib, hmac, json, re, sys, time
from decimal import Decimal
from functools import lru_cache
from itertools import accumulate, groupby, islice, pairwise, product
from types import SimpleNamespace
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

class Usage(Exception):
    """What the caller handed over is no key, public file, head, pin or exceptions file: exit status 2."""

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

def mth(leaves):
    """RFC 6962 section 2.1 over leaf hashes: join neighbours, carry an odd one up."""
    while len(leaves) > 1:
        joined = [H(b"\x01" + a + b) for a, b in zip(leaves[::2], leaves[1::2])]
        leaves = joined + leaves[len(joined) * 2:]
    return leaves[0] if leaves else H(b"")

def root_of_path(leaf_data, index, path):
    """Root of a tree of 256 leaves, from one leaf and its 8 neighbours joined."""
    node = H(b"\x00" + leaf_data)
    for level in range(8):
        other = path[32 * level:32 * level + 32]
        node = H(b"\x01" + other + node) if index >> level & 1 else H(b"\x01" + node + other)
    return node

FIELD = 2**255 - 19
ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826  # y of points of order 8; -y is the other

def weak(encoded):
    """Whether an encoding of a point is not canonical, or of one of the 8 points of small order: y tells."""
    y = int.from_bytes(encoded, "little") % 2**255
    return y >= FIELD or y in (0, 1, FIELD - 1, ORDER_8, FIELD - ORDER_8)

@lru_cache(maxsize=None)
def signed(public, signature, text):
    if weak(public) or weak(signature[:32]):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
        return True
    except (InvalidSignature, ValueError):
        return False

# ---- sections 2 to 6: the grammar of seals, heads, pins and statements ----------------------------------------------

NUMBERS = {"chain": (1, 2**32 - 1), "epoch": (0, 255), "index": (0, 65535), "length": (0, 2**24),
           "time": (0, 2**53 - 1), "p": (0, 2**32 - 1), "p_epoch": (0, 255), "p_index": (0, 65535)}
SIZES = {"tag": 16, "r": 16, "proof": 16, "leaf": 32, "hash": 32, "mac": 32, "R": 32, "prev": 32, "newest": 32, "log_of": 32,
         "epoch_root": 32, "next_root": 32, "chain_pk": 32, "epoch_pk": 32, "chain_path": 256, "path": 256, "chain_sig": 64, "sig": 64}
WORDS = {"log_id": "[a-z2-7]{8}", "name": "[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "kind": "continues|closed|ended",
         "about": "[a-z]{1,16}", "says": "[a-z]+(?: [A-Za-z0-9_-]+){5}", "gap": "[01]",
         "text": r"(?:[!#$&-*,-<>-\[\]-~+]|%[0-9A-F]{2}){1,4096}"}

def grammar(text):
    """A pattern from a line of the spec: <name> stands for a number, a word, or the b64 of so many bytes."""
    def part(found):
        name, letters = found[1], (SIZES.get(found[1], 0) * 4 + 2) // 3
        return f"(?P<{name}>{WORDS.get(name) or (f'[A-Za-z0-9_-]{{{letters}}}' if letters else '0|[1-9][0-9]{0,15}')})"
    return re.compile(re.sub("<([A-Za-z_]+)>", part, text.replace(".", r"\.")))

NAMED, CERT = "<p>.<p_epoch>.<p_index>.<hash>", "<epoch_root>.<next_root>.<chain_pk>.<chain_path>.<chain_sig>"
SEAL = grammar("<log_id>.<chain>.<epoch>.<index>.(?:<length>.<tag>|~<leaf>.<r>)")
HEAD = grammar(f"tallyhead <log_id> {NAMED} <mac>")
PIN = grammar("tallypin <log_id> <chain>.<epoch>.<index>.<hash>")
OPEN = grammar(f"tallystick/v1 open <name> <log_id> <chain> <time> {NAMED}.<proof> {CERT} <sig>")
CHECKPOINT = grammar("tallystick/v1 checkpoint <name> <log_id> <chain> <epoch> <index> <R> <prev> <time> <kind> "
                     f"{CERT} <epoch_pk> <path> <sig>")
NOTICE = grammar("tallystick/v1 notice <name> <log_id> <chain> <epoch> <index> <about> <text> "
                 f"{CERT} <epoch_pk> <path> <sig>")
SHOWN_HEAD = grammar("tallystick/v1 head <name> <log_id> <chain> <epoch> <index> <R> <newest> <time> "
                     f"{CERT} <epoch_pk> <path> <sig>")
SEAL_INSIDE = re.compile(r'tally(?:=|"[ \t]*:[ \t]*")(?=((?:[A-Za-z0-9_~-]{1,44}\.){5}[A-Za-z0-9_-]{22}))')

def parts_of(pattern, text):
    """The parts of a text by name: numbers in their ranges, b64 decoded. None: it is not such a text."""
    match = pattern.fullmatch(text)
    parts = match.groupdict() if match else {}
    for name, part in parts.items():
        if name in NUMBERS and part is not None:
            parts[name] = int(part)
            if not NUMBERS[name][0] <= parts[name] <= NUMBERS[name][1]:
                return None
        elif name in SIZES and part is not None:
            parts[name] = base64.urlsafe_b64decode(part + "==")
            if b64(parts[name]) != part:  # spare bits that are not zero
                return None
    parts["pos"] = parts.get("chain"), parts.get("epoch", 0), parts.get("index", 0)
    parts["named"] = named = tuple(parts.get(name) for name in ("p", "p_epoch", "p_index"))
    if named[0] == 0 and (named, parts["hash"]) != ((0, 0, 0), bytes(32)) or named[0] and named[1:] == (0, 0):
        return None  # section 6: the set-up head alone has chain 0, and it alone epoch 0 and index 0
    return SimpleNamespace(**parts) if match else None

def dotted(pos):
    """A position; with `*` for what nobody knows: the rest of an epoch, or a whole chain."""
    return ".".join(map(str, pos)) + ".*" * (len(pos) < 3)

# ---- section 3: keys ------------------------------------------------------------------------------------------------

class Key:
    """What a text form holds. keys: V, or C[first] … C[last] of a narrowed key, or nothing with P only."""
    def __init__(self, P, name, first=1, last=2**32 - 1, keys=(), narrowed=False):
        if not re.fullmatch(WORDS["name"], name):
            raise Usage("the key text holds no valid name")
        self.P, self.name, self.first, self.last, self.keys, self.narrowed = P, name, first, last, keys, narrowed
        self.log_id = base64.b32encode(P).decode().lower()[:8]
        self.walked = {}

    def walk(self, what, origin, step, count):
        """origin after count steps. Lines come sorted, so going on from where the last walk ended is enough."""
        done, value = self.walked.get(what, (count + 1, None))
        done, value = (done, value) if done <= count else (0, origin())
        for _ in range(count - done):
            value = step(value)
        self.walked[what] = count, value
        return value

    def chain_key(self, chain):
        """C[chain]."""
        if self.narrowed:
            return self.keys[chain - self.first]
        A = self.walk("A", lambda: derive(self.keys[0], "chains"), lambda key: derive(key, "next"), chain - 1)
        return derive(A, "chain")

    def entry_key(self, chain, epoch, index):
        """K[index] of an epoch."""
        def first():
            E = self.walk(chain, lambda: derive(self.chain_key(chain), "epochs"), lambda E: derive(E, "next"), epoch)
            return derive(E, "entry")
        return self.walk((chain, epoch), first, H, index)

    def head_key(self, pos):
        """The key of a head's mac (section 6). None: this key does not reach there."""
        if pos[0] == 0 and not self.narrowed:
            return derive(self.keys[0], "head")
        return derive(self.entry_key(*pos), "head") if self.first <= pos[0] <= self.last else None

def unbech32m(text, kind):
    """BIP 350 without the length limit."""
    text, letters = text.strip(), "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    start, _, data = text.lower().rpartition("1")
    if not text.isascii() or text not in (text.lower(), text.upper()) or start != kind or set(data) - set(letters):
        raise Usage(f"this is no {kind} text")
    values, check = [letters.index(letter) for letter in data], 1
    for value in [ord(x) >> 5 for x in kind] + [0] + [ord(x) & 31 for x in kind] + values:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for i, factor in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= factor if top >> i & 1 else 0
    bits = "".join(f"{value:05b}" for value in values[:-6])
    whole = len(bits) // 8 * 8
    if check != 0x2BC830A3 or len(bits) - whole >= 5 or "1" in bits[whole:] or whole < 33 * 8:
        raise Usage(f"this {kind} text was damaged")
    return bytes(int(bits[i:i + 8], 2) for i in range(0, whole, 8))

def read_keys(key_text, public_text):
    """The key, with V where there is one, and the chain roots that the public file proves: generation -> root."""
    (first, *opens), key, public = (public_text or "").split("\n"), None, None
    if public_text is not None:
        data = unbech32m(first, "tallypub")
        public = Key(data[:32], data[32:].decode("latin-1"))
    if key_text is not None:
        data = unbech32m(key_text, "tallysecret")
        scope, first, last = data[0], int.from_bytes(data[33:37], "big"), int.from_bytes(data[37:41], "big")
        count = last - first + 1 if scope == 1 else 1
        whole = (scope, first, last) == (0, 1, 2**32 - 1)
        if not (whole or scope == 1 and 1 <= first <= last) or 32 * count > len(data):
            raise Usage("the key text holds no valid scope")
        keys, name = [data[41 + 32 * i:73 + 32 * i] for i in range(count)], data[41 + 32 * count:].decode("latin-1")
        key = Key(data[1:33], name, first, last if scope else 2**24, keys, scope == 1)  # section 9
    if public and key and (public.P, public.name) != (key.P, key.name) or not (public or key):
        raise Usage("key and public file are of different logs, or there is none")
    key = key or public
    roots = {0: key.P}
    for text in filter(None, map(str.strip, opens)):
        st = read_statement(text.encode())
        if st is None or st.kind != "open" or prove(st, key, roots):
            raise Usage("the public file holds a line that is no valid open")
    return key, roots

# ---- section 4: lines -----------------------------------------------------------------------------------------------

def seal_line(m, s):
    """The line of m and the seal text s, as a writer makes it."""
    if m[:1] == b"{" and m[-1:] == b"}" and b'"tally"' not in m:
        return m[:-1] + (b"," if m[1:-1].strip(b" \t") else b"") + b'"tally":"' + s + b'"}'
    return m + b" tally=" + s if m else b"tally=" + s

def fits(seal, m):
    """The length must be right, and a redacted line has fixed words."""
    return m in (b"[redacted]", b'{"redacted":true}') if seal.leaf else len(m) == seal.length

def as_bytes(raw):
    """The seal at the end of a line and the m before it; m None: writing both again does not give the line."""
    for mark, end in ((b"tally=", b""), (b'"tally":"', b'"}')):
        before, found, s = raw.removesuffix(end).rpartition(mark)
        seal = parts_of(SEAL, s.decode("latin-1")) if found and raw.endswith(end) else None
        if seal:
            m = before.removesuffix(b",") + b"}" if end else before[:-1]
            return seal, m if fits(seal, m) and seal_line(m, s) == raw else None
    return None, None

class Literal(str):
    """A number as RFC 8785 writes it."""

def number(text):
    """RFC 8785 section 3.2.2.3 (ECMAScript), where it gives the same exact value."""
    zero = not text.lower().partition("e")[0].strip("-.0")  # whatever its exponent
    value = Decimal(0 if zero else repr(float(text))).normalize()
    if not zero and value != Decimal(text):
        raise ValueError("not exact")
    return Literal(format(value, "f" if -6 <= value.adjusted() <= 20 else "e"))

def unique(pairs):
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name twice")
    return dict(pairs)

def jcs(value):
    """The RFC 8785 form of what was parsed."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(jcs(name) + ":" + jcs(value[name]) for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(jcs, value)) + "]"
    return value if isinstance(value, Literal) else json.dumps(value, ensure_ascii=False)

def as_rfc8785(raw):
    """The seal in a JSON line and the RFC 8785 form of the rest: what a carrier may have written anew."""
    try:
        text = raw.decode()
        brackets = re.sub(r'"(?:[^"\\]|\\.)*"?|[^][{}]', "", text, flags=re.DOTALL)  # those outside of strings
        if max(accumulate(1 if bracket in "[{" else -1 for bracket in brackets), default=0) > 64:
            return None, None
        value = json.loads(text, object_pairs_hook=unique, parse_int=number, parse_float=number, parse_constant=number)
        seal, m = parts_of(SEAL, str(value.pop("tally"))), jcs(value).encode()
    except (ValueError, ArithmeticError, AttributeError, TypeError, KeyError):  # no JSON, not exact, no object, no seal
        return None, None
    return seal, m if seal and fits(seal, m) and b'"tally"' not in m else None  # else the seal would stand elsewhere

def read_line(path, no, raw, log_id):
    """Section 4, reading. None: it is no line. kind: sealed by this log, or else what is wrong."""
    whole, raw = raw, raw.rstrip(b" \t\r")
    if not raw.strip(b"\x00 \t\r"):
        return None
    line = SimpleNamespace(path=path, no=no, raw=raw, whole=whole, kind="sealed", detail="it is not what a writer makes of its seal",
                           pos=None, seal=None, twice=False, copies=[], statement=None, paths={path},  # paths: files that hold this very line
                           forms={}, leaves={})  # "bytes", "rfc8785" -> m; the same -> leaf hash
    read = {"bytes": as_bytes(raw), "rfc8785": as_rfc8785(raw)}
    inside = [parts_of(SEAL, found[1]) for found in SEAL_INSIDE.finditer(raw.decode("latin-1"))]
    seals = [seal for seal in inside + [seal for seal, _ in read.values()] if seal]
    known = [seal for seal in seals if seal.log_id == log_id]
    for form, (seal, m) in read.items():
        if m is not None and seal in known and line.seal in (None, seal) and m not in line.forms.values():
            line.seal, line.forms[form] = seal, m
    line.at_its_word = bool(known) and (bool(line.seal) or raw.endswith(b"}"))  # section 9: for the order, with P only
    if known:
        line.kind, line.pos = ("sealed" if line.seal else "altered"), (line.seal or known[-1]).pos
    else:
        line.kind, line.detail = ("foreign", "its log id is unknown") if seals else ("unsealed", "no well-formed seal")
        last = read["bytes"][0] or (inside[-1] if inside else None)
        line.other = last and last.log_id
    return line

# ---- section 5: statements ------------------------------------------------------------------------------------------

LACKING = "the open of an older generation is lacking"

def read_statement(m):
    """The grammar alone. kind: open, notice, continues, closed or ended. None: m is no statement."""
    m = m[15:-2] if m.startswith(b'{"tallystick":"') and m.endswith(b'"}') else m
    st = parts_of(OPEN, m.decode("latin-1")) or parts_of(CHECKPOINT, m.decode("latin-1"))
    notice = None if st else parts_of(NOTICE, m.decode("latin-1"))
    if notice:
        notice.said = said(notice.text)
        notice.past = read_past(notice.said) if notice.about == "adopted" and notice.pos == (1, 0, 1) else None
        fits_there = notice.pos[1:] != (0, 0) and (notice.about != "adopted" or notice.past)
        st = notice if notice.said is not None and fits_there else None
    if st:
        kind = "notice" if notice else getattr(st, "kind", "open")
        st.text, st.digest, st.kind, st.proven = m, H(m), kind, False
    return st

def read_shown(text):
    """A text that a witness takes: a signed head, an open or a checkpoint. newest: hash of the statement before it."""
    head = parts_of(SHOWN_HEAD, text.decode("latin-1"))
    if head:
        possible = head.pos[1:] != (0, 0) and (head.index or head.R == H(b""))
        head.text, head.digest, head.kind, head.proven = text, H(text), "head", False
        return head if possible else None
    st = None if text.startswith(b"{") else read_statement(text)
    if not st or st.kind == "notice":
        return None
    if st.kind == "open":
        st.epoch, st.index, st.R = 0, 0, H(b"")
    st.newest = st.hash if st.kind == "open" else st.prev
    return st

def said(text):
    """What the text of a notice stands for. None: it is too long, or not its one spelling."""
    data = unquote_to_bytes(text.replace("+", " "))
    plain = [byte for byte in range(0x21, 0x7F) if chr(byte) not in '"%+=\\']
    again = "".join(chr(byte) if byte in plain else "+" if byte == 0x20 else f"%{byte:02X}" for byte in data)
    return data if again == text and len(text) <= 4096 else None

def certified(st):
    """What the chain key signs in a cert."""
    text = f"tallystick/v1 chain {st.name} {st.log_id} {st.chain} {b64(st.epoch_root)} {b64(st.next_root)}"
    return text.encode()

def prove(st, key, roots):
    """Signatures, paths and cert: what is wrong, or LACKING, or nothing. Learns the next generation's chain root."""
    generation, leaf = divmod(st.chain - 1, 256)
    good = (st.name, st.log_id) == (key.name, key.log_id) and signed(st.chain_pk, st.chain_sig, certified(st))
    good = good and signed(st.chain_pk if st.kind == "open" else st.epoch_pk, st.sig, st.text.rpartition(b" ")[0])
    if not good or st.kind != "open" and root_of_path(st.epoch_pk, st.epoch, st.path) != st.epoch_root:
        return "its name, log id, signature, cert or path is wrong"
    if generation not in roots:
        return LACKING
    if root_of_path(st.chain_pk, leaf, st.chain_path) != roots[generation]:
        return "the path of the chain key fails"
    if roots.setdefault(generation + 1, st.next_root) != st.next_root:  # lines come sorted: the oldest one is right
        return "it names another next chain root than an older statement"
    st.proven = True
    return ""

def read_past(text):
    """What a notice adopts: hash, bytes, LFs."""
    words = re.fullmatch(rb"sha256:([0-9a-f]{64}) ([1-9][0-9]{0,15}) (0|[1-9][0-9]{0,15})", text or b"")
    numbers = words and [int(words[2]), int(words[3])]
    return (bytes.fromhex(words[1].decode()), *numbers) if words and max(numbers) < 2**53 else None

def read_named(st, about):
    """The key of the log that a notice names: the one before, right after an open, or the one after."""
    words = re.fullmatch(rb"([a-z2-7]{8}) (tallypub1[a-z0-9]+)", st.said)
    if st.about != about or about == "predecessor" and st.pos[1:] != (0, 1) or not words:
        return None
    try:
        data = unbech32m(words[2].decode(), "tallypub")
        key = Key(data[:32], data[32:].decode("latin-1"))
    except Usage:
        return None
    return key if key.log_id == words[1].decode() else None

# ---- section 7: the log as one set ----------------------------------------------------------------------------------

NO_WITNESSES = SimpleNamespace(shown=[], words=[], fresh=600_000, quorum=None)

class Log:
    """What is known of the log. The functions below fill it in, in the order of verify()."""
    def __init__(self, key, roots, torn):
        self.key, self.roots, self.V, self.torn = key, roots, bool(key.keys), set(torn)  # torn: (path, no) of lines
        self.elsewhere = False  # whether lines may stand in what cannot be read
        self.files, self.unfinished = {}, set()  # path -> its lines in order; files that do not end in LF
        self.slots = {}  # position -> the different lines there; the first one counts
        self.claimed = set()  # positions of broken lines: told already, so not told as missing
        self.ends, self.closed = {}, {}  # (chain, epoch) -> its checkpoint; chain -> position of its closed or ended
        self.prevs, self.by_chain = {}, {}  # chain -> the position that its open names; -> what is here or claimed
        self.start, self.end, self.goal = None, 2**32, None  # first position and last chain that are judged as a set
        self.lasts, self.judged, self.unclean, self.cut = {}, {}, set(), False  # chain -> its last position; -> the same of
        # those that are judged as a set; chains with an unclean end; whether the end is cut off
        self.findings, self.anchors, self.verified = [], [], 0
        self.witnesses, self.standing, self.form = NO_WITNESSES, {}, {}  # what witnesses say; number of a text -> how
        # the lines stand to it; epoch -> the form of its lines that R covers
        self.policies, self.retention = [], None  # for how long notices say that it is kept; what the caller says of that
        self.contents, self.adopting = {}, []  # path -> its bytes; what the log adopted, and the line that says so
        self.adopted = set()  # paths that begin with what the log adopted
        self.others = {}  # log id of another log -> its statements that are here, unproven
        self.before, self.after = [], None  # where it names the log that it follows, and its key; the same of the next, once

    def tell(self, kind, weight, detail, line=None, pos=None, to=None, count=1):
        pos = line.pos if line else pos
        if self.elsewhere and kind in ("missing", "truncated"):
            weight = "incomplete"  # section 9: what is absent may stand there
        self.findings.append({"kind": kind, "weight": weight, "path": line and line.path, "line": line and line.no,
                              "position": pos and dotted(pos), "to": dotted(to) if to and to != pos else None,
                              "count": count, "detail": detail})

    def bad(self, line, detail):
        self.claimed.add(line.pos)
        self.tell("bad statement", "incomplete" if detail == LACKING else "failed", detail, line)

    def statement(self, pos):
        return self.slots[pos][0].statement if pos in self.slots else None

    def trusts(self, st):
        """With V the tag vouches for a statement even where an older generation is lacking."""
        return st is not None and (st.proven or self.V)

def take_line(log, line):
    """What a line says alone. With V its tag tells; with P a statement proves itself, and an entry waits for R."""
    seal, K = line.seal, log.key.entry_key(*line.pos) if log.V else None
    if seal.leaf:  # a redacted line; the positions that may be redacted cannot be listed here
        false = log.V and mac(derive(K, "redact"), seal.leaf)[:16] != seal.r
        line.leaves["bytes"], line.kind = seal.leaf, "redacted" if false else "sealed"
        log.tell("redacted", "failed" if false else "incomplete", "r fails" if false else "not listed", line)
    for form, m in line.forms.items() if seal.tag else ():
        st = read_statement(m)
        wrong = "no statement of this position" if not st or st.pos != line.pos else prove(st, log.key, log.roots)
        for control in (False, True):
            l = H((b"\x03" if control else b"\x02") + m)
            if mac(K, l)[:16] != seal.tag if log.V else control != (wrong in ("", LACKING)):
                continue
            line.leaves["bytes" if log.V else form] = H(b"\x00" + seal.tag + l)
            if control and not wrong and st.kind == "notice" and st.past:
                log.adopting.append((st.past, line))
            elif control and not wrong and st.kind == "notice":
                log.policies += [st.said] if st.about == "retention" else []
                log.tell("notice", "note", f"{st.about}: {st.said.decode('utf-8', 'backslashreplace')}", line)
                before, named = read_named(st, "predecessor"), read_named(st, "successor")
                log.before += [(st.pos, before)] if before else []
                log.after = (st.pos, named) if named else log.after
            elif control and wrong in ("", LACKING):
                line.statement = st if st.kind != "notice" else None
            if control and wrong:
                log.bad(line, wrong)
            if form == "rfc8785" and (log.V or control):
                log.tell("reserialized", "note", "matches in RFC 8785 form", line)
    if not line.leaves:
        line.kind, line.detail = "altered", "the tag fails"

def says_the_same(st, other):
    """Whether two checkpoints are one, before P: nothing that P can check covers the tag of a checkpoint."""
    return st.kind != "open" and other is not None and other.digest == st.digest

def take_lines(log):
    """Rows `altered`, `redacted`, `duplicate`, `fork`: what each line says alone, and beside those of its position."""
    lines = [line for lines in log.files.values() for line in lines if line.kind == "sealed"]
    for line in sorted(lines, key=lambda line: line.pos):
        if log.key.first <= line.pos[0] <= log.reach:
            take_line(log, line)
        else:
            line.kind, line.detail = "unjudged" if log.key.narrowed else "altered", "its chain number is out of reach"
        if line.kind != "sealed":
            continue
        others = log.slots.setdefault(line.pos, [])
        proven = log.trusts(line.statement)
        twin = next((x for x in others if set(x.leaves.values()) & set(line.leaves.values())
                     or not log.V and proven and says_the_same(line.statement, x.statement)), None)
        fork = others and (log.V or proven and log.trusts(others[0].statement))
        if twin:
            line.kind = "duplicate" if line.path in twin.paths else "copy"
            log.tell("duplicate", "failed" if line.path in twin.paths else "note", "it is there already", line)
            twin.paths.add(line.path)
            twin.copies.append(line)
            continue
        if fork:
            line.kind = "fork"
            log.tell("fork", "failed", "another authentic line has this position", line)
        others.insert(0 if proven and not fork else len(others), line)
        if line.pos[1:] == (0, 0) and not (line.statement and line.statement.kind == "open") and line.pos not in log.claimed:
            log.bad(line, "epoch 0 index 0 is no open")
    broken = [line for lines in log.files.values() for line in lines if line.kind in ("altered", "redacted")]
    log.claimed |= {line.pos for line in broken if (line.path, line.no) not in log.torn}  # a torn line says nothing

def judge_order(log):
    """Row `bad statement`: nothing stands behind the checkpoint of its epoch, or behind closed or ended."""
    for pos in sorted(log.slots):
        st = log.statement(pos)
        if st and st.kind != "open":
            log.ends.setdefault(pos[:2], st)
        if log.trusts(st) and st.kind in ("closed", "ended"):
            log.closed.setdefault(pos[0], pos)
    ended = min((chain for chain, pos in log.closed.items() if log.statement(pos).kind == "ended"), default=2**32)
    told = None
    for pos in sorted(log.slots):
        line, above = log.slots[pos][0], pos[:2] in log.ends and pos > log.ends[pos[:2]].pos
        if above and not log.V and not log.trusts(line.statement):  # with P only it need not be authentic
            for line in log.slots.pop(pos):
                line.kind, line.detail = "altered", "its index is above the n of its epoch"
        elif above or pos > log.closed.get(pos[0], pos) or pos[0] > ended and pos[0] != told:
            told = pos[0]
            log.tell("bad statement", "failed",
                     "it stands behind the checkpoint of its epoch, behind closed, or in a chain behind ended", line)

def matching(log, positions, R):
    """The lines that R covers, by position, and their form: all bytes as they are, then RFC 8785 forms (section 4)."""
    for form in ("bytes", "rfc8785"):
        for lines in islice(product(*(log.slots[pos] for pos in positions)), 64):  # P may have to choose
            leaves = [line.leaves.get(form, line.leaves.get("bytes")) for line in lines]
            if None not in leaves and mth(leaves) == R:
                return form, dict(zip(positions, lines))
    return None, {}

def judge_epochs(log):
    """Rows `altered` and `uncovered`: R covers the lines 0 to n-1 of its epoch."""
    for epoch, positions in groupby(sorted(log.slots), key=lambda pos: pos[:2]):
        positions, end = list(positions), log.ends.get(epoch)
        inside = [pos for pos in positions if not end or pos < end.pos]
        complete = log.trusts(end) and len(inside) == end.index
        form, covered = matching(log, inside, end.R) if complete else (None, {})
        log.form[epoch] = form
        shown = judge_shown(log, epoch, {pos: covered.get(pos, log.slots[pos][0]) for pos in inside})
        log.verified += len(positions) if log.V else max(len(covered), shown) + bool(end and end.proven)
        if complete and not form:
            log.tell("altered", "failed", "R does not match one or more lines", pos=positions[0], count=len(positions))
            continue
        rest = [pos for pos in inside if pos[2] >= shown]
        if rest and not form and not log.V:
            log.tell("uncovered", "incomplete", "no matching R covers these lines", pos=rest[0], count=len(rest))
        for pos in positions if not log.V else ():
            chosen = covered.get(pos, log.slots[pos][0])
            for line in log.slots[pos]:
                if line is not chosen and line.kind == "sealed":
                    line.kind, line.detail, line.twice = "altered", "another line has this position", not form
            log.slots[pos] = [chosen]
            for line in [chosen, *chosen.copies] if form and not chosen.statement else ():
                if "rfc8785" in line.leaves and (form == "rfc8785" or "bytes" not in line.leaves):
                    log.tell("reserialized", "note", "matches in RFC 8785 form", line)

def judge_shown(log, epoch, lines):
    """How the lines of an epoch stand to each text of it that was brought along; how many lines signed heads cover."""
    covered = 0
    for number, one in enumerate(log.witnesses.shown):
        if (one.st.chain, one.st.epoch) == epoch and number not in log.standing:
            log.standing[number] = stands(log, one.st, epoch, lines)
            covered = max(covered, one.st.index if log.standing[number] == "met" else 0)
    return covered

def stands(log, st, epoch, lines):
    """Section 11: met, contradicts, altered, unmet. lines: position -> the line that counts there."""
    end, before, V = log.ends.get(epoch), before_epoch(log, *epoch), log.V
    if wrong := prove(st, log.key, dict(log.roots)):
        return "lacking" if wrong == LACKING else "false"
    if st.kind == "open":
        return "unmet" if not before else "met" if before.digest == st.digest else "contradicts"
    if st.kind != "head" and end:
        return "met" if end.digest == st.digest else "contradicts"
    if before and (before.digest != st.newest or before.kind in ("closed", "ended")):
        return "contradicts"
    if end and (end.prev != st.newest or st.index >= end.index):
        return "met" if (end.prev, end.index, end.R) == (st.newest, st.index, st.R) else "contradicts"
    first = [lines.get((*epoch, i)) for i in range(st.index)]
    forms = [[line and line.leaves.get(form, line.leaves.get("bytes")) for line in first] for form in ("bytes", "rfc8785")]
    forms = [leaves for leaves in forms if None not in leaves]
    if not forms or not first and not before:
        return "unmet"
    if st.R in map(mth, forms):
        beyond = V and st.kind != "head" and any(pos[2] >= st.index for pos in lines)
        return "contradicts" if beyond else "met"
    if V or log.form.get(epoch):
        return "contradicts"
    return "altered"

def contradict(one, other):
    """Whether two texts cannot both be true, whatever the lines are. They come in the order of the log."""
    a, b = (one.chain, one.epoch), (other.chain, other.epoch)
    if one.text == other.text:
        return False
    if a == b and one.kind == "open":
        return other.kind == "open" or other.newest != one.digest
    if a == b:
        ends = [st.kind != "head" for st in (one, other)]
        return one.newest != other.newest or all(ends) or (one.index == other.index and one.R != other.R) \
            or ends[0] and other.index > one.index
    if one.kind == "ended" or a[0] == b[0] and one.kind == "closed":
        return True
    if a[0] == b[0]:
        return one.kind == "continues" and b[1] == a[1] + 1 and other.newest != one.digest
    reached = until(one)
    return other.kind == "open" and (other.named < reached or other.named == reached
        and other.hash != (one.newest if one.kind == "head" else one.digest)
        or one.kind == "closed" and other.named[0] == one.chain and other.named > reached)

def until(st):
    """Up to where a text says that lines were written."""
    if st.kind == "continues":
        return (st.chain, st.epoch + 1, 0)
    return (st.chain, st.epoch, st.index + (st.kind != "head"))

def tell_shown(log):
    """Rows `fork`, `altered`; and unmet heads, no witness."""
    key, kept = log.key, []
    for number, one in enumerate(log.witnesses.shown):
        st, at = one.st, until(one.st)
        if not key.first <= st.chain <= min(key.last, log.end) or log.slots and at <= log.start:
            continue
        stand = log.standing.get(number) or stands(log, st, (st.chain, st.epoch), {})
        kept += [st] * (stand not in ("lacking", "false"))
        here = st.chain in log.lasts and reaches(log, at)
        if stand == "contradicts":
            log.tell("fork", "failed", "a signed text and the log cannot both be true", pos=at)
        elif stand == "altered":
            log.tell("altered", "failed", "the R of a signed head does not match", pos=(*at[:2], 0),
                     to=(*at[:2], st.index - 1), count=st.index)
        elif stand in ("lacking", "false") or stand == "unmet" and (not one.witness or here):
            log.tell("unmet head", "incomplete", "it cannot be checked", pos=at)
    order = sorted({st.text: st for st in kept}.values(),
                   key=lambda st: (st.chain, st.epoch, st.index, ("open", "head").index(st.kind) if st.kind in ("open", "head") else 2))
    for one, other in pairwise(order):
        if contradict(one, other):
            log.tell("fork", "failed", "two signed texts cannot both be true", pos=until(one))
    for word in log.witnesses.words:
        if word.trouble == "says nothing":
            log.tell("no witness", "incomplete" if unwitnessed(log) else "note", "it gave no word that holds")

def unwitnessed(log):
    """Why the witnesses that were asked for do not vouch for the end; "" if they do, or if there are none."""
    words = log.witnesses.words
    troubles = [word.trouble for word in words if word.trouble]
    needed = len(words) if log.witnesses.quorum is None else log.witnesses.quorum
    return "; ".join(troubles) if words and len(words) - len(troubles) < needed else ""

def authentic(log, st):
    """Whether the proof in the prev of an open holds (section 5). None: this key cannot tell."""
    key = log.key.head_key(st.named) if log.V else None
    made = key and mac(key, f"{dotted(st.named)}.{b64(st.hash)}".encode())
    return made and mac(made, f"open {st.chain}".encode())[:16] == st.proof

def find_gaps(log, chain, goal):
    """Section 9, exceptions: what is absent in a chain before a goal: first and last position of each gap. The last one
    has no index where nobody knows how many lines the epoch had."""
    taken, gaps = {}, []  # epoch -> indices that are taken, and the one after each
    for _, epoch, index in log.by_chain.get(chain, []):
        taken.setdefault(epoch, []).append((index, index + 1))
    for epoch in range(max([goal[1]] + [pos[1] for pos in log.by_chain.get(chain, []) if pos in log.slots]) + 1):
        at = 0
        for index, after in sorted(taken.get(epoch, [])) + [(goal[2], goal[2])] * (epoch == goal[1]):
            if index > at:
                gaps.append([(chain, epoch, at), (chain, epoch, index - 1)])
            at = max(at, after)
        later = epoch < goal[1] or any(pos[1] > epoch and pos in log.slots for pos in log.by_chain.get(chain, []))
        if later and (chain, epoch) not in log.ends and (chain, epoch, at - 1) not in log.claimed:
            if gaps and gaps[-1][1] == (chain, epoch - 1) and at == 0:
                gaps[-1][1] = (chain, epoch)  # epochs in a row of which nothing is here are one gap with what is before
            else:
                gaps.append([(chain, epoch, at), (chain, epoch)])
    return gaps

def by_policy(log, first):
    """Whether older chains may be gone: the log has such a policy, and the first one here was there that long ago."""
    if log.retention is None or first[1:] != (0, 0):
        return False
    period, now, seen = log.retention  # ms, ms, pins with the time when each was kept
    policies = [int(text) for text in log.policies if re.fullmatch(rb"[1-9][0-9]{0,15}", text)]
    times = [time for pin, time in seen if pin.chain >= first[0]]
    times += [one.time for one in log.witnesses.shown if one.witness and one.st.chain >= first[0]
              and not prove(one.st, log.key, dict(log.roots))]
    return any(policy * 1000 >= period for policy in policies) and any(time <= now - period for time in times)

def find_start(log, chain, marks):
    """Row `late start`: the first position that is judged. The caller may name it; nothing stands before a set-up."""
    if chain is not None:
        return min([(chain, 0, 0), *log.slots]), "named by the caller"
    if not log.slots:
        return (log.key.first, 0, 0), "set-up"
    first = min(log.slots)
    opens = [st for st in map(log.statement, log.slots) if st and st.kind == "open" and authentic(log, st)]
    named = [st.named[0] for st in opens] + [mark[0] for mark in marks]
    nothing = any(st.named == (0, 0, 0) and st.chain >= first[0] for st in opens)  # was counted before the first chain
    nothing = nothing and log.key.first == 1 and not any(0 < chain < first[0] for chain in named)
    if first[0] > log.key.first and not nothing or any(gap[0] < first for gap in find_gaps(log, first[0], first)):
        weight = "note" if by_policy(log, first) else "incomplete"
        log.tell("late start", weight, "what stood before is not judged", pos=first)
        return first, "late"
    return (first[0], 0, 0), "set-up"

def before_epoch(log, chain, epoch):
    """The newest statement before the lines of an epoch, in its chain."""
    return log.ends.get((chain, epoch - 1)) if epoch else log.statement((chain, 0, 0))

def names_newest(log, pos, digest):
    """Whether a prev, head or pin has the hash of the newest statement before pos, as far as that one is there."""
    end = log.ends.get(pos[:2])
    if not end or end.index >= pos[2]:
        absent = any((*pos[:2], i) not in log.slots for i in range(pos[2]))
        end = None if absent else before_epoch(log, *pos[:2])
    bad = end and any(end.pos[:2] <= claimed[:2] <= pos[:2] for claimed in log.claimed)  # it may have been a statement
    return pos <= log.start or end is None or bad or end.digest == digest

def judge_prevs(log):
    """Row `bad statement`: what the prev of each statement says; an authentic one of an open is a goal to be met."""
    for pos in sorted(log.slots):
        line, st = log.slots[pos][0], log.statement(pos)
        if not log.trusts(st):
            continue
        before = before_epoch(log, *pos[:2])
        if st.kind != "open":
            if before and before.digest != st.prev:
                log.tell("bad statement", "failed", "prev is not the hash of the statement before it", line)
        elif st.named[0] >= st.chain or authentic(log, st) is False:
            if pos >= log.start:
                log.tell("bad statement", "failed", "prev names no chain before this one, or its proof fails", line)
        elif not log.V or authentic(log, st):
            log.prevs[st.chain] = st.named
            if not names_newest(log, st.named, st.hash):
                log.tell("bad statement", "failed", "prev names another statement than the newest before it", line)

def judge_head(log, head):
    """Row `bad head`. The position that an authentic head counts up to, or None; only V can tell."""
    key = log.key.head_key(head.named)
    if key is None and log.key.narrowed:
        return None
    if key is None or mac(key, f"{dotted(head.named)}.{b64(head.hash)}".encode()) != head.mac:
        return log.tell("bad head", "failed", "its mac fails", pos=head.named)
    return head.named

def judge_pins(log, pins):
    """Row `bad statement`: each pinned statement must be here, if the log goes on behind it."""
    for pin in pins:
        st, last = log.statement(pin.pos), log.lasts.get(pin.chain, pin.pos)
        gaps = find_gaps(log, pin.chain, last) if pin.pos < last else []
        if pin.pos <= last and not any(first <= pin.pos <= (*last, 65535)[:3] for first, last in gaps) \
                and pin.chain in log.lasts and getattr(st, "digest", None) != pin.hash:
            log.tell("bad statement", "failed", "something else than the statement of a pin", pos=pin.pos)

def follows(log, a, b):
    """Whether nothing is absent between two positions. A broken line, told already, may be a checkpoint."""
    if a[:2] == b[:2]:
        return b[2] <= a[2] + 1
    return b == (a[0], a[1] + 1, 0) and (a[:2] in log.ends or a in log.claimed and not log.statement(a))

def reaches(log, goal):
    """Whether everything before a goal was written, as far as the last line of its chain tells."""
    last = log.lasts[goal[0]]
    st = log.statement(last)
    return goal <= (*last[:2], last[2] + 1) or bool(st and st.kind == "continues") and goal == (last[0], last[1] + 1, 0)

def judge_presence(log, marks, named):
    """Rows `missing` and `truncated`: all must be there before a line that is, a prev, a head or a pin. Marks are what heads
    and pins count, named the chains that the caller names."""
    newest, end = max(log.judged, default=0), max(marks, default=None)
    goals, log.goal = {}, end if end and end[0] >= newest else (0, 0, 0)
    for goal in [*log.prevs.values(), *marks]:
        goals[goal[0]] = max(goal, goals.get(goal[0], goal))
    cut = end and (end[0] > newest or end[0] == newest and not reaches(log, end))
    to = end and ((*end[:2], end[2] - 1) if end[2] else (end[0], end[1] - 1))  # nobody names a checkpoint before index 0
    lines = [line for lines in log.files.values() for line in lines]
    wrong_key = any(line.kind == "foreign" for line in lines) and not any(line.pos for line in lines)
    if end and not log.slots and not wrong_key:
        log.tell("truncated", "failed", "no line is here", pos=(1, 0, 0), to=to)
    if not log.slots:
        return
    for chain in log.judged:
        for first, last in find_gaps(log, chain, goals.get(chain, (chain, 0, 0))):
            if chain == newest and first > log.judged[chain]:  # else only a bad line claims more than is here
                if end and end[0] == newest and end > first:
                    log.tell("truncated", "failed", "a head or a pin counts more", pos=first, to=to)
                break
            if first >= log.start:
                log.tell("missing", "failed", "absent before a line, a prev, a head or a pin", pos=first, to=last)
    if newest and cut and end[0] > newest:
        log.tell("truncated", "failed", "a head or a pin counts more", pos=log.judged[newest], to=to)
    log.cut = bool(newest and cut)
    named = named + [goal[0] for goal in log.prevs.values()] + [mark[0] for mark in marks if mark[0] < newest or not newest]
    judge_chains(log, {chain for chain in named if log.start[0] <= chain <= log.end} - {*log.judged})

def judge_chains(log, named):
    """Row `missing`: whole chains. An authentic prev that passes over one excuses it, before a holder of V; but none that
    somebody names."""
    runs = [[chain, chain, "failed"] for chain in named]  # first and last of chains that are absent
    for a, b in pairwise(sorted({*log.judged, *named})):
        passed = any(chain >= b and prev[0] <= a for chain, prev in log.prevs.items())
        if a + 1 < b and not (passed and log.V):
            runs.append([a + 1, b - 1, "incomplete" if passed else "failed"])
    joined = []
    for run in sorted(runs):
        if joined and (joined[-1][1] + 1, joined[-1][2]) == (run[0], run[2]):
            joined[-1][1] = run[1]
        else:
            joined.append(run)
    for a, b, weight in joined:
        log.tell("missing", weight, "no line of these chains is here", pos=(a,), to=(b,))

def judge_ends(log, head, last_named):
    """Rows `unclean end` and `open end`: what anchors the end of each chain."""
    newest, named = None if last_named else max(log.judged, default=None), {}
    for goal in [*log.prevs.values(), *([head] if head else [])]:
        named[goal[0]] = max(goal, named.get(goal[0], goal))
    for chain, last in log.lasts.items():
        goal, closed = named.get(chain), log.closed.get(chain)
        passed = any(prev[0] < chain < later for later, prev in log.prevs.items())
        unsaid = unwitnessed(log) if chain == newest else ""  # a witness that was asked for is not replaced
        vouched = chain == newest and log.witnesses.words and not unsaid
        anchored = not unsaid and (head and head[0] == chain or vouched)
        log.anchors += ["witnesses"] * bool(vouched)
        if closed and log.statement(closed).kind == "ended":
            log.anchors += ["ended"] * (chain == newest)
            if unsaid and chain in log.judged:
                log.tell("open end", "incomplete", unsaid, pos=last)
            continue
        if log.cut and chain == max(log.judged):
            continue
        if head and head[0] == chain == newest:
            log.anchors.append("head " + dotted(head))
        if not anchored and (unsaid or chain == newest or not (closed or passed or goal)):
            if chain in log.judged:
                log.tell("open end", "incomplete", f"nothing anchors the end of chain {chain}", pos=last)
        elif (passed or not closed) and (not goal or reaches(log, goal)):
            log.unclean.add(chain)
            if chain in log.judged:
                log.tell("unclean end", "note" if log.V or vouched else "incomplete", "up to 1 s of lines may be lost", pos=last)

def broken_open(log, raw):
    """The digits of the chain that are there, and whether they are all, of a line that is the beginning of an open of
    this log and no more. None: it is none. Each whole field must be what the writer could have written there."""
    text, key = raw.rstrip(b"\x00 \t\r").decode("latin-1"), log.key  # NULs are what a power loss leaves
    for begin, mark, end in (("", " tally=", ""), ('{"tallystick":"', '","tally":"', '"}')):
        if begin.startswith(text):
            return "", False
        body = re.match('[^" ]*(?: [^" ]*){0,8}', text.removeprefix(begin))[0]
        p = (body.split(" ") + [""] * 7)[6].partition(".")[0]
        sample = f"tallystick/v1 open {key.name} {key.log_id} 1 0 0.0.{'1' if p.strip('0') else '0'}.{b64(bytes(32))}" \
                 f".{b64(bytes(16))} {'.'.join(b64(bytes(n)) for n in (32, 32, 32, 256, 64))} {b64(bytes(64))}"
        mine, model = re.split("([ .])", body), re.split("([ .])", sample)
        filled = "".join(mine + [model[len(mine) - 1][len(mine[-1]):]] + model[len(mine):]) if len(mine) <= len(model) else ""
        st, at = read_statement(filled.encode("latin-1")), OPEN.fullmatch(filled)
        if not st or not text.startswith(begin) or (st.name, st.log_id) != (key.name, key.log_id):
            continue
        whole, rest = len(body) > at.end("chain"), text[len(begin) + len(body):]
        if may_open(log, st, whole, lambda name: at.end(name) <= len(body)) and (not rest or body == filled) \
                and begins_seal(log, st, rest, begin + filled + end, mark, end):
            return body[at.start("chain"):at.end("chain")], whole
    return None

def may_open(log, st, numbered, is_whole):
    """Whether the writer could have written those fields of an open that are whole, as far as this key and these lines
    tell: a head before its chain that was reached, its proof, the way to the chain root, and signatures."""
    last, root = log.lasts.get(st.named[0]), log.roots.get((st.chain - 1) // 256)
    if numbered and st.named[0] >= st.chain:
        return False
    if is_whole("hash") and st.named[0] and st.named >= min(log.slots, default=(2**32,)):
        behind = last and (*last[:2], last[2] + 1)
        reached = last and (st.named <= behind or st.named[0] not in log.closed and follows(log, last, st.named))
        if not reached or not names_newest(log, st.named, st.hash):
            return False
    return not (is_whole("proof") and st.named[0] <= log.reach and authentic(log, st) is False
                or is_whole("chain_path") and root and root_of_path(st.chain_pk, (st.chain - 1) % 256, st.chain_path) != root
                or is_whole("chain_sig") and not signed(st.chain_pk, st.chain_sig, certified(st))
                or is_whole("sig") and not signed(st.chain_pk, st.sig, st.text.rpartition(b" ")[0]))

def begins_seal(log, st, rest, m, mark, end):
    """Whether this is the beginning of what stands behind an open in its line, and not all of it."""
    seal = f"{mark}{st.log_id}.{st.chain}.0.0.{len(m)}."
    tag, behind = rest[len(seal):len(seal) + 22], rest[len(seal) + 22:]
    if len(tag) < 22:
        return seal.startswith(rest) or rest.startswith(seal) and re.fullmatch("[A-Za-z0-9_-]+", tag) is not None
    K = log.key.entry_key(st.chain, 0, 0) if log.V and log.key.first <= st.chain <= log.reach else None
    holds = mac(K, H(b"\x03" + m.encode()))[:16] if K else parts_of(grammar("<tag>"), tag).tag
    return rest.startswith(seal) and tag == b64(holds) and behind != end and end.startswith(behind)

def all_begin_open(log, lines, chain, after):
    """Whether each line begins as an open of a chain that was passed over or is still to come, higher each time."""
    newest, known = max(log.lasts, default=0), {pos[0] for pos in log.slots}
    passed = [(named[0] + 1, later - 1) for later, named in log.prevs.items()] + [(newest + 1, 2**32 - 1)]
    for line in lines:
        digits, whole = broken_open(log, line.raw) or ("", None)
        number = int(digits or 0)
        blocks = [(number, number)] if whole else [(number * 10**k, (number + 1) * 10**k - 1) for k in range(11 - len(digits))]
        ranges = [range(max(low, start, chain + 1), min(high, to, after.pos[0] - 1 if after else to) + 1)
                  for low, high in passed for start, to in (blocks if digits else [(1, 2**32 - 1)])]
        chain = min(filter(None, (next((c for c in found if c not in known), 0) for found in ranges)), default=0)
        if whole is None or not chain:
            return False
    return True

def are_torn(log, before, lines, after):
    """Row `torn line`: at the end of the newest chain, or where a chain ended before an open."""
    chain = before.pos[0] if before else 0
    if len(lines) > 8 or before and before.pos != log.lasts.get(chain):
        return False
    ended = chain in log.closed and log.statement(log.closed[chain]).kind == "ended"
    if after is None:
        newest = max(log.lasts, default=0)
        if before and chain == newest and not (before.pos >= log.goal or follows(log, before.pos, log.goal)):
            return False  # what a head or a pin counts was written whole
        if chain and chain not in log.closed:
            return (chain == newest or chain in log.unclean) and all_begin_open(log, lines[1:], chain, None)
        return not ended and lines[-1].path in log.unfinished and all_begin_open(log, lines, chain, None)
    named = log.prevs.get(after.pos[0])
    if not named or after.pos[1:] != (0, 0) or chain >= after.pos[0] or ended:
        return False
    if before and chain not in log.closed:
        return chain in log.unclean and all_begin_open(log, lines[1:], chain, after)
    return all_begin_open(log, lines, chain, after)

def is_good(line):
    return line.kind not in ("altered", "unsealed", "foreign")

def ends_copy(log, lines, line):
    """Whether a broken line ends its file, which lacks the last LF, and is the beginning of the line that stands there in
    another file: behind the last position before it, or first of all."""
    if line is not lines[-1] or line.path not in log.unfinished:
        return False
    last = next((other.pos for other in reversed(lines) if other.pos and other.kind not in ("altered", "redacted")), None)
    after = min((pos for pos in log.slots if last and pos > last), default=None)
    near = last and after in ((*last[:2], last[2] + 1), (last[0], last[1] + 1, 0), (after and after[0], 0, 0))
    there = [other for other in log.slots[after] if other.paths - {line.path}] if near and after else []
    there += [] if last else [others[0] for path, others in log.files.items() if path != line.path and others]
    return any(other.raw.startswith(line.raw) for other in there)

def judge_lines(log, rows):
    """Row `reordered`: the order of lines in one file."""
    before, twice = None, {line.pos for line in rows if line.kind in ("duplicate", "fork") or line.twice}
    for line in rows:
        if not is_good(line) and (log.V or not line.at_its_word):
            continue
        if before and line.pos < before.pos and line.pos not in twice:
            outside = [x.kind == "unjudged" for x in (line, before)]  # whose order the key cannot judge
            if not all(outside):
                weight = "incomplete" if any(outside) else "failed"
                log.tell("reordered", weight, f"stands behind {dotted(before.pos)}", line)
        before = line

def judge_files(log):
    """Rows `torn line`, `altered`, `unsealed`: each line beside its neighbours."""
    rows = [line for lines in log.files.values() for line in lines]
    known = bool(log.slots)  # or else they are all of another log
    for path, rows in groupby(rows, key=lambda line: line.path):
        rows = [line for line in rows if line.kind != "excepted"]
        judge_lines(log, rows)
        rows = [line for line in rows if line.kind != "unjudged"]
        may_be = [not is_good(line) and (log.V or not line.seal) for line in rows]  # with P only, a whole line broke off nowhere
        torn = {len(rows) - 1} if rows and may_be[-1] and ends_copy(log, log.files[path], rows[-1]) else set()
        broken = may_be[:min(torn, default=None)] + [False, False]
        for i, line in enumerate(rows):
            if broken[i] and not broken[i - 1]:
                end = broken.index(False, i)
                if are_torn(log, rows[i - 1] if i else None, rows[i:end], rows[end] if end < len(rows) else None):
                    torn |= set(range(i, end))
            if i in torn:
                log.tell("torn line", "note", "one broken line where the writer stopped, or has come to", line)
                log.torn |= {(line.path, line.no)}
            elif not is_good(line) and (known or line.kind != "foreign"):
                log.tell("altered" if line.kind == "altered" else "unsealed", "failed", line.detail, line)

# ---- section 11: witnesses --------------------------------------------------------------------------------------------

NOTE = re.compile("((?:[ -~]*\n)+)\n((?:— [^ \n]+ [A-Za-z0-9+/]+={0,2}\n){1,64})")
RECEIPT = grammar("tallystick/v1 receipt\nlog <log_of>\nsays <says>\n"
                  "text <hash>\ntime <time>\ngap <gap>\n")
ANSWER = re.compile("tallystick/v1 answer\nnonce ([A-Za-z0-9_-]{43})\nlog ([A-Za-z0-9_-]{43})\nnow (0|[1-9][0-9]*)\n((?:text [^\n]*\n)*)")
HELD = re.compile("text (0|[1-9][0-9]{0,15}) ([01]) ([^\n]*)")

def un64(text):
    """The bytes of base64 with padding, of one spelling only; None for anything else."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data).decode() == text else None

def read_witness(text, kind=1, what="a witness"):
    """A verifier key of C2SP's signed notes: name, key id, Ed25519 key. Its type is 1, of a cosigner 4."""
    name, number, key = (text.split("+", 2) + ["", ""])[:3]
    data = un64(key) or b""
    right = len(data) == 33 and data[0] == kind and H(name.encode() + b"\n" + data)[:4].hex() == number
    if not right or not re.fullmatch("[!-*,-~]{1,255}", name):
        raise Usage(f"this is no key of {what}")
    return SimpleNamespace(name=name, id=bytes.fromhex(number), key=data[1:])

def parts_of_note(note):
    """The text of a note, and its signatures: names and bytes; None if it is none."""
    found = NOTE.fullmatch(note)
    lines = [line[2:].partition(" ") for line in found[2].split("\n")[:-1]] if found else []
    signatures = [(name, un64(data)) for name, _, data in lines]
    return (found[1], signatures) if found and all(data and len(data) > 4 for _, data in signatures) else None

def signatures_of(note, witness):
    return [data[4:] for name, data in parts_of_note(note)[1] if name == witness.name and data[:4] == witness.id]

def read_note(note, witness):
    """The text of a note that a witness signed; None otherwise."""
    found = parts_of_note(note)
    mine = signatures_of(note, witness) if found else []
    good = mine and all(len(sig) == 64 and signed(witness.key, sig, found[0].encode()) for sig in mine)
    return found[0] if good else None

def of_receipt(note, witness, P, st):
    """The time in a receipt of a witness for a text; None if it is none."""
    text = read_note(note, witness)
    parts = parts_of(RECEIPT, text) if text else None
    if not parts or parts.log_of != P or parts.hash != st.digest or parts.says != says(st):
        return None
    return parts.time

def says(st):
    verb = st.kind if st.kind in ("open", "head") else "checkpoint"
    return f"{verb} {st.chain} {st.epoch} {st.index} {b64(st.R)} {b64(st.newest)}"

def of_answer(note, witness, nonce, P):
    """Now and the texts of an answer, each with its time; None if it is none to this question."""
    found = ANSWER.fullmatch(read_note(note, witness) or "")
    held = [HELD.fullmatch(line) for line in found[4].split("\n")[:-1]] if found else []
    if not found or None in held or (found[1], found[2]) != (b64(nonce), b64(P)) or int(found[3]) >= 2**53:
        return None
    now, texts = int(found[3]), [(int(one[1]), read_shown(one[3].encode())) for one in held]
    times = [time for time, _ in texts]
    good = times == sorted(times) and max(times, default=0) <= now and all(st for _, st in texts)
    return (now, texts) if good else None

def goes_on(m, old, n, new, proof):
    """Does a consistency proof lead from the first m leaves to the first n? RFC 6962 section 2.1.2."""
    def roots(m, n, known, proof):
        if m == n:
            return (old, old) if known and not proof else (proof[0], proof[0]) if not known and len(proof) == 1 else None
        if not proof:
            return None
        split, last = 1 << (n - 1).bit_length() - 1, proof[-1]
        below = roots(m, split, known, proof[:-1]) if m <= split else roots(m - split, n - split, False, proof[:-1])
        if below and m <= split:
            return below[0], H(b"\x01" + below[1] + last)
        return below and tuple(H(b"\x01" + last + each) for each in below)
    if m == 0 or m > n:
        return m == 0 and old == H(b"") and not proof
    return roots(m, n, True, proof) == (old, new)

def clash(one, other):
    """Can two texts of a log not both be true, whatever the lines are?"""
    a, b = sorted((one, other), key=lambda st: (st.chain, st.epoch, st.kind != "open", st.kind != "head", st.index))
    if a.digest == b.digest:
        return False
    if (a.chain, a.epoch) == (b.chain, b.epoch):
        if a.kind != "head":
            return a.kind != "open" or b.kind == "open" or b.newest != a.digest  # of opens, and of checkpoints, there is one
        return a.newest != b.newest or a.index > b.index or a.index == b.index and a.R != b.R
    if a.kind == "ended" or a.kind == "closed" and a.chain == b.chain:
        return True
    if a.chain == b.chain:
        return a.kind == "continues" and a.epoch + 1 == b.epoch and b.newest != a.digest
    if b.kind != "open":
        return False
    prev, named = (b.p, b.p_epoch, b.p_index), a.newest if a.kind == "head" else a.digest
    return prev < until(a) or prev == until(a) and b.hash != named or prev > until(a) and b.p == a.chain and a.kind == "closed"

def accept(known, st, proof):
    """What becomes of a text that holds, and the number of the known text that it contradicts. The newest is the last."""
    for number in reversed(range(len(known))):
        if clash(known[number], st):
            return "fork", number
    if not known:
        set_up = st.kind == "open" and (st.p, st.p_epoch, st.p_index) == (0, 0, 0)
        return ("newer" if set_up else "gap") if st.kind == "open" else "open first", None
    old = known[-1]
    if (st.chain, st.epoch) < (old.chain, old.epoch):
        return "older", None
    if (st.chain, st.epoch) == (old.chain, old.epoch):
        if st.digest == old.digest:
            return "same", None
        if st.kind == "open" or old.kind not in ("open", "head") or st.index < old.index:
            return "older", None
        if old.kind == st.kind and st.index == old.index:
            return "sign of life" if st.time > old.time else "same", None
        return "newer" if goes_on(old.index, old.R, st.index, st.R, proof) else "proof", None
    if st.chain > old.chain and st.kind != "open":
        return "open first", None
    if st.chain == old.chain:
        follows = old.kind == "continues" and st.epoch == old.epoch + 1
    else:
        follows = old.kind != "head" and (st.p, st.p_epoch, st.p_index) == until(old)
    return "newer" if follows else "gap", None

def texts_of(data):
    """A file of receipts: of each text what it says, its bytes, and its receipts, each with the proof after it."""
    found, rest = [], data.decode("utf-8", "replace")
    while rest:
        line, _, behind = rest.partition("\n")
        if line in ("tallystick/v1 receipt", TLOG_PROOF):
            note = (COMPLETING if line == TLOG_PROOF else re.compile("(?:[ -~]+\n)+\n(?:—[^\n]*\n)+")).match(rest)
            last = found[-1][2] if found else None
            if not note or last is None or not parts_of_note(note["note"] if line == TLOG_PROOF else note[0]):
                raise Usage("this is no file of receipts")
            if line != TLOG_PROOF:
                last.append((note[0], None))
            elif last and last[-1][1] is None:
                last[-1] = (last[-1][0], note[0])
            else:
                raise Usage("this is no file of receipts")
            rest = rest[note.end():]
            continue
        rest = behind
        if line.strip():
            text = line.removesuffix("\r").encode()
            if not (st := read_shown(text)):
                raise Usage("this is no signed text")
            found.append((st, text, []))
    return found

def read_receipts(data, key, roots, witnesses):
    """The texts of a file of receipts, once for each receipt of a known witness, or as a bare head."""
    shown = []
    for st, _, receipts in texts_of(data):
        if st.log_id != key.log_id or prove(st, key, dict(roots)) not in ("", LACKING):
            raise Usage("this is no signed text of this log")
        shown.append(SimpleNamespace(st=st, witness=None, time=None))
        for note, witness in product([note for note, _ in receipts], witnesses):
            time = of_receipt(note, witness, key.P, st)
            if time is not None:
                shown.append(SimpleNamespace(st=st, witness=witness, time=time))
    received = {one.st.digest for one in shown if one.witness}
    return [one for one in shown if one.witness or one.st.digest not in received]

def read_witnesses(key, roots, witnesses, receipts, answers, now, fresh, quorum):
    """What witnesses say. answers: key of a witness -> (nonce, answer); the others count by their receipts."""
    known = {read_witness(text).key: (read_witness(text), text) for text in witnesses}
    names = [witness for witness, _ in known.values()]
    shown = [one for data in receipts for one in read_receipts(data, key, roots, names)]
    words, by_receipt = [], list(shown)
    for witness, text in known.values():
        trouble, newest, at = "says nothing", None, now
        if text in answers:
            nonce, note = answers[text]
            found = of_answer(note, witness, nonce, key.P)
            if found and all(st.log_id == key.log_id and prove(st, key, dict(roots)) in ("", LACKING) for _, st in found[1]):
                shown += [SimpleNamespace(st=st, witness=witness, time=time) for time, st in found[1]]
                at, newest = found[0], shown[-1] if found[1] else None
                trouble = None if newest else "has heard nothing of this log"
        else:
            mine = [one for one in by_receipt if one.witness and one.witness.key == witness.key]
            newest = max(mine, key=lambda one: (until(one.st), one.time), default=None)
            trouble = "says nothing" if not newest or newest.time > now + 300_000 else None
        if not trouble and newest.st.kind != "ended" and (at - newest.time > fresh or newest.time - newest.st.time > fresh):
            trouble = "has heard nothing of this log for too long"
        words.append(SimpleNamespace(witness=witness, trouble=trouble))
    return SimpleNamespace(shown=shown, words=words, fresh=fresh, quorum=quorum)

TLOG_PROOF = "c2sp.org/tlog-proof@v1"
COMPLETING = re.compile(
    TLOG_PROOF + r"\n(?:extra (?P<token>[A-Za-z0-9+/=]*)\n)?index (?P<index>0|[1-9][0-9]{0,15})\n(?P<hashes>(?:[A-Za-z0-9+/]{43}=\n){0,63})\n"
    r"(?P<note>(?P<origin>[!-~]+)\n(?P<size>0|[1-9][0-9]{0,15})\n(?P<root>[A-Za-z0-9+/]{43}=)\n\n(?:—[^\n]*\n)+)")

def climb(node, index, n, proof):
    """The root that an inclusion proof leads to from leaf `index` of n. None: it has not as many hashes as it must."""
    if n < 2 or not proof:
        return node if n == 1 and not proof else None
    split = 1 << (n - 1).bit_length() - 1
    left = index < split
    below = climb(node, index if left else index - split, split if left else n - split, proof[:-1])
    return below and H(b"\x01" + (below + proof[-1] if left else proof[-1] + below))

def cosigned(note, cosigner):
    """Has a cosigner signed a checkpoint (C2SP tlog-cosignature)? None: a signature of it does not hold."""
    mine = signatures_of(note, cosigner)
    text = parts_of_note(note)[0].encode()
    holds = (len(data) == 72 and data[0] < 128 and signed(
        cosigner.key, data[8:], b"cosignature/v1\ntime %d\n" % int.from_bytes(data[:8], "big") + text) for data in mine)
    return None if not all(holds) else bool(mine)

def in_tree(proof, witness, P, st, time):
    """The checkpoint and the token of what completes a receipt; None if it is not in the witness's tree."""
    found = COMPLETING.fullmatch(proof)
    index, size, note = int(found["index"]), int(found["size"]), found["note"]
    entry = f"tallystick/v1 entry\nlog {b64(H(P))}\ntext {b64(st.digest)}\ntime {time}\n".encode()
    hashes, token = [un64(line) for line in found["hashes"].split()], found["token"]
    token = un64(token) if token is not None else b""
    good = None not in (*hashes, token) and index < size and read_note(note, witness) and found["origin"] == witness.name
    return (note, token) if good and climb(H(b"\x00" + entry), index, size, hashes) == un64(found["root"]) else None

def read_policy(text):
    """C2SP tlog-policy: keys of logs, cosigners, and a function that says whether enough of these have signed."""
    logs, cosigners, names, members, rules = [], [], {}, set(), []
    for line in text.split("\n"):
        if re.search("[^\t -~\x80-\U0010ffff]", line):
            raise Usage("there is a control character in the policy")
        words = line.strip(" \t").split() if not line.strip(" \t").startswith("#") else []
        match words:
            case []:
                pass
            case ["log", key, *url] if len(url) < 2:
                logs.append(read_witness(key))
            case ["witness", name, key, *url] if len(url) < 2 and name not in names and name != "none":
                names[name] = len(cosigners)
                cosigners.append(read_witness(key, 4, "a cosigner"))
            case ["group", name, count, *of] if of and name not in names and name != "none":
                count = {"any": "1", "all": str(len(of))}.get(count, count)
                if len(set(of)) < len(of) or members & set(of) or not set(of) <= set(names) or not re.fullmatch("[1-9][0-9]{0,3}", count) \
                        or int(count) > len(of):
                    raise Usage("this is no group of a policy")
                members |= set(of)
                names[name] = (int(count), of)
            case ["quorum", name] if name == "none" or name in names:
                rules.append(name)
            case _:
                raise Usage("this is no policy")
    keys = [one.key for one in logs], [one.key for one in cosigners]
    if len(rules) != 1 or any(len(set(one)) < len(one) for one in keys):
        raise Usage("a policy has one quorum, and each key once")
    def holds(name, signers):
        one = names[name]
        return one in signers if isinstance(one, int) else sum(holds(member, signers) for member in one[1]) >= one[0]
    return SimpleNamespace(logs=logs, cosigners=cosigners, holds=lambda signers: rules[0] == "none" or holds(rules[0], signers))

# Time-stamp tokens: RFC 3161, a SignedData of RFC 5652 in DER.

def der(data):
    """The values that stand in some bytes: (tag, body, all of it)."""
    while data:
        head, length = 2, data[1]
        if length > 0x80:
            head, length = 2 + length - 0x80, int.from_bytes(data[2:2 + length - 0x80], "big")
        if data[0] & 31 == 31 or data[1] == 0x80 or len(data) < head + length:
            raise ValueError("this is no DER")
        yield data[0], data[head:head + length], data[:head + length]
        data = data[head + length:]

def oid(body):
    numbers, value = [], 0
    for byte in body:
        value = value << 7 | byte & 127
        if byte < 128:
            numbers, value = numbers + [value], 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first, *numbers[1:]]))

HASHES = {"2.16.840.1.101.3.4.2.1": hashes.SHA256, "2.16.840.1.101.3.4.2.2": hashes.SHA384, "2.16.840.1.101.3.4.2.3": hashes.SHA512}

def hashed(algorithm, data):
    digest = hashes.Hash(algorithm())
    digest.update(data)
    return digest.finalize()

def first_oid(sequence):
    return oid(next(der(sequence))[1])

def judge_token(token, text, certificates):
    """What is wrong with a token over the text of a checkpoint: "" or a verdict and its reason; and its time."""
    try:
        (_, content, _), = der(token)
        (_, kind, _), (_, content, _) = der(content)
        (_, content, _), = der(content)
        _, _, (_, inner, _), *sets, (_, signers, _) = der(content)
        (_, inner_kind, _), (_, wrapped, _) = der(inner)
        (_, stamp, _), = der(wrapped)
        (_, stamp_parts, _), = der(stamp)
        _, _, (_, imprint, _), _, (_, when, _), *_ = der(stamp_parts)
        (_, algorithm, _), (_, digest, _) = der(imprint)
        if (oid(kind), oid(inner_kind)) != ("1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"):
            raise ValueError("it is no time-stamp")
        if hashed(HASHES[first_oid(algorithm)], text) != digest:
            raise ValueError("it is about something else")
        form = "%Y%m%d%H%M%S.%fZ" if b"." in when else "%Y%m%d%H%M%SZ"
        time = datetime.datetime.strptime(when.decode(), form).replace(tzinfo=datetime.UTC)
    except (ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
        return f"failed the time-stamp: {error}", None
    try:
        good = token_is_signed(stamp, signers, [one for tag, body, _ in sets if tag == 0xA0 for *_, one in der(body)], certificates, time)
    except (ValueError, KeyError, IndexError, InvalidSignature, UnsupportedAlgorithm, TypeError, x509.ExtensionNotFound):
        good = False
    return "" if good else "incomplete the time-stamp is not by the roots", round(time.timestamp() * 1000)

def token_is_signed(stamp, signers, embedded, certificates, time):
    """Is a TSTInfo signed with a key for time-stamps whose certificate leads to one of these, all valid at its time?"""
    (_, signer, _), = der(signers)
    _, (_, sid, _), (_, digest, _), (tag, attributes, whole), (_, algorithm, _), (_, signature, _), *_ = der(signer)
    (_, _, issuer), (_, serial, _) = der(sid)
    embedded = [x509.load_der_x509_certificate(one) for one in embedded]
    known = embedded + certificates
    mine = next(one for one in known if one.issuer.public_bytes() == issuer and one.serial_number == int.from_bytes(serial, "big"))
    said = {oid(kind): values for (_, kind, _), (_, values, _) in (tuple(der(body)) for _, body, _ in der(attributes))}
    hashing = HASHES[first_oid(digest)]
    (_, mark, _), = der(said["1.2.840.113549.1.9.4"])
    (_, kind, _), = der(said["1.2.840.113549.1.9.3"])
    if tag != 0xA0 or mark != hashed(hashing, stamp) or oid(kind) != "1.2.840.113549.1.9.16.1.4":
        return False
    key, message = mine.public_key(), b"\x31" + whole[1:]
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, message, padding.PKCS1v15(), hashing())
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, message, ec.ECDSA(hashing()))
    else:
        key.verify(signature, message)
    purpose = mine.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    if not purpose.critical or list(purpose.value) != [x509.ExtendedKeyUsageOID.TIME_STAMPING]:
        return False
    for _ in range(8):
        if not mine.not_valid_before_utc <= time <= mine.not_valid_after_utc:
            return False
        if mine in certificates:
            return True
        mine = next(one for one in certificates + embedded if issued(one, mine))
    return False

def issued(issuer, certificate):
    try:
        certificate.verify_directly_issued_by(issuer)
        return issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False

# ---- section 9: exceptions --------------------------------------------------------------------------------------------

AT, LOG = r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2}", r"(?:[ \t]+(?P<log>[A-Za-z0-9][A-Za-z0-9._-]*))?[ \t]+"
UNTIL = r"(?:[ \t]+until[ \t]+(?P<until>\d{4}-\d\d-\d\d))?[ \t]*:[ \t]*(?P<reason>\S.*)"
CHAINS = r"[1-9]\d*\.\*"
EXCEPTION = [re.compile(pattern + UNTIL, re.ASCII) for pattern in (
    rf"(?P<kind>late start|open end|unclean end|reordered|redacted|duplicate|missing|truncated){LOG}(?P<at>{AT})",
    rf"(?P<kind>duplicate|missing|truncated){LOG}(?P<at>{AT})[ \t]+to[ \t]+(?P<to>{AT})",
    rf"(?P<kind>missing|truncated){LOG}(?P<at>{AT})[ \t]+to[ \t]+(?P<to>(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.\*)",
    rf"(?P<kind>missing){LOG}(?P<at>{CHAINS})(?:[ \t]+to[ \t]+(?P<to>{CHAINS}))?",
    rf"(?P<kind>altered){LOG}(?P<at>{AT})[ \t]+sha256:(?P<sha>[0-9A-Fa-f]{{64}})",
    r"(?P<kind>unsealed)[ \t]+sha256:(?P<sha>[0-9A-Fa-f]{64})")]

def read_exceptions(text, name, today):
    """The exceptions of a file, each with its use. One that is no exception stops everything."""
    found = []
    for line in (text or "").split("\n"):
        line = line.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        match = next(filter(None, (pattern.fullmatch(line) for pattern in EXCEPTION)), None)
        if not match:
            raise Usage(f"this is no exception: {line!a}")
        parts = dict.fromkeys(("at", "to", "log", "sha", "until")) | match.groupdict()
        parts["sha"] = parts["sha"] and parts["sha"].lower()
        if any((one.kind, one.log, one.at, one.to, one.sha) == tuple(map(parts.get, ("kind", "log", "at", "to", "sha")))
               for one in found):
            raise Usage(f"this exception is there already: {line!a}")
        mine = parts["log"] in (None, name) and not (parts["until"] and parts["until"] < today)
        found.append(SimpleNamespace(**parts, mine=mine, used=False))
    return found

def excepts_line(exceptions, line):
    """Whether a line that is bad by itself is excepted: by its bytes, and by the position that its seal claims."""
    at = dotted(line.pos) if line.kind == "altered" else None
    for one in exceptions:
        if one.mine and one.kind in ("altered", "unsealed") and one.at == at and one.sha == H(line.whole).hex():
            one.used = True
            return True
    return False

def except_findings(log, exceptions):
    """Make notes of the findings that are excepted: each by its kind and exactly its positions."""
    def covers(one, finding):
        if finding["kind"] == "duplicate" and one.to:  # names each position from the one to the other
            low, at, high = (tuple(map(int, text.split("."))) for text in (one.at, finding["position"], one.to))
            return low <= at <= high
        return (one.at, one.to) == (finding["position"], finding["to"])
    for finding in log.findings:
        if finding["weight"] == "note" or finding["kind"] == "redacted" and (finding["weight"] == "failed" or not log.V):
            continue
        for one in exceptions:
            if one.mine and not one.sha and one.kind == finding["kind"] and covers(one, finding):
                one.used, finding["weight"] = True, "note"
                finding["kind"] = "redacted" if one.kind == "redacted" else "excepted"
                break

# ---- verdict and command line ---------------------------------------------------------------------------------------

def read_demands(key, head_text, pins, start, end):
    """What the caller brings along: head and pins of this log, first and last chain."""
    pins = [parts_of(PIN, " ".join(text.split())) for text in pins]
    if not all(pin and pin.log_id == key.log_id for pin in pins) or not 0 < (start or 1) <= (end or 2**32 - 1) < 2**32:
        raise Usage("this is no pin of this log, or no chain number")
    head = parts_of(HEAD, " ".join(head_text.split())) if head_text is not None else None
    if head_text is not None and not (head and head.log_id == key.log_id):
        raise Usage("this is no head of this log")
    return SimpleNamespace(head=head, pins=pins, start=start, end=end)

def read_files(log, files, asked, excepting):
    """Every line of the files, and what each says alone."""
    named = [pin.chain for pin in asked.pins] + [one.st.chain for one in log.witnesses.shown if not prove(one.st, log.key, dict(log.roots))] + ([asked.head.named[0]] if asked.head else [])
    far = max([0, asked.start or 0, asked.end or 0, *named]) + 2**17  # section 9: chains above are out of reach
    log.reach = log.key.last if log.key.narrowed or not log.V else min(log.key.last, far)
    for path, content in files.items():
        lines = [read_line(path, i, raw, log.key.log_id) for i, raw in enumerate(content.split(b"\n"), 1)]
        for line, at in zip(lines, accumulate((len(raw) + 1 for raw in content.split(b"\n")), initial=0)):
            if line:
                line.at = at
        log.files[path], log.contents[path] = [line for line in lines if line], content
        if not content.endswith(b"\n"):
            log.unfinished.add(path)
    take_lines(log)
    for line in (line for lines in log.files.values() for line in lines):
        if line.kind in ("unsealed", "foreign") or line.kind == "altered" and log.V and (line.path, line.no) not in log.torn:
            if excepts_line(excepting, line):
                line.kind = "excepted"
                log.tell("excepted", "note", line.detail, line)
    judge_past(log)
    judge_kin(log)

def row_of(log, key, about):
    """Log ids in a row: of the log that this one names, of the one that that names in a notice which holds under its key, …"""
    row = []
    while key and key.log_id not in row:
        row.append(key.log_id)
        roots, named = {0: key.P}, []
        for st in sorted(log.others.get(key.log_id, ()), key=lambda st: st.pos):
            if not prove(st, key, roots) and st.kind == "notice":
                named.append(read_named(st, about))
        named = [one for one in named if one]
        key = named and named[0 if about == "predecessor" else -1]
    return row

def is_first(log, pos):
    """Whether the open of a position's chain says that no head counted a line before it."""
    st = log.statement((pos[0], 0, 0))
    return st is not None and st.named == (0, 0, 0) and authentic(log, st) is not False

def judge_kin(log):
    """Rows `predecessor` and `successor`: lines of the logs before and after this one, where theirs may stand."""
    for lines in log.files.values():
        for line in lines:
            for found in re.finditer(rb'tallystick/v1 (?:open|notice) [^"]*?(?= tally=|"|$)', line.raw if line.kind == "foreign" else b""):
                st = read_statement(found[0])
                if st:
                    log.others.setdefault(st.log_id, []).append(st)
    newest = max((pos[0] for pos in log.slots), default=0)
    before = row_of(log, next((key for pos, key in log.before if is_first(log, pos)), None), "predecessor")
    after = row_of(log, log.after[1], "successor") if log.after and log.after[0][0] == newest else []
    for path, lines in log.files.items() if before or after else ():
        mine = [i for i, line in enumerate(lines) if is_good(line) and line.pos or not log.V and getattr(line, "at_its_word", False)]
        begins = not mine or lines[mine[0]].pos[1:] == (0, 0) and lines[mine[0]].statement and is_first(log, lines[mine[0]].pos)
        ends = after and (not mine or lines[mine[-1]].pos >= log.after[0])
        for i, line in enumerate(lines):
            kinds = [(kind, fits) for kind, row, fits in (("predecessor", before if path not in log.adopted else [], begins and not (mine and i > mine[0])),
                                                          ("successor", after, ends and not (mine and i < mine[-1])))
                     if line.kind == "foreign" and line.other in row]
            if kinds and all(fits for _, fits in kinds):
                line.kind = "excepted"
                log.tell(kinds[0][0], "incomplete", "the key of the log before or after this one is needed", line)

def judge_past(log):
    """Row `adopted`: what a file held before the open of chain 1, which must follow at once. Its lines are set aside."""
    told = set()
    for (digest, size, count), notice in log.adopting:
        found = False
        for path, lines in log.files.items():
            opens = (line.at for line in lines if line.pos == (1, 0, 0) and line.statement and line.statement.kind == "open")
            past = log.contents[path][:size]
            if next(opens, None) != size or (H(past), past.count(b"\n")) != (digest, count):
                continue
            found = True
            log.adopted.add(path)
            for line in lines:
                if line.at < size and line.kind in ("unsealed", "foreign"):
                    line.kind = "excepted"
        if (digest, size, count) not in told:
            told.add((digest, size, count))
            log.tell("adopted", "note" if found else "failed", f"{count} lines of {size} bytes from before", notice)

def judge(log, asked):
    """The rows of section 7, one after the other. Returns what anchors the start."""
    key = log.key
    if key.narrowed:
        log.tell("narrowed", "incomplete", f"the key covers chains {key.first} to {key.last} only")
    judge_order(log)
    judge_epochs(log)
    for pos in sorted(log.claimed.union(log.slots)):
        log.by_chain.setdefault(pos[0], []).append(pos)
    mark = judge_head(log, asked.head) if asked.head and log.V else None
    pins = [pin for pin in asked.pins if key.first <= pin.chain <= key.last]
    marks = [(*pin.pos[:2], pin.index + 1) for pin in pins] + ([mark] if mark and mark[0] else [])
    marks += [until(one.st) for one in log.witnesses.shown
              if one.witness and key.first <= one.st.chain <= key.last and not prove(one.st, key, dict(log.roots))]
    (log.start, started), log.end = find_start(log, asked.start, marks), asked.end or 2**32
    log.lasts = {pos[0]: pos for pos in sorted(log.slots)}
    log.judged = {chain: last for chain, last in log.lasts.items() if log.start[0] <= chain <= log.end}
    judge_prevs(log)
    marks = [mark for mark in marks if (log.start < mark or not log.slots) and mark[0] <= log.end]
    mark = mark if mark in marks else None
    if mark and not names_newest(log, mark, asked.head.hash):
        log.tell("bad head", "failed", "it names another statement than the newest before it", pos=mark)
    judge_pins(log, [pin for pin in pins if log.start <= pin.pos and pin.chain <= log.end])
    judge_presence(log, marks, [chain for chain in (asked.start, asked.end) if chain])
    tell_shown(log)
    judge_ends(log, mark, asked.end)
    judge_files(log)
    return started

def report(log, started, excepting):
    """Verdict, range, counts and findings, the worst first."""
    findings = sorted(log.findings, key=lambda x: ("failed", "incomplete", "note").index(x["weight"]))
    worst = findings[0]["weight"] if findings else "note"
    verdict = worst if worst != "note" else "ok" if log.verified else "incomplete"
    times = [str(st.time) for st in map(log.statement, sorted(log.slots)) if log.trusts(st)]
    where = " to ".join(map(dotted, (min(log.slots), max(log.slots)))) if log.verified and log.slots else "nothing"
    span = (f"verified: {where}, claimed times {' to '.join(times[:1] + times[-1:]) or 'none'}, start: {started}, "
            f"end: {', '.join(log.anchors) or 'not anchored'}")
    counts = {"lines": sum(map(len, log.files.values())), "positions": len(log.slots), "verified": log.verified}
    used = [one.used for one in excepting]
    return {"verdict": verdict, "range": span, "counts": counts, "findings": findings, "exceptions": used}

def verify(files, key_text=None, public_text=None, head_text=None, pins=(), start=None, end=None, exceptions=None,
           today=None, unread=None, witnesses=(), receipts=(), answers=None, now=0, fresh=600_000, quorum=None,
           retention=None, seen=None):
    """Check one log. files: name -> bytes; unread: name of what cannot be read -> whether anything is there.
    retention: ms for which it is kept at least; seen: text of a pin -> when the caller kept it, ms since 1970.
    {"verdict", "range", "counts", "findings", "exceptions"}, or Usage is raised."""
    key, roots = read_keys(key_text, public_text)
    today = today or datetime.datetime.now(datetime.UTC).date().isoformat()
    asked, torn = read_demands(key, head_text, pins, start, end), set()
    told = read_witnesses(key, roots, witnesses, receipts, answers or {}, now, fresh, quorum)
    while True:
        excepting, log = read_exceptions(exceptions, key.name, today), Log(key, dict(roots), torn)
        log.witnesses = told
        dated = [(parts_of(PIN, text), time) for text, time in (seen or {}).items() if text in pins]
        log.retention = (retention, now, dated) if retention is not None else None
        for name, there in (unread or {}).items():
            log.tell("unreadable", "incomplete", "it cannot be read", SimpleNamespace(path=name, no=None, pos=None))
            log.elsewhere = log.elsewhere or there or not files  # with nothing read at all, the name may be a wrong one
        read_files(log, files, asked, excepting)
        started = judge(log, asked)
        if log.torn == torn:
            except_findings(log, excepting)
            return report(log, started, excepting)
        torn = log.torn  # what torn lines claim may have hidden that something is missing: judge without it

# ---- section 10: evidence -------------------------------------------------------------------------------------------

FIRST = b"tallystick/v1 evidence\n"
EVIDENCE = re.compile(FIRST + rb"((?:tallystick/v1 open [^\n]*\n)*)(tallystick/v1 (?:checkpoint|head) .*?\n)"
                      rb"proof((?: [A-Za-z0-9_-]{43}){0,16})\nline ([^\n]*)\n", re.DOTALL)

def read_texts(data):
    """The checkpoint or signed head of evidence, and later texts, with their receipts; [] where anything else stands there."""
    try:
        found = texts_of(data)
    except Usage:
        return []
    again = "".join(text.decode() + "\n" + "".join(note + (proof or "") for note, proof in receipts) for _, text, receipts in found)
    return found if again.encode() == data else []

def judge_evidence(data, key, roots):
    """What is wrong with evidence, "" or a verdict and its reason, and the parts of it: seal, m, checkpoint."""
    found = EVIDENCE.fullmatch(data)
    seal, m = as_bytes(found[4]) if found else (None, None)
    texts = read_texts(found[2]) if found else []
    end = texts[0][0] if texts else None
    if m is None or not end or end.kind == "open" or (end.log_id, *end.pos[:2]) != (seal.log_id, *seal.pos[:2]):
        return "failed its parts are damaged or do not belong together", seal, m, end
    if seal.log_id != key.log_id:
        return "incomplete it is of another log than the key", seal, m, end
    older, opening = [read_statement(text) for text in found[1].split(b"\n")[:-1]], seal.pos[1:] == (0, 0)
    generations = [st and (st.chain - 1) // 256 for st in older] + [(end.chain - 1) // 256]
    if None in older or any(a >= b for a, b in pairwise(generations)):
        return "failed the opens are not those of older generations", seal, m, end
    own = read_statement(m) if seal.tag else None
    if opening and not (own and own.kind == "open" and own.pos == seal.pos):
        return "failed the first line of a chain is no open", seal, m, end
    for st in older + [end] + [own] * opening:
        if wrong := prove(st, key, roots):
            return ("incomplete " if wrong == LACKING else "failed ") + wrong, seal, m, end
    proof = [base64.urlsafe_b64decode(text + b"=") for text in found[3].split()]
    notice = own and own.kind == "notice" and own.pos == seal.pos and not prove(own, key, roots)
    l = H((b"\x03" if opening or notice else b"\x02") + m)
    leaf = seal.leaf or H(b"\x00" + seal.tag + l)
    if [b64(part) for part in proof] != found[3].decode().split() or seal.index >= end.index \
            or climb(leaf, seal.index, end.index, proof) != end.R:
        return "failed the proof does not lead to R", seal, m, end
    known = {end.digest} if end.kind != "head" else set()
    for st, _, _ in texts[1:]:
        if wrong := prove(st, key, roots) or (st.newest not in known and "a later text does not lead to the checkpoint"):
            return ("incomplete " if wrong == LACKING else "failed ") + wrong, seal, m, end
        known |= {st.digest} if st.kind != "head" else set()
    if key.keys and not key.first <= seal.chain <= key.last:
        return "incomplete the key does not reach its chain", seal, m, end
    K = key.entry_key(*seal.pos) if key.keys else None
    if K and (mac(derive(K, "redact"), leaf)[:16] != seal.r if seal.leaf else mac(K, l)[:16] != seal.tag):
        return "failed the tag fails", seal, m, end
    return "", seal, m, end

def judge_received(data, key, witnesses, policy, certificates):
    """What witnesses say in evidence that holds, and what is wrong with it: "" or a verdict and its reason."""
    received, lacking, counting = [], "", set()
    for (st, _, receipts), witness in product(read_texts(EVIDENCE.fullmatch(data)[2]), witnesses):
        for note, proof in receipts:
            if not signatures_of(note, witness):
                continue
            time = of_receipt(note, witness, key.P, st)
            tree = in_tree(proof, witness, key.P, st, time) if proof and time is not None else None
            if time is None or proof and not tree:
                return [], f"failed a receipt of {witness.name} does not hold"
            signers = [cosigned(tree[0], one) for one in policy.cosigners] if tree and policy else []
            if None in signers:
                return [], "failed a cosignature does not hold"
            wrong, stamped = judge_token(tree[1], parts_of_note(tree[0])[0].encode(), certificates) \
                if tree and tree[1] and certificates else ("", None)
            if wrong.startswith("failed"):
                return [], wrong
            if (policy or certificates) and not tree:
                wrong = f"incomplete the receipt of {witness.name} has no proof that it is in a tree"
            elif policy and not policy.holds({number for number, signs in enumerate(signers) if signs}):
                wrong = "incomplete too few have cosigned the tree"
            elif certificates and not tree[1]:
                wrong = "incomplete there is no time-stamp"
            lacking = lacking or wrong
            counting |= {witness.key} if not wrong else set()
            received.append({"witness": witness.name, "until": dotted(until(st)), "time": time, "stamped": stamped if not wrong else None})
    return received, "" if {one.key for one in witnesses} <= counting else lacking or "incomplete a witness says nothing"

def check_evidence(data, key_text=None, public_text=None, witnesses=(), policy=None, certificates=b""):
    """Section 10. {"verdict", "detail"}, and for evidence that holds what it says; or Usage is raised."""
    key, roots = read_keys(key_text, public_text)
    policy = read_policy(policy) if policy is not None else None
    try:
        certificates = x509.load_pem_x509_certificates(certificates) if certificates else []
    except ValueError:
        raise Usage("these are no certificates") from None
    named = list({one.key: one for one in map(read_witness, witnesses)}.values())
    if not data.startswith(FIRST):
        raise Usage("this is no evidence")
    wrong, seal, m, end = judge_evidence(data, key, roots)
    received = []
    if not wrong and named:
        received, wrong = judge_received(data, key, named, policy, certificates)
    elif not wrong and policy and policy.logs:  # one of them is enough
        all_of = [judge_received(data, key, [one], policy, certificates) for one in policy.logs]
        received = [one for said, _ in all_of for one in said]
        wrongs = [wrong for _, wrong in all_of]
        wrong = next((one for one in wrongs if one.startswith("failed")), "" if "" in wrongs else wrongs[0])
    elif policy or certificates:
        raise Usage("no witness was named")
    verdict, _, detail = (wrong or "ok").partition(" ")
    result = {"verdict": verdict, "detail": detail}
    if not wrong:
        text = None if seal.leaf else m.decode("utf-8", "backslashreplace")
        result |= {"log": key.name, "log_id": key.log_id, "position": dotted(seal.pos), "time": end.time, "text": text,
                   "received": received}
    return result

def print_evidence(options):
    certificates = read_bytes(options.roots) if options.roots else b""
    result = check_evidence(read_bytes(options.evidence), read_text(options.key), read_text(options.public), options.witness,
                            read_text(options.policy, "utf-8"), certificates)
    # ascii: no control characters for a terminal
    print(json.dumps(result) if options.json else "\n".join(f"{name}: {ascii(x)}" for name, x in result.items()))
    return {"ok": 0, "incomplete": 3, "failed": 5}[result["verdict"]]

def read_text(path, encoding="ascii"):
    if path is None:
        return None
    with open(path, encoding=encoding, errors="replace", newline="\n") as file:
        return file.read()

def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()

def read_paths(paths):
    """The bytes of each file that can be read, and of each other one whether anything is there."""
    contents, unread = {}, {}
    for path in paths:
        try:
            with open(path, "rb") as file:
                contents[path] = file.read()
        except OSError as error:
            unread[path] = error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
    return contents, unread

# ---- section 12: partial results ------------------------------------------------------------------------------------

def check_partial(data, key):
    """Why nothing vouches for a partial result, or its form is another; None where the HMACs of a key are there."""
    if data[:9] != b"tallypart" or len(data) < 12:
        return "no partial result"
    if data[9] != 2:
        return "another version"
    count = int.from_bytes(data[10:12], "big")
    vouched, body = data[12:12 + 40 * count], data[12 + 40 * count:]
    if len(vouched) < 40 * count:
        return "changed or cut"
    each = [(vouched[at:at + 8], vouched[at + 8:at + 40]) for at in range(0, 40 * count, 40)]
    names, whole = [name for name, _ in each], bool(key.keys) and not key.narrowed
    chains = [int.from_bytes(name[4:], "big") for name in names if name[:4] == bytes(4)]
    known = all(whole if chain == 0 else bool(key.keys) and key.first <= chain <= key.last for chain in chains)
    if not known or len(chains) < count or len(set(chains)) < count or bool(key.keys) > count:
        return "other keys"
    secrets = [derive(key.chain_key(chain) if chain else key.keys[0], "partial") for chain in chains]
    covered = H(data[:12] + b"".join(names) + body)
    if not all(hmac.compare_digest(one, mac(secret, covered)) for secret, (_, one) in zip(secrets, each)):
        return "changed or cut"
    return None if body[:4] == b"\x28\xb5\x2f\xfd" else "another form"

def main(argv=None):
    parser = argparse.ArgumentParser(description="Check a log sealed with Tallystick.")
    parser.add_argument("paths", nargs="*", metavar="PATH")
    for option in ("key", "public", "head", "evidence", "policy", "roots"):
        parser.add_argument("--" + option, metavar="FILE")
    parser.add_argument("--pin", action="append", default=[], metavar="TEXT_OR_FILE")
    parser.add_argument("--from", dest="start", type=int, metavar="CHAIN", help="the chain that must be the first")
    parser.add_argument("--to", dest="end", type=int, metavar="CHAIN", help="the chain that must be the last")
    parser.add_argument("--exceptions", metavar="FILE", help="findings that are known, with reasons")
    parser.add_argument("--witness", action="append", default=[], metavar="KEY", help="NAME+ID+KEY of a witness")
    parser.add_argument("--receipts", action="append", default=[], metavar="FILE", help="receipts and signed heads")
    parser.add_argument("--fresh", type=float, default=600, metavar="SECONDS", help="a witness must have heard of the log")
    parser.add_argument("--quorum", type=int, metavar="K", help="how many witnesses must vouch for the end [all]")
    parser.add_argument("--retention", type=float, metavar="SECONDS", help="older chains may be gone after so long")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    if bool(options.paths) == bool(options.evidence):
        parser.error("name the files of a log, or give --evidence")
    try:
        if options.evidence:
            return print_evidence(options)
        head = read_text(options.head)  # before the log: it may grow meanwhile
        texts = [pin if pin.startswith("tallypin ") else read_text(pin) for pin in options.pin]
        pins = [line for text in texts for line in text.splitlines() if line.strip()]
        contents, unread = read_paths(options.paths)
        result = verify(contents, read_text(options.key), read_text(options.public), head, pins, options.start,
                        options.end, read_text(options.exceptions, "utf-8"), unread=unread, witnesses=options.witness,
                        receipts=[read_bytes(path) for path in options.receipts], now=int(time.time() * 1000),
                        fresh=options.fresh * 1000, quorum=options.quorum,
                        retention=options.retention * 1000 if options.retention is not None else None)
    except (OSError, Usage) as error:
        print(f"check.py: {error}", file=sys.stderr)
        return 2 if isinstance(error, Usage) else 4
    if options.json:
        print(json.dumps(result))
    else:
        print(result["verdict"], result["range"], sep="\n")
        for x in result["findings"]:
            place = f" {ascii(x['path'])}" if x["path"] else ""  # no control characters for a terminal
            place += f" line {x['line']}" if x["line"] else ""
            position = f"{x['position']}{' to ' + x['to'] if x['to'] else ''}"
            print(f"{x['weight']} {x['kind']}{place} position {position} ({x['count']}): {x['detail']}")
    return {"ok": 0, "incomplete": 3, "failed": 5}[result["verdict"]]

if __name__ == "__main__":
    sys.exit(main())
