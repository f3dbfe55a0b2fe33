# SPDX-License-Identifier: BSD-2-Clause
"""A plugin of pytest that prints why a test failed that passed at its second try: a rare fault is known by nothing else."""


def pytest_terminal_summary(terminalreporter):
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"first try of {report.nodeid}", sep="_")
        terminalreporter.line(report.longreprtext)
        for name, text in report.sections:
            terminalreporter.section(name, sep="-")
            terminalreporter.line(text)
