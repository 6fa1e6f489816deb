"""Where two runs part: the first event whose outcomes differ, what it did in either run, and the accounts just after it.

Found by comparing the bytes of the outcomes, row by row. The state just after it is that of the same runs made anew up to
and with that event: a run is a pure function, so a part of it is too. Equity and maintenance are the venue's own
(specs/model/margin.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from riskbed import comparison as answer
from riskbed.sums import State, chart_name, leg_name
from specs import units
from specs.rules import Venue
from specs.scene import Book, Scene
from specs.tape import (
    OUTCOME,
    USERS_FROM,
    EventKind,
    Flag,
    Flow,
    Grade,
    Leg,
    OutcomeKind,
    Reason,
    Stage,
    Status,
    Tif,
    money_join,
)
from specs.tape import Side as OrderSide

SAID_MAX = 12  # outcomes in words a run
ACCOUNTS_MAX = 8


class Run(NamedTuple):
    """A run to compare. numbers: of each of its events, the number on the common tape (a fault may take events out)."""

    venue: Venue
    events: np.ndarray
    numbers: np.ndarray
    outcomes: np.ndarray
    state_after: Callable[[np.ndarray], State]  # of the first events of the run


def first_row(a: np.ndarray, b: np.ndarray) -> int | None:
    """Return the position of the first outcome that differs in any byte, or that only one of the two has; None if none does."""
    n = min(len(a), len(b))
    rows = [np.frombuffer(x[:n].tobytes(), dtype=np.uint8).reshape(n, OUTCOME.itemsize) for x in (a, b)]
    differ = np.flatnonzero((rows[0] != rows[1]).any(axis=1))
    if len(differ):
        return int(differ[0])
    return None if len(a) == len(b) else n


def on_common_tape(outcomes: np.ndarray, numbers: np.ndarray, batch_end: np.ndarray | None) -> np.ndarray:
    """Return the outcomes with their events numbered as on the common tape; by batch where one of the runs lacks events."""
    renumbered = outcomes.copy()
    if len(numbers):
        event = numbers[outcomes["event"]]
        renumbered["event"] = event if batch_end is None else batch_end[event]
    return renumbered


def first_divergence(events: np.ndarray, a: Run, b: Run) -> answer.Divergence | None:
    """Return the first event at which the two runs' outcomes differ, or None. events: the common tape, before any fault."""
    batch_end = None
    if len(a.events) != len(events) or len(b.events) != len(events):
        ends = np.flatnonzero(events["batch_left"] == 0)
        batch_end = ends[np.searchsorted(ends, np.arange(len(events)))]
    runs = (a, b)
    rows = [on_common_tape(run.outcomes, run.numbers, batch_end) for run in runs]
    row = first_row(*rows)
    if row is None:
        return None
    number = min(int(x["event"][row]) for x in rows if row < len(x))
    said = [x[row:][x["event"][row:] == number] for x in rows]
    states = [run.state_after(run.events[run.numbers <= number]) for run in runs]
    words, only = _apart(said, [run.venue for run in runs])
    named = _named(only)
    what = events[number]
    return answer.Divergence(
        event=number,
        time=units.ns_to_instant(int(next(x["time_ns"][0] for x in said if len(x)))),
        what=event_words(what, a.venue),
        a=words[0],
        b=words[1],
        accounts=[
            answer.Concerned(
                account=number,
                **{side: account_state(run.venue, state, number) for side, run, state in zip("ab", runs, states, strict=True)},
            )
            for number in named[:ACCOUNTS_MAX]
        ],
        more_accounts=max(0, len(named) - ACCOUNTS_MAX),
        prices=_prices(a.venue, b.venue, *states),
    )


def _named(said: Iterable[np.ndarray]) -> list[int]:
    """Return the users that outcomes name, in the order in which they are named; A and B in turn are one after the other."""
    names_other = [int(kind) for kind in OutcomeKind if _NAMES_OTHER.get(kind.name, True)]
    names_account = [int(kind) for kind in OutcomeKind if kind.name not in _NO_ACCOUNT]
    found: dict[int, None] = {}
    for rows in said:
        for o in rows:
            for field, kinds in (("account", names_account), ("other", names_other)):
                if o[field] >= USERS_FROM and o["kind"] in kinds:
                    found.setdefault(int(o[field]))
    return list(found)


def _apart(said: list[np.ndarray], venues: list[Venue]) -> tuple[list[answer.Outcomes], list[np.ndarray]]:
    """Return what the event did in one run and not in the other, in words and as rows; what both say alike is only counted.

    Words leave order ids out: an order more shifts the ids of all that follow. Where nothing else differs, all is said.
    """
    words = [[outcome_words(o, venue) for o in rows] for rows, venue in zip(said, venues, strict=True)]
    kept = []
    for ours, theirs in (words, words[::-1]):
        left, places = Counter(theirs), []
        for place, line in enumerate(ours):
            if left[line]:
                left[line] -= 1
            else:
                places.append(place)
        kept.append(places)
    if not any(kept):
        kept = [list(range(len(ours))) for ours in words]
    found = [
        answer.Outcomes(
            said=[ours[place] for place in places[:SAID_MAX]], more=max(0, len(places) - SAID_MAX), alike=len(ours) - len(places)
        )
        for ours, places in zip(words, kept, strict=True)
    ]
    return found, [rows[places] for rows, places in zip(said, kept, strict=True)]


