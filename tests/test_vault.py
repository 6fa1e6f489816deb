"""A vault takes positions over before the backstop, as far as its own margin goes. A row an event, on both twins.

The rule book is tests/twins.py:small_venue: 16 is long 16 lots from 100 with 120 of cash, 17 is short. At 94 16 has 24: whoever
takes the lots over at the bankruptcy price gets them for 1,480, worth 1,504, and needs 75.2 of initial margin for them.
"""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

from random import Random

import pytest
from pydantic import ValidationError

from engine.exchange import Exchange as Engine
from specs import laws, rules
from specs.model.exchange import Exchange as Model
from specs.scene import Book, Case, Scene, event_of, outcomes_of
from specs.tape import OutcomeKind, Seam, SeamKind
from tests.test_laws import TRADED
from tests.twins import START_NS, play, seam_row, small_venue, stages, tape, twin  # noqa: F401

PLAYED = TRADED.replace("|\n", "| ...\n")
VAULT = """
    1    account 18                     | ...
    1    deposit 18 USDT {cash}         | ...
"""
AT_94 = "2 source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; "
TAKEN = "TAKEOVER 16 long 16 @94{by} cash 1480 in round 1; RESTORED 16 0 FLAT in round 1"
BY_18, BY_17, BY_BACKSTOP = TAKEN.format(by=" by 18"), TAKEN.format(by=" by 17"), TAKEN.format(by="")


def venue(vault: dict = {}, **row) -> rules.Venue:  # noqa: B006  # read only
    takeover = {"vault": {"account": 18} | vault} | row
    return small_venue(liquidation={"stages": stages("book", takeover=takeover)})


@pytest.mark.parametrize(
    ("cash", "vault", "said"),
    [
        ("51.2", {}, BY_18),  # 51.2 + 24 = 75.2
        ("51.1999", {}, BY_BACKSTOP),
        ("51.2", {"notional_max": 1_504}, BY_18),
        ("5000", {"notional_max": 1_503}, BY_BACKSTOP),
        ("5000", {"account": 19}, BY_BACKSTOP),  # never opened
        ("5000", {"account": 16}, BY_BACKSTOP),  # the account that is closed
        ("0.0001", {"account": 17}, BY_17),  # flat after it: it needs nothing
        ("0.0001", {"account": 17, "notional_max": 0}, BY_17),
    ],
)
def test_a_vault_takes_what_its_margin_admits(twin, cash, vault, said):
    play(twin, venue(vault), PLAYED + VAULT.format(cash=cash) + AT_94 + said)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        # its own bid of 4 is open: 20 lots at 94, 94 of margin for them, and 4 x (95 - 94) that the bid would lose
        ("1 buy 18 COINUSDT 4 @95 #7 | ...", {"73.9999": BY_BACKSTOP, "74": BY_18}),
        # an offer is on the other side: of the 16 lots it takes 4, the worse side is the lots alone
        ("1 sell 18 COINUSDT 4 @105 #7 | ...", {"51.1999": BY_BACKSTOP, "51.2": BY_18}),
    ],
)
def test_open_orders_of_the_vault_count(twin, rows, said):
    for cash, text in said.items():
        play(twin, venue(), PLAYED + VAULT.format(cash=cash) + rows + "\n" + AT_94 + text)


def test_a_sub_account_is_no_vault(twin):
    rows = "1 account 18 owner 17 parent 17 | ...\n1 deposit 17 USDT 5000 | ...\n1 transfer 17 18 USDT 4000 | ...\n"
    play(twin, venue(), PLAYED + rows + AT_94 + BY_BACKSTOP)


def test_it_pays_what_the_row_says_and_the_fund_gets_its_surplus(twin):
    """At the mark, 1,504, nothing is won by it: it needs all of the 75.2 itself."""
    paid = "TAKEOVER 16 long 16 @94{by} cash 1504 in round 1; TAKEOVER_SURPLUS 24 USDT 16 to FUND in round 1; RESTORED 16 0 FLAT in round 1"
    for cash, by in (("75.2", " by 18"), ("75.1999", "")):
        play(twin, venue(surplus="fund"), PLAYED + VAULT.format(cash=cash) + AT_94 + paid.format(by=by))


def test_where_the_vault_may_not_and_there_is_no_backstop_others_are_deleveraged(twin):
    """notional_max 0 leaves the backstop out: a vault alone provides."""
    adl = small_venue(liquidation={"stages": stages("book", takeover={"vault": {"account": 18}, "notional_max": 0}, adl={})})
    said = "ADL 16 long 16 @94 by 17 cash 1480 in round 1; RESTORED 16 0 FLAT in round 1"
    play(twin, adl, PLAYED + VAULT.format(cash="51.1999") + AT_94 + said)
    play(twin, adl, PLAYED + VAULT.format(cash="51.2") + AT_94 + BY_18)


