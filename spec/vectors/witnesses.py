"""Makes witnesses.json: what witnesses are shown and say, one defect a case (seal.md sections 5, 7 and 11).

Each case is a log, as in defects.json, and what is brought along: `witnesses` are keys of witnesses, `receipts` the texts of
files of receipts, `answers` what a witness answers to a nonce (in hexadecimal), by its key; `now` is the verifier's clock
and `fresh` in ms, `quorum` how many witnesses must vouch for the end, `retention` for how many ms the log is kept. What must result stands as in defects.json. refused
are files of receipts that are a usage error, keys that are none, and, in `spoiled`, good receipts with one byte changed. accepts are what a
witness holds, the newest last, what it is shown, with a proof, and what becomes of that.
"""
import base64
import json
from functools import lru_cache

from check import H, b64, mth
from make import NAME, T, V, S, Sealer, public_of, signer

NONCE = bytes(range(200, 232))
FRESH = 600_000
NOW = T + 60_000


class Writer(Sealer):
    """A sealer that keeps what it shows: opens and checkpoints by position, and a head wherever one is signed."""

    def __init__(self, control="plain", seeds=(V, S)):
        super().__init__(*seeds, NAME, control)
        self.said, self.trees = {}, {}

    def statement(self, fields, seed):
        at = (self.chain, self.epoch, self.index)
        self.trees[at[:2]] = list(self.leaves)
        self.newest = H(text := self.signed(fields, seed))
        self.said[".".join(map(str, at))] = text.decode()

    def shown(self, time, n=None, R=None, newest=None):
        seed, keys = self.epoch_key()
        n, R, newest = self.index if n is None else n, R or mth(self.leaves), newest or self.newest
        self.trees[self.chain, self.epoch] = list(self.leaves)
        body = f"tallystick/v1 head {self.name} {self.log_id} {self.chain} {self.epoch} {n} {b64(R)} {b64(newest)} {time} {keys}"
        return f"{body} {b64(signer(seed).sign(body.encode()))}"


class Witness:
    """A witness of one name, with a key of its own."""

    def __init__(self, name):
        self.name, self.seed = name, H(b"witness " + name.encode())
        data = b"\x01" + public_of(self.seed)
        self.id = H(name.encode() + b"\n" + data)[:4]
        self.key = f"{name}+{self.id.hex()}+{base64.b64encode(data).decode()}"

    def sign(self, text):
        return f"{text}\n— {self.name} {base64.b64encode(self.id + signer(self.seed).sign(text.encode())).decode()}\n"

    def receipt(self, P, text, time, gap=0, **other):
        words = text.split(" ")
        verb, chain = words[1], words[4]
        if verb == "open":
            epoch, n, R, newest = 0, 0, b64(H(b"")), words[6].split(".")[3]
        else:
            epoch, n, R, newest = words[5:9]
        said = {"log": b64(P), "says": f"{verb} {chain} {epoch} {n} {R} {newest}", "text": b64(H(text.encode())), "time": time,
                "gap": gap} | other
        return text + "\n" + self.sign("tallystick/v1 receipt\n" + "".join(f"{k} {v}\n" for k, v in said.items()))

    def answer(self, P, now, texts, nonce=NONCE):
        rows = "".join(f"text {time} {gap} {text}\n" for time, gap, text in texts)
        return self.sign(f"tallystick/v1 answer\nnonce {b64(nonce)}\nlog {b64(P)}\nnow {now}\n{rows}")


