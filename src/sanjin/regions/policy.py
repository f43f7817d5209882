"""Reading a policy document: the rule, the weights and the prices that the operator sets. All may be left out.

::

    rule: least_total
    weights: {carbon: 2, waiting: 0.5}
    carbon_yuan_tonne: 120
    latency_yuan_ms_hour: 0.01
    queues:
      urgent: {priority: 10}
      batch: {priority: 0}
    price_refresh_hours: 24
    move_gain_fen: 10
    stop_gain_fen: 10
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from sanjin.model.errors import ProblemsFound
from sanjin.model.policy import WEIGHT_MAX, Policy, Queue, Rule, Weights
from sanjin.model.region import Figure, Region, Status
from sanjin.regions.fields import Table
from sanjin.regions.load import root_of, text_of

PRIORITY_MAX = 1000
CARBON_MAX = 100_000.0
LATENCY_MAX = 1000.0
GAIN_MAX = 10**8
REFRESH_MAX = 24 * 366


def load_policy(path: Path) -> Policy:
    """The policy in a document. Raises ProblemsFound with everything that is wrong, by line."""
    return read_policy(text_of(path), str(path))


def read_policy(text: str, file: str) -> Policy:
    """The policy in ``text``; ``file`` is what problems call it. Raises ProblemsFound."""
    root = root_of(text, file)
    found = policy_in(root)
    if root.notes.found:
        raise ProblemsFound(root.notes.problems)
    return found


def applied(region: Region, policy: Policy) -> Region:
    """The region with what the policy sets of it."""
    if policy.carbon_yuan_tonne is None:
        return region
    price = Figure(policy.carbon_yuan_tonne, "yuan/t", region.carbon_price.date, "policy", Status.ESTIMATED)
    return replace(region, carbon_price=price)


def policy_in(root: Table) -> Policy:
    """The policy in a mapping; what is wrong is noted there."""
    usual = Policy()
    rule = root.choice("rule", Rule, "rule", "规则") if root.has("rule") else usual.rule
    weights = root.table("weights", optional=True)
    given = {f.name: weights.number(f.name, 0.0, WEIGHT_MAX) for f in fields(Weights) if weights.has(f.name)}
    weights.close()
    queues: dict[str, Queue] = {}
    for name, table in root.by_id("queues", optional=True):
        least = -float(PRIORITY_MAX)
        queues[name] = Queue(priority=table.whole("priority", least, PRIORITY_MAX) if table.has("priority") else 0)
        table.close()

    def fen(key: str, usual: int) -> int:
        return root.whole(key, -1.0, GAIN_MAX) if root.has(key) else usual

    has = root.has
    policy = Policy(
        rule=rule,
        weights=Weights(**given),
        carbon_yuan_tonne=root.number("carbon_yuan_tonne", 0.0, CARBON_MAX) if has("carbon_yuan_tonne") else None,
        latency_yuan_ms_hour=root.number("latency_yuan_ms_hour", 0.0, LATENCY_MAX)
        if has("latency_yuan_ms_hour")
        else usual.latency_yuan_ms_hour,
        queues=queues,
        price_refresh_hours=root.whole("price_refresh_hours", 0.0, REFRESH_MAX)
        if has("price_refresh_hours")
        else usual.price_refresh_hours,
        move_gain_fen=fen("move_gain_fen", usual.move_gain_fen),
        stop_gain_fen=fen("stop_gain_fen", usual.stop_gain_fen),
    )
    root.close()
    return policy
