"""Small themable SVG: every colour is a CSS variable or a fixed colour that reads on light and dark. A panel is at most 380 units wide,
so that its text stays readable on a phone; a figure is a row of panels that wraps.
"""

from __future__ import annotations

import math
from html import escape

# viridis at ten points (public domain, CC0, S. van der Walt and N. Smith): even in lightness and safe for colour-blind readers.
VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"]
# Diverging around zero: blue - pale - orange, after ColorBrewer's PuOr with a bluer end; safe for colour-blind readers.
DIVERGING = ["#1f5fa8", "#5b93c9", "#a6c6e3", "#eceae6", "#f3bf8c", "#df8a3e", "#b3560b"]


def number(x, digits=3):
    """A coordinate or datum without noise: 12.30000001 -> 12.3."""
    return f"{x:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{x:.0f}"


def mixed(stops, t):
    t = min(max(t, 0.0), 1.0) * (len(stops) - 1)
    i = min(int(t), len(stops) - 2)
    a, b = stops[i], stops[i + 1]
    part = [round(int(a[k : k + 2], 16) + (t - i) * (int(b[k : k + 2], 16) - int(a[k : k + 2], 16))) for k in (1, 3, 5)]
    return "#" + "".join(f"{p:02x}" for p in part)


def ink_on(colour):
    """Black or white, whichever contrasts more (WCAG relative luminance)."""
    rgb = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#111" if luminance > 0.18 else "#fff"