@lru_cache(maxsize=None)
def running(control="plain", rewritten=None, canonical=False):
    """A log whose chain is open: an epoch of 5 lines that ended, and one of 4 lines; heads by their n; and its texts."""
    log, heads = Writer(control), {}
    log.open(T)
    for i in range(4):
        log.entry(b'{"i":%d}' % i if control == "json" else b"first epoch entry %d" % i)
        heads[f"0.{log.index}"] = log.shown(T + i)
    heads["0.end"] = log.shown(T + 5)
    log.checkpoint("continues", T + 10)
    heads["1.0"] = log.shown(T + 11)
    for i in range(4):
        m = b'{"a":%d,"b":1}' % i if canonical else b'{"b":1,"a":%d}' % i if control == "json" else b"second epoch entry %d" % i
        log.entry(m if rewritten != i else b"other words")
        heads[f"1.{log.index}"] = log.shown(T + 20 + i)
    return log, heads


def lines_of(log):
    return [line.decode("latin-1") for line in log.lines]


def closed(kind="closed"):
    log, heads = Writer(), {}
    log.open(T)
    log.entry(b"only entry")
    heads["0.2"] = log.shown(T + 1)
    log.checkpoint(kind, T + 2)
    return log, heads


def crashed():
    log, heads = Writer(), {}
    log.open(T)
    log.entry(b"before the crash")
    heads["first"] = log.shown(T + 1)
    log.keep_head()
    log.open(T + 10)
    log.entry(b"after the crash")
    heads["second"] = log.shown(T + 11)
    return log, heads


