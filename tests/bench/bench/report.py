# SPDX-License-Identifier: BSD-2-Clause
"""Figures of several rounds as a table: minimum, median, maximum of each ratio, and the median of each figure."""
from statistics import median

BUSY_PERCENT = 10


def number(value):
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"


def values(rounds, variant, metric):
    """What each round gave; rounds in which the step failed, or there was nothing to measure, are left out."""
    return [r[variant][metric] for r in rounds if r.get(variant, {}).get(metric) is not None]


def ratio(rounds, entry, metric):
    """Divides within a round only, so that what slows the machine for a while slows both sides."""
    quotients = []
    for figures in rounds:
        over, under = figures.get(entry.over, {}).get(metric), figures.get(entry.under, {}).get(metric)
        if over is not None and under:
            quotients.append(over / under)
    if not quotients:
        return None
    return {"title": entry.title, "metric": metric, "target": entry.target, "min": min(quotients),
            "median": median(quotients), "max": max(quotients), "rounds": len(quotients)}


def ratios(scenario, rounds):
    """What is a rate is compared twice: as seen by the client, and for each second of the server's processor time."""
    rows = []
    for entry in scenario.ratios:
        metrics = [entry.metric]
        if entry.metric.startswith("rate"):
            metrics.append(entry.metric.replace("rate", "per_core"))
        for metric in metrics:
            row = ratio(rounds, entry, metric)
            if row:
                rows.append(row)
    return rows


def align(rows):
    """First column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join([row[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:])]).rstrip()


def text(scenario, rounds):
    variants = list(dict.fromkeys(variant for figures in rounds for variant in figures))
    lines = [f"== {scenario.name}: {scenario.doc} ({len(rounds)} rounds, medians)"]
    table = [["", *scenario.show]]
    for variant in variants:
        cells = []
        for metric in scenario.show:
            found = values(rounds, variant, metric)
            cells.append(number(median(found)) if found else "-")
        table.append([variant, *cells])
    lines += align(table)
    for variant in variants:
        for error in dict.fromkeys(figures.get(variant, {}).get("error") for figures in rounds):
            if error:
                lines.append(f"{variant}: {error}")
    for figures in rounds[-1].values():
        lines += figures.get("notes", [])
    others = [figures["others_percent"] for r in rounds for figures in r.values() if "others_percent" in figures]
    if others and median(others) > BUSY_PERCENT:
        lines.append(f"other work took {median(others):.0f} % of a core meanwhile (up to {max(others):.0f} %): trust "
                     "cpu_us and per_core, not rates and latencies")
    quotients = ratios(scenario, rounds)
    if quotients:
        lines.append("")
        table = [["ratio", "min", "median", "max", "target"]]
        for row in quotients:
            table.append([f"{row['title']} ({row['metric']})", number(row["min"]), number(row["median"]),
                          number(row["max"]), row["target"]])
        lines += align(table)
    return "\n".join(lines)
