"""Each tape fault on a tape of a few events: the exact series it leaves; and the schedule that seam faults make."""
# ruff: noqa: E501  (a row of a table is one line)

from __future__ import annotations

import numpy as np
import pytest

from fuzz.overlay import overlay
from specs import units
from specs.errors import SpecError, TapeError
from specs.faults import Plan
from specs.load import load_text
from specs.rules import At, Venue
from specs.tape import EVENT, SEAM_ANY, EventKind, Flag, Seam, SeamKind

VENUE = load_text(
    """\
schema_version: 1
name: small
numeraire: USDT
assets: [{name: USDT}, {name: USDE}]
sources:
  - {name: btc, price_decimals: 1}
  - {name: usde, price_decimals: 4}
  - {name: dex, price_decimals: 6}
  - {name: coarse, price_decimals: 2}
indices:
  - {name: BTC, price_decimals: 1, publish: {kind: update}, recipe: {kind: source, name: btc}}
  - {name: USDE, price_decimals: 4, publish: {kind: update}, recipe: {kind: source, name: usde}}
markets:
  - name: BTCUSDT
    settles_in: USDT
    index: BTC
    mark: {kind: index}
    price_decimals: 1
    lot: {decimals: 3}
    leverage_default: 10
    brackets: [{notional_max: 300000, leverage_max: 150, maintenance_ppm: 4000}]
collateral: [{asset: USDE, index: USDE, weight_ppm: 990000}]
liquidation: {stages: [{kind: write_off}]}
""",
    Venue,
)
START = "2025-10-10T21:36:00Z"
START_NS = units.instant_to_ns(START)
GONE = "missing"


def at(second: int) -> str:
    return units.ns_to_instant(START_NS + second * units.NS)


def tape(*rows) -> np.ndarray:
    """Return events from rows (second, source or CLOCK, price or GONE, [batch_left]); a price is in its source's units."""
    events = np.zeros(len(rows), dtype=EVENT)
    for event, (second, what, price, *left) in zip(events, rows, strict=True):
        event["time_ns"] = START_NS + second * units.NS
        event["kind"] = EventKind.CLOCK if what == "CLOCK" else EventKind.SOURCE
        if what != "CLOCK":
            event["source"] = VENUE.number("sources", what)
        event["batch_left"] = left[0] if left else 0
        event["price"], event["flags"] = (0, Flag.MISSING) if price == GONE else (price or 0, 0)
    return events


def says(events: np.ndarray, source: str) -> list:
    """Return what a source says, event by event."""
    ours = events[(events["kind"] == EventKind.SOURCE) & (events["source"] == VENUE.number("sources", source))]
    return [GONE if event["flags"] & Flag.MISSING else int(event["price"]) for event in ours]


def plan(*faults: dict) -> Plan:
    rows = [{"id": f"f{i}", "source": "usde", "from": at(2), "to": at(5), **fault} for i, fault in enumerate(faults)]
    return Plan.model_validate({"schema_version": 1, "name": "p", "faults": rows})


# One event a second for seconds 0 to 6: a window [2, 5) is the third, fourth and fifth.
PRICES = (10_000, 9_999, 9_000, 8_001, 7_000, -7, 9_500)
TRUE = tape(*((second, "usde", price) for second, price in enumerate(PRICES)))


