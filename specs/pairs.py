"""Laws of pairs of runs: L18 and the metamorphic laws. A change that must not matter to somebody, and a check that it did not.

    L18                a fault in X leaves untouched what shares no source, pool, fund, owner, quoter or cap with X
                       a fault of no magnitude changes no outcome
    duplicates         accounts that are opened and funded like another one and never trade change nobody's outcome
    insertion order    the order in which accounts are opened and funded changes nobody's outcome
    unrelated market   a market of its own, with accounts, a source and an index of its own, changes nobody's outcome
    relabelling        other account ids in the same order: the same outcomes with other ids

Each has a precondition, stated in its docstring and checked: a pair for which it does not hold raises Unfit, it does not pass.
`run(venue, events, seams)` returns an exchange that has run the tape; it may be any twin, with any bug.

What the venue numbers itself is not an account's outcome: ids of its own orders, and event numbers where events were put in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from specs import rules, units
from specs.errors import LawBroken
from specs.scene import Outcome, outcomes_of
from specs.tape import (
    ENGINE_ORDER,
    EVENT,
    SEAM_ANY,
    USERS_FROM,
    EventKind,
    Flag,
    OutcomeKind,
    Reason,
    Seam,
    SeamKind,
    money_split,
)
from specs.waiting import WAITS

Run = Callable[[rules.Venue, np.ndarray, Sequence[tuple]], object]
Thing = tuple[str, int]  # ("source" | "index" | "market" | "asset" | "account" | "owner" | "fund", its number)


class Unfit(ValueError):
    """The precondition of a law of two runs does not hold for this pair: it says nothing about it."""


# ---- who shares what

SEAM_KEYS: dict[Seam, str] = {
    Seam.SOURCE_READ: "source",
    Seam.INDEX_PUBLISH: "index",
    Seam.MARK_PUBLISH: "market",
    Seam.COLLATERAL_PRICE: "asset",
    Seam.LIQUIDATION_TRIGGER: "account",
    Seam.TAKEOVER_ACCEPT: "market",
    Seam.ADL_TRIGGER: "market",
    Seam.ADL_RANK: "account",
    Seam.FUNDING_RATE: "market",
}
"""What the key of a seam names."""


class Shared:
    """Things that share something, and so on: `of(things)` is everything that a change of these can reach.

    An index shares with its sources and legs and with the books it reads; a market with its index, and with whoever sends it an
    order or quotes it; an asset of collateral with its index, with the spot markets that deliver it and with whoever is given
    some; an account with its owner, its parent and its sub-accounts. Whoever is liquidated shares the fund and the backstop.
    """

    def __init__(self, venue: rules.Venue, events: np.ndarray, outcomes: Iterable[Outcome]) -> None:
        self.root: dict[Thing, Thing] = {}
        number = venue.number
        for i, index in enumerate(venue.indices):
            for node in rules.walk(index.recipe):
                if node.kind in ("source", "redemption"):
                    self.join(("index", i), ("source", number("sources", getattr(node, "name", None) or node.ratio)))
                elif node.kind == "index":
                    self.join(("index", i), ("index", number("indices", node.name)))
                elif node.kind == "book":
                    self.join(("index", i), ("market", number("markets", node.market)))
        for m, market in enumerate(venue.markets):
            self.join(("market", m), ("index", number("indices", market.index)))
        for row in venue.collateral:
            self.join(("asset", number("assets", row.asset)), ("index", number("indices", row.index)))
            if row.market is not None:
                self.join(("asset", number("assets", row.asset)), ("market", number("markets", row.market)))
        for row in venue.quoters:
            self.join(("account", row.account), ("market", number("markets", row.market)))
        counts = {number("assets", row.asset) for row in venue.collateral}
        for m, market in enumerate(venue.markets):
            for asset in {number("assets", name) for name in (market.base, market.settles_in) if market.spot} & counts:
                self.join(("market", m), ("asset", asset))
        for e in events:
            self._event(e, counts)
        self.liquidated(outcomes)

    def liquidated(self, outcomes: Iterable[Outcome], of: Callable[[Thing], bool] = lambda thing: True) -> None:
        for o in outcomes:
            if o.kind == OutcomeKind.LIQUIDATION and of(("account", o.account)):
                self.join(("account", o.account), ("fund", 0))

    def _event(self, e, counts: set[int]) -> None:
        kind, account = int(e["kind"]), ("account", int(e["account"]))
        if kind in (EventKind.ORDER, *WAITS, EventKind.MODE, EventKind.LEVERAGE):
            self.join(account, ("market", int(e["market"])))
        if kind == EventKind.ACCOUNT:
            self.join(account, ("owner", int(e["ref_id"])))
        if kind in (EventKind.DEPOSIT, EventKind.TRANSFER) and int(e["asset"]) in counts:
            self.join(account, ("asset", int(e["asset"])))
        if kind in (EventKind.TRANSFER, EventKind.MODE) or (kind == EventKind.ACCOUNT and int(e["flags"]) & Flag.HAS_PARENT):
            self.join(account, ("account", int(e["qty"])))

    def find(self, thing: Thing) -> Thing:
        while (above := self.root.setdefault(thing, thing)) != thing:
            thing = above
        return thing

    def join(self, one: Thing, other: Thing) -> None:
        self.root[self.find(one)] = self.find(other)

    def of(self, things: Iterable[Thing]) -> set[Thing]:
        roots = {self.find(thing) for thing in things}
        return {thing for thing in list(self.root) if self.find(thing) in roots}


def faulted(venue: rules.Venue, events: np.ndarray, rows: Iterable[tuple]) -> set[Thing]:
    """Return what the rows of a fault schedule act on."""
    accounts = {int(e["account"]) for e in events if e["kind"] == EventKind.ACCOUNT}
    every = {"source": len(venue.sources), "index": len(venue.indices), "market": len(venue.markets), "asset": len(venue.assets)}
    things: set[Thing] = set()
    for seam, key, *_ in rows:
        what = SEAM_KEYS[Seam(seam)]
        numbers = [key] if key != SEAM_ANY else sorted(accounts) if what == "account" else range(every[what])
        things |= {(what, number) for number in numbers}
    return things


_OF_A_MARKET = (OutcomeKind.MARK, OutcomeKind.FUNDING, OutcomeKind.STATE_SET, OutcomeKind.SETTLES, OutcomeKind.SETTLEMENT)


def about(o: Outcome) -> Thing | None:
    """Return what an outcome tells something about; None: about the venue as a whole."""
    if o.kind == OutcomeKind.INDEX:
        return "index", o.ref_id
    if o.kind in _OF_A_MARKET:
        return "market", o.market
    if o.kind == OutcomeKind.COLLATERAL:
        return "asset", o.asset
    if o.kind in (OutcomeKind.BOUND, OutcomeKind.CHANGE_ANNOUNCED, OutcomeKind.CHANGE_EFFECTIVE, OutcomeKind.CHANGE_ENDED):
        return None
    user = next((account for account in (o.account, o.other) if account >= USERS_FROM), None)
    return None if user is None else ("account", user)


# ---- comparing

_VENUES_OWN = ("event",)


def _told(outcomes: Iterable[Outcome], of: Callable[[Outcome], bool], without: tuple[str, ...] = ()) -> list[Outcome]:
    """Return the outcomes that are judged; the venue's own order ids become the order of their appearance."""
    ids: dict[int, int] = {}

    def name(order_id: int) -> int:
        return ENGINE_ORDER | ids.setdefault(order_id, len(ids)) if order_id & ENGINE_ORDER else order_id

    blank = dict.fromkeys(without, 0)
    return [o._replace(ref_id=name(o.ref_id), other_id=name(o.other_id), **blank) for o in outcomes if of(o)]


