"""The comparator compares everything: each field of an outcome and each cell of a state, flipped alone, is named."""

from __future__ import annotations

import numpy as np
import pytest

from fuzz.strategies import busy
from fuzz.twin import COLUMNS, Lockstep, first_difference, state_difference
from specs.errors import LawBroken, TwinsDiffer
from specs.model.exchange import Exchange
from specs.tape import OUTCOME, OUTCOME_STRUCT, Seam, SeamKind
from tests.twins import START_NS, index, rows_of, seam_row, small_venue, stages, tape

LIMITED = {"bound": {"kind": "mark", "ppm": 1_000}, "block_limit": {"window_ns": 10**9, "notional_max": 50}}
VENUE = small_venue(
    sources=[{"name": name, "price_decimals": 2, "stale_after_ns": 10**10} for name in ("coin", "usd")],
    indices=[
        index("COIN", {"kind": "twap", "of": {"kind": "source", "name": "coin"}, "publications": 2}),
        index("USD", {"kind": "source", "name": "usd"}, 1),
    ],
    market={
        "mark": {"kind": "median", "basis_samples": 2},
        "fees": {"taker_ppm": 500},
        "band": {"kind": "index_anchored", "inner_ppm": 10**6, "outer_ppm": 10**6, "premium": {"samples": 2}},
        "funding": {"every_ns": 60 * 10**9, "interest_ppb": 100_000},
        "settlement": {"price": "average", "publications": 2},
    },
    limits={"fills_kept": 5},
    collateral_row={"deposits_max": 1_000},
    liquidation={"stages": stages("takeover", book=LIMITED), "levels": [{"name": "call", "at_most": "27"}]},
    changes=[
        {"name": "scaled", "market": "COINUSDT", "maintenance_scale_ppm": 1_200_000, "grandfather": {}},
        {"name": "haircut", "collateral": "USD", "weight_ppm": 800_000},
    ],
    quoters=[
        {
            "account": 18,
            "market": "COINUSDT",
            "levels": 1,
            "half_spread_ppm": 1_000,
            "step_ppm": 0,
            "lots": 1,
            "refill_ns": 10**9,
        },
    ],
)
SEAMS = (seam_row(Seam.MARK_PUBLISH, 0, 0, 9, SeamKind.HOLD),)
# The last event leaves its batch open, so that no table of the state is empty.
TABLE = """
    0    source coin 100                |
    0    source usd 1                   |
    0    account 16                     |
    0    account 17 owner 16            |
    0    account 18 owner 16 parent 16  |
    0    deposit 16 USDT 120            |
    0    deposit 17 USDT 120            |
    0    deposit 18 USDT 120            |
    0    account 19                     |
    0    deposit 19 USD 100             |
    0    deposit 16 USD 5               |
    0    leverage 16 COINUSDT 10        |
    1    clock                          |
    1    buy 16 COINUSDT 2 @99.95 #1    |
    1    sell 17 COINUSDT 1 market #2   |
    1    sell 17 COINUSDT 4 @104 #3     |
    1    buy 19 COINUSDT 2 @104 #7      |
    1    source usd 0.01                |
    2    autoadd 18 on                  |
    2    stop buy 16 COINUSDT 1 #5 at=120 by=mark |
    2    trail sell 17 COINUSDT 3 @80 gtd until=50 #6 ppm=900000 by=last |
    2    sell 16 COINUSDT 1 @105 reduce #4 |
    2    state COINUSDT reduce_only     |
    2    withdraw 16 USDT 60            |
    2    change scaled                  |
    2    change haircut at=9            |
    2    source coin 97                 |
    2    source coin 60                 |
    2    deposit 16 USD 1 & 1           |
    2    source coin 98 & 1             |
"""
EVENTS = tape(VENUE, TABLE)
FILL = [left for left, _ in rows_of(TABLE)].index("1    sell 17 COINUSDT 1 market #2")