@pytest.mark.parametrize(
    "fault, series, touched",
    [
        # from at second 2, where an event stands: its price is the price at the onset
        ({"kind": "stale"}, (10_000, 9_999, 9_000, 9_000, 9_000, -7, 9_500), 3),
        # from between two events: the one before
        ({"kind": "stale", "from": "2025-10-10T21:36:01.500000Z"}, (10_000, 9_999, 9_999, 9_999, 9_999, -7, 9_500), 3),
        # from before the first event: the first in the window
        ({"kind": "stale", "from": at(-1)}, (10_000, 10_000, 10_000, 10_000, 10_000, -7, 9_500), 5),
        ({"kind": "spike", "magnitude_ppm": -350_000}, (10_000, 9_999, 5_850, 5_200, 4_550, -7, 9_500), 3),
        ({"kind": "spike", "magnitude_ppm": 130_000_000, "shape": "impulse"}, (10_000, 9_999, 1_179_000, 8_001, 7_000, -7, 9_500), 1),
        ({"kind": "spike", "magnitude_ppm": -1_000_000}, (10_000, 9_999, 0, 0, 0, -7, 9_500), 3),
        ({"kind": "scale", "exponent": 3}, (10_000, 9_999, 9_000_000, 8_001_000, 7_000_000, -7, 9_500), 3),
        ({"kind": "scale", "exponent": -3}, (10_000, 9_999, 9, 8, 7, -7, 9_500), 3),
        ({"kind": "scale", "exponent": -1, "from": at(5), "to": at(6)}, (10_000, 9_999, 9_000, 8_001, 7_000, -1, 9_500), 1),  # -0.7 -> -1
        ({"kind": "scale", "factor_ppm": 500_000}, (10_000, 9_999, 4_500, 4_000, 3_500, -7, 9_500), 3),
        ({"kind": "scale", "exponent": 15}, (10_000, 9_999, 9_000 * 10**15, 8_001 * 10**15, 7_000 * 10**15, -7, 9_500), 3),
        ({"kind": "scale", "exponent": 16}, (10_000, 9_999, GONE, GONE, GONE, -7, 9_500), 3),  # beyond 64 bits
        ({"kind": "special", "value": "zero"}, (10_000, 9_999, 0, 0, 0, -7, 9_500), 3),
        ({"kind": "special", "value": "negative"}, (10_000, 9_999, -9_000, -8_001, -7_000, -7, 9_500), 3),
        ({"kind": "special", "value": "missing"}, (10_000, 9_999, GONE, GONE, GONE, -7, 9_500), 3),
        ({"kind": "special", "value": "constant", "price": "0.65"}, (10_000, 9_999, 6_500, 6_500, 6_500, -7, 9_500), 3),
        ({"kind": "special", "value": "constant", "price": "-1"}, (10_000, 9_999, -10_000, -10_000, -10_000, -7, 9_500), 3),
        # b = -350,000 ppm x 3/3, 2/3 (-233,333.3 -> -233,334), 1/3 (-116,666.7 -> -116,667)
        ({"kind": "dislocation", "magnitude_ppm": -350_000}, (10_000, 9_999, 5_850, 6_134, 6_183, -7, 9_500), 3),
        ({"kind": "dislocation", "magnitude_ppm": -350_000, "hold_ns": units.NS}, (10_000, 9_999, 5_850, 5_200, 5_775, -7, 9_500), 3),
        ({"kind": "dislocation", "magnitude_ppm": -350_000, "hold_ns": units.NS, "recovery_ns": units.NS}, (10_000, 9_999, 5_850, 5_200, 7_000, -7, 9_500), 3),
        ({"kind": "dislocation", "magnitude_ppm": -350_000, "hold_ns": units.NS, "recovery_ns": 0}, (10_000, 9_999, 5_850, 8_001, 7_000, -7, 9_500), 3),
        ({"kind": "drop"}, (10_000, 9_999, -7, 9_500), 3),
        ({"kind": "repair", "by": {"kind": "constant", "price": "1"}}, (10_000, 9_999, 10_000, 10_000, 10_000, -7, 9_500), 3),
    ],
)  # fmt: skip
def test_series(fault, series, touched):
    before = TRUE.tobytes()
    counts: dict[str, int] = {}
    broken = overlay(TRUE, plan(fault), VENUE, counts)
    assert says(broken, "usde") == list(series)
    assert TRUE.tobytes() == before, "the input was changed"
    assert counts == {"f0": touched}
    if fault["kind"] != "drop":  # nothing but prices and flags may differ
        for name in EVENT.names:
            assert name in ("price", "flags") or np.array_equal(broken[name], TRUE[name]), name


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "spike", "magnitude_ppm": 0},
        {"kind": "scale", "exponent": 0},
        {"kind": "scale", "factor_ppm": units.PPM},
        {"kind": "dislocation", "magnitude_ppm": 0, "hold_ns": units.NS},
    ],
    ids=lambda fault: "-".join(fault)[5:],
)
def test_a_fault_of_zero_magnitude_leaves_every_byte(fault):
    assert overlay(TRUE, plan(fault), VENUE).tobytes() == TRUE.tobytes()
    louder = {"magnitude_ppm": 100_000, "exponent": 1, "factor_ppm": 2 * units.PPM}
    assert overlay(TRUE, plan({k: louder.get(k, v) for k, v in fault.items()}), VENUE).tobytes() != TRUE.tobytes()


