from tests.verify.table import Case

CASES: list[Case] = []
