"""The catalogue holds each kind of finding once; documentation, schema and specification name the same ones."""

import re
from pathlib import Path

import pytest

from tallystick.reports.plain import schema
from tallystick.verify import ALLOWED
from tallystick.verify.catalogue import CATALOGUE, Entry, Exceptable, Kind, Stated, Weight, kinds_excepted
from tests.verify.table import rows

ROOT = Path(__file__).resolve().parents[2]
SPEC = (ROOT / "spec" / "seal.md").read_text()
READINGS = SPEC[SPEC.index("## 7. Verification") : SPEC.index("## 10. ")]
DOCS = (ROOT / "docs" / "verify.md").read_text()


def documented() -> dict[str, tuple[str, str]]:
    """Weight and advice by kind, as the table of docs/verify.md has them; links are written as their text."""
    table = DOCS[DOCS.index("| finding | weight | what to do |") :].split("\n\n")[0]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.split("\n")[2:]]
    plain = [(kinds, weight, re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", advice)) for kinds, weight, advice in cells]
    return {kind: (weight, advice) for kinds, weight, advice in plain for kind in kinds.split(", ")}


def stated(where: Stated) -> set[Kind]:
    return {entry.kind for entry in CATALOGUE.values() if entry.stated is where}


def test_every_kind_has_one_entry() -> None:
    assert list(CATALOGUE) == list(Kind)
    assert all(kind is entry.kind for kind, entry in CATALOGUE.items())


def test_the_schema_names_the_kinds_of_the_catalogue_in_its_order() -> None:
    assert schema()["$defs"]["finding"]["properties"]["kind"]["enum"] == [kind.value for kind in CATALOGUE]


def test_the_schema_names_the_weights_of_the_catalogue() -> None:
    assert schema()["$defs"]["finding"]["properties"]["weight"]["enum"] == [weight.value for weight in Weight]


def test_the_table_of_the_specification_has_the_kinds_that_are_stated_there() -> None:
    assert set(rows()) == stated(Stated.TABLE)


def test_the_text_of_the_specification_names_the_kinds_that_are_stated_there() -> None:
    named = {kind for kind in Kind if f"`{kind}`" in READINGS or f"{kind.capitalize()} is `" in READINGS}
    assert stated(Stated.TEXT) <= named
    assert not stated(Stated.OUTSIDE) & named


def test_the_documentation_names_the_kinds_of_the_catalogue() -> None:
    assert set(documented()) == set(CATALOGUE)


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=list(CATALOGUE))
def test_the_documentation_gives_weight_and_advice_of_the_catalogue(entry: Entry) -> None:
    weight, advice = documented()[entry.kind]
    assert entry.usual.value in weight
    assert advice == entry.advice


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=list(CATALOGUE))
def test_a_meaning_is_one_sentence_and_a_title_a_few_words(entry: Entry) -> None:
    assert re.fullmatch(r"[A-Z][^.]+\.", entry.meaning)
    assert re.fullmatch(r"[A-Z][^.]{5,40}", entry.title)


def test_kinds_that_are_ranked_have_a_place_of_their_own() -> None:
    ranks = sorted(entry.rank for entry in CATALOGUE.values())
    last = ranks[-1]
    assert [rank for rank in ranks if rank < last] == list(range(last))


def test_kinds_that_can_be_allowed_or_excepted_are_those_of_the_documentation() -> None:
    option = next(line for line in DOCS.split("\n") if line.startswith("| `--allow WHAT` |"))
    assert set(re.findall(r'`"?([a-z ]+)"?`', option.split("|")[2])) == set(ALLOWED)
    excepted = SPEC[SPEC.index("- Exceptions allow what they name") : SPEC.index("  - Nothing else can be excepted")]
    named = [re.match(r"[^:,]*(?:, `[a-z ]+`)*", line)[0] for line in excepted.split("\n  - ")[1:]]  # type: ignore[index]
    named += re.findall(r"`(redacted|duplicate|reordered|unsealed)`", excepted)
    kinds = {kind for text in named for kind in re.findall(r"`([a-z ]+)`", text) or [text]}
    assert kinds == {*kinds_excepted(Exceptable.BY_POSITION), *kinds_excepted(Exceptable.BY_BYTES)}


def test_no_kind_is_at_home_in_two_lists() -> None:
    each = [kind for how in Exceptable for kind in kinds_excepted(how)]
    assert sorted(each) == sorted(kind.value for kind in Kind)


def test_the_table_of_the_documentation_is_read() -> None:
    assert len(documented()) == 33
    assert documented()["bad head"] == documented()["bad statement"]