def test_the_window_is_half_open():
    nanosecond = TRUE.copy()
    nanosecond["time_ns"][[1, 4]] = START_NS + 2 * units.NS - 1, START_NS + 5 * units.NS - 1
    zero = plan({"kind": "special", "value": "zero"})
    assert says(overlay(nanosecond, zero, VENUE), "usde") == [10_000, 9_999, 0, 0, 0, -7, 9_500]
    nanosecond["time_ns"][[1, 4]] += 1
    assert says(overlay(nanosecond, zero, VENUE), "usde") == [10_000, 0, 0, 0, 7_000, -7, 9_500]


def test_only_the_named_source_is_touched():
    events = tape((2, "CLOCK", 0), (2, "btc", 5), (2, "usde", 6), (2, "dex", 7), (3, "CLOCK", 0))
    events["qty"], events["ref_id"] = 11, 12  # whatever else a record may hold stays
    broken = overlay(events, plan({"kind": "special", "value": "zero"}), VENUE)
    assert (says(broken, "btc"), says(broken, "usde"), says(broken, "dex")) == ([5], [0], [7])
    broken["price"][2] = 6
    assert broken.tobytes() == events.tobytes()


def test_events_without_a_price():
    """A fault that computes leaves them alone, a fault that states a value states it."""
    events = tape((1, "usde", GONE), (2, "usde", GONE), (3, "usde", 100), (4, "usde", GONE))
    counts: dict[str, int] = {}
    impulse = plan({"kind": "spike", "magnitude_ppm": 10_000, "shape": "impulse"})
    assert says(overlay(events, impulse, VENUE, counts), "usde") == [GONE, GONE, 101, GONE]
    assert counts == {"f0": 1}
    assert says(overlay(events, plan({"kind": "special", "value": "negative"}), VENUE), "usde") == [GONE, GONE, -100, GONE]
    assert says(overlay(events, plan({"kind": "special", "value": "zero"}), VENUE), "usde") == [GONE, 0, 0, 0]
    assert says(overlay(events, plan({"kind": "stale"}), VENUE), "usde") == [GONE, GONE, GONE, GONE]
    gone = overlay(events, plan({"kind": "special", "value": "missing"}), VENUE)
    assert [int(price) for price in gone["price"]] == [0, 0, 0, 0]  # a record without a price carries none


@pytest.mark.parametrize("price", [units.INT64_MAX, -units.INT64_MAX])
def test_the_last_price_that_fits(price):
    events = tape((2, "usde", price))
    assert says(overlay(events, plan({"kind": "special", "value": "negative"}), VENUE), "usde") == [-price]
    assert says(overlay(events, plan({"kind": "spike", "magnitude_ppm": 1}), VENUE), "usde") == [GONE]


def test_faults_act_in_the_order_of_the_plan():
    up, floor = {"kind": "spike", "magnitude_ppm": 1_000_000}, {"kind": "special", "value": "constant", "price": "0.01"}
    assert says(overlay(TRUE, plan(up, floor), VENUE), "usde")[2:5] == [100, 100, 100]
    assert says(overlay(TRUE, plan(floor, up), VENUE), "usde")[2:5] == [200, 200, 200]
    frozen = {"kind": "stale", "from": at(3)}
    gap = {"kind": "drop", "from": at(3), "to": at(4)}
    assert says(overlay(TRUE, plan(gap, frozen), VENUE), "usde")[2:] == [9_000, 9_000, -7, 9_500]
    assert says(overlay(TRUE, plan(frozen, gap), VENUE), "usde")[2:] == [9_000, 8_001, -7, 9_500]


