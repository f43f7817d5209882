"""One of two replicas of a node: waits to be the one that writes, then writes a journal line at a time.

Says ``waiting``, ``active <epoch>``, ``wrote <seq>`` after each commit, ``lost`` when it is told, and
``refused`` when a commit was: with that it ends.
"""

from __future__ import annotations

import sys
import threading

from sanjin.adapters.store.choose import store_of
from sanjin.flow.audit import chain
from sanjin.model.errors import NotActive, StoreFailed
from sanjin.ports import Batch, Entry


def say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    store, told = store_of(sys.argv[1]), threading.Event()
    if not store.claim(wait_s=0, lost=told.set):
        say("waiting")
        store.claim(lost=told.set)
    stored = store.load()
    say(f"active {store._seat.epoch}")
    seq, before = stored.tip_seq, stored.tip_hash
    while True:
        seq += 1
        before = chain(before, seq, 5, "k", "", sys.argv[2].encode())
        entry = Entry(seq=seq, at_s=5, kind="k", job="", body=sys.argv[2].encode(), hash=before)
        try:
            store.commit(Batch(journal=[entry]))
        except NotActive:
            say("refused")
            break
        except StoreFailed:  # as a node does: begin anew from what is there
            stored = store.load()
            seq, before = stored.tip_seq, stored.tip_hash
            continue
        say(f"wrote {seq}")
        threading.Event().wait(0.02)
    if told.wait(20):
        say("lost")


main()
