"""The closed list of reasons: why work waits, goes elsewhere, is refused or ends.

The wording, in English and Chinese, is in :mod:`sanjin.model.catalogue` under ``reason.<name>``.
To add a reason: a member here, a line there, and, where a kernel gives it, an entry in
:data:`KERNEL_REASONS`.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why. Each member has one meaning everywhere."""

    # why a site cannot take a job (found by the placement kernel, in this order)
    SITE_PINNED = "site_pinned"
    RESIDENCY = "residency"
    LATENCY_CLASS = "latency_class"
    OUTSIDE_SUBTREE = "outside_subtree"
    POOL_KIND = "pool_kind"
    ACCELERATOR_KIND = "accelerator_kind"
    TOO_LARGE = "too_large"
    POWER_CAP = "power_cap"
    CAPACITY = "capacity"
    DEADLINE = "deadline"
    JOB_BUDGET = "job_budget"
    NO_OFFER = "no_offer"
    DECLINED = "declined"
    MACHINE_TOO_SMALL = "machine_too_small"
    KEPT_AT_HOME = "kept_at_home"
    CHECKPOINT_ELSEWHERE = "checkpoint_elsewhere"
    LINK_CAPACITY = "link_capacity"
    SILENT = "silent"
    EARLIER_COPY = "earlier_copy"
    IMAGES = "images"
    # why a job waits
    QUOTA = "quota"
    BUDGET = "budget"
    NO_PLACE = "no_place"
    QUEUE_ORDER = "queue_order"
    RESERVATION_FULL = "reservation_full"
    BETTER_PLACE = "better_place"
    PARENT_ASKED = "parent_asked"
    CHEAPER_LATER = "cheaper_later"
    ASKED_LATER = "asked_later"
    INPUTS_MOVING = "inputs_moving"
    INPUT_AWAY = "input_away"
    WINDOW_ENDS = "window_ends"
    MADE_ROOM = "made_room"
    LEASE_EXPIRED = "lease_expired"
    COMES_AFTER = "comes_after"
    # why a job ended
    EXIT_ZERO = "exit_zero"
    EXIT_STATUS = "exit_status"
    MEMBERS_FAILED = "members_failed"
    RESERVATION_OVER = "reservation_over"
    SIGNAL = "signal"
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    PROCESS_LIMIT = "process_limit"
    OUTPUT_LIMIT = "output_limit"
    CANCELLED = "cancelled"
    NOT_STARTED = "not_started"
    INPUT_MISSING = "input_missing"
    INTERRUPTED = "interrupted"
    UPSTREAM_ENDED = "upstream_ended"
    NOT_PUBLISHED = "not_published"


KERNEL_REASONS: tuple[Reason | None, ...] = (
    None,
    Reason.SITE_PINNED,
    Reason.RESIDENCY,
    Reason.LATENCY_CLASS,
    Reason.OUTSIDE_SUBTREE,
    Reason.POOL_KIND,
    Reason.ACCELERATOR_KIND,
    Reason.TOO_LARGE,
    Reason.POWER_CAP,
    Reason.CAPACITY,
    Reason.DEADLINE,
    Reason.JOB_BUDGET,
    Reason.NO_OFFER,
    Reason.DECLINED,
    Reason.MACHINE_TOO_SMALL,
    Reason.KEPT_AT_HOME,
    Reason.CHECKPOINT_ELSEWHERE,
    Reason.LINK_CAPACITY,
    Reason.SILENT,
    Reason.IMAGES,
)
"""Reason of each code that :mod:`sanjin.kernels.place` returns; code 0 is feasible."""