def cases():
    found, one, two, three = [], Witness("w.example"), Witness("x.example"), Witness("y.example")

    def add(name, log, V=None, P=None, edit=(), receipts=(), said=None, witnesses=(), head=None, now=NOW, fresh=FRESH, quorum=None,
            with_head=True, retention=None):
        expect = {}
        for key, told in (("V", V), ("P", P)):
            if told is not None:
                verdict, *kinds = told.split(", ")
                expect |= {f"verdict_{key}": verdict, f"kinds_{key}": sorted(kinds)}
        answers = said or {}
        found.append({
            "name": name, "with": [key for key, told in (("V", V), ("P", P)) if told is not None],
            "log": {"app.log": {"base": lines_of(log), "edit": list(edit)}}, "head": (head or log.head_text()) if with_head else None,
            "receipts": list(receipts), "witnesses": [w.key for w in witnesses or answers], "now": now, "fresh": fresh, "quorum": quorum,
            **({"retention": retention} if retention is not None else {}),
            "answers": {w.key: {"nonce": NONCE.hex(), "answer": text} for w, text in answers.items()}, "expect": expect})

    log, heads = running()
    P = log.P
    other, rewritten = running(rewritten=2)
    opened, ended_first = log.said["1.0.0"], log.said["1.0.5"]

    def heard(witness, text, time=T + 50_000, now=NOW, before=()):
        return {witness: witness.answer(P, now, [*before, (time, 0, text)])}

    live = "ok, unclean end"
    # heads by themselves
    cut_off = "incomplete, open end, uncovered"
    add("no head", log, live, cut_off)
    add("a bare head of all lines", log, live, "incomplete, open end", receipts=[heads["1.4"]])
    add("a bare head of the first lines of the running epoch", log, live, cut_off, receipts=[heads["1.2"]])
    add("a bare head of no line of an epoch", log, live, cut_off, receipts=[heads["1.0"]])
    add("a bare head of a part of an epoch that ended", log, live, cut_off, receipts=[heads["0.3"]])
    add("a bare head of the n of a checkpoint", log, live, cut_off, receipts=[heads["0.end"]])
    add("heads, open and checkpoint in one file", log, live, "incomplete, open end",
        receipts=["\n".join([opened, heads["0.2"], "", ended_first, heads["1.4"], ""])])
    add("a bare head of lines that are not here", log, "incomplete, unclean end, unmet head", "incomplete, open end, uncovered, unmet head", edit=[["delete", 10, 10]],
        receipts=[heads["1.4"]])
    add("the same without a store's head", log, "incomplete, open end, unmet head", edit=[["delete", 10, 10]], receipts=[heads["1.4"]],
        with_head=False)
    add("a bare head of rewritten lines", log, "failed, fork, unclean end", "failed, altered, open end, uncovered", receipts=[other_head("1.3")])
    add("a bare head of an end of an epoch that ended otherwise", log, "failed, fork, unclean end", "failed, fork, open end, uncovered",
        receipts=[forged_head("0", 7)])
    add("a bare head with another R at a checkpoint's n", log, "failed, fork, unclean end", "failed, fork, open end, uncovered",
        receipts=[forged_head("0", 5)])
    add("a bare head with another R within an epoch that ended", log, "failed, fork, unclean end", "failed, fork, open end, uncovered",
        receipts=[forged_head("0", 3)])
    add("a bare head after another statement", log, "failed, fork, unclean end", "failed, fork, open end, uncovered",
        receipts=[forged_head("1", 2, newest=bytes(32))])
    add("a line that was changed below a head", log, "failed, altered, unclean end, unmet head", "failed, altered, open end, uncovered",
        edit=[["sub", 8, "entry 1", "entry 9"]], receipts=[heads["1.4"]])
    add("two heads that cannot both be true, and no line of theirs", log, "failed, fork, unclean end, unmet head",
        "failed, fork, open end, unmet head", edit=[["delete", 7, 10]], receipts=[heads["1.3"] + "\n" + other_head("1.3")])
    add("a head stands in the place of a line", log, "failed, unsealed, unclean end", edit=[["insert", 9, heads["1.4"]]])
    in_json, json_heads = running("json")
    add("heads over JSON", in_json, live, "incomplete, open end", receipts=[json_heads["1.4"]])
    swapped = [["sub", 9, '{"b":1,"a":2,"tally"', '{"a":2, "b":1,"tally"']]
    add("JSON that a carrier wrote anew below a head", in_json, "failed, altered, unclean end, unmet head",
        "failed, altered, open end, uncovered", edit=swapped, receipts=[json_heads["1.4"]])

    canonical, canonical_heads = running("json", canonical=True)
    same_length = [["sub", 9, '{"a":2,"b":1,"tally"', '{"b":1,"a":2,"tally"']]
    add("RFC 8785 JSON that a carrier wrote anew below a head", canonical, live + ", reserialized", "incomplete, open end", edit=same_length,
        receipts=[canonical_heads["1.4"]])
    longer = [["sub", 9, '{"a":2,"b":1,"tally"', '{"b":1, "a":2,"tally"']]
    add("the same with a blank more", canonical, live + ", reserialized", "incomplete, open end", edit=longer,
        receipts=[canonical_heads["1.4"]])

    # receipts
    last = one.receipt(P, heads["1.4"], T + 50_000)
    add("a fresh receipt of all lines", log, live, live, receipts=[last], witnesses=[one])
    add("the same, no head of a store", log, live, receipts=[last], witnesses=[one], with_head=False)
    add("a receipt of a witness that nobody named", log, live, "incomplete, open end", receipts=[last])
    add("two receipts, and the older one is met, too", log, live, live, receipts=[one.receipt(P, ended_first, T + 40_000), last],
        witnesses=[one])
    add("a receipt of more than is here", log, "failed, truncated", "failed, truncated, uncovered", edit=[["delete", 10, 10]], receipts=[last],
        witnesses=[one], with_head=False)
    add("a receipt of a chain that is not here", log, "failed, truncated", "failed, truncated, uncovered", edit=[["delete", 6, 10]],
        receipts=[last], witnesses=[one], with_head=False)
    add("a receipt, and no line is here", log, "failed, truncated", "failed, truncated", edit=[["delete", 1, 10]], receipts=[last],
        witnesses=[one], with_head=False)
    add("a receipt that is too old", log, "incomplete, open end", "incomplete, open end", receipts=[last], witnesses=[one],
        now=T + 50_000 + FRESH + 1)
    add("a receipt that is just young enough", log, live, live, receipts=[last], witnesses=[one], now=T + 50_000 + FRESH)
    add("a receipt five minutes from the future", log, live, receipts=[last], witnesses=[one], now=T + 50_000 - 300_000)
    add("a receipt from further ahead", log, "incomplete, no witness, open end", receipts=[last], witnesses=[one], now=T + 50_000 - 300_001)
    add("a receipt of a head that was held back", log, "incomplete, open end", receipts=[one.receipt(P, heads["1.4"], T + 23 + FRESH + 1)],
        witnesses=[one], now=T + 23 + FRESH + 2)
    add("a receipt of another witness than the one named", log, "incomplete, no witness, open end", receipts=[last], witnesses=[two])
    add("a receipt that says another n", log, "incomplete, no witness, open end", witnesses=[one],
        receipts=[one.receipt(P, heads["1.4"], T + 50_000, says=f"head 1 1 3 {b64(bytes(32))} {b64(bytes(32))}")])
    add("a receipt of another log", log, "incomplete, no witness, open end", receipts=[one.receipt(bytes(32), heads["1.4"], T + 50_000)],
        witnesses=[one])
    add("a receipt of the end of a chain that was closed", *[closed()[0]], V="ok", P="ok", witnesses=[one],
        receipts=[one.receipt(P, closed()[0].said["1.0.2"], T + 3)])
    add("an old receipt of a chain that was closed", closed()[0], "incomplete, open end", "incomplete, open end", witnesses=[one],
        receipts=[one.receipt(P, closed()[0].said["1.0.2"], T + 3)], now=T + 4 + FRESH)
    ended = closed("ended")
    add("an old receipt of the end of a log", ended[0], "ok", "ok", witnesses=[one],
        receipts=[one.receipt(P, ended[0].said["1.0.2"], T + 3)], now=T + 4 + FRESH)
    add("an end that the witness has not heard of", ended[0], "incomplete, open end", "incomplete, open end", witnesses=[one],
        receipts=[one.receipt(P, ended[1]["0.2"], T + 3)], now=T + 4 + FRESH)
    add("another checkpoint than the one received", closed()[0], "failed, fork", "failed, fork", witnesses=[one],
        receipts=[one.receipt(P, ended[0].said["1.0.2"], T + 3)])
    broken, heads_of_crash = crashed()
    add("what no later text contains is met, too", broken, "ok, unclean end", "incomplete, unclean end", witnesses=[one],
        said=heard(one, heads_of_crash["second"], before=[(T + 5, 0, heads_of_crash["first"])]))
    add("a kept text is not met", broken, "failed, missing, unclean end", witnesses=[one], edit=[["delete", 2, 2]],
        said=heard(one, heads_of_crash["second"], before=[(T + 5, 0, heads_of_crash["first"])]))

    # answers
    add("a fresh answer", log, live, live, said=heard(one, heads["1.4"]))
    add("an answer that the log is longer than", log, live, "incomplete, uncovered, unclean end", said=heard(one, heads["1.2"]))
    add("an answer that says more than is here", log, "failed, truncated", "failed, truncated, uncovered", edit=[["delete", 10, 10]],
        said=heard(one, heads["1.4"]), with_head=False)
    add("a witness that heard nothing for long", log, "incomplete, open end", said=heard(one, heads["1.4"], now=T + 50_001 + FRESH))
    add("a witness that never heard of the log", log, "incomplete, open end", said={one: one.answer(P, NOW, [])})
    add("an answer to another question", log, "incomplete, no witness, open end",
        said={one: one.answer(P, NOW, [(T + 50_000, 0, heads["1.4"])], nonce=bytes(32))})
    add("an answer about another log", log, "incomplete, no witness, open end",
        said={one: one.answer(bytes(32), NOW, [(T + 50_000, 0, heads["1.4"])])})
    add("an answer whose signature fails", log, "incomplete, no witness, open end",
        said={one: heard(one, heads["1.4"])[one].replace(f"now {NOW}", f"now {NOW + 1}")})
    add("an answer of another witness", log, "incomplete, no witness, open end", said={one: heard(two, heads["1.4"])[two]})
    add("an answer with a text from after its now", log, "incomplete, no witness, open end", said=heard(one, heads["1.4"], time=NOW + 1))
    add("no answer", log, "incomplete, no witness, open end", said={one: ""})
    add("another history in the answer", log, "failed, fork, unclean end", said=heard(one, other_head("1.3")))
    three_say = heard(one, heads["1.4"]) | heard(two, heads["1.4"]) | {three: ""}
    add("two of three answer, and all must", log, "incomplete, no witness, open end", said=three_say)
    add("two of three answer, and two are enough", log, live + ", no witness", said=three_say, quorum=2)
    add("the newest of all answers counts", log, "failed, truncated", edit=[["delete", 10, 10]], with_head=False, quorum=1,
        said=heard(one, heads["1.3"]) | heard(two, heads["1.4"]))

    # a beginning that was deleted by policy
    kept, period = of_four_chains(), 86_400_000
    age = [one.receipt(P, kept.said["2.0.2"], T + 500), one.receipt(P, kept.said["4.0.1"], T + 900)]
    late, first = T + 500 + period, [["delete", 1, 2]]
    by_policy = {"edit": first, "receipts": age, "witnesses": [one], "now": late, "retention": period}
    add("older chains were deleted by policy", kept, "ok, late start, notice", "ok, late start, notice", **by_policy)
    add("the caller names no period", kept, *2 * ["incomplete, late start, notice"], **by_policy | {"retention": None})
    add("the caller names a longer period than the log", kept, *2 * ["incomplete, late start, notice"],
        **by_policy | {"retention": period + 1, "now": late + 1000})
    add("the first chain is a moment too young", kept, *2 * ["incomplete, late start, notice"], **by_policy | {"now": late - 1})
    add("an older chain was received, and the first one here only now", kept, *2 * ["incomplete, late start, notice"],
        **by_policy | {"receipts": [one.receipt(P, kept.said["1.0.1"], T + 1), one.receipt(P, kept.said["4.0.1"], T + 900)],
                      "now": T + 800 + period})
    add("a witness that nobody named received it", kept, "incomplete, late start, notice", **by_policy | {"witnesses": []})
    add("the log says nothing of a period", of_four_chains(policy=None), *2 * ["incomplete, late start"], **by_policy | {
        "receipts": [one.receipt(P, of_four_chains(policy=None).said["4.0.1"], T + 500)]})
    add("the log says it in other words", of_four_chains(policy="1d"), "incomplete, late start, notice", **by_policy | {
        "receipts": [one.receipt(P, of_four_chains(policy="1d").said["4.0.1"], T + 500)]})
    add("the first chain here lacks its opening", kept, "incomplete, late start, notice",
        **by_policy | {"edit": [["delete", 1, 3]]})
    add("a chain after the first one here is absent", kept, "failed, late start, missing, notice",
        **by_policy | {"edit": [["delete", 6, 7], ["delete", 1, 2]]})
    return found


