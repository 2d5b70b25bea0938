"""Documentation, messages and comments are in plain English: the worst of a private dialect does not come back."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROSE = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "contrib/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
SOURCES = sorted((ROOT / "src").rglob("*.py"))


@dataclass(frozen=True)
class Phrase:
    """A turn of phrase that is not to be used.

    Args:
        pattern: Finds it in text whose lines are joined by single blanks.
        instead: Plain words for it.
        wrong: Sentences in which it is found.
        right: Sentences near to it in which it is not.
    """

    pattern: str
    instead: str
    wrong: tuple[str, ...]
    right: tuple[str, ...] = ()


PHRASES = [
    Phrase(
        r"\b[Ww]hoever\b",
        "a noun: an attacker, a holder of the key, anybody who",
        ("Whoever takes the host has the keys.", "It is shown to whoever asks."),
        ("Anybody who takes the host has the keys.",),
    ),
    Phrase(r"\b[Aa]new\b", "again, reopen", ("The file is opened anew.",), ("The file is reopened.",)),
    Phrase(
        r"\b(?:is|are|was|were|be|been|being) told\b(?! (?:apart|from|to)\b)",
        "report, say",
        ("A gap is told as `missing`.", "how many lines were lost is told"),
        ("They are told apart by their ids.", "It is told to end.", "It cannot be told from the other one."),
    ),
    Phrase(r"\b(?:one|each) behind the other\b", "one after the other", ("objects one behind the other",)),
    Phrase(
        r"\bbehind (?:(?:the|a|its|each|that|this|any) )?(?:last )?(?:lines?|command|entry|name|seal|colon)\b",
        "after",
        ("cut off behind the last line", "options stand behind the command"),
        ("lines after the last one", "the process behind the socket"),
    ),
    Phrase(r"\bthat (?:is|are) none\b", "invalid", ("a `--head` that is none",), ("of these there are none",)),
    Phrase(r"\b[Mm]end(?:s|ed|ing)?\b", "correct, repair, fix", ("The text is mended.",), ("We recommend it.",)),
    Phrase(r"\bat ease\b", "the fast path", ("while all parts are at ease",)),
    Phrase(r"\b[Tt]he keeper\b", "the background thread", ("the keeper writes the head",), ("class HeadKeeper",)),
    Phrase(r"\blost (?:its|the) right\b", "lost its lease", ("A writer that lost its right stops.",)),
    Phrase(r"\bill will\b", "innocent", ("causes without ill will",)),
    Phrase(
        r"\bha(?:s|ve) not (?:the|an?|this|that|its)\b",
        "does not have",
        ("The store has not the head.",),
        ("It has not been read.",),
    ),
    Phrase(r"\bfor want of\b", "without", ("made up for want of a log",)),
    Phrase(r"\bis no matter\b", "does not matter", ("A copy is no matter here.",)),
    Phrase(r"\bby right\b(?! of)", "rightly, by policy", ("The log begins here by right.",), ("by rights",)),
]

# In pages only: modules have such clauses as descriptions of arguments, where they are no sentences.
CLAUSE = Phrase(
    r"(?:(?<=[.;:] )|^)Wh(?:at|o) (?![^.?]*\?)(?!follows\b)[a-z][^.?|*]*\.(?= |$)",
    "a noun as subject: the key that opens a state, a file without permission",
    ("It is so. What cannot be read is reported.", "Who finds an old head can cut the log back."),
    ("What does verify say?", "It asks what was read.", "| What | it is. |", "**What it hides.** It hides text."),
)

# Files that still use such phrases: none, and none comes in.
ALLOWED: set[str] = set()


def joined(text: str) -> str:
    """Return text without marks of comments at the beginnings of lines, and lines joined within paragraphs."""
    return re.sub(r"[ \t]*\n[ \t]*(?:#+ ?)?(?=\S)", " ", text)


def prose(page: Path) -> list[str]:
    """Return the paragraphs, items and rows of a page, without commands and their output."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [joined(part).strip() for part in re.split(r"\n\s*\n|\n(?= *(?:[-*|]|\d+\.) ?)", text)]


def source(path: Path) -> list[str]:
    """Return the paragraphs of a module: of its docstrings, comments, messages and code alike."""
    return [joined(part).strip() for part in re.split(r"\n\s*\n", path.read_text())]


def found(parts: list[str], phrases: list[Phrase]) -> list[str]:
    """Return each phrase that the parts of a text use, with plain words for it."""
    return [
        f"{hit[0]!r}: say instead: {phrase.instead}"
        for phrase in phrases
        for part in parts
        for hit in re.finditer(phrase.pattern, part)
    ]


@pytest.mark.parametrize("phrase", [*PHRASES, CLAUSE], ids=lambda phrase: phrase.pattern)
def test_a_phrase_is_found_where_it_is_used_and_nowhere_else(phrase: Phrase) -> None:
    assert all(re.search(phrase.pattern, sentence) for sentence in phrase.wrong)
    assert not any(re.search(phrase.pattern, sentence) for sentence in phrase.right)


def check(path: Path, hits: list[str]) -> None:
    """Fail if a file uses such a phrase and is not allowed to, or is allowed to and does not any more."""
    if str(path.relative_to(ROOT)) in ALLOWED:
        assert hits, f"{path.name} is in plain English now: take it off the list in {Path(__file__).name}"
    else:
        assert not hits


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_a_page_is_in_plain_english(page: Path) -> None:
    check(page, found(prose(page), [*PHRASES, CLAUSE]))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src" / "tallystick")))
def test_a_module_is_in_plain_english(path: Path) -> None:
    check(path, found(source(path), PHRASES))


if __name__ == "__main__":  # python -m tests.test_words: what is found where
    for each in [*PROSE, *SOURCES]:
        for hit in found(prose(each), [*PHRASES, CLAUSE]) if each in PROSE else found(source(each), PHRASES):
            print(f"{each.relative_to(ROOT)}: {hit}")
