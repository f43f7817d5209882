"""``sanjin policy``: by which rule the region places work, and what each term counts for."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sanjin.adapters.state_folder import StateFolder, default_folder
from sanjin.cli.output import Format, State, data, note, table, text
from sanjin.model.policy import Policy, Weights
from sanjin.regions.policy import load_policy


def kept_policy(folder: StateFolder) -> Policy:
    """The policy that was set on a state folder; the usual one where none was. Raises ProblemsFound."""
    document = folder.policy_document()
    return load_policy(document) if document else Policy()


def set_policy(
    file: Annotated[Path, Parameter(help="The policy document (YAML). 策略文档。")],
    /,
    *,
    dry_run: Annotated[bool, Parameter(negative=(), help="Check and show it; keep nothing. 试算。")] = False,
    state: State = None,
    output: Format = "table",
) -> None:
    """Set the region's policy from a document; in force from the next ``sanjin up`` on. 设置策略。"""
    policy = load_policy(file)
    if not dry_run:
        folder = StateFolder(state or default_folder())
        folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.keep_policy(file.read_text(encoding="utf-8"))
    _print(policy, output)
    if output == "table":
        note(text("cli.dry_run_policy" if dry_run else "cli.policy_kept"))


def show(*, state: State = None, output: Format = "table") -> None:
    """Show the policy of a region. 查看策略。"""
    _print(kept_policy(StateFolder(state or default_folder())), output)


def _print(policy: Policy, output: Format) -> None:
    if data(policy, output):
        return
    print(text("policy.rule", rule=policy.rule))
    print(text(f"rule.{policy.rule}"))
    in_force = policy.in_force()
    terms = [[text(f"term.{f.name}"), f"{getattr(in_force, f.name):g}"] for f in fields(Weights)]
    table(("head.term", "head.weight"), terms, left=(0,))
    carbon = policy.carbon_yuan_tonne
    print(text("policy.carbon", price=f"{carbon:g}" if carbon is not None else "-"))
    print(text("policy.latency", price=f"{policy.latency_yuan_ms_hour:g}"))
    print(text("policy.refresh", hours=policy.price_refresh_hours))
    print(text("policy.gains", move=policy.move_gain_fen / 100, stop=policy.stop_gain_fen / 100))
    if policy.queues:
        table(("head.queue", "head.priority"), [[n, q.priority] for n, q in policy.queues.items()], left=(0,))