def _same(law: str, events: int, one: list[Outcome], other: list[Outcome], what: str) -> None:
    """Raise LawBroken at the first outcome that differs."""
    for i in range(max(len(one), len(other))):
        pair = [side[i] if i < len(side) else None for side in (one, other)]
        if pair[0] != pair[1]:
            at = [o for o in pair if o is not None]
            told = ", then ".join(f"{OutcomeKind(o.kind).name} of account {o.account}" if o else "nothing" for o in pair)
            number = min(o.event for o in at) if all(o.event for o in at) else events - 1
            raise LawBroken(law, number, f"{what}: outcome {i} was {told}")


def _outcomes(exchange) -> list[Outcome]:
    return outcomes_of(exchange.outcomes().tobytes())


def _of_users(state: dict, keep: Callable[[int], bool]) -> dict[str, list[tuple]]:
    """Return the tables of users, of those that are kept."""
    return {table: [row for row in state[table] if keep(row[0])] for table in ("balances", "positions", "accounts", "leverage")}


def _alone(outcomes: Iterable[Outcome]) -> None:
    """Raise Unfit if a limit that all accounts share has stopped somebody: what is in whose way then depends on everybody."""
    for o in outcomes:
        if o.kind == OutcomeKind.BOUND or (o.kind == OutcomeKind.REJECT and o.reason == Reason.BOOK_FULL):
            what = "the book is full" if o.kind == OutcomeKind.REJECT else "rounds_max stopped a cascade"
            raise Unfit(f"{what} in event {o.event}: a cap that everybody shares")


