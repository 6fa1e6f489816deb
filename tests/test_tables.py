"""What tables print: at any width every figure stands there whole, and nothing ends in an ellipsis."""

from __future__ import annotations

import functools
import io
import random

import pytest
from rich.console import Console

from fuzz.campaign import Campaign, Kill, Killed, Kills
from fuzz.campaign import Options as Fuzzing
from riskbed import cli, compare, fuzzing, guards, pair, pair_tables, regress, replay, tables
from riskbed.cli import PLAIN_WIDTH
from riskbed.macro import pair_tape

LONGEST = "old formula, sold to the treasury (the loop is cut)"


def printed(width: int, table) -> str:
    file = io.StringIO()
    cli._headed(Console(file=file, width=width, highlight=False), "title", table)
    return file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, PLAIN_WIDTH])
def test_no_cell_is_broken_and_no_head_is_cut(width: int) -> None:
    dice = random.Random(width)
    for _ in range(40):
        names = [" ".join(dice.choices(("erroneous", "treasury's", "USDT", "of", "shortfall"), k=3)) for _ in range(14)]
        table = cli._table("rule", *names)
        rows = [[LONGEST[: dice.randrange(1, 30)], *(f"{dice.randrange(10**12):,}" for _ in names)] for _ in range(3)]
        for row in rows:
            table.add_row(*row)
        text = printed(width, table)
        assert "…" not in text and max(map(len, text.splitlines())) <= width
        words = text.split()
        for row in rows:
            assert all(cell in words for cell in row[1:])
        assert all(word in words for name in names for word in name.split())


def test_a_terminal_that_is_too_narrow_folds_and_loses_nothing() -> None:
    table = cli._table("rule", "notional USDT")
    table.add_row(LONGEST, "123,456,789,012")
    text = printed(24, table)
    assert "…" not in text
    assert sorted(c for c in text if c.isdigit()) == sorted("123456789012")
    assert all(word in "".join(text.split()) for word in ("formula,", "treasury"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple]:
    """Return what prints tables -> the function and what it prints, of the packaged incidents with few accounts."""
    out = tmp_path_factory.mktemp("runs")
    about = {"lockstep": 0, "out": out, "report": False}
    cascade, usde = "binance-um-2025-10-10-cascade", "2025-10-10-B-collateral-index"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair, "pair_tape", functools.partial(pair_tape, share_ppm=30_000))
        day = pair.replay(replay.Options(incident="2025-10-10", **about))
        beside = compare.compare(compare.Options(cascade, cascade, incident="2025-10-10", out=out, report=False))
    answer = regress.regress(regress.Options(cases=("usde-close",)))
    rows = [row.model_copy(update={"verdict": "changed", "now": row.now and f"{row.now}0"}) for row in answer.rows]
    kill = Kill(cases=123_456, seconds=1234.5, failure="twins positions.entry_value")
    return {
        "replay": (cli.show, replay.replay(replay.Options(incident=usde, accounts=400, **about))),
        "wrapped": (cli.show, replay.replay(replay.Options(incident="2025-10-10-B-wrapped", **about))),
        "pair": (pair_tables.show, day),
        "compare": (tables.show_compare, beside),
        "guards": (tables.show_guards, guards.guards(replay.Options(incident=usde, accounts=400, **about), quick=True)),
        "regress": (regress.show, answer.model_copy(update={"rows": rows})),
        "fuzz": (fuzzing.show, Campaign(Fuzzing(cases=4, out=out, corpus=None)).run()),
        "mutants": (
            fuzzing._show_kills,
            Kills(
                schema_version=1,
                seed=1,
                cases_max=500,
                mutants=[Killed(planted=n, bug="a planted bug in words", lockstep=kill, alone=kill) for n in range(3)],
            ),
        ),
    }


WHAT = ("replay", "wrapped", "pair", "compare", "guards", "regress", "fuzz", "mutants")


@pytest.mark.parametrize("what", WHAT)
def test_no_table_of_any_command_is_cut(made: dict[str, tuple], capsys: pytest.CaptureFixture[str], what: str) -> None:
    assert set(made) == set(WHAT)
    show, shown = made[what]
    show(shown)
    text = capsys.readouterr().out
    assert text and "…" not in text
