"""Makes receipts.json: evidence with receipts, one defect a case (seal.md sections 10 and 11).

Each case is evidence of a line, and whom the caller trusts: `witnesses` are keys, `policy` is one of C2SP tlog-policy, `roots`
are certificates; null where nothing is named. What must be said of it stands as in evidence.json; `received` are the times
in the receipts of named witnesses, with the times of time-stamps. usage: the policies that are none.
"""
import base64
import datetime

from check import H, b64, mth
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from make import T, evidence, inclusion_path, public_of, signer
from witnesses import Witness, running

RECEIVED = T + 50_000
STAMPED = RECEIVED + 40_000


class Cosigner:
    """One who cosigns trees."""

    def __init__(self, name):
        self.name, self.seed = name, H(b"cosigner " + name.encode())
        data = b"\x04" + public_of(self.seed)
        self.id = H(name.encode() + b"\n" + data)[:4]
        self.key = f"{name}+{self.id.hex()}+{base64.b64encode(data).decode()}"

    def line(self, text, seconds=RECEIVED // 1000 + 5):
        signature = signer(self.seed).sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
        return f"\u2014 {self.name} {base64.b64encode(self.id + seconds.to_bytes(8, 'big') + signature).decode()}\n"


class Authority:
    """A time-stamp authority, with a certificate of its own below a root. All that it signs is the same each time."""

    def __init__(self, name):
        self.name = name
        self.root_key, self.key = (
            ec.derive_private_key(int.from_bytes(H(f"{what} {name}".encode()), "big") >> 1, ec.SECP256R1()) for what in ("root", "stamps"))
        self.root = self.certificate(self.root_key, f"root of {name}", 1, x509.BasicConstraints(ca=True, path_length=None))
        usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.TIME_STAMPING])
        self.own = self.certificate(self.key, f"stamps of {name}", 2, usage)
        self.for_all = self.certificate(self.key, f"stamps of {name}", 2, x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CODE_SIGNING]))
        self.pem = self.root.public_bytes(serialization.Encoding.PEM).decode()

    def certificate(self, key, subject, serial, extension):
        name = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in (subject, f"root of {self.name}")]
        day = datetime.datetime.fromtimestamp(T // 1000, datetime.UTC).replace(hour=0, minute=0, second=0)
        made = x509.CertificateBuilder().subject_name(name[0]).issuer_name(name[1]).public_key(key.public_key()).serial_number(serial)
        made = made.not_valid_before(day).not_valid_after(day + datetime.timedelta(days=30)).add_extension(extension, critical=True)
        return made.sign(self.root_key, hashes.SHA256(), ecdsa_deterministic=True)

    def token(self, text, time=STAMPED, own=None, order=None):
        """A token: RFC 3161 and RFC 5652 in DER; `order` puts the certificates in another order than DER demands."""
        own = own or self.own
        sha256 = seq(oid("2.16.840.1.101.3.4.2.1"))
        when = datetime.datetime.fromtimestamp(time / 1000, datetime.UTC).strftime("%Y%m%d%H%M%SZ").encode()
        stamp = seq(number(1), oid("1.2.3.4"), seq(sha256, tlv(4, H(text.encode()))), number(7), tlv(0x18, when))
        kind = oid("1.2.840.113549.1.9.16.1.4")
        mark = seq(oid("1.2.840.113549.1.9.16.2.47"), tlv(0x31, seq(seq(seq(tlv(4, H(der_of(own))))))))
        said = [seq(oid("1.2.840.113549.1.9.3"), tlv(0x31, kind)), seq(oid("1.2.840.113549.1.9.4"), tlv(0x31, tlv(4, H(stamp)))), mark]
        attributes = b"".join(sorted(said))
        signature = self.key.sign(tlv(0x31, attributes), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        sid = seq(own.issuer.public_bytes(), number(own.serial_number))
        who = seq(number(1), sid, sha256, tlv(0xA0, attributes), seq(oid("1.2.840.10045.4.3.2")), tlv(4, signature))
        certificates = sorted([der_of(own), der_of(self.root)], reverse=order == "turned")
        signed = seq(number(3), tlv(0x31, sha256), seq(kind, tlv(0xA0, tlv(4, stamp))), tlv(0xA0, b"".join(certificates)), tlv(0x31, who))
        return seq(oid("1.2.840.113549.1.7.2"), tlv(0xA0, signed))


def der_of(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def tlv(tag, body):
    size = bytes([len(body)]) if len(body) < 128 else (n := (len(body).bit_length() + 7) // 8, bytes([128 + n]) + len(body).to_bytes(n, "big"))[1]
    return bytes([tag]) + size + body


def seq(*parts):
    return tlv(0x30, b"".join(parts))


def number(value):
    return tlv(2, bytes([value]))


def oid(text):
    first, second, *rest = map(int, text.split("."))
    body = b""
    for value in (40 * first + second, *rest):
        part = [value & 127]
        while value := value >> 7:
            part.append(value & 127 | 128)
        body += bytes(reversed(part))
    return tlv(6, body)


class Tree:
    """The own tree of a witness, of five entries, in which a text has the third."""

    def __init__(self, witness, P, text, time=RECEIVED):
        self.witness = witness
        entry = f"tallystick/v1 entry\nlog {b64(H(P))}\ntext {b64(H(text.encode()))}\ntime {time}\n"
        self.leaves = [H(b"\x00" + one.encode()) for one in ("1", "2", entry, "4", "5")]
        self.text = f"{witness.name}\n5\n{base64.b64encode(mth(self.leaves)).decode()}\n"

    def proof(self, lines="", token=None, index=2, text=None, path=None):
        extra = f"extra {base64.b64encode(token).decode()}\n" if token is not None else ""
        hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in path or inclusion_path(self.leaves, 2))
        return f"c2sp.org/tlog-proof@v1\n{extra}index {index}\n{hashes}\n{self.witness.sign(text or self.text)}{lines}"


def plain(proof):
    """A receipt and what completes it, without the text."""
    return proof.partition("\n")[2]


class Cases:
    def __init__(self):
        self.cases = []

    def add(self, name, why, data, verdict, witnesses=(), policy=None, roots=None, received=(), V=None):
        self.cases.append({"name": name, "why": why, "evidence": data.decode(), "opens": [], "witnesses": list(witnesses),
                           "policy": policy, "roots": roots, "verdict_P": verdict, "verdict_V": V or verdict,
                           "received": [list(one) for one in received] if verdict == "ok" else []})


def put(data, *texts):
    """Evidence with more texts and receipts: what follows the checkpoint."""
    head, mark, rest = data.partition(b"proof ")
    return head + "".join(texts).encode() + mark + rest


def of_head(log, leaves, head, index, line):
    """Evidence by a signed head."""
    path = "".join(" " + b64(one) for one in inclusion_path(leaves, index))
    return b"tallystick/v1 evidence\n%s\nproof%s\nline %s\n" % (head.encode(), path.encode(), line)


def cases():
    cases, (log, heads) = Cases(), running()
    one, two = Witness("w.example"), Witness("x.example")
    cosigners = [Cosigner(f"c{n}.example") for n in range(3)]
    authority, other = Authority("a.example"), Authority("b.example")
    first, at = log.said["1.0.5"], (1, 0, 2)
    lines = [line for line in log.lines if b".1.0." in line.rpartition(b"tally=")[2]]
    bare = evidence(lines, at)
    tree = Tree(one, log.P, first)
    receipt = plain(one.receipt(log.P, first, RECEIVED))
    good = put(bare, receipt)
    said = [(RECEIVED, None)]
    later = heads["1.2"]
    cases.add("no receipt", "nobody asked for one", bare, "ok")
    cases.add("a receipt that nobody asked for", "it says nothing", good, "ok")
    cases.add("a receipt", "of the checkpoint", good, "ok", [one.key], received=said)
    cases.add("no receipt of a named witness", "unknown when", bare, "incomplete", [one.key])
    cases.add("a receipt of another witness", "it says nothing", put(bare, plain(two.receipt(log.P, first, RECEIVED))), "incomplete", [one.key])
    cases.add("one receipt of two", "each must have one", good, "incomplete", [one.key, two.key])
    both = put(bare, receipt, plain(two.receipt(log.P, first, RECEIVED + 5)))
    cases.add("two receipts", "of both witnesses", both, "ok", [one.key, two.key], received=[*said, (RECEIVED + 5, None)])
    by_head = put(bare, one.receipt(log.P, later, RECEIVED))
    cases.add("a receipt of a later head", "it names the checkpoint", by_head, "ok", [one.key], received=said)
    cases.add("a later text without a receipt", "it names the checkpoint", put(bare, later + "\n", ""), "ok")
    cases.add("two later heads, one with a receipt", "each names the checkpoint", put(bare, later + "\n", one.receipt(log.P, heads["1.4"], RECEIVED)),
              "ok", [one.key], received=said)
    cases.add("a text before the checkpoint", "it does not name it", put(bare, one.receipt(log.P, log.said["1.0.0"], RECEIVED)), "failed", [one.key])
    cases.add("a head of the same epoch", "it does not name the checkpoint", put(bare, one.receipt(log.P, heads["0.3"], RECEIVED)), "failed", [one.key])
    cases.add("a later text with another signature", "it is not signed", put(bare, one.receipt(log.P, later[:-1] + ("A" if later[-1] != "A" else "Q"), RECEIVED)),
              "failed", [one.key])
    elsewhere = plain(one.receipt(H(b"P"), first, RECEIVED))
    cases.add("a receipt of another log", "it does not count", put(bare, elsewhere), "failed", [one.key])
    cases.add("a receipt of another text", "it does not count", put(bare, plain(one.receipt(log.P, later, RECEIVED))), "failed", [one.key])
    other_n = plain(one.receipt(log.P, first, RECEIVED, says=f"checkpoint 1 0 4 {b64(bytes(32))} {b64(bytes(32))}"))
    cases.add("a receipt that says another n", "it does not count", put(bare, other_n), "failed", [one.key])
    moved = plain(one.receipt(log.P, first, RECEIVED + 1)).replace(f"time {RECEIVED + 1}", f"time {RECEIVED}")
    cases.add("a receipt of another time", "its signature does not hold", put(bare, moved), "failed", [one.key])
    cases.add("a blank line after a receipt", "the layout", put(bare, receipt + "\n"), "failed", [one.key])
    cases.add("a receipt before the checkpoint", "the layout", bare.replace(b"evidence\n", b"evidence\n" + receipt.encode(), 1), "failed", [one.key])
    head = of_head(log, [leaf for leaf in log.trees[1, 1]][:4], heads["1.4"], 2, [x for x in log.lines if b".1.1.2." in x.rpartition(b"tally=")[2]][0])
    cases.add("a signed head", "its R covers the line", head, "ok")
    cases.add("a signed head with a receipt", "received, too", put(head, plain(one.receipt(log.P, heads["1.4"], RECEIVED))), "ok", [one.key], received=said)
    cases.add("a text after a signed head", "nothing names a head", put(head, one.receipt(log.P, heads["1.4"], RECEIVED)), "failed", [one.key])

    def completed(name, why, proof, verdict, policy=None, roots=None, received=said, witnesses=(one.key,)):
        cases.add(name, why, put(bare, receipt, proof), verdict, witnesses, policy, roots, received)

    completed("in the tree", "the proof leads to the root", tree.proof(), "ok")
    completed("at another index", "the proof does not lead to the root", tree.proof(index=1), "failed")
    completed("at an index that is not in the tree", "index is below size", tree.proof(index=5), "failed")
    completed("another entry", "the time is another", Tree(one, log.P, first, RECEIVED + 1).proof(), "failed")
    completed("another hash", "the proof does not lead to the root", tree.proof(path=[H(b"x"), *inclusion_path(tree.leaves, 2)[1:]]), "failed")
    completed("a hash too many", "the proof has exactly as many as it takes", tree.proof(path=[*inclusion_path(tree.leaves, 2), H(b"x")]), "failed")
    completed("another origin", "the tree is another's", tree.proof(text="y" + tree.text), "failed")
    completed("a checkpoint that another witness signed", "it is not signed by this one", Tree(two, log.P, first).proof(), "failed")
    completed("a checkpoint of four lines", "it has three", tree.proof(text=tree.text + "more\n"), "failed")
    completed("a proof twice", "the layout", tree.proof() * 2, "failed")
    rule = "".join(f"witness n{n} {each.key}\n" for n, each in enumerate(cosigners)) + "group g 2 n0 n1 n2\nquorum g\n"
    signed = [each.line(tree.text) for each in cosigners]
    completed("cosigned", "by two of three", tree.proof(signed[0] + signed[2]), "ok", rule)
    completed("cosigned by too few", "the policy demands two", tree.proof(signed[1]), "incomplete", rule)
    completed("not in a tree, and cosignatures are asked for", "there is nothing that they could sign", "", "incomplete", rule)
    completed("cosigned by others", "they say nothing", tree.proof(Cosigner("d.example").line(tree.text)), "incomplete", rule)
    completed("cosigned, with one of another text", "a signature that fails spoils it", tree.proof(signed[0] + signed[2] + cosigners[1].line("other\n")), "failed", rule)
    completed("cosigned twice by one", "keys count, not signatures", tree.proof(signed[0] + cosigners[0].line(tree.text, 5)), "incomplete", rule)
    completed("cosignatures that nobody asked for", "they say nothing", tree.proof(cosigners[1].line("other\n")), "ok")
    completed("a policy that names the witness", "no other must be named", tree.proof(signed[0] + signed[2]), "ok", f"log {one.key}\n" + rule, witnesses=())
    completed("a policy that names two witnesses", "one of them is enough", tree.proof(signed[0] + signed[2]), "ok",
              f"log {two.key}\nlog {one.key}\n" + rule, witnesses=())
    completed("a policy that names another witness", "nothing is known of this one", tree.proof(signed[0] + signed[2]), "incomplete",
              f"log {two.key}\n" + rule, witnesses=())
    stamped = [(RECEIVED, STAMPED)]
    completed("stamped", "by the root", tree.proof(token=authority.token(tree.text)), "ok", roots=authority.pem, received=stamped)
    completed("stamped and cosigned", "all of it", tree.proof(signed[0] + signed[2], authority.token(tree.text)), "ok", rule, authority.pem, stamped)
    completed("stamped, certificates turned", "their order is not signed", tree.proof(token=authority.token(tree.text, order="turned")), "ok",
              roots=authority.pem, received=stamped)
    completed("stamped, one of two roots", "one is enough", tree.proof(token=authority.token(tree.text)), "ok", roots=other.pem + authority.pem, received=stamped)
    completed("a time-stamp that nobody asked for", "it says nothing", tree.proof(token=b"noise"), "ok")
    completed("no time-stamp", "one is asked for", tree.proof(), "incomplete", roots=authority.pem)
    completed("stamped by another", "its root is not known", tree.proof(token=other.token(tree.text)), "incomplete", roots=authority.pem)
    completed("stamped, about another text", "it is about something else", tree.proof(token=authority.token("other\n")), "failed", roots=authority.pem)
    completed("a time-stamp that is none", "it cannot be read", tree.proof(token=b"noise"), "failed", roots=authority.pem)
    completed("stamped when the certificates were not valid any more", "each must be valid then",
              tree.proof(token=authority.token(tree.text, T + 40 * 86_400_000)), "incomplete", roots=authority.pem)
    completed("stamped with a key that is for something else", "its certificate is not for time-stamps",
              tree.proof(token=authority.token(tree.text, own=authority.for_all)), "incomplete", roots=authority.pem)
    bent = bytearray(authority.token(tree.text))
    bent[-1] ^= 1
    completed("stamped, with another signature", "it does not hold", tree.proof(token=bytes(bent)), "incomplete", roots=authority.pem)
    return cases.cases


USAGE = ["", "quorum none\nquorum none\n", "quorum a\n", "witness a key\nquorum a\n", "group g any\nquorum g\n"]


def receipt_cases():
    return {"about": __doc__.split("\n\n", 1)[1].split("\n")[:-1], "usage": USAGE, "cases": cases()}


def run(case, check, key_text, public_text):
    """What check.py says of a case, where it is not what it must be."""
    wrong = []
    for with_what, keys in (("P", {"public_text": public_text}), ("V", {"key_text": key_text})):
        got = check.check_evidence(case["evidence"].encode(), witnesses=case["witnesses"], policy=case["policy"],
                                   certificates=(case["roots"] or "").encode(), **keys)
        received = [[one["time"], one["stamped"]] for one in got.get("received", [])]
        if (got["verdict"], received) != (case["verdict_" + with_what], case["received"]):
            wrong.append(f"receipts, {case['name']}, {with_what}: {got['verdict']} {got['detail']} {received}; it must be "
                         f"{case['verdict_' + with_what]} {case['received']}")
    return wrong