_OF_FILLS = {Reason.BUSTED_ALREADY, Reason.UNKNOWN_FILL}  # the one or the other, as others trade


def _uncounted(outcomes: Iterable[Outcome]) -> None:
    """Raise Unfit if a fill was named: its number counts everybody's fills."""
    for o in outcomes:
        if o.kind == OutcomeKind.BUSTED or (o.kind == OutcomeKind.REJECT and o.reason in _OF_FILLS):
            raise Unfit(f"event {o.event} names a fill by its number, which counts everybody's fills")


# ---- L18


def fault_stays_apart(run: Run, venue: rules.Venue, events: np.ndarray, rows: Sequence[tuple]) -> set[Thing]:
    """L18. Run a tape without and with a fault schedule; return what shares nothing with the faults and had outcomes to compare.

    Precondition: something shares nothing with them, no cap that everybody shares (rounds, orders) was reached, and no fill was
    busted. Raises Unfit, or LawBroken at the first outcome of such a thing that differs.
    """
    true, broken = run(venue, events, ()), run(venue, events, rows)
    ours, theirs = _outcomes(true), _outcomes(broken)
    _alone([*ours, *theirs])
    _uncounted([*ours, *theirs])
    # Who is liquidated in the true run, or by the fault, meets at the fund. Whom only the broken run liquidates the fund did not
    # bring there: that is a breach, and no excuse.
    shared, things = Shared(venue, events, ours), faulted(venue, events, rows)
    for o in ours:  # whoever is carried is tried again when any price changes
        if o.kind == OutcomeKind.CARRIED and things:
            shared.join(("account", o.account), min(things))
    shared.liquidated(theirs, shared.of(things).__contains__)
    reached = shared.of(things)
    apart = lambda o: about(o) is not None and about(o) not in reached  # noqa: E731
    judged = {about(o) for o in ours if apart(o)}
    if not judged:
        raise Unfit("everything on this tape shares something with the faults")
    _same("L18", len(events), _told(ours, apart), _told(theirs, apart), "a fault reaches what shares nothing with it")
    keep = lambda account: account >= USERS_FROM and ("account", account) not in reached  # noqa: E731
    if _of_users(true.state(), keep) != _of_users(broken.state(), keep):
        raise LawBroken("L18", len(events) - 1, "a fault changes accounts that share nothing with it, no outcome says so")
    return judged


def nothing_changes_nothing(run: Run, venue: rules.Venue, events: np.ndarray, rows: Sequence[tuple]) -> int:
    """L18. A schedule of faults without magnitude leaves every outcome as it is; return how often its rows acted.

    Precondition: each row scales by 10^6 ppm or ramps by 0, and one of them acted. Raises Unfit, or LawBroken.
    """
    for row in rows:
        if (row[4], row[5]) not in ((SeamKind.SCALE, units.PPM), (SeamKind.RAMP, 0)):
            raise Unfit(f"the row {row} has a magnitude")
    true, broken = run(venue, events, ()), run(venue, events, rows)
    _same("L18", len(events), _outcomes(true), _outcomes(broken), "a fault without magnitude changes an outcome")
    left, right = true.state(), broken.state()
    fired = sum(row[4] for row in right.pop("seams"))
    left.pop("seams")
    if not fired:
        raise Unfit("no row has acted")
    if left != right:
        raise LawBroken("L18", len(events) - 1, "a fault without magnitude changes the state")
    return fired


# ---- metamorphic


def _insert(events: np.ndarray, after: int, rows: Sequence[np.void]) -> np.ndarray:
    """Return the events with rows behind number `after`, at its time. Unfit inside a batch: it would cut it in two."""
    if events[after]["batch_left"]:
        raise Unfit(f"event {after} stands inside a batch")
    new = np.array(rows, dtype=EVENT)
    new["time_ns"], new["batch_left"] = events[after]["time_ns"], 0
    return np.concatenate([events[: after + 1], new, events[after + 1 :]])


