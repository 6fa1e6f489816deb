"""Liquidation: whom it meets, what it closes, and its stages in order, each getting exactly the rest; L7, L8, L10, L19."""

from __future__ import annotations

from fractions import Fraction

from specs import rules, units
from specs.lawbook import Breaches
from specs.lawbook.adl import bearers
from specs.lawbook.collateral import conversion_is_exact, could_sell, slice_of_collateral
from specs.lawbook.transfer import transfer_is_exact
from specs.scene import STATUS_AFTER, Case, Outcome, Scene
from specs.tape import Action, Chart, Flow, OutcomeKind, Permit, Reason, Seam, Side, Stage, Status


def liquidated_only_when_triggered(case: Case) -> Breaches:
    """L7. Judge an episode when it opens, and each slice and stage of it when it begins."""
    seen = set()
    for scene, o in case.walk():
        if o.kind == OutcomeKind.LIQUIDATION:
            at = None
        elif o.kind == OutcomeKind.FILL and o.stage == Stage.BOOK:
            at = Stage.BOOK, o.ref_id
        elif o.kind == OutcomeKind.TAKEOVER:
            at = o.kind, o.account, o.time_ns, o.round
            if case.book.stages[Stage.TAKEOVER].price in ("mark", "oracle"):  # each position may have made it safe
                at = *at, o.market
        elif o.kind == OutcomeKind.FLOW and o.flow == Flow.LIABILITY_TAKEN:
            if not scene.triggered(o.other):
                yield f"a debt of account {o.other} is taken over, its trigger is false"
            continue
        elif o.kind == OutcomeKind.ADL:  # own legs and the queue of each market begin anew
            at = o.kind, o.account, o.market, o.reason == Reason.OWN_LEG, o.time_ns, o.round
        else:
            continue
        if at in seen:
            continue  # one slice, one stage: judged when it begins
        seen |= {at} - {None}
        e = scene.evaluate(o.account)
        if not scene.triggered(o.account):
            yield f"{OutcomeKind(o.kind).name} of account {o.account} at equity {e.equity} and maintenance {e.maintenance}"
        if at is None and o.money != e.equity:
            yield f"the episode of account {o.account} opens at equity {o.money}, it is {e.equity}"
        least = scene.minimum(o.account)
        due = Reason.MINIMUM if least and e.equity < least else Reason.MAINTENANCE
        if at is None and o.reason != due:
            yield f"the episode of account {o.account} opens for {Reason(o.reason).name}, it is {due.name}"


def forced_closing_reduces(case: Case) -> Breaches:
    """L8. Judge each forced closing, and over the whole event whoever was closed by force alone."""
    forced, free = set(), set()
    for scene, o in case.walk():
        for account, long in _closed_by_force(o):
            lots = scene.qty[account, o.market]
            if (lots > 0) != long or o.qty > abs(lots):
                yield f"{OutcomeKind(o.kind).name} of {o.qty} lots of account {account}, it holds {lots} of market {o.market}"
            forced.add((account, o.market))
        if o.kind == OutcomeKind.FILL:
            free |= {(o.other, o.market)} | ({(o.account, o.market)} if o.stage == Stage.NONE else set())
        elif o.kind in (OutcomeKind.MOVED, OutcomeKind.BUSTED):
            free |= {(o.account, o.market), (o.other, o.market)}
        elif o.kind == OutcomeKind.TAKEOVER:  # a vault may be closed by force itself, of what it took a moment ago
            free.add((o.other, o.market))
    before = Scene(case.book, case.before)
    for account, market in sorted(forced - free):
        lots, left = before.qty[account, market], case.final.qty[account, market]
        if not min(0, lots) <= left <= max(0, lots):
            yield f"forced closing turns {lots} lots of account {account} in market {market} into {left}"


def _closed_by_force(o: Outcome) -> list[tuple[int, bool]]:
    """Return (account, whether it must be long) of the positions that an outcome closes without their owners' orders."""
    if o.kind == OutcomeKind.FILL and o.stage == Stage.BOOK:
        return [(o.account, o.side == Side.SELL)]
    if o.kind == OutcomeKind.TAKEOVER:
        return [(o.account, o.side == Side.BUY)]
    if o.kind == OutcomeKind.ADL:
        return [(o.account, o.side == Side.BUY), (o.other, o.side != Side.BUY)]
    return []


def nobody_is_forgotten(case: Case) -> Breaches:
    """L19. Compare each status with what was told and, after a cascade, with the trigger."""
    told = {o.account: STATUS_AFTER[o.kind] for o in case.outcomes if o.kind in STATUS_AFTER}
    before = {row[0]: row[4] for row in case.before["accounts"]}
    for account, status in case.final.status.items():
        if status != told.get(account, before.get(account, Status.NORMAL)):
            yield f"account {account} is {Status(status).name}, no outcome says so"
        if case.settled and case.final.triggered(account) != (status != Status.NORMAL):
            e = case.final.evaluate(account)
            yield f"account {account} is {Status(status).name} at equity {e.equity} and maintenance {e.maintenance}"
    yield from _margin_calls(case)


