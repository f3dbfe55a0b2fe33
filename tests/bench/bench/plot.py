# SPDX-License-Identifier: BSD-2-Clause
"""The cost of a request against the number of peers, as an SVG with logarithmic axes; needs nothing installed."""
import math
import re
from statistics import median

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 400, 70, 150, 40, 50
COLOURS = ("#1b6ca8", "#c1440e", "#3a7d44", "#6a4c93")


def curves(rounds):
    """Variants named "NAME N" become the point N of the curve NAME; 0 peers are drawn at 1."""
    found = {}
    for variant in dict.fromkeys(variant for figures in rounds for variant in figures):
        match = re.fullmatch(r"(.*) (\d+)", variant)
        costs = [figures[variant]["cpu_us"] for figures in rounds if figures.get(variant, {}).get("cpu_us")]
        if match and costs:
            found.setdefault(match[1], []).append((max(int(match[2]), 1), median(costs)))
    return {name: sorted(points) for name, points in found.items() if len(points) > 1}


class Axis:
    """Maps values to pixels by their logarithm, whole powers of ten at both ends."""

    def __init__(self, numbers, start, end):
        self.low = math.floor(math.log10(min(numbers)))
        self.high = max(math.ceil(math.log10(max(numbers))), self.low + 1)
        self.start, self.end = start, end

    def at(self, value):
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self):
        return [10.0**power for power in range(self.low, self.high + 1)]


def of_peers(scenario, rounds):
    """None when the scenario has no such curves."""
    found = curves(rounds)
    if not found:
        return None
    x = Axis([n for points in found.values() for n, _ in points], LEFT, WIDTH - RIGHT)
    y = Axis([cost for points in found.values() for _, cost in points], HEIGHT - BOTTOM, TOP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" '
           'font-size="12">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           f'<text x="{LEFT}" y="20" font-size="14">{scenario.doc}</text>',
           f'<text x="{LEFT}" y="{HEIGHT - 10}">N (0 drawn at 1)</text>',
           f'<text transform="translate(16 {HEIGHT - BOTTOM}) rotate(-90)">processor time of the server per request, '
           'µs</text>']
    for tick in x.ticks():
        out.append(f'<path d="M{x.at(tick):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/><text x="{x.at(tick):.1f}" '
                   f'y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:,.0f}</text>')
    for tick in y.ticks():
        out.append(f'<path d="M{LEFT} {y.at(tick):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/><text x="{LEFT - 6}" '
                   f'y="{y.at(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for colour, (name, points) in zip(COLOURS, found.items()):
        line = " ".join(f"{x.at(n):.1f},{y.at(cost):.1f}" for n, cost in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x.at(n):.1f}" cy="{y.at(cost):.1f}" r="3" fill="{colour}"/>' for n, cost in points]
        n, cost = points[-1]
        out.append(f'<text x="{x.at(n) + 8:.1f}" y="{y.at(cost) + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join(out) + "\n</svg>\n"
