"""Charts as SVG, to stand in a page: they take their colours from it."""

import html
from collections.abc import Sequence

WIDTH = 720
ROW = 24
LABEL = 230
START = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
    ' role="img" font-size="13" fill="currentColor">\n<title>{title}</title>\n'
)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def clean(words: str) -> str:
    """Text for HTML and SVG; what can't be printed shows as �."""
    return html.escape("".join(c if c.isprintable() else "\ufffd" for c in words))


def shorten(words: str, most: int = 32) -> str:
    """The end of a path says more than its beginning."""
    return words if len(words) <= most else "…" + words[1 - most :]


def svg(title: str, height: float, parts: Sequence[str]) -> str:
    start = START.format(width=WIDTH, height=round(height), title=clean(title))
    return start + "\n".join(parts) + "\n</svg>\n"


def write(
    x: float, y: float, words: str, *, anchor: str = "start", more: str = ""
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place}{more}>{clean(words)}</text>"


def box(
    place: tuple[float, float],
    size: tuple[float, float],
    hint: str,
    look: str = 'class="bar"',
) -> str:
    corner = f'x="{place[0]:.1f}" y="{place[1]:.1f}"'
    extent = f'width="{max(size[0], 1):.1f}" height="{size[1]:.1f}"'
    title = f"<title>{clean(hint)}</title>"
    return f'<rect {corner} {extent} rx="2" {look}>{title}</rect>'


def bars(title: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """Label, value, and how the value reads, from left to right."""
    if not rows:
        return nothing(title)
    room = WIDTH - LABEL - 180
    most = max(value for _, value, _ in rows) or 1
    parts = []
    for number, (label, value, reads) in enumerate(rows):
        y = number * ROW
        end = LABEL + room * value / most
        parts += [
            write(LABEL - 10, y + 16, shorten(label), anchor="end"),
            box((LABEL, y + 4), (end - LABEL, ROW - 8), f"{label}: {reads}"),
            write(max(end, LABEL + 1) + 6, y + 16, reads, more=' class="quiet"'),
        ]
    return svg(title, len(rows) * ROW, parts)


def columns(title: str, values: Sequence[tuple[str, int]]) -> str:
    """Values over time, from the first to the last."""
    if not values:
        return nothing(title)
    floor, left = 180, 40
    step = (WIDTH - left) / len(values)
    most = max(value for _, value in values) or 1
    every = -(-len(values) // 9)
    wide = min(step * 0.8, 60)
    parts = [
        f'<path d="M{left} {floor}H{WIDTH}M{left} 20H{WIDTH}" class="line"/>',
        write(left - 6, floor + 4, "0", anchor="end"),
        write(left - 6, 24, f"{most:,}", anchor="end"),
    ]
    for number, (label, value) in enumerate(values):
        middle = left + (number + 0.5) * step
        high = (floor - 20) * value / most
        if value:
            hint = f"{label}: {value:,}"
            corner = (middle - wide / 2, floor - high)
            parts.append(box(corner, (wide, high), hint))
        if number % every == 0:
            parts.append(write(middle, floor + 18, label, anchor="middle"))
    return svg(title, floor + 26, parts)


def week(title: str, counts: dict[tuple[int, int], int]) -> str:
    """A week of seven days by 24 hours; the fuller, the more."""
    most = max(counts.values(), default=1)
    left, step = 50, (WIDTH - 50) / 24
    parts = []
    for day, name in enumerate(DAYS):
        parts.append(write(left - 10, day * ROW + 17, name, anchor="end"))
        for hour in range(24):
            count = counts.get((day, hour), 0)
            full = 0.06 + 0.94 * (count / most) ** 0.5 if count else 0.06
            corner = (left + hour * step, day * ROW)
            look = f'class="bar" fill-opacity="{full:.2f}"'
            hint = f"{name} {hour}:00: {count:,}"
            parts.append(box(corner, (step - 3, ROW - 3), hint, look))
    parts += [
        write(
            left + (hour + 0.5) * step - 1.5, 7 * ROW + 14, str(hour), anchor="middle"
        )
        for hour in range(0, 24, 3)
    ]
    return svg(title, 7 * ROW + 20, parts)


def spans(title: str, rows: Sequence[tuple[str, float, float, bool]]) -> str:
    """Label, start and end in seconds, and whether it went well: what ran when."""
    left, row = 130, 17
    whole = max((end for _, _, end, _ in rows), default=1) or 1
    scale = (WIDTH - left - 10) / whole
    height = len(rows) * row
    step = next(
        s for s in (0.5, 1, 2, 5, 10, 30, 60, 300, 1800, whole) if whole / s < 12
    )
    parts = []
    for tick in range(int(whole / step) + 1):
        x = left + tick * step * scale
        parts += [
            f'<path d="M{x:.1f} 0V{height}" class="line"/>',
            write(x, height + 14, f"{tick * step:g} s", anchor="middle"),
        ]
    for number, (label, start, end, good) in enumerate(rows):
        x, y = left + start * scale, number * row
        hint = f"{label}: {end - start:.2f} s, from {start:.2f} s on"
        look = 'class="bar"' if good else 'class="bad"'
        parts += [
            write(left - 8, y + 12, label, anchor="end", more=' font-size="11"'),
            box((x, y + 3), ((end - start) * scale, row - 6), hint, look),
        ]
    return svg(title, height + 20, parts)


def nothing(title: str) -> str:
    return svg(title, 30, [write(0, 20, "nothing to show", more=' class="quiet"')])