def test_disabled_faults_do_nothing():
    counts: dict[str, int] = {}
    off = plan({"kind": "drop", "enabled": False}, {"kind": "special", "value": "zero", "to": at(3)})
    assert says(overlay(TRUE, off, VENUE, counts), "usde") == [10_000, 9_999, 0, 8_001, 7_000, -7, 9_500]
    assert counts == {"f1": 1}
    same = overlay(TRUE, plan(), VENUE)
    assert same is not TRUE and not np.shares_memory(same, TRUE) and same.tobytes() == TRUE.tobytes()


def test_a_fault_that_meets_no_event_is_counted_as_0():
    counts: dict[str, int] = {}
    late = {"from": at(60), "to": at(70)}
    repair = {"kind": "repair", "by": {"kind": "source", "name": "dex"}}
    kinds = [{"kind": "stale"}, {"kind": "drop"}, {"kind": "special", "value": "zero"}, repair]
    same = overlay(TRUE, plan(*({**kind, **late} for kind in kinds)), VENUE, counts)
    assert counts == {"f0": 0, "f1": 0, "f2": 0, "f3": 0} and same.tobytes() == TRUE.tobytes()
    assert len(overlay(np.zeros(0, dtype=EVENT), plan({"kind": "drop"}), VENUE)) == 0


# ---- repair

def test_repair_by_another_source():
    """At each event the other source's latest at or before its time, later in the tape at the same time included."""
    events = tape(
        (2, "usde", 6_500),  # dex has said nothing
        (3, "dex", 999_999),
        (3, "usde", 6_600),  # 0.999999 -> 0.9999, toward -inf
        (4, "usde", 6_700),
        (4, "dex", 997_641),
        (5, "usde", 6_800),
        (6, "dex", GONE),
        (6, "usde", 6_900),
        (7, "dex", -15),
        (7, "usde", 7_000),  # -0.000015 -> -0.0001
        (8, "usde", 7_100),  # outside the window
    )
    by_dex = {"kind": "repair", "to": at(8), "by": {"kind": "source", "name": "dex"}}
    counts: dict[str, int] = {}
    repaired = overlay(events, plan(by_dex), VENUE, counts)
    assert says(repaired, "usde") == [GONE, 9_999, 9_976, 9_976, GONE, -1, 7_100]
    assert says(repaired, "dex") == says(events, "dex")
    assert counts == {"f0": 6}


def test_repair_by_a_coarser_source_and_of_a_missing_one():
    events = tape((2, "coarse", 99), (3, "usde", GONE))
    repaired = overlay(events, plan({"kind": "repair", "by": {"kind": "source", "name": "coarse"}}), VENUE)
    assert says(repaired, "usde") == [9_900]


def test_break_then_repair_is_the_true_tape():
    events = tape(*((second, name, (10_000 + second) * scale) for second in range(7) for name, scale in (("dex", 100), ("usde", 1))))
    by_dex = {"kind": "repair", "by": {"kind": "source", "name": "dex"}}
    broken = plan({"kind": "spike", "magnitude_ppm": -350_000})
    assert overlay(overlay(events, broken, VENUE), plan(by_dex), VENUE).tobytes() == events.tobytes()
    assert overlay(events, broken, VENUE).tobytes() != events.tobytes()


# ---- drop and batches

BATCH = ((1, "usde", 1, 0), (2, "btc", 2, 2), (2, "usde", 3, 1), (2, "dex", 4, 0), (3, "CLOCK", 0, 0))


