"""What was measured, and ratios of it: of the same round, because a machine that slows down slows all of a round."""

import collections
import statistics


class Results:
    def __init__(self):
        self._values = collections.defaultdict(lambda: collections.defaultdict(dict))  # chain, figure: {round: value}
        self.failures = []

    def add(self, chain, round_number, figures):
        for figure, value in figures.items():
            self._values[chain][figure][round_number] = value

    def fail(self, chain, what, error):
        self.failures.append(f"{chain}, {what}: {error}")

    def chains(self):
        return list(self._values)

    def median(self, chain, figure):
        values = self._values.get(chain, {}).get(figure)
        return statistics.median(values.values()) if values else None

    def ratio(self, chain, other, figure):
        """The median of the rounds' ratios."""
        mine, others = (self._values.get(name, {}).get(figure, {}) for name in (chain, other))
        ratios = [mine[number] / others[number] for number in mine if others.get(number)]
        return statistics.median(ratios) if ratios else None

    def as_json(self):
        return {chain: {figure: {"median": self.median(chain, figure), "rounds": list(values.values())}
                        for figure, values in figures.items()} for chain, figures in self._values.items()}