def test_its_reduce_only_orders_are_trimmed(twin):
    """Short 4, it bids for 4 to close them; with 16 lots more it is long 12."""
    rows = """
    1    buy 17 COINUSDT 4 @100 #5        | ...
    1    sell 18 COINUSDT 4 @100 #6       | ...
    1    buy 18 COINUSDT 4 @90 #7 reduce  | ...
    """
    trimmed = BY_18.replace("RESTORED", "CANCELLED 18 buy 4 @90 #7 REDUCE_ONLY in round 1; RESTORED")
    play(twin, venue(), PLAYED + VAULT.format(cash="500") + rows + AT_94 + trimmed)


def test_what_it_took_is_its_own_and_it_is_liquidated_in_its_turn(twin):
    """16 lots for 1,480 and 51.2 of cash: at 91 that is 27.2, maintenance is 36.4; and no vault takes its own."""
    said = "3 source coin 91 | INDEX COIN 91 of 1; MARK COINUSDT 91; LIQUIDATION 18 27.2; TAKEOVER 18 long 16 @91 cash 1428.8 in round 1; RESTORED 18 0 FLAT in round 1"
    play(twin, venue(), PLAYED + VAULT.format(cash="51.2") + AT_94 + BY_18 + "\n" + said)


@pytest.mark.parametrize(
    ("cash", "kind", "said"),
    [("51.2", SeamKind.FORCE_FALSE, "..."), ("51.1999", SeamKind.FORCE_TRUE, BY_BACKSTOP), ("51.2", SeamKind.FORCE_TRUE, BY_18)],
)
def test_a_fault_that_decides_for_the_providers_gives_no_vault_margin(twin, cash, kind, said):
    book = venue(notional_max=0)
    exchange = play(twin, book, PLAYED + VAULT.format(cash=cash) + (AT_94 + said if said != "..." else "2 source coin 94 | ..."), [seam_row(Seam.TAKEOVER_ACCEPT, 0, 0, 9, kind)])
    held = {account: lots for account, _, _, lots, _ in exchange.state()["positions"]}
    assert said != "..." or (held[16] == 16 and 18 not in held)


def test_a_vault_may_be_no_account_of_the_venue_itself():
    with pytest.raises(ValidationError, match="greater than or equal to 16"):
        venue({"account": 3})


@pytest.mark.parametrize("seed", range(30))
def test_whoever_takes_over_has_initial_margin_and_whoever_has_it_takes_over(seed):
    """Orders and a position of its own at random; what it would need is asked of the law's own scene, a cent below and at it."""
    dice = Random(seed)
    side = ("buy", "sell")[dice.randrange(2)]
    rows = f"1 {side} 18 COINUSDT {1 + dice.randrange(6)} @100 #7 | ...\n"
    rows += f"1 {('sell', 'buy')[side == 'sell']} 17 COINUSDT 9 @100 #8 | ...\n" * dice.randrange(2)
    rows += f"1 {('buy', 'sell')[dice.randrange(2)]} 18 COINUSDT {1 + dice.randrange(9)} @{80 + dice.randrange(40)} #9 | ...\n"
    book, cash, taken = venue(price=("bankruptcy", "mark")[dice.randrange(2)]), 40 + dice.randrange(120), None
    model, engine = Model(book, START_NS), Engine(book, START_NS)
    for event in tape(book, PLAYED + VAULT.format(cash=cash) + rows + "2 source coin 94 | ..."):
        before, said = engine.state(), engine.apply(event)
        assert said == model.apply(event)
        after = engine.state()
        assert not list(laws.breaches(book, before, event.tobytes(), said, after))
        for scene, o in Case(Book(book), before, event_of(event.tobytes()), outcomes_of(said), after).walk():
            if o.kind == OutcomeKind.TAKEOVER and o.account == 16:
                taken, due = o.other, scene.provider(16, 0)
    end = Scene(Book(book), after)
    assert taken == due
    assert taken != 18 or end.spare_equity(18) >= end.requirements(18)


@pytest.mark.checked
def test_a_planted_bug_is_found_by_the_twins_and_by_a_law():
    """78: a vault takes over without margin for it."""
    book = venue()
    model, engine, right, found = Model(book, START_NS), Engine(book, START_NS, (), 78), Engine(book, START_NS), set()
    for event in tape(book, PLAYED + VAULT.format(cash="10") + AT_94 + "..."):
        before, said, same = engine.state(), engine.apply(event), model.apply(event) == right.apply(event)
        assert same
        found |= {broken.law for broken in laws.breaches(book, before, event.tobytes(), said, engine.state())}
    assert engine.digest() != model.digest() and "L10" in found