@lru_cache(maxsize=None)
def of_four_chains(policy="86400"):
    """A log of four chains that has ended; the second says for how long the log is kept."""
    log = Writer()
    for chain in range(1, 5):
        log.open(T + 100 * chain)
        if chain == 2 and policy is not None:
            log.notice("retention", policy)
        log.checkpoint("closed" if chain < 4 else "ended", T + 100 * chain + 1)
    return log


def other_head(at):
    return running(rewritten=2)[1][at]


@lru_cache(maxsize=None)
def forged_head(epoch, n, newest=None):
    """A head that the epoch's key signed over other lines."""
    log, _ = Writer(), None
    log.open(T)
    if epoch == "1":
        for i in range(4):
            log.entry(b"first epoch entry %d" % i)
        log.checkpoint("continues", T + 10)
    return log.shown(T + 30, n=n, R=H(b"other lines"), newest=newest)


def refused():
    one, (log, heads) = Witness("w.example"), running()
    good, receipt = heads["1.4"], one.receipt(log.P, heads["1.4"], T + 50_000)
    note = receipt.partition("\n")[2]
    stranger = Writer(seeds=(S, V))
    stranger.open(T)
    return {
        "no signed text": "tallyhead oedhcsck", "a receipt without its text": note, "a notice": "tallystick/v1 notice payments oedhcsck 1 0 1 a b",
        "the text is damaged": good[:-2] + ("AA" if good[-2:] != "AA" else "AQ"), "a head of epoch 0 without a line": good.replace(" 1 1 4 ", " 1 0 0 "),
        "a head of no line with an R": good.replace(" 1 1 4 ", " 1 1 0 "), "the name is another": good.replace(" payments ", " payment "),
        "a receipt that is not whole": good + "\n" + note.rpartition("—")[0], "the text of another log": stranger.said["1.0.0"],
        "a head in the JSON form": '{"tallystick":"' + good + '"}', "a word too many": good + " ", "n is too large": good.replace(" 1 1 4 ", " 1 1 65536 "),
        "the signature of an open": log.said["1.0.0"][:-1] + "_"}


