"""Tables of events and the outcomes that are expected of them: one row an event, for people who know risk rather than Python.

A row is `time  what happens | outcomes`, time in seconds after the start, prices and money in whole units, quantities in lots:

    0    source coin 100                 |
    1    clock                           | INDEX COIN 100; MARK COINUSDT 100
    1    account 16                      | OPENED 16
    1    deposit 16 USDT 120             | DEPOSIT 120 USDT to 16
    1    buy 16 COINUSDT 10 @100 #1      | ACCEPTED 16 buy 10 @100 #1

`buy` and `sell` take gtc (default), ioc, fok, gtd, post, reprice or market; `reduce` for reduce-only, `close` for close-only (0
lots), `until=T` for when it expires, `show=N` for the lots shown at a time, `own=decrement` for its self-trade mode. Then:

    1    amend 16 #1 @99 3              | AMENDED 16 buy 3 @99 #1 anew
    1    amend 16 #1 2                  | AMENDED 16 buy 2 @99 #1
    1    masscancel 16 COINUSDT sell    |
    1    disconnect 16                  |

`masscancel` takes a market or `all`, and a side or none. Orders that wait are `stop`, `takeprofit` or `trail` and the words of an
order, market where it has no price; `at=` is the trigger price, `away=` or `ppm=` the distance, `by=` last, mark or index:

    1    stop buy 16 COINUSDT 10 #2 at=101 by=mark protect    | WAITING 16 buy 10 for 101 #2
    2    source coin 101                 | INDEX COIN 101 of 1; MARK COINUSDT 101; TRIGGERED 16 buy 10 by 101 #2; ...
    1    amend 16 #2 at=102              | AMENDED 16 buy 10 @0 #2; WAITING 16 buy 10 for 102 #2

Of accounts and markets:

    1    account 18 owner 16 parent 16   | OPENED 18 owner 16
    1    transfer 16 18 USDT 5           | TRANSFER 5 USDT 16 to 18
    1    mode 16 18 COINUSDT 5           | MOVED 16 to 18 long 10 entry 1000; TRANSFER 5 USDT 16 to 18
    1    autoadd 18 on                   | AUTO_ADD_SET 18 on
    1    state COINUSDT halted           | STATE_SET COINUSDT HALTED
    1    bust 0                          | BUSTED 0 17 sell 10 @100 from 16
    1    delist COINUSDT 9               | SETTLES COINUSDT 9
    1    change tighter at=5             | CHANGE_ANNOUNCED tighter from 5
    1    change tighter                  | CHANGE_ANNOUNCED tighter from 1; CHANGE_EFFECTIVE tighter
    1    withdrawn tighter               | CHANGE_ENDED tighter USER

`& 2` at the end of an event says that two more of its batch follow; `raw` sets fields of the event by name. A row whose
outcomes are `...` says nothing about them. FUNDING tells the rate, and the cumulative funding in whole units a lot.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from fuzz.strategies import pack
from fuzz.twin import twin_class
from specs import rules, units
from specs.scene import Outcome, outcomes_of
from specs.tape import (
    ENGINE_ORDER,
    EVENT,
    USERS_FROM,
    Chart,
    EventKind,
    Flag,
    Flow,
    Grade,
    MarketState,
    OutcomeKind,
    Reason,
    SelfTrade,
    Side,
    Stage,
    Tif,
    TriggerBy,
)

START_NS = 1_000 * units.NS
PLANTABLE = ["model", pytest.param("engine", marks=pytest.mark.checked)]  # only a checked engine carries planted bugs


@pytest.fixture(params=["model", "engine"])
def twin(request):
    """The exchange class of each twin in turn. An engine that cannot be imported is an error, not a skip."""
    return twin_class(request.param)


# ---- a small rule book that a row of a table can bend


def small_venue(**changes) -> rules.Venue:
    """Return one perpetual with round numbers: 1 lot = 1 COIN, price in whole USDT to 2 decimals, money to 4.

    `changes` replace rows of the venue; `market` and `collateral_row` replace fields of COINUSDT and of the USD row.
    """
    market = {
        "name": "COINUSDT",
        "settles_in": "USDT",
        "index": "COIN",
        "mark": {"kind": "index"},
        "price_decimals": 2,
        "tick_size": 5,
        "lot": {"decimals": 0},
        "brackets": [
            {"notional_max": 2_000, "leverage_max": 20, "maintenance_ppm": 25_000},
            {"notional_max": 10_000, "leverage_max": 10, "maintenance_ppm": 50_000, "amount": 50},
        ],
    } | changes.pop("market", {})
    collateral = {"asset": "USD", "index": "USD", "weight_ppm": 900_000, "convert_buffer_ppm": 20_000} | changes.pop(
        "collateral_row", {}
    )
    book = {
        "schema_version": 1,
        "name": "small",
        "numeraire": "USDT",
        "clock": {"gap_max_ns": 100 * units.NS},
        "assets": [{"name": "USDT", "decimals": 4}, {"name": "USD", "decimals": 4}],
        "sources": [{"name": name, "price_decimals": 2} for name in ("coin", "coin2", "usd", "ratio")],
        "indices": [index("COIN", {"kind": "source", "name": "coin"}), index("USD", {"kind": "source", "name": "usd"})],
        "markets": [market],
        "collateral": [collateral],
        "liquidation": {"stages": stages()},
        "fund": {"capital": 0},
    }
    return rules.Venue.model_validate(book | changes)


def index(name: str, recipe: dict, every_s: int | None = None, **fields) -> dict:
    """Return an index row that publishes on update, or every so many seconds."""
    publish = {"kind": "update"} if every_s is None else {"kind": "interval", "every_ns": every_s * units.NS}
    return {"name": name, "price_decimals": 2, "publish": publish, "recipe": recipe} | fields


def stages(*without: str, **changes) -> list[dict]:
    """Return the list of stages, some left out, some changed by name; adl stands in it only where `changes` name it."""
    rows = {
        "cancel": {},
        "book": {"bound": {"kind": "bankruptcy"}},
        "takeover": {},
        "adl": {},
        "convert": {},
        "fund": {},
        "write_off": {},
    }
    left_out = {*without} | ({"adl"} - {*changes})
    return [{"kind": kind} | fields | changes.get(kind, {}) for kind, fields in rows.items() if kind not in left_out]


# ---- rows to events

_WAITS = {"stop": EventKind.STOP, "takeprofit": EventKind.TAKE_PROFIT, "trail": EventKind.TRAILING}
_TIFS = {tif.name.lower(): tif for tif in Tif} | {"post": Tif.POST_ONLY, "reprice": Tif.POST_REPRICE}


def _ns(text: str) -> int:
    return START_NS + units.decimal_to_int(text, 9)


def _event(venue: rules.Venue, text: str) -> bytes:
    """Return the packed event of the left part of a row."""
    text, _, batch = text.partition("&")
    time, verb, *words = text.split()
    fields: dict[str, int] = {"time_ns": _ns(time), "batch_left": int(batch or 0)}

    def number(table: str, name: str) -> int:
        return int(name) if name.isdigit() else venue.number(table, name)

    def money(asset: str, amount: str) -> dict[str, int]:
        known = asset if asset in {row.name for row in venue.assets} else venue.numeraire
        return {"asset": number("assets", asset), "amount": units.decimal_to_int(amount, venue.decimals(known))}

    waits = _WAITS.get(verb)
    if waits:
        verb, *words = words
    if verb == "raw":
        fields |= {name: int(value, 0) for name, value in (word.split("=") for word in words)}
    elif verb == "clock":
        fields["kind"] = EventKind.CLOCK
    elif verb == "account":
        fields |= {"kind": EventKind.ACCOUNT, "account": int(words[0]), "ref_id": int(words[0])}
        options = dict(zip(words[1::2], words[2::2]))
        if "owner" in options:
            fields["ref_id"] = int(options["owner"])
        if "parent" in options:
            fields |= {"flags": Flag.HAS_PARENT, "qty": int(options["parent"])}
    elif verb in ("deposit", "withdraw"):
        fields |= {"kind": EventKind[verb.upper()], "account": int(words[0])} | money(words[1], words[2])
    elif verb == "leverage":
        fields |= {
            "kind": EventKind.LEVERAGE,
            "account": int(words[0]),
            "market": number("markets", words[1]),
            "qty": int(words[2]),
        }
    elif verb in ("buy", "sell"):
        fields |= {
            "kind": EventKind.ORDER,
            "account": int(words[0]),
            "market": number("markets", words[1]),
            "side": Side[verb.upper()],
        }
        fields |= {"qty": int(words[2]), "tif": Tif.GTC}
        if waits:
            fields |= {"kind": waits} | ({} if any(word[0] == "@" for word in words) else {"tif": Tif.MARKET})
        for word in words[3:]:
            if word[0] == "@":
                fields["price"] = units.decimal_to_int(word[1:], 2)
            elif word[0] == "#":
                fields["ref_id"] = int(word[1:])
            elif word in ("reduce", "close", "protect"):
                flag = {"reduce": Flag.REDUCE_ONLY, "close": Flag.CLOSE_ONLY, "protect": Flag.PROTECT}[word]
                fields["flags"] = fields.get("flags", 0) | flag
            elif "=" in word:
                name, value = word.split("=")
                fields |= {
                    "until": lambda: {"amount_hi": _ns(value)},
                    "show": lambda: {"amount_lo": int(value)},
                    "own": lambda: {"asset": SelfTrade[value.upper()]},
                    "at": lambda: {"amount_lo": units.decimal_to_int(value, 2)},
                    "away": lambda: {"amount_lo": units.decimal_to_int(value, 2)},
                    "ppm": lambda: {"amount_lo": int(value), "flags": fields.get("flags", 0) | Flag.DISTANCE_PPM},
                    "by": lambda: {"source": TriggerBy[value.upper()]},
                }[name]()
            else:
                fields["tif"] = _TIFS[word]
    elif verb == "amend":
        fields |= {"kind": EventKind.AMEND, "account": int(words[0]), "ref_id": int(words[1].lstrip("#"))}
        for word in words[2:]:
            if word.startswith("at="):
                fields |= {"amount_lo": units.decimal_to_int(word[3:], 2)}
            else:
                fields |= {"price": units.decimal_to_int(word[1:], 2)} if word[0] == "@" else {"qty": int(word)}
    elif verb == "masscancel":
        where = {"flags": Flag.ALL_MARKETS} if words[1] == "all" else {"market": number("markets", words[1])}
        side = {"side": Side[words[2].upper()]} if len(words) > 2 else {}
        fields |= {"kind": EventKind.MASS_CANCEL, "account": int(words[0])} | where | side
    elif verb == "disconnect":
        fields |= {"kind": EventKind.DISCONNECT, "account": int(words[0])}
    elif verb == "cancel":
        fields |= {"kind": EventKind.CANCEL, "account": int(words[0]), "ref_id": int(words[1].lstrip("#"))}
    elif verb == "source":
        fields |= {"kind": EventKind.SOURCE, "source": number("sources", words[0])}
        fields |= {"flags": Flag.MISSING} if words[1] == "missing" else {"price": units.decimal_to_int(words[1], 2)}
    elif verb == "transfer":
        fields |= {"kind": EventKind.TRANSFER, "account": int(words[0]), "qty": int(words[1])} | money(words[2], words[3])
    elif verb == "mode":
        fields |= {"kind": EventKind.MODE, "account": int(words[0]), "qty": int(words[1])}
        fields |= {"market": number("markets", words[2]), "amount": money(venue.numeraire, words[3])["amount"]}
    elif verb == "autoadd":
        fields |= {"kind": EventKind.AUTO_ADD, "account": int(words[0]), "qty": {"off": 0, "on": 1}[words[1]]}
    elif verb == "state":
        fields |= {"kind": EventKind.STATE, "market": number("markets", words[0]), "qty": MarketState[words[1].upper()]}
    elif verb == "delist":
        fields |= {"kind": EventKind.DELIST, "market": number("markets", words[0])}
        fields |= {"qty": _ns(words[1])} if len(words) > 1 else {}
    elif verb in ("change", "withdrawn"):
        names = [row.name for row in venue.changes]
        row = names.index(words[0]) if words[0] in names else int(words[0])
        fields |= {"kind": EventKind.RULE_CHANGE if verb == "change" else EventKind.RULE_WITHDRAWN, "ref_id": row}
        fields |= {"qty": _ns(words[1].removeprefix("at="))} if len(words) > 1 else {}
    elif verb == "bust":
        fields |= {"kind": EventKind.BUST, "ref_id": int(words[0])}
    else:
        raise ValueError(f"{verb!r} is no event")
    return pack(**fields)


# ---- outcomes to words


def _short(number: int, decimals: int) -> str:
    text = units.int_to_decimal(number, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _who(account: int) -> str:
    return str(account) if account >= USERS_FROM else Chart(account).name


def _id(order_id: int) -> str:
    return f"#e{order_id - ENGINE_ORDER}" if order_id & ENGINE_ORDER else f"#{order_id}"


def say(venue: rules.Venue, o: Outcome) -> str:
    """Return an outcome in words."""
    price, money, kind = _short(o.price, 2), _short(o.money, venue.decimals(venue.numeraire)), OutcomeKind(o.kind)
    side = {Side.BUY: "buy", Side.SELL: "sell"}.get(o.side, "")
    at = f" in round {o.round}" if o.round else ""
    market = venue.markets[o.market].name if o.market < len(venue.markets) and len(venue.markets) > 1 else ""
    where = f" {market}" if market else ""
    grade = "" if o.grade == Grade.VALID else f" {Grade(o.grade).name}"
    asset = venue.assets[o.asset].name if o.asset < len(venue.assets) else str(o.asset)
    held = "long" if o.side == Side.BUY else "short"
    match kind:
        case OutcomeKind.REJECT:
            quoted = (
                f" {o.account} {side} {o.qty} @{price} {_id(o.ref_id)}"
                if o.ref_id & ENGINE_ORDER and o.reason != Reason.BAD_ORDER_ID
                else ""
            )
            return f"REJECT {Reason(o.reason).name}{quoted}"
        case OutcomeKind.ACCEPTED:
            shows = f" show {o.other_id}" if o.other_id else ""
            return f"ACCEPTED {o.account} {side} {o.qty}{where} @{price} {_id(o.ref_id)}{shows}"
        case OutcomeKind.WAITING:
            return f"WAITING {o.account} {side} {o.qty}{where} for {price} {_id(o.ref_id)}"
        case OutcomeKind.TRIGGERED:
            return f"TRIGGERED {o.account} {side} {o.qty}{where} by {price} {_id(o.ref_id)}{at}"
        case OutcomeKind.AMENDED:
            return f"AMENDED {o.account} {side} {o.qty}{where} @{price} {_id(o.ref_id)}{' anew' if o.other_id else ''}"
        case OutcomeKind.REFRESHED:
            return f"REFRESHED {o.account} {side} {o.qty}{where} @{price} {_id(o.ref_id)}"
        case OutcomeKind.FILL:
            fee = f" fee {money}" if o.money else ""
            stage = f" {Stage(o.stage).name}" if o.stage else ""
            return f"FILL{stage} {o.account} {side} {o.qty}{where} @{price} from {o.other} {_id(o.other_id)}{fee}{at}"
        case OutcomeKind.CANCELLED:
            return f"CANCELLED {o.account} {side} {o.qty}{where} @{price} {_id(o.ref_id)} {Reason(o.reason).name}{at}"
        case OutcomeKind.FLOW:
            return f"{Flow(o.flow).name} {money} {asset} {_who(o.account)} to {_who(o.other)}{at}"
        case OutcomeKind.INDEX:
            return f"INDEX {venue.indices[o.ref_id].name} {price} of {o.qty}{grade}{at}"
        case OutcomeKind.MARK:
            return f"MARK {venue.markets[o.market].name} {price}{grade}{at}"
        case OutcomeKind.COLLATERAL:
            weight = f" at {o.qty} ppm" if o.qty else ""
            return f"COLLATERAL {asset} {price}{grade}{weight}{at}"
        case OutcomeKind.OPENED:
            return f"OPENED {o.account}" + (f" owner {o.ref_id}" if o.ref_id != o.account else "")
        case OutcomeKind.LEVERAGE_SET:
            return f"LEVERAGE_SET {o.account} {o.qty}{where}"
        case OutcomeKind.TAKEOVER:
            by = f" by {o.other}" if o.other >= USERS_FROM else ""
            return f"TAKEOVER {o.account} {held} {o.qty}{where} @{price}{by} cash {money}{at}"
        case OutcomeKind.CONVERT:
            return f"CONVERT {o.account} {money} {asset} @{price}{at}"
        case OutcomeKind.MARGIN_LEVEL:
            return f"MARGIN_LEVEL {o.account} {o.qty} after {o.other_id}, {money}{at}"
        case OutcomeKind.CARRIED if o.reason:
            return f"CARRIED {o.account} {money} {Reason(o.reason).name}{at}"
        case OutcomeKind.LIQUIDATION if o.reason != Reason.MAINTENANCE:
            return f"LIQUIDATION {o.account} {money} {Reason(o.reason).name}{at}"
        case OutcomeKind.LIQUIDATION | OutcomeKind.CARRIED | OutcomeKind.SUSPENDED | OutcomeKind.FUND_SHORT:
            return f"{kind.name} {o.account} {money}{at}"
        case OutcomeKind.RESTORED:
            return f"RESTORED {o.account} {money} {Reason(o.reason).name}{at}"
        case OutcomeKind.ADL:
            own = f" {Reason(o.reason).name}" if o.reason else ""
            return f"ADL {o.account} {held} {o.qty}{where} @{price} by {o.other} cash {money}{own}{at}"
        case OutcomeKind.MOVED:
            return f"MOVED {o.account} to {o.other} {held} {o.qty}{where} entry {money}"
        case OutcomeKind.FUNDING:  # ppb, and 10^-9 money units a lot
            skipped = f" {Reason(o.reason).name}" if o.reason else ""
            return f"FUNDING {venue.markets[o.market].name} {_short(o.price, 9)} sum {_short(o.money, 13)}{skipped}"
        case OutcomeKind.INTEREST:
            return f"INTEREST {asset} {_short(o.price, 9)}"
        case OutcomeKind.STATE_SET:
            why = f" {Reason(o.reason).name}" if o.reason else ""
            return f"STATE_SET {venue.markets[o.market].name} {MarketState(o.qty).name}{why}{at}"
        case OutcomeKind.UNCROSSED:
            return f"UNCROSSED {venue.markets[o.market].name} {o.qty} @{price} left {o.money}"
        case OutcomeKind.CHANGE_ANNOUNCED:
            return f"CHANGE_ANNOUNCED {venue.changes[o.ref_id].name} from {_short(o.qty - START_NS, 9)}"
        case OutcomeKind.CHANGE_EFFECTIVE | OutcomeKind.CHANGE_ENDED:
            why, keep = (f" {Reason(o.reason).name}" if o.reason else ""), (f" {o.qty} kept" if o.qty else "")
            return f"{kind.name} {venue.changes[o.ref_id].name}{why}{keep}"
        case OutcomeKind.BUSTED:
            fee = f" fee {money}" if o.money else ""
            return f"BUSTED {o.ref_id} {o.account} {side} {o.qty}{where} @{price} from {o.other}{fee}"
        case OutcomeKind.SETTLES:
            why = f" {Reason(o.reason).name}" if o.reason else ""
            return f"SETTLES {venue.markets[o.market].name} {_short(o.qty - START_NS, 9)}{why}"
        case OutcomeKind.SETTLEMENT:
            return f"SETTLEMENT {venue.markets[o.market].name} @{price} {o.qty}{grade}"
        case OutcomeKind.SETTLED:
            return f"SETTLED {_who(o.account)} {held} {o.qty}{where} @{price} cash {money}"
        case OutcomeKind.AUTO_ADD_SET:
            return f"AUTO_ADD_SET {o.account} {'on' if o.qty else 'off'}"
        case OutcomeKind.BOUND:
            return f"BOUND {o.qty}{at}"
        case OutcomeKind.QUOTER:
            return f"{Reason(o.reason).name} {o.account} @{price}"
    raise AssertionError(kind)


# ---- tables


def rows_of(table: str) -> list[tuple[str, str]]:
    """Return (event, expected outcomes) of each row; blank lines and lines that start with -- are for the reader."""
    lines = [line.strip() for line in table.strip().splitlines()]
    rows = [line.partition("|") for line in lines if line and not line.startswith("--")]
    return [(left.strip(), " ".join(right.split())) for left, _, right in rows]


def tape(venue: rules.Venue, table: str) -> np.ndarray:
    """Return the events of a table."""
    return np.frombuffer(b"".join(_event(venue, left) for left, _ in rows_of(table)), dtype=EVENT)


def play(twin, venue: rules.Venue, table: str, seams=()):
    """Run a table on a twin and compare the outcomes of each row with what it expects; return the exchange."""
    exchange = twin(venue, START_NS, seams)
    for left, want in rows_of(table):
        said = "; ".join(say(venue, o) for o in outcomes_of(exchange.apply(_event(venue, left))))
        assert want in (said, "..."), f"{left}\n  expected {want}\n  got      {said}"
    return exchange


def vectors(shared: Path, kind: str, rule_of: str) -> list[dict]:
    """Return the published vectors of a kind and a venue, mappings of strings; their tests are marked needs_shared."""
    return [row for row in YAML(typ="safe").load(shared / "vectors" / f"{kind}.yaml")["vectors"] if row["rules"] == rule_of]


def seam_row(seam, key: int, begin_s: int, end_s: int, kind, argument: int = 0):
    """Return one row of a fault schedule, its window in seconds after the start."""
    return int(seam), key, START_NS + begin_s * units.NS, START_NS + end_s * units.NS, int(kind), argument
