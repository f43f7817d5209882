"""Printing why a job goes where it goes: the terms of every site, or the rule that bars it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sanjin.cli.output import Word, at, sentence, table, text, yuan
from sanjin.model.catalogue import say
from sanjin.model.errors import NotFound
from sanjin.model.job import JobSpec, JobState
from sanjin.model.placement import TERMS, Explanation, Option
from sanjin.model.record import JobRecord
from sanjin.model.status import Happening
from sanjin.model.units import HOUR_S


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
    lines = [sentence("explain.decided", node=found.decided_by, at=at(found.at_s, utc_offset_h))]
    if choice is None or choice.terms is None:
        lines.append(sentence("explain.nowhere", job=found.job or "-"))
        return "\n".join(lines)
    values = {
        "job": found.job or say("explain.this_job", "en"),
        "site": found.chosen,
        "pool": choice.pool,
        "start": at(choice.start_s, utc_offset_h),
        "finish": at(choice.finish_s, utc_offset_h),
        "total": yuan(choice.terms.total),
    }
    lines.append(sentence("explain.chosen", **values))
    if found.at_once is not None:
        more = (found.at_once.total_micro - choice.total_micro) / 1e6
        lines.append(sentence("explain.at_once", start=at(found.at_once.start_s, utc_offset_h), more=f"{more:.4f}"))
    if other is not None and other.terms is not None:
        more = yuan(other.terms.total - choice.terms.total)
        lines.append(sentence("explain.alternative", site=other.site, start=at(other.start_s, utc_offset_h), more=more))
    return "\n".join(lines)


def why_not(found: Explanation, site: str, utc_offset_h: int) -> str:
    """Why a job did not go to ``site``: the rule that bars it, or what it would have cost more and for what."""
    option, choice = found.at(site), found.choice()
    if option is None:
        raise NotFound(f"there is no site {site}; known: {', '.join(o.site for o in found.options)}")
    if choice is None or choice.terms is None or option.terms is None:
        if option.reason is None:
            return sentence("explain.nowhere", job=found.job)
        return sentence("explain.ruled_out", site=site, reason=Word(f"reason.{option.reason}"))
    if site == found.chosen:
        return sentence("explain.is_there", site=site)
    more = {t: getattr(option.terms, t) - getattr(choice.terms, t) for t in TERMS}
    parts = ", ".join(f"{text(f'term.{t}')} {d / 1e6:+.4f}" for t, d in more.items() if d)
    total = f"{(option.total_micro - choice.total_micro) / 1e6:+.4f}"
    start = at(option.start_s, utc_offset_h)
    return sentence("explain.dearer", site=site, start=start, total=total, parts=parts or "0")


def standing(record: JobRecord, decided: Option | None, events: Sequence[Happening], utc_offset_h: int) -> str:
    """Where a job stands: why it waits and when it is expected to start (``decided``); or that it has ended."""
    if record.state.ended:
        return sentence("explain.ended", state=Word(f"state.{record.state}"), at=at(record.end_s, utc_offset_h))
    if record.state is JobState.RUNNING:
        return sentence("explain.runs", site=record.site, at=at(record.start_s, utc_offset_h))
    reason = Word(f"reason.{record.reason}" if record.reason else f"state.{record.state}")
    lines = [sentence("explain.waits", reason=reason)]
    held = next((e.body for e in reversed(events) if e.kind == "job.held"), None)
    if record.state is JobState.HELD and held:
        lines.append(sentence("explain.held", need=held["need"], free=held["free"]))
    elif decided is not None and record.state is not JobState.QUEUED:
        lines.append(sentence("explain.expected", site=decided.site, start=at(decided.start_s, utc_offset_h)))
    return "\n".join(lines)


def changes(spec: JobSpec, now_s: int) -> list[tuple[str, JobSpec]]:
    """What could be asked for instead: (key of the wording, job). The first is the job as it is, from now."""
    base = replace(spec, earliest_start_s=max(spec.earliest_start_s, now_s))
    if base.deadline_s and base.deadline_s <= base.earliest_start_s:
        base = replace(base, deadline_s=0, deadline_firm=False)  # that time has passed
    found = [("change.none", base), ("change.patient", replace(base, delay_price_fen_per_hour=0))]
    found.append(("change.hour_later", replace(base, earliest_start_s=base.earliest_start_s + HOUR_S)))
    found.append(("change.core_more", replace(base, cores=base.cores + 1)))
    if base.deadline_firm:
        found.append(("change.no_deadline", replace(base, deadline_firm=False)))
    if base.site:
        found.append(("change.any_site", replace(base, site="")))
    if base.latency_class_ms:
        found.append(("change.no_latency", replace(base, latency_class_ms=0)))
    if base.budget_fen:
        found.append(("change.yuan_more", replace(base, budget_fen=base.budget_fen + 100)))
    return found


def print_changes(asked: Sequence[tuple[str, JobSpec]], answers: Sequence[Explanation], utc_offset_h: int) -> None:
    """A table of what each change would do to place, start and price, from now."""
    first = answers[0].choice()
    rows: list[list[str]] = []
    for (key, _), answer in zip(asked, answers, strict=True):
        choice = answer.choice()
        if choice is None:
            rows.append([text(key), "", "", "", text("explain.nowhere", job="")])
            continue
        less = f"{(choice.total_micro - first.total_micro) / 1e6:+.4f}" if first else ""
        rows.append([text(key), choice.site, at(choice.start_s, utc_offset_h), yuan(choice.total_micro), less])
    table(("head.change", "head.site", "head.start", "head.price", "head.difference"), rows, left=(0, 1, 2))