def _margin_calls(case: Case) -> Breaches:
    """Every change of a level is told as it comes; after a cascade each account is on the level of its equity / maintenance."""
    for scene, o in case.walk():
        if o.kind == OutcomeKind.MARGIN_LEVEL:
            e, level = scene.evaluate(o.account), scene.margin_level(o.account)
            if (o.other_id, o.qty, o.money) != (scene.level[o.account], level, e.equity) or o.qty == o.other_id:
                yield f"account {o.account} is told level {o.qty} after {o.other_id}, it is on {level} at equity {e.equity}"
    for account in case.final.status if case.book.venue.liquidation.levels else ():
        level = case.final.level[account]
        if level != case.end.level[account]:
            yield f"account {account} is on level {level}, no outcome says so"
        if case.settled and level != case.final.margin_level(account):
            yield f"account {account} is on level {level}, at its equity and maintenance on {case.final.margin_level(account)}"


_OF_A_STAGE = {OutcomeKind.FILL, OutcomeKind.TAKEOVER, OutcomeKind.ADL, OutcomeKind.CONVERT, OutcomeKind.FUND_SHORT}
_FLOWS_OF_A_STAGE = {Flow.LIQUIDATION_FEE, Flow.TAKEOVER_SURPLUS, Flow.CONVERT_CASH, Flow.FUND_PAYMENT, Flow.WRITE_OFF}
_FLOWS_OF_A_STAGE |= {Flow.LIABILITY_TAKEN, Flow.COLLATERAL_GIVEN, Flow.TRANSFER_FEE}
_TO_THE_SUBJECT = {Flow.CONVERT_CASH, Flow.FUND_PAYMENT, Flow.WRITE_OFF, Flow.LIABILITY_TAKEN}


def stages_in_order(case: Case) -> Breaches:
    """L10. Follow the stage that each account is in, round by round."""
    ranks: dict[int, int] = {}  # of the stage each account is in, this round
    offers: dict[int, set[int]] = {}  # by account: markets whose lots the backstop could take when it began to
    closed: set[tuple[int, int]] = set()  # (account, market) that was deleveraged
    number, traded = (0, 0), False
    slices: dict[int, int] = {}  # by order: the lots that are left of the most that its slice may close
    for scene, o in case.walk():
        if (o.round, o.time_ns) != number or o.kind == OutcomeKind.BOUND:  # timers have cascades of their own
            ranks, offers, closed, number, traded = {}, {}, set(), (o.round, o.time_ns), False
        if o.kind == OutcomeKind.CANCELLED and o.stage == Stage.CANCEL and traded:
            yield f"order {o.ref_id} is cancelled after accounts of the round have traded"
        if o.kind in _OF_A_STAGE or (o.kind == OutcomeKind.FLOW and o.flow in _FLOWS_OF_A_STAGE):
            if o.stage == Stage.NONE:
                continue
            traded, account = True, _subject(o)
            rank = case.book.ranks.get(o.stage)
            if rank is None:
                yield f"account {account} is in stage {Stage(o.stage).name}, which the rule book does not have"
                continue
            if rank < ranks.get(account, rank):
                yield f"account {account} goes back to stage {Stage(o.stage).name}"
            row = case.book.stages[Stage(o.stage)]
            if rank > ranks.get(account, -1) and not scene.enters(account, getattr(row, "enter", None)):
                yield f"account {account} enters stage {Stage(o.stage).name} at {scene.ratio(account)} of its maintenance"
            takeover = case.book.ranks.get(Stage.TAKEOVER, rank)
            if o.stage == Stage.TAKEOVER:
                offers.setdefault(account, _takeable(case, scene, account))
            elif rank > takeover >= ranks.get(account, 0):
                yield from _taken_over(case, scene, account, offers)
            if o.kind == OutcomeKind.ADL:
                closed.add((account, o.market))
            if o.kind == OutcomeKind.FILL and o.stage == Stage.BOOK:
                yield from _slice(scene, o, slices)
            elif o.kind in (OutcomeKind.TAKEOVER, OutcomeKind.ADL) and row.enter is None and scene.kept(account):
                yield f"account {account} is in stage {Stage(o.stage).name} while it cools down"
            ranks[account] = rank
            yield from _stage_gets_the_rest(case, scene, o)
        if o.kind == OutcomeKind.CARRIED:
            if ranks.get(o.account, 0) <= case.book.ranks.get(Stage.TAKEOVER, -1):
                yield from _taken_over(case, scene, o.account, offers)
            cools = bool(scene.held(o.account)) and scene.kept(o.account)
            if (o.reason == Reason.COOLING_DOWN) != cools:
                yield f"account {o.account} is carried for {Reason(o.reason).name}, it cools down: {cools}"
            yield from _nothing_was_left_undone(case, scene, o, closed)
    told = {account: until for account, until in case.end.cooling.items() if until > case.end.now}
    if told != case.final.cooling:
        yield f"cooling down are {case.final.cooling} (by account, until), by what was told {told}"
    if case.end.blocks != case.final.blocks:
        yield f"of their windows accounts have used {case.final.blocks}, by what was told {case.end.blocks}"


