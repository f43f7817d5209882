"""Printing why a job goes where it goes: the terms of every site, or the rule that bars it."""

from __future__ import annotations

from sanjin.cli.output import at, table, text, yuan
from sanjin.model.catalogue import say
from sanjin.model.placement import Explanation

TERMS = ("energy", "carbon", "transport", "use", "scarcity", "waiting")


def widest(found: list[Explanation]) -> Explanation:
    """The decision that could choose among the most sites; of equals the last."""
    return max(reversed(found), key=lambda e: sum(o.terms is not None for o in e.options))


def print_explanation(found: Explanation, utc_offset_h: int) -> None:
    """One decision: a sentence, the table of options, the nearest alternative."""
    rows: list[list[str]] = []
    for option in found.options:
        name = f"{'> ' if option.site == found.chosen else '  '}{option.site}"
        if option.terms is None:
            rows.append([name, *[""] * (len(TERMS) + 3), text(f"reason.{option.reason}") if option.reason else ""])
            continue
        terms = [yuan(getattr(option.terms, t)) for t in TERMS]
        rows.append([name, option.pool, at(option.start_s, utc_offset_h), *terms, yuan(option.terms.total), ""])
    heads = ("head.site", "head.pool", "head.start", *(f"term.{t}" for t in TERMS), "term.total", "head.why")
    table(heads, rows, _sentence(found, utc_offset_h), left=(0, 1, 10))


def _sentence(found: Explanation, utc_offset_h: int) -> str:
    choice, other = found.choice(), found.alternative()
    lines = [text("explain.decided", node=found.decided_by, at=at(found.at_s, utc_offset_h))]
    if choice is None or choice.terms is None:
        lines.append(text("explain.nowhere", job=found.job or "-"))
        return "\n".join(lines)
    values = {
        "job": found.job or say("explain.this_job", "en"),
        "site": found.chosen,
        "pool": choice.pool,
        "start": at(choice.start_s, utc_offset_h),
        "finish": at(choice.finish_s, utc_offset_h),
        "total": yuan(choice.terms.total),
    }
    lines.append(text("explain.chosen", **values))
    if other is not None and other.terms is not None:
        more = yuan(other.terms.total - choice.terms.total)
        lines.append(text("explain.alternative", site=other.site, start=at(other.start_s, utc_offset_h), more=more))
    return "\n".join(lines)
