"""Changes of rules: in force whole, from their time on and not before, or not at all; L30."""

from __future__ import annotations

from specs.lawbook import Breaches
from specs.model.changes import table_after
from specs.scene import Case, Outcome, Scene
from specs.tape import OutcomeKind, Reason


def changes_take_effect_in_time(case: Case) -> Breaches:
    """L30. Judge each change where it is told, then the rules in force after the event, and whether one is overdue."""
    if not case.book.changes:
        return
    for scene, o in case.walk():
        if o.kind == OutcomeKind.CHANGE_ANNOUNCED:
            if not _admissible(case, scene, o):
                yield f"change {o.ref_id} is announced, it breaks a bound"
        elif o.kind == OutcomeKind.CHANGE_EFFECTIVE:
            yield from _in_its_time(case, scene, o)
        elif o.kind == OutcomeKind.CHANGE_ENDED and o.reason == Reason.CHANGE_BREAKS_BOUND and _admissible(case, scene, o):
            yield f"change {o.ref_id} is dropped, it breaks no bound"
    yield from _as_told(case)
    if case.settled:
        now = case.after["clock"][0][0]
        for number, effective in case.final.announced.items():
            if effective <= now:
                yield f"change {number} is not in force at {now}, it was to be from {effective} on"
        yield from _outlived(case, now)


def _admissible(case: Case, scene: Scene, o: Outcome) -> bool:
    change = case.book.changes[o.ref_id]
    return change.market is None or table_after(scene.brackets[change.market], change) is not None


def _in_its_time(case: Case, scene: Scene, o: Outcome) -> Breaches:
    if o.ref_id not in scene.announced:
        yield f"change {o.ref_id} takes effect, nobody announced it"
    elif scene.announced[o.ref_id] > o.time_ns:
        yield f"change {o.ref_id} takes effect at {o.time_ns}, it was announced from {scene.announced[o.ref_id]} on"
    if not _admissible(case, scene, o):
        yield f"change {o.ref_id} takes effect, it breaks a bound"
    change = case.book.changes[o.ref_id]
    held = {key for key, lots in scene.qty.items() if lots and key[1] == change.market and key[0] in scene.owner}
    keep = len(held) if change.grandfather_ns is not None else 0
    if o.qty != keep:
        yield f"change {o.ref_id} leaves {o.qty} positions what was before it, there are {keep}"


def _as_told(case: Case) -> Breaches:
    """The rules after the event are those before it and what the outcomes say of them."""
    told, found = case.end, case.final
    for market in case.book.markets:
        for what, ours, theirs in (("", told.brackets, found.brackets), ("kept ", told.kept_brackets, found.kept_brackets)):
            want, got = (table[market].rows if table[market] else None for table in (ours, theirs))
            if want != got:
                yield f"the {what}table of market {market} is {got}, the changes say {want}"
    for ours, theirs in zip(told.haircuts, found.haircuts, strict=True):
        if ours.row != theirs.row:
            yield f"the weights of asset {ours.asset} are {theirs.row}, the changes say {ours.row}"
    if told.initial_weight != found.initial_weight:
        yield f"the weights of initial margin are {found.initial_weight}, prices and changes say {told.initial_weight}"
    for account, market in sorted(key for key in told.grandfathered ^ found.grandfathered if found.qty[key]):
        has = "keeps" if (account, market) in found.grandfathered else "does not keep"
        yield f"account {account} {has} the maintenance of market {market} from before a change"
    if told.announced != found.announced:
        yield f"announced are {found.announced}, the outcomes say {told.announced}"


def _outlived(case: Case, now: int) -> Breaches:
    """No position keeps a table for longer than the latest change of its market leaves it."""
    latest: dict[int, tuple[int, int]] = {}
    for number, _, _, in_force, time_ns in case.after["changes"]:
        change = case.book.changes[number]
        if in_force and change.maintenance:
            latest[change.market] = max(latest.get(change.market, (0, 0)), (time_ns, number))
    for account, market in sorted(case.final.grandfathered):
        time_ns, number = latest[market]
        length = case.book.changes[number].grandfather_ns
        if length and time_ns + length <= now:
            yield f"account {account} keeps the maintenance of market {market} beyond {length} ns"