def nice_ticks(low, high, count=5):
    """Round numbers inside [low, high], about `count` of them."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else []
    raw = (high - low) / max(count - 1, 1)
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, int(math.floor(high / step + 1e-9)) + 1)]


LONGEST_LINE = 56  # letters of a panel's heading


class Panel:
    """One drawing: `width` x `height` units, a plot area inside margins, linear scales from data to units."""

    def __init__(self, title, width=380, height=262, left=46, right=12, top=46, bottom=38, label=None):
        self.title, self.width, self.height = title, width, height
        self.x0, self.x1, self.y0, self.y1 = left, width - right, height - bottom, top
        self.label = label or title
        self.parts = []
        self.xlim, self.ylim = (0.0, 1.0), (0.0, 1.0)

    def scales(self, xlim, ylim):
        self.xlim, self.ylim = xlim, ylim

    def x(self, value):
        low, high = self.xlim
        return self.x0 + (value - low) / (high - low) * (self.x1 - self.x0)

    def y(self, value):
        low, high = self.ylim
        return self.y0 + (value - low) / (high - low) * (self.y1 - self.y0)

    def add(self, part):
        self.parts.append(part)

    def text(self, x, y, content, kind="", anchor="start", extra=""):
        self.add(
            f'<text x="{number(x, 1)}" y="{number(y, 1)}" class="{kind}" '
            f'text-anchor="{anchor}"{extra}>{escape(str(content))}</text>'
        )

    def y_axis(self, ticks, label="", form="{:g}"):
        for t in ticks:
            y = number(self.y(t), 1)
            self.add(f'<path class="grid" d="M{self.x0} {y}H{self.x1}"/>')
            self.text(self.x0 - 6, self.y(t) + 4, form.format(t), "tick", "end")
        if label:
            self.text(8, self.y1 - 8, label, "axis")

    def x_axis(self, ticks, labels=None, label="", rotate=False):
        for t, name in zip(ticks, labels or [f"{t:g}" for t in ticks]):
            if rotate:
                turn = f' transform="rotate(-35 {number(self.x(t), 1)} {self.y0 + 14})"'
                self.text(self.x(t), self.y0 + 14, name, "tick", "end", turn)
            else:
                self.text(self.x(t), self.y0 + 16, name, "tick", "middle")
        if label:
            self.text((self.x0 + self.x1) / 2, self.height - 5, label, "axis", "middle")
        self.add(f'<path class="rule" d="M{self.x0} {self.y0}H{self.x1}"/>')

    def line(self, xs, ys, colour, width=2, dash="", opacity=1.0, extra=""):
        """A polyline; a NaN is a gap in it."""
        d, pen = [], "M"
        for x, y in zip(xs, ys):
            if not (math.isfinite(x) and math.isfinite(y)):
                pen = "M"
                continue
            d.append(f"{pen}{number(self.x(x), 1)} {number(self.y(y), 1)}")
            pen = "L"
        if d:
            dashes = f' stroke-dasharray="{dash}"' if dash else ""
            fade = f' stroke-opacity="{opacity:g}"' if opacity < 1 else ""
            self.add(
                f'<path d="{"".join(d)}" fill="none" stroke="{colour}" stroke-width="{width:g}" stroke-linejoin="round"'
                f' stroke-linecap="round"{dashes}{fade}{extra}/>'
            )

    def band(self, xs, low, high, colour, opacity=0.18):
        """The area between two curves; a gap in either is a gap in the band."""
        start = 0
        points = [(x, a, b) for x, a, b in zip(xs, low, high)]
        for i in range(len(points) + 1):
            if i == len(points) or not all(math.isfinite(v) for v in points[i]):
                self._band(points[start:i], colour, opacity)
                start = i + 1

    def _band(self, points, colour, opacity):
        if len(points) < 2:
            return
        there = "L".join(f"{number(self.x(x), 1)} {number(self.y(b), 1)}" for x, _, b in points)
        back = "L".join(f"{number(self.x(x), 1)} {number(self.y(a), 1)}" for x, a, _ in reversed(points))
        self.add(f'<path d="M{there}L{back}Z" fill="{colour}" fill-opacity="{opacity:g}"/>')

    def bar_of(self, x, low, high, colour, width=1.5):
        if math.isfinite(low) and math.isfinite(high):
            self.add(
                f'<path d="M{number(self.x(x), 1)} {number(self.y(low), 1)}V{number(self.y(high), 1)}" '
                f'stroke="{colour}"'
                f' stroke-width="{width:g}" stroke-linecap="round"/>'
            )

    def dot(self, x, y, colour, radius=3.5, title="", hollow=False, link=""):
        if not (math.isfinite(x) and math.isfinite(y)):
            return
        paint = f'fill="var(--paper)" stroke="{colour}" stroke-width="1.6"' if hollow else f'fill="{colour}"'
        note = f"<title>{escape(title)}</title>" if title else ""
        mark = f'<circle cx="{number(self.x(x), 1)}" cy="{number(self.y(y), 1)}" r="{radius:g}" {paint}>{note}</circle>'
        self.add(f'<a href="{escape(link)}">{mark}</a>' if link else mark)

    def rect(self, x, y, width, height, colour, title="", extra=""):
        note = f"<title>{escape(title)}</title>" if title else ""
        self.add(
            f'<rect x="{number(x, 1)}" y="{number(y, 1)}" width="{number(width, 1)}" height="{number(height, 1)}" '
            f'fill="{colour}"{extra}>'
            f"{note}</rect>"
        )

    def gap(self, x, y, width, height, title="no value"):
        """A cell without a value: hatched, never a colour of the scale."""
        self.rect(x, y, width, height, "url(#gap)", title, ' class="gap"')

    def heading(self):
        """The title, on two smaller lines where it is too long for one: it must not run into the neighbour."""
        if len(self.title) <= 46:
            return f'<text x="8" y="16" class="title">{escape(self.title)}</text>' if self.title else ""
        half = self.title.rfind(" ", 0, LONGEST_LINE) if len(self.title) > LONGEST_LINE else len(self.title)
        lines = [self.title[:half], self.title[half:].strip()]
        return "".join(
            f'<text x="8" y="{11 + 11 * i}" class="title" style="font-size:10.5px">{escape(line)}</text>'
            for i, line in enumerate(lines)
            if line
        )

    def svg(self):
        heading = self.heading()
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(self.label)}" '
            f'xmlns="http://www.w3.org/2000/svg">{heading}{"".join(self.parts)}</svg>'
        )


TICK = 6.2  # mean width of a character of a tick's label


def two_lines(label, room):
    """The label, broken behind a separator near its middle where it is wider than its room."""
    label = str(label)
    breaks = [i + 1 for i, c in enumerate(label[:-1]) if c in "_. "]
    if len(label) * TICK <= room or not breaks:
        return [label]
    at = min(breaks, key=lambda i: abs(i - len(label) / 2))
    return [label[:at].rstrip(), label[at:]]


def heat_panel(
    title, values, rows, columns, low, high, form="{:.2f}", stops=VIRIDIS, x_label="", y_label="", width=380, notes=None
):
    """values [rows][columns]; NaN is a hatched gap. Row 0 is drawn at the bottom (the embeddings below, the last layer above)."""
    cell = 26 if len(rows) <= 16 else max(9, 420 // len(rows))
    left = max(44, 14 + TICK * max(len(str(name)) for name in rows))
    below = [two_lines(name, (width - left - 16) / max(len(columns), 1)) for name in columns]
    bottom = (40 if x_label else 24) + (12 if any(len(lines) > 1 for lines in below) else 0)
    top = 48 if len(title) > LONGEST_LINE else 38  # a heading of two lines, then the axis' name
    panel = Panel(title, width=width, height=top + cell * len(rows) + bottom, left=left, top=top, bottom=bottom)
    across = (panel.x1 - panel.x0) / max(len(columns), 1)
    small = ' font-size="9"' if across < 34 or cell < 16 else ""
    for r, name in enumerate(rows):
        y = panel.y0 - (r + 1) * cell
        if cell >= 9 and (cell >= 12 or r % 2 == 0):
            panel.text(panel.x0 - 6, y + cell / 2 + 4, name, "tick", "end")
        for c in range(len(columns)):
            value = values[r][c]
            note = f"{y_label} {name}, {columns[c]}: " + (form.format(value) if math.isfinite(value) else "no value")
            if notes is not None:
                note += notes[r][c]
            if not math.isfinite(value):
                panel.gap(panel.x0 + c * across, y, across - 1, cell - 1, note)
                continue
            colour = mixed(stops, (value - low) / (high - low) if high > low else 0.5)
            panel.rect(panel.x0 + c * across, y, across - 1, cell - 1, colour, note)
            if across >= 24 and cell >= 13:
                panel.add(
                    f'<text x="{number(panel.x0 + (c + 0.5) * across, 1)}" y="{number(y + cell / 2 + 4, 1)}" '
                    'text-anchor="middle" '
                    f'class="cell" style="fill:{ink_on(colour)}"{small}>{form.format(value)}</text>'
                )
    for c, lines in enumerate(below):
        for i, line in enumerate(lines):
            panel.text(panel.x0 + (c + 0.5) * across, panel.y0 + 15 + 12 * i, line, "tick", "middle", small)
    if x_label:
        panel.text((panel.x0 + panel.x1) / 2, panel.height - 6, x_label, "axis", "middle")
    if y_label:
        panel.text(8, top - 8, y_label, "axis")
    return panel


def legend(entries):
    """HTML, not SVG, so that it wraps: (label, colour, style[, link])."""
    items = []
    for entry in entries:
        label, colour, style = entry[:3]
        swatch = f'<i class="key {style}" style="--k:{colour}"></i>{escape(label)}'
        items.append(
            f'<a href="{escape(entry[3])}" data-filter="{escape(entry[4])}">{swatch}</a>'
            if len(entry) > 4
            else f"<span>{swatch}</span>"
        )
    return f'<div class="legend">{"".join(items)}</div>'


def colour(i):
    return f"var(--c{i % 8})"
