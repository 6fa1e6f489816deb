"""`riskbed positions`: who stands nearest to liquidation at a time of a tape, by example, and on a packaged incident."""
# ruff: noqa: E501  (a row of a table is one line)

from __future__ import annotations

import json
from pathlib import Path

import pytest

from riskbed import positions as listing
from riskbed.positions import Options, Positions
from riskbed.replay import Options as Inputs
from specs import units
from specs.errors import SpecError
from specs.tape import Meta, Tape
from tests.test_cli import riskbed
from tests.test_model_tables import TRADED
from tests.twins import START_NS, small_venue, stages, tape

# 16 bought 16 lots at 100 from 17, each on 120; 18 holds a position that no price can cost more than it has.
ROWS = (
    TRADED
    + """
    0    clock                           | ...
    1    clock                           | ...
    1    account 18                      | ...
    1    deposit 18 USDT 200             | ...
    1    deposit 17 USDT 0.0001          | ...
    1    buy 18 COINUSDT 1 @100 #3       | ...
    1    sell 17 COINUSDT 1 @100 #4      | ...
    2    clock                           | ...
    2    source coin 98                  | ...
    3    clock                           | ...
    3    source coin 94                  | ...
    """
)


@pytest.fixture
def mine(tmp_path: Path) -> Inputs:
    """Return a tape and a rule book of one's own; an account in liquidation stays in it."""
    venue = small_venue(liquidation={"stages": stages("book", "takeover")})
    lines = sorted(filter(str.strip, ROWS.splitlines()), key=lambda line: int(line.split()[0]))
    end_ns = START_NS + 3 * units.NS
    Tape(tape(venue, "\n".join(lines)), Meta("small", START_NS, end_ns, title="mine")).write(tmp_path / "mine.parquet")
    (tmp_path / "mine.yaml").write_text(venue.model_dump_json(by_alias=True, exclude_defaults=True))
    return Inputs(tape=tmp_path / "mine.parquet", venue=tmp_path / "mine.yaml")


AT_98 = units.ns_to_instant(START_NS + 2 * units.NS)


def test_the_nearest_stand_first(mine: Inputs) -> None:
    """At 98: 16 has 88 and needs 39.2; 98 - 94.87 are 3.1938 % of 98. 17 is short of 17 lots: 154.0001 against 41.65; it is triggered at
    1,820.0001 - 17 p <= 0.425 p, p >= 104.448.., and 120.0001 / 17 = 7.0588 a lot take it to 107.0588, down to a tick.
    """
    found = listing.positions(Options(mine, at=AT_98))
    assert (found.at, found.time, found.of, found.venue, found.run) == (AT_98, AT_98, 3, "small", "broken")
    long, short, never = found.rows
    assert long.model_dump() == {
        "account": 16,
        "status": "normal",
        "market": "COINUSDT",
        "qty": 16,
        "entry": "100.00",
        "mark": "98.00",
        "equity": "88.0000",
        "maintenance": "39.2000",
        "liquidation_price": "94.87",
        "distance_percent": "3.1938",
        "bankruptcy_price": "92.50",
        "adl_rank": 1,
        "adl_of": 2,
    }
    assert (short.account, short.qty, short.equity, short.maintenance) == (17, -17, "154.0001", "41.6500")
    assert (short.liquidation_price, short.distance_percent, short.bankruptcy_price) == ("104.45", "6.5816", "107.05")
    assert (never.account, never.liquidation_price, never.distance_percent, never.bankruptcy_price) == (18, None, None, None)


def test_who_is_triggered_is_first_and_in_no_queue(mine: Inputs) -> None:
    row = listing.positions(Options(mine, top=1)).rows[0]
    assert (row.account, row.status, row.mark, row.liquidation_price, row.distance_percent) == (16, "liquidating", "94.00", "94.00", "0.0000")
    assert (row.equity, row.maintenance, row.adl_rank, row.adl_of) == ("24.0000", "37.6000", None, None)


def test_the_model_lists_the_same(mine: Inputs) -> None:
    from dataclasses import replace

    for at in (None, AT_98):
        assert listing.positions(Options(mine, at=at)) == listing.positions(Options(replace(mine, twin="model"), at=at))


def test_one_account_and_so_many(mine: Inputs) -> None:
    assert [row.account for row in listing.positions(Options(mine, at=AT_98, account=17)).rows] == [17]
    found = listing.positions(Options(mine, at=AT_98, top=2))
    assert [row.account for row in found.rows] == [16, 17] and found.of == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"at": "2025-10-10T21:15:00Z"}, "is not on the tape"),
        ({"at": "soon"}, "--at soon"),
        ({"at": "1970-01-01T00:16:42"}, "has no time zone"),
        ({"account": 99}, "account 99 is not open then"),
        ({"run": "crooked"}, "there is no run 'crooked'"),
    ],
)
def test_what_is_not_there_is_named(mine: Inputs, options: dict, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        listing.positions(Options(mine, **options))


def test_the_command_prints_a_table_or_one_object(mine: Inputs) -> None:
    own = ["--tape", mine.tape, "--venue", mine.venue, "--at", AT_98]
    done = riskbed("positions", *own)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "Nearest to liquidation: 3 of 3 positions" in done.stdout
    assert next(line for line in done.stdout.splitlines() if line.startswith(" 16 ")).split() == (
        "16 COINUSDT 16 100.00 98.00 88.00 39.20 94.87 3.1938 92.50 1 of 2 normal".split()
    )
    as_json = riskbed("positions", *own, "--json")
    assert Positions.model_validate_json(as_json.stdout) == listing.positions(Options(mine, at=AT_98))
    assert set(json.loads(as_json.stdout)) == set(json.loads(listing.schema())["required"])
    wrong = riskbed("positions", *own, "--account", 99)
    assert (wrong.returncode, wrong.stdout) == (2, "") and wrong.stderr.startswith("riskbed: account 99 is not open then")
    assert riskbed("positions").returncode == riskbed("positions", *own, "--top", 0).returncode == 2


def test_a_packaged_incident(tmp_path: Path) -> None:
    done = riskbed("positions", "2025-10-10-binance-usde", "--accounts", 60, "--at", "2025-10-10T21:20:00Z", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = Positions.model_validate_json(done.stdout)
    assert 0 < len(found.rows) <= 20 and found.assumed and found.unknowns
    distances = [float(row.distance_percent) for row in found.rows if row.distance_percent is not None]
    assert distances == sorted(distances) and not list(tmp_path.iterdir())
    pair = riskbed("positions", "2025-10-10")
    assert pair.returncode == 2 and pair.stderr.startswith("riskbed: ") and pair.stderr.count("\n") == 1


def test_the_schema_is_current() -> None:
    assert listing.SCHEMA.read_text(encoding="utf-8") == listing.schema(), "run `python -m riskbed.positions`"