def _slice(scene: Scene, o: Outcome, slices: dict[int, int]) -> Breaches:
    """A slice begins with the position that the row chooses, not in a cooldown, and closes no more than its rows ask."""
    if o.ref_id not in slices:
        row = scene.book.stages[Stage.BOOK]
        first = chosen(scene, o.account, row.choice)
        if o.market != first:
            yield f"the slice of account {o.account} is in market {o.market}, the {row.choice} in {first}"
        if scene.kept(o.account):
            yield f"a slice of account {o.account}, which cools down, or waits for the next window"
        slices[o.ref_id] = slice_most(scene, o, row)
    slices[o.ref_id] -= o.qty
    if slices[o.ref_id] < 0:
        yield f"the slice of account {o.account} closes {-slices[o.ref_id]} lots more than its rows ask"


def chosen(scene: Scene, account: int, choice: str) -> int:
    """Return the market of the position that is closed next."""
    worth = {m: scene.qty[account, m] * scene.value(m) for m in scene.held(account)}
    measure = {
        "largest_maintenance": lambda m: scene.maintenance(account, m),
        "largest_notional": lambda m: abs(worth[m]),
        "largest_loss": lambda m: scene.entry[account, m] - worth[m],
        "highest_rate": lambda m: Fraction(scene.maintenance(account, m), abs(worth[m]) or 1),
    }[choice]
    return max(worth, key=lambda m: (measure(m), -m))