def flipping(event: int, outcome: int | None = None, column: int = 0, table: str = "", row: int = 0) -> type[Exchange]:
    """Return the model with one field flipped: of an outcome of an event, or of a row of the state from that event on."""

    class Flipped(Exchange):
        def apply(self, packed):
            said = super().apply(packed)
            if self.events - 1 != event or outcome is None:
                return said
            size = OUTCOME.itemsize
            fields = list(OUTCOME_STRUCT.unpack(said[outcome * size : (outcome + 1) * size]))
            fields[column] ^= 1
            return said[: outcome * size] + OUTCOME_STRUCT.pack(*fields) + said[(outcome + 1) * size :]

        def state(self):
            tables = super().state()
            if table and self.events > event:
                cells = list(tables[table][row])
                cells[column] += 1
                tables[table] = tables[table][:row] + [tuple(cells)] + tables[table][row + 1 :]
            return tables

    return Flipped


def run(right: type[Exchange], **options) -> TwinsDiffer:
    with pytest.raises(TwinsDiffer) as caught:
        Lockstep(VENUE, START_NS, SEAMS, left="model", right=right).run(EVENTS, **options)
    return caught.value


def test_equal_twins_pass():
    lockstep = Lockstep(VENUE, START_NS, SEAMS, left="model", right="model")
    lockstep.run(EVENTS, state_every=1, laws=True)
    assert lockstep.events == len(EVENTS)


@pytest.mark.parametrize("column", range(len(OUTCOME.names)), ids=OUTCOME.names)
def test_each_field_of_an_outcome_is_compared(column):
    for outcome in (0, 1):
        error = run(flipping(FILL, outcome=outcome, column=column))
        assert (error.event, error.field) == (FILL, f"outcome[{outcome}].{OUTCOME.names[column]}")
        assert error.model ^ error.engine == 1


def test_a_missing_outcome_is_named():
    class Silent(Exchange):
        def apply(self, packed):
            said = super().apply(packed)
            return said[: -OUTCOME.itemsize] if self.events - 1 == FILL else said

    error = run(Silent)
    assert (error.event, error.field, error.engine) == (FILL, "outcome[1]", "absent")


LAST = len(EVENTS) - 1


def _final_state():
    exchange = Exchange(VENUE, START_NS, SEAMS)
    exchange.run(EVENTS)
    return exchange.state()


FINAL = _final_state()


def test_the_comparator_knows_every_table_and_no_table_is_empty():
    assert set(COLUMNS) == set(FINAL)
    for table, (names, _) in COLUMNS.items():
        assert FINAL[table], table
        assert {len(row) for row in FINAL[table]} == {len(names)}, table


@pytest.mark.parametrize(("table", "column"), [(t, n) for t, (names, _) in COLUMNS.items() for n in range(len(names))])
def test_each_cell_of_the_state_is_compared(table, column):
    names, keys = COLUMNS[table]
    for row in {0, len(FINAL[table]) - 1}:
        error = run(flipping(LAST, table=table, row=row, column=column))
        assert (error.event, error.field) == (LAST, f"{table}[{FINAL[table][row][:keys]}].{names[column]}")
        assert error.engine == error.model + 1


def test_the_event_is_named_when_states_are_compared_often():
    for event in (3, 7):
        assert run(flipping(event, table="clock"), state_every=1).event == event
    assert run(flipping(5, table="clock"), state_every=4).event == 7
    assert run(flipping(5, table="clock")).event == LAST


def test_rows_and_tables_that_one_twin_lacks_are_named():
    model = {"positions": [(16, 0, 0, 5, 500), (17, 0, 0, -5, -500)], "clock": [(1, 2, 3)]}
    without = {"positions": [(16, 0, 0, 5, 500)], "clock": [(1, 2, 3)]}
    assert state_difference(model, without) == ("positions[(17, 0, 0)]", (17, 0, 0, -5, -500), "absent")
    assert state_difference(without, model) == ("positions[(17, 0, 0)]", "absent", (17, 0, 0, -5, -500))
    assert state_difference(model, {"positions": model["positions"]}) == ("clock", "there", "absent")
    wide = {"positions": [(16, 0, 0, 5, 500, 1), (17, 0, 0, -5, -500)], "clock": [(1, 2, 3)]}
    assert state_difference(model, wide)[0] == "positions[(16, 0, 0)]"