def accepts():
    """What becomes of what a witness is shown."""
    log, heads = running()
    _, other = running(rewritten=0)
    (done, _), (over, _), (broken, after) = closed(), closed("ended"), crashed()
    opened, first, leaves = log.said["1.0.0"], log.said["1.0.5"], log.trees[1, 1]
    rolled = Writer()
    rolled.open(T)
    rolled.entry(b"before the crash")
    rolled.open(T + 10)  # its head counts the open of chain 1 only
    found = []

    def add(name, decision, known, text, proof=(), number=None):
        found.append({"name": name, "known": list(known), "text": text, "proof": [x.hex() for x in proof], "decision": decision,
                      "number": number})

    def proof(epoch, m, n):
        return consistency(log.trees[1, epoch][:n], m)
    assert leaves
    add("the first open of a log", "newer", [], opened)
    add("an open of a log that has a past", "gap", [], broken.said["2.0.0"])
    add("a head before any open", "open first", [], heads["0.2"])
    add("a head after the open", "newer", [opened], heads["0.2"])
    add("a head after another open", "fork", [opened], forged_head("0", 2, newest=bytes(32)), number=0)
    add("the same open", "same", [opened], opened)
    add("a head with its proof", "newer", [heads["0.2"]], heads["0.4"], proof(0, 2, 4))
    add("a head without its proof", "proof", [heads["0.2"]], heads["0.4"])
    add("a head with the proof from another n", "proof", [heads["0.2"]], heads["0.4"], proof(0, 3, 4))
    add("a head over rewritten lines", "proof", [heads["1.2"]], other["1.4"], proof(1, 2, 4))
    add("another R at the same n", "fork", [heads["1.2"]], other["1.2"], number=0)
    add("the same at a later time", "sign of life", [heads["0.4"]], log_again(T + 5_000))
    add("the same again", "same", [heads["0.4"]], heads["0.4"])
    add("the same at an earlier time", "same", [log_again(T + 5_000)], heads["0.4"])
    add("an older head", "older", [heads["0.4"]], heads["0.2"])
    add("the open of the chain, late", "older", [heads["0.4"]], opened)
    add("the checkpoint at n", "newer", [heads["0.end"]], first)
    add("the checkpoint with its proof", "newer", [heads["0.2"]], first, proof(0, 2, 5))
    add("the checkpoint without its proof", "proof", [heads["0.2"]], first)
    add("a checkpoint below the accepted n", "fork", [forged_head("0", 7)], first, number=0)
    add("a head above a checkpoint", "fork", [first], forged_head("0", 7), number=0)
    add("a head at a checkpoint's n", "older", [first], heads["0.end"])
    add("another R at a checkpoint's n", "fork", [first], forged_head("0", 5), number=0)
    add("another checkpoint of the epoch", "fork", [done.said["1.0.2"]], over.said["1.0.2"], number=0)
    add("a head of the next epoch", "newer", [first], heads["1.0"])
    add("a head of the next epoch, after another checkpoint", "fork", [first], forged_head("1", 2, newest=bytes(32)), number=0)
    add("an epoch was left out", "gap", [heads["0.2"]], heads["1.2"])
    add("the checkpoint of an epoch that was left out", "older", [heads["0.2"], heads["1.2"]], first)
    add("another checkpoint than the head after it names", "fork", [heads["1.2"]], done.said["1.0.2"], number=0)
    add("an epoch after closed", "fork", [done.said["1.0.2"]], heads["1.2"], number=0)
    add("a chain after a crash", "gap", [after["first"]], broken.said["2.0.0"])
    add("a head of a chain without its open", "open first", [after["first"]], after["second"])
    add("the open of a chain whose prev is below what was accepted", "fork", [after["first"]], rolled.said["2.0.0"], number=0)
    add("a chain after the log has ended", "fork", [over.said["1.0.2"]], broken.said["2.0.0"], number=0)
    add("an older text against one that is kept", "fork", [after["first"], broken.said["2.0.0"]], forged_head("0", 2), number=0)
    return found


