"""What a run may be asked at the edge of its units: the same answer on both twins, or a refusal before anything moves."""

import hashlib
import threading

import numpy as np
import pytest

from engine.exchange import Exchange as Engine
from specs import units
from specs.errors import SpecError
from specs.model.exchange import Exchange as Model
from specs.rules import Venue
from specs.tape import EVENT, EventKind, Flag, OutcomeKind, Reason, Seam, SeamKind, Side, Status, Tif, money_split

START = 10 * units.NS
TWINS = pytest.mark.parametrize("twin", [Model, Engine], ids=["model", "engine"])


def venue(gap_max_ns=units.DURATION_MAX_NS, decimals=15, **index) -> Venue:
    """One lot of the market is worth 10^decimals money units a price unit."""
    return Venue.model_validate(
        {
            "schema_version": 1,
            "name": "edge",
            "numeraire": "USD",
            "clock": {"gap_max_ns": gap_max_ns},
            "assets": [{"name": "USD", "decimals": decimals}],
            "sources": [{"name": "s", "price_decimals": 0}],
            "indices": [
                {"name": "I", "price_decimals": 0, "publish": {"kind": "update"}, "recipe": {"kind": "source", "name": "s"}}
                | index
            ],
            "markets": [
                {
                    "name": "M",
                    "settles_in": "USD",
                    "index": "I",
                    "mark": {"kind": "index"},
                    "price_decimals": 0,
                    "lot": {"decimals": 0},
                    "brackets": [{"notional_max": 10**13, "leverage_max": 20, "maintenance_ppm": 50_000}],
                }
            ],
            "liquidation": {"stages": [{"kind": "write_off"}]},
        }
    )


def events(*rows) -> np.ndarray:
    tape = np.zeros(len(rows), EVENT)
    for event, row in zip(tape, rows, strict=True):
        for name, value in ({"time_ns": START} | row).items():
            if name == "amount":
                event["amount_lo"], event["amount_hi"] = money_split(value)
            else:
                event[name] = value
    return tape


OPENING = (
    {"kind": EventKind.SOURCE, "price": 1},
    {"kind": EventKind.ACCOUNT, "account": 16, "ref_id": 16},
    {"kind": EventKind.DEPOSIT, "account": 16, "amount": units.MONEY_IN_MAX},
)


def order(order_id, price, qty=1, side=Side.SELL):
    row = {"kind": EventKind.ORDER, "account": 16, "ref_id": order_id, "price": price, "qty": qty}
    return row | {"side": side, "tif": Tif.GTC}


@TWINS
def test_a_limit_worth_more_than_a_lot_may_be_is_refused(twin):
    """Price x multiplier is bounded at the gate: without it three far asks overflow the engine's reservation."""
    exchange = twin(venue(), START)
    exchange.run(events(*OPENING, order(1, 1_001, 10**6), order(2, 1_000, 1)))
    said = exchange.outcomes()[-2:]
    assert [(OutcomeKind(o["kind"]), Reason(o["reason"])) for o in said] == [
        (OutcomeKind.REJECT, Reason.BAD_PRICE),
        (OutcomeKind.ACCEPTED, Reason.NONE),
    ]


@TWINS
@pytest.mark.parametrize(
    "time_ns, reason",
    [(2**63 - 1, Reason.TIME_GAP), (START + units.DURATION_MAX_NS + 1, Reason.TIME_GAP), (START - 1, Reason.TIME_WENT_BACK)],
)
def test_a_time_that_cannot_be_moves_nothing(twin, time_ns, reason):
    exchange = twin(venue(), START)
    exchange.run(events({"kind": EventKind.CLOCK, "time_ns": time_ns}))
    assert Reason(exchange.outcomes()[-1]["reason"]) == reason
    assert exchange.state()["clock"][0][0] == START


@TWINS
def test_the_last_instant_is_an_instant(twin):
    exchange = twin(venue(), units.TIMES_MAX_NS - 1)
    exchange.run(events({"kind": EventKind.CLOCK, "time_ns": units.TIMES_MAX_NS}))
    assert exchange.state()["clock"][0][0] == units.TIMES_MAX_NS


@TWINS
@pytest.mark.parametrize(
    "row",
    [
        (9, 0, 0, 1, SeamKind.HOLD, 0),
        (Seam.SOURCE_READ, 0, 0, 1, 9, 0),
        (Seam.SOURCE_READ, 0, 0, 1, SeamKind.FORCE_TRUE, 0),
        (Seam.LIQUIDATION_TRIGGER, 0, 0, 1, SeamKind.SCALE, 5),
        (Seam.SOURCE_READ, -1, 0, 1, SeamKind.HOLD, 0),
        (Seam.SOURCE_READ, 0, 5, 5, SeamKind.HOLD, 0),
        (Seam.SOURCE_READ, 0, 0, units.TIMES_MAX_NS + 1, SeamKind.HOLD, 0),
        (Seam.SOURCE_READ, 0, 0, 1, SeamKind.RAMP, units.SEAM_ARGUMENT_MAX + 1),
        (Seam.SOURCE_READ, 0, 0, 1, SeamKind.CONST, 2**63),
    ],
)
def test_a_row_of_the_fault_schedule_out_of_bounds_is_refused(twin, row):
    with pytest.raises(SpecError, match="row 0 of the fault schedule"):
        twin(venue(), START, [row])


