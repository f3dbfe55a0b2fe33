# SPDX-License-Identifier: BSD-2-Clause
"""docs/conformance.md says what the tests say."""

from conftest import TESTS
import table


def test_the_table_is_up_to_date():
    assert (TESTS.parent / "docs/conformance.md").read_text() == table.text(), "write it anew: see table.py"


def test_every_test_is_a_case():
    assert set(table.functions()) == {case for cases in table.CASES.values() for case in cases}