@pytest.mark.parametrize(
    "source, left",
    [("btc", [0, 1, 0, 0]), ("usde", [0, 1, 0, 0]), ("dex", [0, 1, 0, 0]), ("coarse", [0, 2, 1, 0, 0])],
    ids=["first", "middle", "last", "none"],
)
def test_a_batch_still_counts_down_to_0(source, left):
    kept = overlay(tape(*BATCH), plan({"kind": "drop", "source": source}), VENUE)
    assert kept["batch_left"].tolist() == left
    assert np.all(np.diff(kept["time_ns"]) >= 0)


def test_batches_of_one_time_stay_apart_and_may_vanish():
    rows = ((2, "usde", 1, 1), (2, "usde", 2, 0), (2, "usde", 3, 2), (2, "btc", 4, 1), (2, "usde", 5, 0), (2, "btc", 6, 1), (2, "btc", 7, 0))
    kept = overlay(tape(*rows), plan({"kind": "drop"}), VENUE)
    assert kept["price"].tolist() == [4, 6, 7] and kept["batch_left"].tolist() == [0, 1, 0]


def test_a_chunk_that_ends_inside_a_batch():
    kept = overlay(tape((2, "usde", 1, 3), (2, "btc", 2, 2)), plan({"kind": "drop"}), VENUE)
    assert kept["batch_left"].tolist() == [2]
    kept = overlay(tape((2, "btc", 1, 3), (2, "usde", 2, 2)), plan({"kind": "drop"}), VENUE)
    assert kept["batch_left"].tolist() == [2]


def test_the_clock_grid_stays():
    events = tape(*((second, what, 1) for second in range(7) for what in ("CLOCK", "usde")))
    kept = overlay(events, plan({"kind": "drop", "from": at(-5), "to": at(50)}), VENUE)
    assert kept.tobytes() == events[events["kind"] == EventKind.CLOCK].tobytes() and len(kept) == 7


# ---- what overlay refuses

def test_a_tape_out_of_order_is_refused():
    events = TRUE.copy()
    events["time_ns"][4] = START_NS
    with pytest.raises(TapeError, match=r"^event 4: time goes back \(sort the tape by time\)$"):
        overlay(events, plan(), VENUE)


def test_what_is_no_tape_is_refused():
    with pytest.raises(TapeError, match="not events but int64"):
        overlay(np.zeros(3, dtype=np.int64), plan(), VENUE)
    with pytest.raises(TapeError, match=r"^event 0: the batch counts down wrongly"):
        overlay(tape((2, "btc", 1, 1), (2, "usde", 2, 3), (2, "usde", 3, 0)), plan({"kind": "drop"}), VENUE)


def test_a_plan_for_another_venue_is_refused():
    wrong = plan({"kind": "drop", "source": "usdf", "enabled": False})
    with pytest.raises(SpecError, match=r"^plan p: faults\.f0\.source: 'usdf' is not one of the sources of small \(did you mean 'usde'\?\)$"):
        overlay(TRUE, wrong, VENUE)
    with pytest.raises(SpecError, match=r"^plan p: faults\.f0\.source: "):
        wrong.seam_rows(VENUE)
    with pytest.raises(At) as caught:
        wrong.check(VENUE, ("plan",))
    assert caught.value.path == ("plan", "faults", 0, "source")


# ---- seams

def rows(*faults: dict) -> list[tuple]:
    base = {"kind": "seam", "from": at(2), "to": at(5)}
    faults = [{"id": f"f{i}", **base, **fault} for i, fault in enumerate(faults)]
    made = Plan.model_validate({"schema_version": 1, "name": "p", "faults": faults}).seam_rows(VENUE)
    assert all(row[2:4] == (START_NS + 2 * units.NS, START_NS + 5 * units.NS) for row in made)
    return [row[:2] + row[4:] for row in made]