def duplicates_do_not_matter(run: Run, venue: rules.Venue, events: np.ndarray, account: int, copies: Sequence[int]) -> None:
    """Open and fund `copies` as `account` is, behind its last deposit; all they do is hold. Nobody else's outcome changes.

    Precondition: the account is opened; the copies' ids are free, below accounts_max and quote nothing; the venue takes their
    money (no REJECT); no cap that everybody shares was reached. Raises Unfit, or LawBroken.
    """
    if any(row.deposits_max is not None for row in venue.collateral):
        raise Unfit("collateral is weighed by what all users hold, the copies too")
    mine = [i for i, e in enumerate(events) if e["account"] == account and e["kind"] in (EventKind.ACCOUNT, EventKind.DEPOSIT)]
    used = named(venue, events)
    if not mine or used & set(copies) or max(copies) >= venue.limits.accounts_max:
        raise Unfit("the account is never opened, or an id of a copy is taken")
    rows = []
    for copy in copies:
        for i in mine:
            row = events[i].copy()
            row["account"] = copy
            if row["kind"] == EventKind.ACCOUNT:
                row["ref_id"], row["flags"], row["qty"] = copy, 0, 0
            rows.append(row)
    plain, more = run(venue, events, ()), run(venue, _insert(events, mine[-1], rows), ())
    ours, theirs = _outcomes(plain), _outcomes(more)
    _alone([*ours, *theirs])
    for o in theirs:
        if o.account in copies and o.kind == OutcomeKind.REJECT:
            raise Unfit(f"a copy is refused: {Reason(o.reason).name}")
    others = lambda o: not {o.account, o.other} & set(copies)  # noqa: E731
    _same("duplicates", len(events), *(_told(side, others, _VENUES_OWN) for side in (ours, theirs)), "copies that only hold")
    keep = lambda number: number >= USERS_FROM and number not in copies  # noqa: E731
    if _of_users(plain.state(), keep) != _of_users(more.state(), keep):
        raise LawBroken("duplicates", len(events) - 1, "copies that only hold change another account")


def named(venue: rules.Venue, events: np.ndarray) -> set[int]:
    """Return every account that a tape, the venue's quoters or its vault name."""
    second = events[[_names_another(e) for e in events]]
    return {*events["account"].tolist(), *second["qty"].tolist(), *(row.account for row in [*venue.quoters, *_vaults(venue)])}


def _names_another(e) -> bool:
    """Return whether `qty` of an event is an account."""
    return e["kind"] in _NAMES_ACCOUNT or bool(e["kind"] == EventKind.ACCOUNT and e["flags"] & Flag.HAS_PARENT)


_NAMES_ACCOUNT = {EventKind.TRANSFER, EventKind.MODE}


def openings(events: np.ndarray) -> tuple[int, int]:
    """Return [from, to) of the longest stretch of ACCOUNT and DEPOSIT events of one time, none inside a batch."""
    fits = np.isin(events["kind"], [int(EventKind.ACCOUNT), int(EventKind.DEPOSIT)]) & (events["batch_left"] == 0)
    best, start = (0, 0), None
    for i in range(len(events) + 1):
        if i < len(events) and fits[i] and (start is None or events[i]["time_ns"] == events[start]["time_ns"]):
            start = i if start is None else start
            continue
        if start is not None and i - start > best[1] - best[0]:
            best = start, i
        start = i if i < len(events) and fits[i] else None
    return best