@pytest.mark.parametrize("kind", [SeamKind.SCALE, SeamKind.RAMP])
@pytest.mark.parametrize("argument", [units.SEAM_ARGUMENT_MAX, -units.SEAM_ARGUMENT_MAX, 1, 0])
@pytest.mark.parametrize("price", [0, 1, units.INT64_MAX, -units.INT64_MAX])
def test_prices_through_a_seam_at_the_edge(kind, argument, price):
    row = (Seam.SOURCE_READ, 0, START, units.TIMES_MAX_NS, kind, argument)
    twins = [twin(venue(), START, [row]) for twin in (Model, Engine)]
    for exchange in twins:
        exchange.run(events({"kind": EventKind.SOURCE, "price": price}, {"kind": EventKind.CLOCK}))
    assert twins[0].outcomes().tobytes() == twins[1].outcomes().tobytes() and twins[0].state() == twins[1].state()


@TWINS
def test_a_tape_has_one_dimension(twin):
    with pytest.raises(ValueError, match="a tape has one"):
        twin(venue(), START).run(events(*OPENING, {"kind": EventKind.CLOCK}).reshape(2, 2))


@pytest.mark.parametrize(
    "change",
    [
        {"publish": {"kind": "interval", "every_ns": units.INTERVAL_MIN_NS - 1}},
        {"recipe": {"kind": "floor", "price_min": 10**16, "of": {"kind": "source", "name": "s"}}},
    ],
)
def test_a_rule_book_out_of_bounds_is_refused(change):
    with pytest.raises(ValueError):
        venue(**change)
    assert venue().name == "edge"


def test_far_prices_that_come_and_go_leave_no_pages_behind():
    """A snapshot holds the pages of the book: 2,000 prices, each far from the last, one order at a time."""
    exchange = Engine(venue(decimals=0), START)
    exchange.run(events(*OPENING))
    empty = len(exchange.snapshot())
    rows = []
    for i in range(2_000):
        rows += [order(1, 1 + 40_000 * i, side=Side.BUY), {"kind": EventKind.CANCEL, "account": 16, "ref_id": 1}]
    exchange.run(events(*rows))
    placed = exchange.outcomes()["kind"] == OutcomeKind.ACCEPTED
    assert placed.sum() > 100 and not exchange.state()["orders"]
    assert len(exchange.snapshot()) - empty < len(rows) * 80 + 50_000  # outcomes, and at most a page


@TWINS
def test_a_start_that_cannot_be_is_refused(twin):
    for start_ns in (-1, units.TIMES_MAX_NS + 1):
        with pytest.raises(SpecError, match="cannot start at"):
            twin(venue(), start_ns)


@TWINS
def test_a_snapshot_knows_its_rule_book(twin):
    exchange = twin(venue(), START)
    exchange.run(events(*OPENING))
    assert twin.restore(venue(), exchange.snapshot()).state() == exchange.state()
    with pytest.raises(ValueError, match="another rule book"):
        twin.restore(venue(gap_max_ns=units.NS), exchange.snapshot())


def test_rows_that_are_not_aligned_are_read_all_the_same():
    tape = events(*OPENING, order(1, 1_000))
    shifted = np.frombuffer(b"x" + tape.tobytes(), EVENT, offset=1)
    straight, skewed = Engine(venue(), START), Engine(venue(), START)
    straight.run(tape)
    skewed.run(shifted)
    assert shifted.ctypes.data % 8 and straight.digest() == skewed.digest()


def test_a_run_in_one_thread_is_not_read_from_another():
    exchange = Engine(venue(), START)
    tape = np.repeat(events({"kind": EventKind.DEPOSIT, "account": 99}), 3_000_000)
    runner = threading.Thread(target=exchange.run, args=(tape,))
    refused = 0
    runner.start()
    while runner.is_alive():
        try:
            exchange.state()
        except RuntimeError as error:
            assert "another thread" in str(error)
            refused += 1
    runner.join()
    assert refused and len(exchange.outcomes()) == len(tape)


def test_one_node_that_stands_twice_is_two_nodes():
    mean = {"kind": "twap", "publications": 3, "of": {"kind": "source", "name": "s"}}
    twice = venue(recipe={"kind": "mean", "of": [mean, mean]})
    node = twice.indices[0].recipe.of[0]
    recipe = twice.indices[0].recipe.model_copy(update={"of": [node, node]})
    twice = twice.model_copy(update={"indices": [twice.indices[0].model_copy(update={"recipe": recipe})]})
    twins = [twin(twice, START) for twin in (Model, Engine)]
    for exchange in twins:
        exchange.run(events(*({"kind": EventKind.SOURCE, "price": price} for price in (100, 200, 900))))
    assert twins[0].state() == twins[1].state()
    assert [int(p) for p in twins[0].outcomes()["price"][twins[0].outcomes()["kind"] == OutcomeKind.INDEX]] == [100, 150, 400]


