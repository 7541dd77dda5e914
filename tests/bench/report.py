"""The results as text: figures, ratios, and the goals."""

from figures import FIGURES
from goals import verdicts

NAME_WIDTH = 44


def number(value):
    """With as many digits as mean anything."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.2f}"


def _table(title, columns, cell):
    width = max(10, *(len(column) + 1 for column in columns))
    yield title.ljust(NAME_WIDTH) + "".join(column.rjust(width) for column in columns)
    for key, figure in FIGURES.items():
        cells = [cell(key, column) for column in columns]
        if any(value is not None for value in cells):
            yield f"{figure.title}, {figure.unit}".ljust(NAME_WIDTH) + "".join(number(v).rjust(width) for v in cells)
    yield ""


def is_ours(chain):
    return chain.partition("@")[0] in ("plain", "tls")


def lines(results):
    chains = results.chains()
    yield from _table("median of the rounds", chains, lambda figure, chain: results.median(chain, figure))
    for mine in filter(is_ours, chains):
        others = [chain for chain in chains if not is_ours(chain)]
        if others:
            yield from _table(f"{mine}, as a multiple of", others,
                              lambda figure, other, mine=mine: results.ratio(mine, other, figure))
    for kind in ("plain", "tls"):
        builds = [chain for chain in chains if chain.startswith(f"{kind}@")]
        if len(builds) > 1:
            yield from _table(f"as a multiple of {builds[0]}", builds[1:],
                              lambda figure, chain, first=builds[0]: results.ratio(chain, first, figure))
    judged = list(verdicts(results))
    if judged:
        yield "goals"
    for verdict in judged:
        goal, figure = verdict.goal, FIGURES[verdict.goal.figure]
        unit = f"x {verdict.other}" if verdict.other else figure.unit
        yield (f"  {'met   ' if verdict.met else 'MISSED'} {verdict.chain:10} {figure.title:36} "
               f"{number(verdict.value):>8} {'>=' if goal.at_least else '<='} {goal.limit:g} {unit}")
    for failure in results.failures:
        yield f"FAILED: {failure}"
