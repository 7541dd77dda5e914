"""What we want to reach, as ratios to others in the same run, and a few absolute figures."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Goal:
    kind: str         # plain or tls
    figure: str
    at_least: bool
    limit: float
    others: tuple = ()  # the ratio to the best of them; without, the figure itself


TLS_PEERS = ("hap-tls1", "hap-tls2")

GOALS = (
    *(Goal("plain", figure, True, 1.0, ("hap-splice",)) for figure in ("bulk_1", "bulk_8")),
    *(Goal("tls", figure, True, 1.8, (*TLS_PEERS, "stunnel")) for figure in ("bulk_1", "bulk_8")),
    Goal("plain", "cpu", False, 0.45),
    Goal("tls", "cpu", False, 1.3),
    Goal("plain", "byte_p50", False, 1.0, ("nginx",)),
    Goal("tls", "byte_p50", False, 1.15, ("nginx",)),
    Goal("plain", "requests", True, 1.0, ("nginx",)),
    Goal("tls", "requests", True, 1.0, ("hap-tls2",)),
    Goal("plain", "connections", True, 0.6, ("nginx",)),
    Goal("tls", "connections", True, 1.5, TLS_PEERS),
    *(Goal("plain", f"memory_{count}", False, 3) for count in (1000, 9000)),
    *(Goal("tls", f"memory_{count}", False, 20) for count in (1000, 9000)),
    *(Goal(kind, "delayed", True, 0.9, ("direct",)) for kind in ("plain", "tls")),
    *(Goal(kind, "outage", False, 6) for kind in ("plain", "tls")),
)


@dataclasses.dataclass(frozen=True)
class Verdict:
    goal: Goal
    chain: str
    value: float
    other: str  # empty for an absolute figure

    @property
    def met(self):
        return self.value >= self.goal.limit if self.goal.at_least else self.value <= self.goal.limit


def verdicts(results):
    """Of the goals for which everything was measured, for each build of ours."""
    for goal in GOALS:
        for chain in results.chains():
            if chain.partition("@")[0] != goal.kind:
                continue
            if not goal.others:
                value, other = results.median(chain, goal.figure), ""
            else:
                ratios = [(ratio, name) for name in goal.others
                          if (ratio := results.ratio(chain, name, goal.figure)) is not None]
                # The best of them is the one to which ours looks worst.
                value, other = (min if goal.at_least else max)(ratios, default=(None, ""))
            if value is not None:
                yield Verdict(goal, chain, value, other)