def insertion_order_does_not_matter(
    run: Run, venue: rules.Venue, events: np.ndarray, order: Sequence[int], seams: Sequence[tuple] = ()
) -> None:
    """Open and fund the accounts of the longest stretch of openings in another order; all outcomes behind it stay.

    `order`: those accounts, as they shall come; each keeps the order of its own events. Precondition: the order names each of
    them once and there are two; a sub-account comes behind its parent; no time passes and no cascade runs while they are opened,
    so that a seam cannot tell them apart. Raises Unfit, or LawBroken.
    """
    start, end = openings(events)
    block = events[start:end]
    accounts = list(dict.fromkeys(block["account"].tolist()))
    if sorted(order) != sorted(accounts) or len(accounts) < 2:
        raise Unfit(f"the order is not one of the accounts {accounts}")
    for e in block[block["kind"] == EventKind.ACCOUNT]:
        parent = int(e["qty"])
        if e["flags"] & Flag.HAS_PARENT and parent in order and order.index(parent) > order.index(int(e["account"])):
            raise Unfit(f"the sub-account {e['account']} comes before its parent")
    moved = events.copy()
    moved[start:end] = np.concatenate([block[block["account"] == account] for account in order])
    plain, other = run(venue, events, seams), run(venue, moved, seams)
    behind = lambda o: o.event >= end  # noqa: E731
    during = [o for x in (plain, other) for o in _outcomes(x) if start <= o.event < end]
    for o in during:
        if o.kind not in (OutcomeKind.OPENED, OutcomeKind.FLOW, OutcomeKind.REJECT):
            raise Unfit(f"a {OutcomeKind(o.kind).name} while accounts are opened: time passes or a price is published")
    law = "insertion order"
    _same(law, len(events), *(_told(_outcomes(x), behind) for x in (plain, other)), "accounts opened in another order")
    if plain.state() != other.state():
        raise LawBroken(law, len(events) - 1, "accounts opened in another order end in another state")


def with_unrelated_market(venue: rules.Venue) -> rules.Venue:
    """Return the venue with one market more: the first perpetual's rows under a name, a source and an index of their own."""
    first = next((row for row in venue.markets if not row.spot), None)
    if first is None:
        raise Unfit("the venue has no perpetual")
    name = lambda table: next(f"APART{n}" for n in range(99) if all(row.name != f"APART{n}" for row in table))  # noqa: E731
    source, index, market = name(venue.sources), name(venue.indices), name(venue.markets)
    raw = venue.model_dump(exclude_unset=True)
    raw["sources"].append({"name": source, "price_decimals": first.price_decimals})
    recipe, publish = {"kind": "source", "name": source}, {"kind": "update"}
    row = {"name": index, "price_decimals": first.price_decimals, "publish": publish, "recipe": recipe}
    raw["indices"].append(row | ({"prices": "signed"} if first.price_min is not None else {}))
    raw["markets"].append(first.model_dump(exclude_unset=True) | {"name": market, "index": index})
    return rules.Venue.model_validate(raw)


def unrelated_market_does_not_matter(
    run: Run, venue: rules.Venue, events: np.ndarray, accounts: tuple[int, int], deposit: int, prices: Sequence[tuple[int, int]]
) -> int:
    """Two accounts more trade one lot in a market of their own, whose price moves; nobody else's outcome changes.

    prices: (number of the event behind which the source says so, price in price units). deposit: to each, in units of the
    numeraire. Return the number of outcomes of the new market. Precondition: the ids are free; the first price is good enough to
    trade at; no event that is put in is refused, and neither is liquidated (they would share the fund); no cap that everybody
    shares was reached; no fill is busted; nobody is carried, for whoever is, is tried again when any price changes; the tape
    names nothing by a number that the new rows get. Raises Unfit, or LawBroken.
    """
    wide = with_unrelated_market(venue)
    source, index, market = len(venue.sources), len(venue.indices), len(venue.markets)
    used = named(venue, events)
    if used & set(accounts) or max(accounts) >= venue.limits.accounts_max:
        raise Unfit(f"one of the ids {accounts} is taken")
    if market in events["market"] or source in events["source"]:
        raise Unfit("the tape names the number of the new market or of its source")
    order_id = max((int(e["ref_id"]) for e in events if not int(e["ref_id"]) & ENGINE_ORDER), default=0) + 1
    first, price = prices[0]
    put: list[tuple[int, list[np.void]]] = [(at, [_event(kind=EventKind.SOURCE, source=source, price=p)]) for at, p in prices]
    for account in accounts:
        lo, hi = money_split(deposit)
        put[0][1].append(_event(kind=EventKind.ACCOUNT, account=account, ref_id=account))
        put[0][1].append(_event(kind=EventKind.DEPOSIT, account=account, amount_lo=lo, amount_hi=hi,
                                asset=venue.number("assets", venue.numeraire)))  # fmt: skip
    for n, (account, side) in enumerate(zip(accounts, (1, 2))):
        put[0][1].append(_event(kind=EventKind.ORDER, account=account, market=market, ref_id=order_id + n, side=side, tif=1,
                                price=price, qty=1))  # fmt: skip
    more = events
    for at, rows in sorted(put, key=lambda row: row[0], reverse=True):
        more = _insert(more, at, rows)
    plain, apart = run(venue, events, ()), run(wide, more, ())
    ours, theirs = _outcomes(plain), _outcomes(apart)
    _alone([*ours, *theirs])
    _uncounted([*ours, *theirs])
    for o in ours:
        if o.kind == OutcomeKind.CARRIED:
            raise Unfit(f"account {o.account} is carried after event {o.event}: any price is a reason to try again")
    new = {("market", market), ("index", index), *(("account", account) for account in accounts)}
    for o in theirs:
        refused = o.kind == OutcomeKind.REJECT and (about(o) in new or (o.asset == source and not o.account))
        if refused or (about(o) in new and o.kind == OutcomeKind.LIQUIDATION):
            raise Unfit(f"{OutcomeKind(o.kind).name} of account {o.account}, which was put in")
    others = lambda o: about(o) not in new  # noqa: E731
    law = "unrelated market"
    _same(law, len(events), *(_told(side, others, _VENUES_OWN) for side in (ours, theirs)), "a market that shares nothing")
    keep = lambda number: number >= USERS_FROM and number not in accounts  # noqa: E731
    if _of_users(plain.state(), keep) != _of_users(apart.state(), keep):
        raise LawBroken(law, len(events) - 1, "a market that shares nothing changes an account")
    return sum(about(o) in new for o in theirs)