# ---- in words

_NO_ACCOUNT = ("INDEX", "MARK", "COLLATERAL", "BOUND", "SETTLES", "SETTLEMENT")
_NAMES_OTHER = {
    name: False for name in (*_NO_ACCOUNT, "REJECT", "ACCEPTED", "CANCELLED", "OPENED", "LEVERAGE_SET", "LIQUIDATION")
}
_QTY = {"INDEX": "sources used", "BOUND": "accounts carried over", "LEVERAGE_SET": "leverage"}
_QTY |= {"SETTLES": "its time, ns", "SETTLEMENT": "lots open"}
_MONEY = {
    "FILL": "fee",
    "LIQUIDATION": "equity",
    "RESTORED": "equity",
    "CARRIED": "equity",
    "SUSPENDED": "equity",
    "MARGIN_LEVEL": "equity",
    "TAKEOVER": "cash",
    "ADL": "cash",
    "SETTLED": "cash",
    "CONVERT": "sold",
    "FUND_SHORT": "not paid",
}
_OWN_ASSET = ("FLOW", "CONVERT", "REJECT")  # their money is of the asset that they name


def money_words(money: int, asset: int, venue: Venue) -> str:
    """Return money with its asset, exactly; without trailing zeros."""
    row = venue.assets[asset]
    text = units.int_to_decimal(money, row.decimals)
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {row.name}"


def _name(rows: list, number: int, what: str, key: str = "name") -> str:
    return getattr(rows[number], key) if number < len(rows) else f"{what} {number}"


def price_decimals(kind: str, market: int, asset: int, index: int, venue: Venue) -> int | None:
    """Return the decimals of an outcome's price, None where the rule book has no such row."""
    if kind == "INDEX":
        return venue.indices[index].price_decimals if index < len(venue.indices) else None
    if kind in ("COLLATERAL", "CONVERT"):
        row = next((row for row in venue.collateral if venue.number("assets", row.asset) == asset), None)
        return venue.indices[venue.number("indices", row.index)].price_decimals if row else None
    return venue.markets[market].price_decimals if market < len(venue.markets) else None


def outcome_words(o: np.void, venue: Venue) -> str:
    """Return an outcome in words: its kind, then every field that says something, with the rule book's names."""
    kind = OutcomeKind(int(o["kind"])).name
    words = []
    if kind == "FLOW":
        words.append(f"{Flow(int(o['flow'])).name} from {_account(o['account'])} to {_account(o['other'])}")
    elif kind not in _NO_ACCOUNT:
        words.append(_account(o["account"]))
        if _NAMES_OTHER.get(kind, True) and o["other"]:
            words.append(f"with {_account(o['other'])}")
    market, asset, index = int(o["market"]), int(o["asset"]), int(o["ref_id"])
    if kind == "INDEX":
        words.append(_name(venue.indices, index, "index"))
    elif kind in ("COLLATERAL", "CONVERT"):
        words.append(_name(venue.assets, asset, "asset"))
    elif o["qty"] and kind != "BOUND" or kind == "MARK":
        words.append(_name(venue.markets, market, "market"))
    if o["leg"] != Leg.NET:
        words.append(f"leg {leg_name(int(o['leg']))}")
    if o["side"] in (OrderSide.BUY, OrderSide.SELL):
        words.append(OrderSide(int(o["side"])).name.lower())
    if o["qty"]:
        words.append(f"{int(o['qty']):,} {_QTY.get(kind, 'lots')}")
    places = price_decimals(kind, market, asset, index, venue)
    if o["price"] and places is not None:
        words.append(f"at {units.int_to_decimal(int(o['price']), places)}")
    money = money_join(int(o["money_lo"]), int(o["money_hi"]))
    if money or kind in _MONEY and kind != "FILL":
        of = asset if kind in _OWN_ASSET else venue.number("assets", venue.numeraire)
        words.append(f"{_MONEY.get(kind, '')} {money_words(money, of, venue) if of < len(venue.assets) else money}".strip())
    if o["reason"]:
        words.append(f"reason {Reason(int(o['reason'])).name}")
    if kind in ("INDEX", "MARK", "COLLATERAL"):
        words.append(f"grade {Grade(int(o['grade'])).name}")
    if o["stage"]:
        words.append(f"stage {Stage(int(o['stage'])).name}")
    return f"{kind}: {', '.join(words)}"


def _account(number: int) -> str:
    name = chart_name(int(number))
    return f"account {name}" if name.isdigit() else name