@pytest.mark.parametrize(
    "fault, schedule",
    [
        ({"at": "source_read", "key": "usde", "does": "hold"}, [(Seam.SOURCE_READ, 1, SeamKind.HOLD, 0)]),
        ({"at": "index_publish", "key": "USDE", "does": "scale", "ppm": 650_000}, [(Seam.INDEX_PUBLISH, 1, SeamKind.SCALE, 650_000)]),
        ({"at": "mark_publish", "key": "BTCUSDT", "does": "ramp", "ppm": -350_000}, [(Seam.MARK_PUBLISH, 0, SeamKind.RAMP, -350_000)]),
        ({"at": "collateral_price", "key": "USDE", "does": "const", "price": "0.65"}, [(Seam.COLLATERAL_PRICE, 1, SeamKind.CONST, 6_500)]),
        ({"at": "mark_publish", "key": "any", "does": "const", "price": "-37.6"}, [(Seam.MARK_PUBLISH, SEAM_ANY, SeamKind.CONST, -376)]),
        ({"at": "source_read", "key": "any", "does": "missing"}, [(Seam.SOURCE_READ, SEAM_ANY, SeamKind.MISSING, 0)]),
        # a hold of any holds each key's own value
        ({"at": "index_publish", "key": "any", "does": "hold"}, [(Seam.INDEX_PUBLISH, 0, SeamKind.HOLD, 0), (Seam.INDEX_PUBLISH, 1, SeamKind.HOLD, 0)]),
        ({"at": "liquidation_trigger", "key": 1_000, "does": "force_true"}, [(Seam.LIQUIDATION_TRIGGER, 1_000, SeamKind.FORCE_TRUE, 0)]),
        ({"at": "liquidation_trigger", "key": "any", "does": "force_false"}, [(Seam.LIQUIDATION_TRIGGER, SEAM_ANY, SeamKind.FORCE_FALSE, 0)]),
        ({"at": "source_read", "key": "usde", "does": "hold", "enabled": False}, []),
    ],
)  # fmt: skip
def test_seam_rows(fault, schedule):
    assert rows(fault) == schedule


def test_seam_rows_keep_the_order_of_the_plan_and_their_limit():
    one = {"at": "source_read", "key": "usde", "does": "hold"}
    two = {"at": "source_read", "key": "btc", "does": "missing"}
    assert [row[1] for row in rows(one, two)] == [1, 0] and [row[1] for row in rows(two, one)] == [0, 1]
    assert len(rows(*[two] * units.SEAM_ROWS_MAX)) == units.SEAM_ROWS_MAX
    with pytest.raises(SpecError, match="the schedule has more than 1024 rows"):
        rows(*[two] * (units.SEAM_ROWS_MAX - 1), {**one, "key": "any"})


def test_tape_faults_are_no_seam_rows_and_seam_faults_leave_the_tape():
    assert plan({"kind": "drop"}).seam_rows(VENUE) == []
    fault = {"id": "h", "kind": "seam", "at": "source_read", "key": "usde", "does": "hold", "from": at(2), "to": at(5)}
    hold = Plan.model_validate({"schema_version": 1, "name": "p", "faults": [fault]})
    counts: dict[str, int] = {}
    assert overlay(TRUE, hold, VENUE, counts).tobytes() == TRUE.tobytes() and counts == {}


# ---- one flag a fault

def test_toggles():
    three = plan({"kind": "drop"}, {"kind": "stale", "enabled": False}, {"kind": "stale"})

    def on(toggled: Plan) -> list[bool]:
        return [fault.enabled for fault in toggled.faults]

    assert on(three) == [True, False, True]
    assert on(three.only(["f1"])) == [False, True, False]
    assert on(three.only([])) == [False, False, False]
    assert on(three.without(["f0"])) == [False, False, True]
    assert on(three.without(["f0", "f1", "f2"])) == [False, False, False]
    assert on(three.without([])) == [True, False, True]
    assert on(three) == [True, False, True], "the plan itself was changed"
    for toggle in (three.only, three.without):
        with pytest.raises(SpecError, match=r"^there is no fault 'ff0' in plan p \(did you mean 'f0'"):
            toggle(["f1", "ff0"])
