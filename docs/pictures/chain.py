"""Draw docs/pictures/chain.svg: a chain with its keys, seals, checkpoint and head.

    python docs/pictures/chain.py

The picture brings its own ground and follows the reader's light or dark scheme, so it can stand on any page.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 920, 404
TOP, STEP = 56, 37  # pixels: the first line of the file, and the distance between two lines
KEYS, FILE, NOTES = 82, 124, 672  # pixels: the key of a line, the file's left edge, and what stands at its right
FILE_WIDTH = 500
CHARACTER = 7.8  # pixels: a character of the lines, whatever the reader's font

STYLE = """
  text { font-family: system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; font-size: 14px; }
  text { fill: #24292f; }
  .line { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; font-size: 13px; }
  .title { font-size: 16px; font-weight: 600; }
  .quiet { fill: #57606a; }
  .strong { font-weight: 600; }
  .ground { fill: #ffffff; stroke: #d0d7de; }
  .file { fill: #f6f8fa; stroke: #d0d7de; }
  .signed { fill: #ddf4e4; }
  .seal { fill: #0969da; }
  .sign { fill: #116329; }
  .key { fill: #ffffff; stroke: #8c959f; stroke-width: 1.5; stroke-dasharray: 3 3; }
  .gone { stroke: #8c959f; stroke-width: 1.5; }
  .now { fill: #bc4c00; stroke: none; }
  .alarm { fill: #bc4c00; }
  .way { stroke: #8c959f; stroke-width: 1.5; fill: none; }
  .tip { fill: #8c959f; }
  .brace { stroke: #1a7f37; stroke-width: 1.5; fill: none; }
  .head { stroke: #8250df; stroke-width: 2; fill: none; }
  .heading { fill: #8250df; }
  .empty { fill: none; stroke: #8c959f; stroke-dasharray: 4 4; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .quiet { fill: #9198a1; }
    .ground { fill: #0d1117; stroke: #3d444d; }
    .file { fill: #151b23; stroke: #3d444d; }
    .signed { fill: #12301e; }
    .seal { fill: #58a6ff; }
    .sign { fill: #56d364; }
    .key { fill: #0d1117; }
    .now, .alarm { fill: #f0883e; }
    .brace { stroke: #3fb950; }
    .head { stroke: #ab7df8; }
    .heading { fill: #bc8cff; }
  }
"""


@dataclass(frozen=True)
class Line:
    """One line of the file: its text, the rest of its seal after the log id, and if it is a checkpoint."""

    text: str
    seal: str
    checkpoint: bool = False


LINES = (
    Line("tallystick/v1 open payments …", "1.0.0.512.Zq…"),
    Line("user=7 action=login", "1.0.1.19.k8…"),
    Line("user=7 action=transfer amount=100", "1.0.2.33.Rm…"),
    Line("tallystick/v1 checkpoint …", "1.0.3.241.x1…", checkpoint=True),
    Line("user=7 action=logout", "1.1.0.20.Hc…"),
    Line("user=9 action=login", "1.1.1.19.pW…"),
)


def text(x: float, y: float, *words: tuple[str, str], anchor: str = "start") -> str:
    """Return pieces of text, each with its class, one after the other from a place in pixels."""
    pieces = "".join(f'<tspan class="{kind}">{escape(piece)}</tspan>' for piece, kind in words)
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" xml:space="preserve">{pieces}</text>'


def middle(row: int) -> float:
    """Return the height of a row's middle, in pixels."""
    return TOP + STEP * row + STEP / 2


def key(row: int, *, erased: bool) -> list[str]:
    """Return the key of a row, and the arrow to the key after it."""
    y = middle(row)
    if not erased:
        return [f'<circle cx="{KEYS}" cy="{y:g}" r="11" class="now"/>']
    return [
        f'<circle cx="{KEYS}" cy="{y:g}" r="9" class="key"/>',
        f'<path d="M{KEYS - 6} {y + 6:g} L{KEYS + 6} {y - 6:g}" class="gone"/>',
        f'<path d="M{KEYS} {y + 11:g} V{y + STEP - 18:g}" class="way"/>',
        f'<path d="M{KEYS - 4} {y + STEP - 19:g} h8 l-4 6 z" class="tip"/>',
    ]


def line(row: int, content: Line) -> list[str]:
    """Return a line of the file with its seal, and with its ground if it is a checkpoint."""
    y = middle(row)
    seal = f"tally=q3zm5k7a.{content.seal}"
    length = CHARACTER * (len(content.text) + 1 + len(seal))
    drawn = [
        f'<text x="{FILE + 14}" y="{y + 4.5:g}" class="line" textLength="{length:g}" xml:space="preserve">',
        f'<tspan class="{"sign" if content.checkpoint else ""}">{escape(content.text)}</tspan> ',
        f'<tspan class="seal">{escape(seal)}</tspan></text>',
    ]
    ground = f'<rect x="{FILE + 1}" y="{y - 17:g}" width="{FILE_WIDTH - 2}" height="34" rx="4" class="signed"/>'
    return [ground, "".join(drawn)] if content.checkpoint else ["".join(drawn)]


def keys_and_lines() -> list[str]:
    """Return the file, its lines, and the keys that made their seals."""
    bottom = TOP + STEP * len(LINES)
    drawn = [
        text(KEYS, 36, ("keys", "title"), anchor="middle"),
        text(
            FILE + 2,
            36,
            ("audit.log  ", "title"),
            ("your lines stay text; each gets a ", "quiet"),
            ("seal", "seal strong"),
        ),
        f'<rect x="{FILE}" y="{TOP}" width="{FILE_WIDTH}" height="{bottom - TOP}" rx="6" class="file"/>',
        text(KEYS - 18, middle(0) + 5, ("erased", "quiet"), anchor="end"),
        text(KEYS - 18, middle(len(LINES)) + 5, ("now", "alarm strong"), anchor="end"),
    ]
    for row, content in enumerate(LINES):
        drawn += key(row, erased=True) + line(row, content)
    return drawn + key(len(LINES), erased=False)


def vouchers() -> list[str]:
    """Return what vouches for the lines, at the right of the file: the checkpoint and the head."""
    first, last, end = TOP + 6, middle(3) + 13, TOP + STEP * len(LINES)
    edge = FILE + FILE_WIDTH
    return [
        f'<path d="M{edge + 8} {first} q10 0 10 10 V{last - 10:g} q0 10 -10 10" class="brace"/>',
        text(NOTES, middle(1) - 10, ("checkpoint", "title sign")),
        text(NOTES, middle(1) + 11, ("signed: with the public key an", "quiet")),
        text(NOTES, middle(1) + 30, ("auditor can check these lines,", "quiet")),
        text(NOTES, middle(1) + 49, ("and cannot forge any", "quiet")),
        f'<path d="M{FILE} {end} H{edge + 20}" class="head"/>',
        f'<circle cx="{edge + 22}" cy="{end}" r="5" class="heading"/>',
        text(NOTES, end - 22, ("head", "title heading")),
        text(NOTES, end - 1, ("kept outside the file: how far", "quiet")),
        text(NOTES, end + 18, ("the log has come, so that a", "quiet")),
        text(NOTES, end + 37, ("cut-off end is noticed", "quiet")),
    ]


def readers() -> list[str]:
    """Return what an intruder finds, and what the verifier has."""
    y = middle(len(LINES)) + 5
    return [
        text(
            FILE + 14,
            y,
            ("A break-in now finds only this key.", "alarm strong"),
            (" It can seal new lines, but it cannot", "quiet"),
        ),
        text(FILE + 14, y + 20, ("change, add, remove or reorder a line above: each key is made from the", "quiet")),
        text(FILE + 14, y + 40, ("one before it, and nobody can compute that backwards.", "quiet")),
        text(
            FILE + 14,
            y + 72,
            ("Another machine has the ", "quiet"),
            ("verification key", "strong"),
            (", from which all keys follow, and checks every line.", "quiet"),
        ),
    ]


def picture() -> str:
    """Return the whole SVG."""
    words = (
        "Each line of a log gets a seal, made with a key that is erased at once; the next key comes from it. "
        "A signed checkpoint covers the lines before it, and the head in the key store says how far the log has come."
    )
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"',
        f'  role="img" aria-label="{escape(words)}">',
        f"<style>{STYLE}</style>",
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="10" class="ground"/>',
        *keys_and_lines(),
        *vouchers(),
        *readers(),
        "</svg>",
    ]
    return "\n".join(drawn) + "\n"


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(picture())
