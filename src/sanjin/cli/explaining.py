"""Printing why a job goes where it goes: the terms of every site, or the rule that bars it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace

from sanjin.cli.output import Word, at, sentence, span, table, text, yuan
from sanjin.cli.shapes import Stop, Window, last_stop, next_window, parts_of
from sanjin.model.catalogue import say
from sanjin.model.errors import NotFound
from sanjin.model.job import JobSpec, JobState
from sanjin.model.placement import TERMS, Explanation, Option
from sanjin.model.policy import Rule, Weights
from sanjin.model.reason import Reason
from sanjin.model.record import JobRecord
from sanjin.model.status import Happening, RegionStatus
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
    if found.pieces:
        lines.append(in_pieces(found, utc_offset_h))
    if found.at_once is not None:
        more = (found.at_once.total_micro - choice.total_micro) / 1e6
        lines.append(sentence("explain.at_once", start=at(found.at_once.start_s, utc_offset_h), more=f"{more:.4f}"))
    if other is not None and other.terms is not None:
        more = yuan(other.terms.total - choice.terms.total)
        lines.append(sentence("explain.alternative", site=other.site, start=at(other.start_s, utc_offset_h), more=more))
    return "\n".join(lines)


def in_pieces(found: Explanation, utc_offset_h: int) -> str:
    """The windows in which the chosen site runs work that can stop."""
    listed = ", ".join(f"{at(a, utc_offset_h)} - {at(b, utc_offset_h)}" for a, b in found.pieces)
    return sentence("explain.pieces", count=len(found.pieces), windows=listed)


def why_not(found: Explanation, site: str, utc_offset_h: int) -> str:
    """Why a job did not go to ``site``: the rule that bars it, or what it would have cost more and for what."""
    option, choice = found.at(site), found.choice()
    if option is None:
        raise NotFound(f"site {site} is not among those that were weighed: {', '.join(o.site for o in found.options)}")
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


def print_circumstances(at_s: int, spec: JobSpec, region: RegionStatus) -> None:
    """What is to be known to read a decision of ``at_s``: the rule and the weights, and whose figures these are."""
    if spec.members:
        print(sentence("explain.each_member", members=spec.members))
    policy = region.policy
    if at_s < region.up_since_s:
        print(sentence("explain.earlier_policy", at=at(region.up_since_s, region.utc_offset_h)))
        return
    if policy.rule is not Rule.LEAST_TOTAL:
        print(sentence("explain.rule", rule=policy.rule, meaning=Word(f"rule.{policy.rule}")))
    listed = {f.name: getattr(policy.in_force(), f.name) for f in fields(Weights)}
    weights = ", ".join(f"{term} {weight:g}" for term, weight in listed.items() if weight not in (0.0, 1.0))
    zero = ", ".join(term for term, weight in listed.items() if weight == 0.0)
    if weights:
        print(sentence("explain.weights", weights=weights))
    if zero:
        print(sentence("explain.weights_zero", terms=zero))


def standing(
    record: JobRecord,
    decided: Option | None,
    events: Sequence[Happening],
    utc_offset_h: int,
    first: JobRecord | None = None,
) -> str:
    """Where a job stands: why it waits and until when; or that it has ended.

    ``decided`` is what was chosen for it, ``first`` the job at the head of its queue.
    """
    if record.state.ended:
        return sentence("explain.ended", state=Word(f"state.{record.state}"), at=at(record.end_s, utc_offset_h))
    if record.state is JobState.RUNNING:
        return sentence("explain.runs", site=record.site, at=at(record.start_s, utc_offset_h))
    if record.state is JobState.DIVIDED:
        return sentence("explain.divided", job=record.id, parts=len(parts_of(events)))
    stop, then = last_stop(events), next_window(events)
    reason = Word(f"reason.{record.reason}" if record.reason else f"state.{record.state}")
    if stop is not None:
        reason = Word("reason.made_room" if stop.room_for else "reason.window_ends")
    lines = [sentence("explain.waits", reason=reason)]
    held = next((e.body for e in reversed(events) if e.kind == "job.held"), None)
    if record.state is JobState.HELD and held:
        lines.append(sentence("explain.held", need=held["need"], free=held["free"]))
    elif stop is not None:
        lines.extend(_stopped(record, stop, then, utc_offset_h))
    elif record.reason is Reason.QUEUE_ORDER and first is not None:
        lines.append(sentence("explain.behind", job=first.id, start=at(first.next_start_s(), utc_offset_h)))
    elif then is not None:
        lines.append(sentence("explain.expected", site=record.site, start=at(then.start_s, utc_offset_h)))
    elif decided is not None and record.state is not JobState.QUEUED:
        lines.append(sentence("explain.expected", site=decided.site, start=at(decided.start_s, utc_offset_h)))
    return "\n".join(lines)


def _stopped(record: JobRecord, stop: Stop, then: Window | None, utc_offset_h: int) -> Iterator[str]:
    when, done, whole = at(stop.at_s, utc_offset_h), span(stop.done_s), span(record.spec.duration_s)
    if stop.room_for:
        yield sentence("explain.stopped_for", at=when, job=stop.room_for, done=done, whole=whole)
    else:
        yield sentence("explain.stopped", at=when, done=done, whole=whole)
    if then is not None:
        yield sentence("explain.goes_on", site=record.site, start=at(then.start_s, utc_offset_h))


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