def slice_most(scene: Scene, o: Outcome, row: rules.BookStage) -> int:
    """Return the most lots that the slice which begins may close; of `restore` the position, which it may take."""
    e, qty, value = scene.evaluate(o.account), abs(scene.qty[o.account, o.market]), max(1, abs(scene.value(o.market)))
    short_of, size = e.maintenance - e.equity, row.quantity
    notional = scene.notional(o.account, o.market, scene.qty[o.account, o.market])
    asked = Fraction(qty)
    if not isinstance(size, str) and size.kind == "shortage":
        rate = scene.brackets[o.market].of(notional).rate_ppm - size.discount_ppm
        rate -= row.insurance.max_fee_ppm if row.insurance else scene.liquidation_ppm(o.account, o.market, o.time_ns)
        asked = Fraction(max(0, short_of) * units.PPM, value * rate) if rate > 0 else asked
    elif not isinstance(size, str) and size.kind == "tiers":
        caps = [piece.notional_max for piece in scene.brackets[o.market].rows]
        above = sum(notional > cap for cap in caps[:-1])
        asked = Fraction(max(0, qty - caps[max(0, above - size.down)] * qty // notional) if above else 0)
        if not asked:
            return 0
    elif not isinstance(size, str) and qty > size.whole_lots and qty * value > scene.book.whole(size.whole):
        asked = Fraction(units.div_ceil(qty * size.share_ppm, units.PPM))
    most = min(Fraction(qty), max(Fraction(1), asked // 1))
    if row.time_share is not None and short_of >= scene.book.whole(row.time_share.small):
        elapsed = o.time_ns - scene.since[o.account]
        share = Fraction(row.time_share.initial_ppm, units.PPM) + Fraction(elapsed, row.time_share.duration_ns)
        most = max(Fraction(1), most * min(Fraction(1), share) // 1)
    if row.position_share is not None:
        least = scene.book.whole(row.position_share.notional_min)
        cap = max(1, qty * row.position_share.share_ppm // units.PPM, least // value)
        most = min(Fraction(qty), Fraction(cap), max(most, Fraction(units.div_ceil(least, value))))
    if (left := scene.block_left(o.account)[0]) is not None:
        most = min(most, Fraction(units.div_ceil(left, value)))
    return int(most)


def _subject(o: Outcome) -> int:
    """Return the account whose stage an outcome belongs to; of a flow toward it, the other."""
    return o.other if o.kind == OutcomeKind.FLOW and o.flow in _TO_THE_SUBJECT else o.account


def _stage_gets_the_rest(case: Case, scene: Scene, o: Outcome) -> Breaches:
    account, cash = _subject(o), scene.cash(_subject(o))
    if o.kind == OutcomeKind.FILL and o.stage == Stage.CONVERT:
        yield from slice_of_collateral(case, scene, o)
    if o.kind == OutcomeKind.TAKEOVER:
        if o.qty != abs(scene.qty[account, o.market]):
            yield f"takeover of {o.qty} lots of account {account}, which holds {scene.qty[account, o.market]}"
        provider = scene.provider(account, o.market)
        if provider is None and Seam.TAKEOVER_ACCEPT not in case.armed:
            yield f"takeover of {o.qty} lots of market {o.market} beyond the backstop's cap, or with too small a fund"
        elif o.other != (provider or Chart.BACKSTOP):
            yield f"account {o.other} takes {o.qty} lots of market {o.market} over, due is {provider or Chart.BACKSTOP}"
        cash = scene.takeover_paid(account, o.market)
        if (o.money, o.price) != (cash, scene.marks[o.market].last_valid):
            yield f"a takeover pays account {account} {o.money} at {o.price}, its position is worth {cash} to it"
    if o.kind == OutcomeKind.ADL and Seam.ADL_TRIGGER not in case.armed and not _deleverages(scene):
        yield f"account {account} is deleveraged while the fund has {scene.fund_measure()}"
    if o.stage in (Stage.CONVERT, Stage.FUND, Stage.WRITE_OFF) and scene.held(account):
        yield f"account {account} reaches stage {Stage(o.stage).name} with lots open"
    if o.stage in (Stage.FUND, Stage.WRITE_OFF) and not scene.converted(account):
        yield f"account {account} reaches stage {Stage(o.stage).name} with collateral left to convert"
    if o.kind == OutcomeKind.CONVERT:
        yield from conversion_is_exact(scene, o)
    if o.kind == OutcomeKind.FLOW and o.flow == Flow.LIABILITY_TAKEN:
        yield from transfer_is_exact(case, scene, o)
    if o.kind == OutcomeKind.FUND_SHORT and o.stage == Stage.FUND and o.money != -cash:  # how much it lacks of a slice: L9
        yield f"the fund is short of {o.money} for account {account}, whose balance is {cash}"
    if o.kind == OutcomeKind.FLOW and o.flow == Flow.WRITE_OFF and o.money != -cash:
        yield f"{o.money} of account {account} are written off, its balance is {cash}"


def _deleverages(scene: Scene) -> bool:
    """Return whether the fund is as low as the stage wants it."""
    row = scene.book.stages[Stage.ADL]
    return row.fund_max is None or scene.fund_measure() <= scene.book.whole(row.fund_max)


def _takeable(case: Case, scene: Scene, account: int) -> set[int]:
    """Return the markets in which a provider may take the account's lots now."""
    if Stage.TAKEOVER not in case.book.stages or Seam.TAKEOVER_ACCEPT in case.armed:
        return set()
    held = (m for m in scene.held(account) if scene.market_permit(m, Action.TAKEOVER) < Permit.DEFER)
    return {market for market in held if scene.provider(account, market) is not None}


def _taken_over(case: Case, scene: Scene, account: int, offers: dict[int, set[int]]) -> Breaches:
    """An account leaves the stage of the providers without lots that one could take from first to last."""
    stage = case.book.stages.get(Stage.TAKEOVER)
    kept = stage is not None and stage.enter is None and scene.kept(account)
    entered = account in offers or (stage is not None and not kept and scene.enters(account, stage.enter))
    left = _takeable(case, scene, account) if entered else set()
    left &= offers.get(account, left)
    if left:
        yield f"account {account} goes on with lots in the markets {sorted(left)}, which a provider could take"


def _nothing_was_left_undone(case: Case, scene: Scene, o: Outcome, closed: set[tuple[int, int]]) -> Breaches:
    """An account is carried only if no stage could do more for it in this round; how far a queue went is L11."""
    account, stages, held = o.account, case.book.stages, scene.held(o.account)
    adl = stages.get(Stage.ADL)
    open_to = adl is not None and scene.enters(account, adl.enter) and not (adl.enter is None and scene.kept(account))
    if open_to and Seam.ADL_TRIGGER not in case.armed and _deleverages(scene):
        for market in (m for m in held if (account, m) not in closed):
            if scene.market_permit(market, Action.ADL) < Permit.DEFER and any(c.lots for c in bearers(scene, account, market)):
                yield f"account {account} is carried with lots in market {market} that others could be deleveraged for"
    if not held and scene.cash(account) < 0:
        sold = any(x.account == account and x.round == o.round and x.stage == Stage.CONVERT for x in case.outcomes)
        if Stage.CONVERT in stages and not sold and could_sell(scene, account):
            yield f"account {account} is carried with collateral that could be converted"
        if scene.converted(account):
            yield f"account {account} is carried, flat and converted: what it owes was to be paid or written off"
