"""What all tests share."""

import pytest

# The suites that backends subclass are no test modules; their asserts shall explain themselves all the same.
pytest.register_assert_rewrite("tests.keystore.suite", "tests.custody.suite")