def _event(**fields: int) -> np.void:
    row = np.zeros((), EVENT)
    for name, value in fields.items():
        row[name] = value
    return row


def _vaults(venue: rules.Venue) -> list[rules.Vault]:
    return [row.vault for row in venue.liquidation.stages if row.kind == "takeover" and row.vault is not None]


def _renamed(venue: rules.Venue, to: Callable[[int], int]) -> rules.Venue:
    """Return the rule book with the ids of its quoters and its vault changed."""
    rename = lambda row: row.model_copy(update={"account": to(row.account)})  # noqa: E731
    stages = [
        row.model_copy(update={"vault": rename(row.vault)}) if row.kind == "takeover" and row.vault is not None else row
        for row in venue.liquidation.stages
    ]
    liquidation = venue.liquidation.model_copy(update={"stages": stages})
    return venue.model_copy(update={"quoters": [rename(row) for row in venue.quoters], "liquidation": liquidation})


def relabelling_does_not_matter(run: Run, venue: rules.Venue, events: np.ndarray, ids: dict[int, int], seams=()) -> None:
    """Give accounts other ids in the same order: the outcomes are the same with other ids.

    ids: new ids by old, of every account that the tape or the rule book names. Precondition: they keep the order and are ids of
    users below accounts_max. Owners are no accounts and stay. Raises Unfit, or LawBroken.
    """
    old = sorted(ids)
    new = [ids[account] for account in old]
    if sorted(set(new)) != new or not all(USERS_FROM <= n < venue.limits.accounts_max for n in [*old, *new]):
        raise Unfit("the new ids do not keep the order, or are no ids of users")
    to = lambda account: ids.get(account, account)  # noqa: E731
    stray = {int(e["account"]) for e in events} - set(ids)
    if stray & set(new):
        raise Unfit(f"the tape names the accounts {sorted(stray & set(new))}, which would be mistaken for others")
    moved = events.copy()
    for e in moved:
        names = _names_another(e)
        if names and int(e["qty"]) not in ids and int(e["qty"]) in new:
            raise Unfit(f"the tape names account {e['qty']}, which would be mistaken for another")
        e["account"], e["qty"] = to(int(e["account"])), to(int(e["qty"])) if names else e["qty"]
    of_accounts = {seam for seam, what in SEAM_KEYS.items() if what == "account"}
    rows = [(seam, to(key) if seam in of_accounts else key, *rest) for seam, key, *rest in seams]
    plain, other = run(venue, events, seams), run(_renamed(venue, to), moved, rows)
    ours = []
    for o in _outcomes(plain):
        e = events[o.event] if o.event < len(events) else None
        echo = o.kind == OutcomeKind.REJECT and e is not None and not o.ref_id & ENGINE_ORDER
        qty = int(moved[o.event]["qty"]) if echo and o.qty == int(e["qty"]) else o.qty
        ours.append(o._replace(account=to(o.account), other=to(o.other), qty=qty))
    _same("relabelling", len(events), ours, _outcomes(other), "accounts with other ids in the same order")