@lru_cache(maxsize=None)
def log_again(time):
    log = Writer()
    log.open(T)
    for i in range(3):
        log.entry(b"first epoch entry %d" % i)
    return log.shown(time)


def consistency(leaves, m, known=True):
    """RFC 6962 section 2.1.2."""
    if m == len(leaves):
        return [] if known else [mth(leaves)]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if m <= split:
        return consistency(leaves[:split], m, known) + [mth(leaves[split:])]
    return consistency(leaves[split:], m - split, False) + [mth(leaves[:split])]


def witness_cases():
    log, heads = running()
    one = Witness("w.example")
    return {"about": __doc__.split("\n\n", 1)[1].split("\n")[:-1], "key": one.key, "receipt": one.receipt(log.P, heads["1.4"], T + 50_000),
            "refused": refused(), "accepts": accepts(), "cases": cases()}


def run(case, check, key_text, public_text, edited):
    """What check.py says of a case, where it is not what it must be."""
    wrong = []
    for key in case["with"]:
        answers = {w: (bytes.fromhex(one["nonce"]), one["answer"]) for w, one in case["answers"].items()}
        result = check.verify(
            {name: edited(recipe) for name, recipe in case["log"].items()}, key_text if key == "V" else None,
            public_text if key == "P" else None, head_text=case["head"] if key == "V" else None, witnesses=case["witnesses"],
            receipts=[text.encode() for text in case["receipts"]], answers=answers, now=case["now"], fresh=case["fresh"],
            quorum=case["quorum"], retention=case.get("retention"))
        kinds = sorted({finding["kind"] for finding in result["findings"]})
        expect = case["expect"]
        if (result["verdict"], kinds) != (expect[f"verdict_{key}"], expect[f"kinds_{key}"]):
            wrong.append(f"witnesses, {case['name']}, {key}: {result['verdict']}, {', '.join(kinds)}; it must be "
                         f"{expect[f'verdict_{key}']}, {', '.join(expect[f'kinds_{key}'])}")
    return wrong


def text_of(found):
    """The file: one case a line."""
    def rows(values):
        return "[\n" + ",\n".join(json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values) + "\n]"
    parts = [f'"{name}": {rows(found[name])}' if name in ("cases", "accepts") else
             f'"{name}": {json.dumps(found[name], ensure_ascii=False, indent=1)}' for name in found]
    return ("{" + ",\n".join(parts) + "}\n").encode()