@TWINS
@pytest.mark.parametrize("weight_ppm, after", [(0, Status.LIQUIDATING), (units.PPM, Status.SUSPENDED)])
def test_dust_of_a_dead_asset_is_no_shield(twin, weight_ppm, after):
    """Collateral that counts for nothing defers no takeover; what counts, at a grade that defers, does.

    The debt is then carried, not written off: an account is bankrupt only when flat, converted and negative.
    """
    row = venue(decimals=8).model_dump(exclude_defaults=True)
    row["assets"].append({"name": "C", "decimals": 8})
    row["sources"].append({"name": "c", "price_decimals": 0})
    row["indices"].append(
        {"name": "J", "price_decimals": 2, "publish": {"kind": "update"}, "recipe": {"kind": "source", "name": "c"}}
    )
    row["collateral"] = [{"asset": "C", "index": "J", "weight_ppm": weight_ppm}]
    row["liquidation"] = {"stages": [{"kind": "takeover"}, {"kind": "convert"}, {"kind": "write_off"}]}
    exchange = twin(Venue.model_validate(row), START)
    one = 10**8
    exchange.run(
        events(
            {"kind": EventKind.SOURCE, "price": 1_000},
            {"kind": EventKind.SOURCE, "source": 1, "price": 5},
            *({"kind": EventKind.ACCOUNT, "account": a, "ref_id": a} for a in (16, 17)),
            *({"kind": EventKind.DEPOSIT, "account": a, "amount": 1_000 * one} for a in (16, 17)),
            {"kind": EventKind.DEPOSIT, "account": 16, "asset": 1, "amount": 1},
            order(1, 1_000, 10, Side.BUY),
            order(2, 1_000, 10) | {"account": 17},
            {"kind": EventKind.SOURCE, "source": 1, "flags": Flag.MISSING},
            {"kind": EventKind.SOURCE, "price": 500},
        )
    )
    assert (exchange.outcomes()["kind"] == OutcomeKind.FILL).sum() == 1
    assert {row[0]: row[4] for row in exchange.state()["accounts"]}[16] == after
    taken = (exchange.outcomes()["kind"] == OutcomeKind.TAKEOVER).sum()
    assert taken == (1 if after == Status.LIQUIDATING else 0)


def _owing(exchange, money: int):
    """Return the exchange with a balance of so much turned into a debt: no event of today makes one of collateral."""
    if isinstance(exchange, Model):
        accounts = exchange.ledger.accounts.values()
        for account in accounts:
            account.balance = [-held if held == money else held for held in account.balance]
        return exchange
    blob, before, after = exchange.snapshot(), *(n.to_bytes(16, "little", signed=True) for n in (money, -money))
    body = blob[40:].replace(before, after)  # behind the frame of 24 bytes and the digest of 16
    return Engine.restore(OWED, blob[:24] + hashlib.blake2b(body, digest_size=16).digest() + body)


def _of_two_assets() -> Venue:
    row = venue(decimals=8).model_dump(exclude_defaults=True)
    row["assets"].append({"name": "C", "decimals": 8})
    row["sources"].append({"name": "c", "price_decimals": 0})
    recipe = {"kind": "source", "name": "c"}
    row["indices"].append({"name": "J", "price_decimals": 2, "publish": {"kind": "update"}, "recipe": recipe})
    row["collateral"] = [{"asset": "C", "index": "J", "weight_ppm": units.PPM}]
    return Venue.model_validate(row)


OWED = _of_two_assets()


@TWINS
def test_who_is_flat_and_owes_collateral_is_looked_at_when_its_price_rises(twin):
    """16 has 100 USD and owes a C at 80; at 101 it is under water."""
    exchange, debt = twin(OWED, START), 10**8
    exchange.run(
        events(
            {"kind": EventKind.SOURCE, "source": 1, "price": 80},
            {"kind": EventKind.ACCOUNT, "account": 16, "ref_id": 16},
            {"kind": EventKind.DEPOSIT, "account": 16, "amount": 100 * 10**8},
            {"kind": EventKind.DEPOSIT, "account": 16, "asset": 1, "amount": debt},
        )
    )
    exchange = _owing(exchange, debt)
    assert (16, 1, -debt) in exchange.state()["balances"]
    exchange.run(events(*({"kind": EventKind.SOURCE, "source": 1, "price": price} for price in (81, 100))))
    assert {row[0]: row[4] for row in exchange.state()["accounts"]}[16] == Status.NORMAL
    exchange.run(events({"kind": EventKind.SOURCE, "source": 1, "price": 101}))
    assert {row[0]: row[4] for row in exchange.state()["accounts"]}[16] == Status.LIQUIDATING
