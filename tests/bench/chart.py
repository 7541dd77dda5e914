"""The results as a picture: one small bar chart a figure, by hand, because it takes no more than this."""

from xml.sax.saxutils import escape

from figures import FIGURES
from report import is_ours, number

COLUMNS, PANEL_WIDTH, BAR_HEIGHT, LABEL_WIDTH, MARGIN = 3, 380, 16, 84, 16
OURS, OTHERS, REFERENCE = "#c2410c", "#64748b", "#cbd5e1"


def _panel(results, key, figure, left, top):
    chains = [chain for chain in results.chains() if results.median(chain, key) is not None]
    largest = max(results.median(chain, key) for chain in chains) or 1
    room = PANEL_WIDTH - LABEL_WIDTH - 70
    direction = "more is better" if figure.more_is_better else "less is better"
    yield (f'<text x="{left}" y="{top + 12}" font-weight="bold">{escape(figure.title)}, {escape(figure.unit)}'
           f'<tspan dx="4" font-weight="normal" fill="#64748b">({direction})</tspan></text>')
    for row, chain in enumerate(chains):
        value, y = results.median(chain, key), top + 22 + row * BAR_HEIGHT
        colour = OURS if is_ours(chain) else REFERENCE if chain == "direct" else OTHERS
        length = max(1.0, value / largest * room)
        yield f'<text x="{left + LABEL_WIDTH - 6}" y="{y + 11}" text-anchor="end">{escape(chain)}</text>'
        yield f'<rect x="{left + LABEL_WIDTH}" y="{y + 2}" width="{length:.1f}" height="{BAR_HEIGHT - 5}" fill="{colour}"/>'
        yield f'<text x="{left + LABEL_WIDTH + length + 4:.1f}" y="{y + 11}">{number(value)}</text>'


def svg(results, caption):
    shown = [(key, figure) for key, figure in FIGURES.items()
             if any(results.median(chain, key) is not None for chain in results.chains())]
    panel_height = 22 + (len(results.chains()) + 1) * BAR_HEIGHT
    rows = -(-len(shown) // COLUMNS)
    width, height = COLUMNS * PANEL_WIDTH + 2 * MARGIN, rows * panel_height + 3 * MARGIN + 12
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
             'font-family="sans-serif" font-size="11">',
             f'<rect width="{width}" height="{height}" fill="white"/>',
             f'<text x="{MARGIN}" y="{MARGIN + 8}">{escape(caption)}</text>']
    for number, (key, figure) in enumerate(shown):
        row, column = divmod(number, COLUMNS)
        parts += _panel(results, key, figure, MARGIN + column * PANEL_WIDTH, 2 * MARGIN + 12 + row * panel_height)
    return "\n".join([*parts, "</svg>", ""])