# ---- two whole runs: the same first difference as in lockstep


class Whole:
    """A run of EVENTS on a twin, with what apply() said as its outcomes."""

    def __init__(self, twin: type[Exchange], events: np.ndarray = EVENTS) -> None:
        exchange = twin(VENUE, START_NS, SEAMS)
        said = exchange.outcomes().tobytes() + b"".join(exchange.apply(event) for event in events)
        self.outcomes, self.state = lambda: np.frombuffer(said, OUTCOME), exchange.state


def differs(twin: type[Exchange]) -> tuple:
    event, field, model, engine = first_difference(Whole(Exchange), Whole(twin), len(EVENTS))
    mirrored = first_difference(Whole(twin), Whole(Exchange), len(EVENTS))
    assert (mirrored[0], *mirrored[2:]) == (event, engine, model)
    return event, field, model, engine


def test_equal_runs_have_no_difference():
    assert first_difference(Whole(Exchange), Whole(Exchange), len(EVENTS)) is None
    assert first_difference(Whole(Exchange, EVENTS[:0]), Whole(Exchange, EVENTS[:0]), 0) is None


@pytest.mark.parametrize("column", range(len(OUTCOME.names)), ids=OUTCOME.names)
def test_each_field_of_a_runs_outcomes_is_compared(column):
    for outcome in (0, 1):
        twin = flipping(FILL, outcome=outcome, column=column)
        error = run(twin)
        if OUTCOME.names[column] == "event":  # then an outcome of the event before, or after, stands there
            assert differs(twin)[0] == min(FILL, FILL ^ 1) and "absent" in differs(twin)
        else:
            assert differs(twin) == (error.event, error.field, error.model, error.engine)


@pytest.mark.parametrize("event", [FILL, int(Whole(Exchange).outcomes()["event"][-1])])  # in the middle, and at the end
@pytest.mark.parametrize("which", [0, -1])
def test_an_outcome_that_a_run_lacks_is_named(event, which):
    class Silent(Exchange):
        def apply(self, packed):
            said = super().apply(packed)
            rows = [said[i : i + OUTCOME.itemsize] for i in range(0, len(said), OUTCOME.itemsize)]
            return b"".join(row for i, row in enumerate(rows) if i != which % len(rows) or self.events - 1 != event)

    error = run(Silent)
    assert differs(Silent) == (error.event, error.field, error.model, error.engine)


@pytest.mark.parametrize("table", COLUMNS)
def test_the_states_that_runs_end_in_are_compared(table):
    error = run(flipping(LAST, table=table))
    assert differs(flipping(LAST, table=table)) == (error.event, error.field, error.model, error.engine)


def test_the_first_outcomes_are_compared_too():
    class Poorer(Exchange):
        def __init__(self, venue, start_ns, seams=()):
            super().__init__(venue, start_ns, seams)
            self._out = self._out[:-1] + b"\x01"

    with pytest.raises(TwinsDiffer, match=r"event 0 in outcome\[0\]"):
        Lockstep(small_venue(fund={"capital": 5}), START_NS, left="model", right=Poorer)


def test_a_planted_bug_is_killed_by_lockstep_alone_and_by_the_laws_on_both():
    case = busy(400, accounts=4)
    with pytest.raises(TwinsDiffer):
        Lockstep(case.venue, case.start_ns, planted=1, right="model").run(case.events)
    from fuzz.mutants import plant

    both = plant(Exchange, 1)
    with pytest.raises(LawBroken, match="law L1 "):
        Lockstep(case.venue, case.start_ns, left=both, right=both).run(case.events, laws=["L1"])