def event_words(e: np.void, venue: Venue) -> str:
    """Return an event of a tape in words."""
    kind = EventKind(int(e["kind"])).name
    words = []
    if kind == "SOURCE":
        row = venue.sources[int(e["source"])] if e["source"] < len(venue.sources) else None
        words.append(row.name if row else f"source {int(e['source'])}")
        missing = e["flags"] & Flag.MISSING or row is None
        words.append("no price" if missing else units.int_to_decimal(int(e["price"]), row.price_decimals))
    elif kind != "CLOCK":
        words.append(f"account {int(e['account'])}")
        amount = money_join(int(e["amount_lo"]), int(e["amount_hi"]))
        if amount and e["asset"] < len(venue.assets):
            words.append(money_words(amount, int(e["asset"]), venue))
        elif e["side"] in (OrderSide.BUY, OrderSide.SELL) and e["market"] < len(venue.markets):
            row = venue.markets[int(e["market"])]
            tif = Tif(int(e["tif"])).name if e["tif"] in Tif._value2member_map_ else ""
            at = f"at {units.int_to_decimal(int(e['price']), row.price_decimals)}" if e["price"] else ""
            words.append(f"{OrderSide(int(e['side'])).name.lower()} {int(e['qty']):,} lots {row.name} {at} {tif}".rstrip())
    return f"{kind}: {', '.join(words)}" if words else kind


# ---- the state just after it


def account_state(venue: Venue, state: State, account: int) -> answer.State | None:
    """Return an account of a state as the venue sees it, None if it is not open."""
    status = next((row[4] for row in state["accounts"] if row[0] == account), None)
    if status is None:
        return None
    decimals, numeraire = venue.decimals(venue.numeraire), venue.number("assets", venue.numeraire)
    balances = {asset: balance for number, asset, balance in state["balances"] if number == account}
    marks = {row[0]: row for row in state["marks"]}
    collateral = {row[0]: row for row in state["collateral"]}
    scene = Scene(Book(venue), state)
    equity, maintenance, positions, held = balances.get(numeraire, 0), 0, [], []
    for number, market, leg, lots, *_ in state["positions"]:
        if number != account or not lots:
            continue
        row, (grade, last_valid) = venue.markets[market], (marks[market][1], marks[market][5])
        notional = lots * venue.value(row, last_valid)
        equity += notional
        maintenance += scene.maintenance(account, market)
        mark = units.int_to_decimal(last_valid, row.price_decimals)
        positions.append(answer.Position(market=row.name, leg=leg_name(leg), lots=lots, mark=mark, grade=Grade(grade).name))
    for row, haircut in zip(venue.collateral, scene.haircuts, strict=True):
        balance = balances.get(haircut.asset, 0)
        if not balance:
            continue
        grade, last_valid = collateral[haircut.asset][1], collateral[haircut.asset][5]
        equity += haircut.collateral_value(balance, last_valid)
        price = units.int_to_decimal(last_valid, venue.indices[haircut.index].price_decimals)
        balance_text = units.int_to_decimal(balance, venue.decimals(row.asset))
        held.append(answer.Held(asset=row.asset, balance=balance_text, price=price, grade=Grade(grade).name))
    return answer.State(
        status=Status(status).name,
        equity=units.int_to_decimal(equity, decimals),
        maintenance=units.int_to_decimal(maintenance, decimals),
        cash=units.int_to_decimal(balances.get(numeraire, 0), decimals),
        positions=positions,
        collateral=held,
    )


def _published(venue: Venue, state: State) -> dict[tuple[str, str], tuple[str, str]]:
    """Return (kind, name) -> (last valid price, grade) of every index, mark and collateral price."""
    found = {}
    for row in state["indices"]:
        index = venue.indices[row[0]]
        found["index", index.name] = units.int_to_decimal(row[5], index.price_decimals), Grade(row[1]).name
    for row in state["marks"]:
        market = venue.markets[row[0]]
        found["mark", market.name] = units.int_to_decimal(row[5], market.price_decimals), Grade(row[1]).name
    indices = {row.asset: venue.indices[venue.number("indices", row.index)] for row in venue.collateral}
    for row in state["collateral"]:
        name = venue.assets[row[0]].name
        found["collateral", name] = units.int_to_decimal(row[5], indices[name].price_decimals), Grade(row[1]).name
    return found


def _prices(venue_a: Venue, venue_b: Venue, a: State, b: State) -> list[answer.Price]:
    """Return the marks and collateral prices of both runs, and the indices that differ; of names that both rule books have."""
    ours, theirs = _published(venue_a, a), _published(venue_b, b)
    return [
        answer.Price(kind=kind, name=name, a=price, b=theirs[kind, name][0], grade_a=grade, grade_b=theirs[kind, name][1])
        for (kind, name), (price, grade) in ours.items()
        if (kind, name) in theirs and (kind != "index" or (price, grade) != theirs[kind, name])
    ]
