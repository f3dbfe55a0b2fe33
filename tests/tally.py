# SPDX-License-Identifier: BSD-2-Clause
"""Add up what ctest ran, in single tests of cmocka and pytest, and end with one line: N passed, N failed.

One entry of ctest is a whole cmocka program or a whole folder of pytest files, so the numbers are read from what
they print, which ctest's report carries. An entry that failed without a failed test in it (a crash, a leak found at
exit, a time limit) counts as one failure; a report that is missing counts as one, too. A test of pytest that passed
only at its second try is named: it is counted as passed, but something is wrong with it or with the daemon.
"""
import re
import sys
import xml.etree.ElementTree as ET

CMOCKA = re.compile(r"^\[  (PASSED|FAILED)  \] (?:tests: )?(\d+) test\(s\)", re.M)
PYTEST_LINE = re.compile(r"^=*\s*((?:\d+ \w+(?:, )?)+) in [\d.]+s.*$", re.M)
PYTEST_AGAIN = re.compile(r"^RERUN (\S+)", re.M)
PYTEST_WORD = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)")


def count(text):
    """(passed, failed, skipped) that one entry printed."""
    passed = failed = skipped = 0
    for word, number in CMOCKA.findall(text):
        if word == "PASSED":
            passed += int(number)
        else:
            failed += int(number)
    lines = PYTEST_LINE.findall(text)
    for number, word in PYTEST_WORD.findall(lines[-1]) if lines else ():
        if word in ("passed", "xfailed"):
            passed += int(number)
        elif word == "skipped":
            skipped += int(number)
        else:
            failed += int(number)
    return passed, failed, skipped


def second_tries(text):
    """The tests that failed and then passed."""
    failed = set(re.findall(r"^(?:FAILED|ERROR) (\S+)", text, re.M))
    return sorted(set(PYTEST_AGAIN.findall(text)) - failed)


def tally(report):
    total = [0, 0, 0]
    try:
        entries = list(ET.parse(report).getroot().iter("testcase"))
    except (OSError, ET.ParseError) as error:
        print(f"{report}: {error}")
        return [0, 1, 0]
    for entry in entries:
        passed, failed, skipped = count(entry.findtext("system-out") or "")
        if entry.get("status") == "run":
            if passed + failed + skipped == 0:
                passed = 1  # a program without a framework, such as the replay of a corpus
        elif failed == 0:
            failed = 1
        if failed:
            print(f"FAILED: {entry.get('name')} ({failed} of {passed + failed}), {report}")
        for name in second_tries(entry.findtext("system-out") or ""):
            print(f"PASSED AT ITS SECOND TRY: {name}, {report}")
        total = [a + b for a, b in zip(total, (passed, failed, skipped))]
    return total


def main():
    passed, failed, skipped = (sum(column) for column in zip(*map(tally, sys.argv[1:])))
    if skipped:
        print(f"{skipped} skipped")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
