"""The peers' bench: a peer counts only with the reference's trades, and none can hang the bench or break it."""

from __future__ import annotations

import importlib
import sys
import textwrap
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

from bench import peers
from bench.peers import PEERS, Peer, expected, fastest, fills_hash, installed, measure

BUY, SELL = 0, 1
LIMIT, CANCEL, MARKETABLE = 0, 1, 2
STREAM = np.array(
    [  # op, order id, account, side, price, lots
        (LIMIT, 0, 7, SELL, 101, 5),
        (LIMIT, 1, 8, SELL, 101, 4),
        (LIMIT, 2, 9, SELL, 103, 9),
        (LIMIT, 3, 7, BUY, 99, 6),
        (LIMIT, 4, 8, BUY, 98, 2),
        (MARKETABLE, 5, 9, BUY, 105, 7),  # 0 whole, 2 of 1, at 101 both
        (LIMIT, 6, 7, BUY, 101, 3),  # the last 2 of 1, and 1 rests
        (CANCEL, 2, 9, SELL, 103, 9),
        (MARKETABLE, 7, 7, SELL, 97, 8),  # 6 and 3 whole, 1 of 4; 6 and 3 are its own
        (LIMIT, 8, 9, SELL, 102, 3),
    ],
    np.int64,
)
FILLS = [(0, 5, 101, 5), (1, 5, 101, 2), (1, 6, 101, 2), (6, 7, 101, 1), (3, 7, 99, 6), (4, 7, 98, 1)]
BOOK = [(BUY, 98, 1, 1), (SELL, 102, 3, 1)]
FAKE = """
    import os, time

    def right(rows):
        return 0.5, 6, 17, {fills_hash}

    def faster(rows):
        return 0.25, 6, 17, {fills_hash}

    def counts(rows):
        return 0.5, 6, 17, None

    def fewer(rows):
        return 0.001, 5, 16, None

    def less(rows):
        return 0.001, 6, 16, {fills_hash}

    def others(rows):
        return 0.001, 6, 17, 1

    def book(rows):
        return 0.5, None, None, {book_hash}

    def other_book(rows):
        return 0.001, None, None, 1

    def nothing(rows):
        return 0.001, None, None, None

    def loud(rows):
        print("x" * 100_000)
        assert len(rows) == 10 and rows[0] == (0, 0, 7, 1, 101, 5) and type(rows[0][0]) is int
        return right(rows)

    def hanging(rows):
        os.fork()  # a child of the peer's own hangs with it
        with open({pids!r}, "a") as file:
            file.write(f"{{os.getpid()}} ")
        time.sleep(60)

    def raising(rows):
        raise ValueError("no such side")

    def dying(rows):
        os.abort()
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Return a function that makes a peer, installed, of a function of the fake module."""
    source = FAKE.format(fills_hash=fills_hash(FILLS), book_hash=peers.book_hash(BOOK), pids=str(tmp_path / "pids"))
    (tmp_path / "fake_book.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "fake_book", raising=False)
    module = importlib.import_module("fake_book")
    yield lambda name, distribution="numpy": Peer(name, distribution, getattr(module, name))
    sys.modules.pop("fake_book", None)


def running(pid: int) -> bool:
    """Return whether a process is there, and not only its entry until its parent asks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_reference_matches_by_price_then_time():
    got = expected(STREAM.tolist())
    assert got == peers.Expected(6, 17, fills_hash(FILLS), peers.book_hash(reversed(BOOK)))


@pytest.mark.parametrize(
    ("name", "trades", "note"),
    [
        ("right", 6, None),
        ("loud", 6, None),
        ("counts", 6, "only the number of trades and the volume are compared"),
        ("book", None, "reports no trades: the final book is compared"),
    ],
)
def test_a_comparable_run_has_seconds(fake, name, trades, note):
    assert measure(fake(name), STREAM, 60) == {
        "name": name,
        "version": np.__version__,
        "messages": 10,
        "seconds": 0.5,
        "trades": trades,
        "volume": trades and 17,
        "note": note,
    }


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("fewer", "other trades than the reference: 5, not 6; volume 16, not 17"),
        ("less", "other trades than the reference: 6, not 6; volume 16, not 17"),
        ("others", "other trades than the reference: as many, as much, but not the same"),
        ("other_book", "another final book than the reference (it reports no trades)"),
        ("nothing", "reports neither trades nor a final book: nothing to compare"),
        ("raising", "ValueError: no such side"),
    ],
)
def test_any_other_run_has_none(fake, name, note):
    result = measure(fake(name), STREAM, 60)
    assert (result["seconds"], result["note"]) == (None, note)


def test_a_hanging_peer_is_ended_with_what_it_started(fake, tmp_path):
    result = measure(fake("hanging"), STREAM, 3)
    assert (result["seconds"], result["trades"], result["note"]) == (None, None, "timed out after 3 s")
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 2
    end = time.monotonic() + 10
    while any(running(int(pid)) for pid in pids):
        assert time.monotonic() < end, pids
        time.sleep(0.05)


def test_a_peer_that_dies_without_a_word_says_how(fake):
    result = measure(fake("dying"), STREAM, 60)
    assert result["seconds"] is None and "-6" in result["note"]


def test_an_absent_peer_is_not_run(fake):
    peer = fake("right", distribution="riskbed-has-no-such-peer")
    assert installed(peer) is None
    result = measure(peer, STREAM, 60)
    assert (result["version"], result["seconds"], result["note"]) == (None, None, "not installed")


def test_a_caveat_is_the_note_of_a_comparable_run_only(fake):
    for name, note in (("right", "prices differ"), ("fewer", "other trades than the reference: 5, not 6; volume 16, not 17")):
        peer = fake(name)
        assert measure(Peer(name, "numpy", peer.run, "prices differ"), STREAM, 60)["note"] == note


def test_the_fastest_is_a_comparable_one(fake):
    results = [measure(fake(name), STREAM, 60) for name in ("fewer", "right", "faster", "others", "raising")]
    assert fastest(results)["name"] == "faster"
    assert fastest(results[:1]) is None


def test_the_reference_of_the_caller_is_taken(fake):
    wanted = peers.Expected(5, 16, 0, 0)
    assert measure(fake("fewer"), STREAM, 60, wanted)["seconds"] == 0.001


def made_stream(seed: int = 7, messages: int = 3000) -> np.ndarray:
    """Return a stream of few prices, so that levels fill, empty and cross; every cancel is of a live order."""
    rng = np.random.default_rng(seed)
    rows, book = [], ({}, {})  # by side: {order id: (price, lots)}, in order of arrival
    for order_id in range(messages):
        live = [(side, key) for side in (BUY, SELL) for key in book[side]]
        if live and rng.random() < 0.4:
            side, key = live[rng.integers(len(live))]
            rows.append((CANCEL, key, 0, side, *book[side].pop(key)))
        side, lots = int(rng.integers(2)), int(rng.integers(1, 20))
        price = 1000 + int(rng.integers(-6, 4)) * (1 if side == BUY else -1)
        if sum(q for _, q in book[1 - side].values()) > lots and rng.random() < 0.2:
            op, price = MARKETABLE, 1100 if side == BUY else 900
        else:
            op = LIMIT
        rows.append((op, order_id, 0, side, price, lots))
        sign = 1 if side == BUY else -1
        for maker, (maker_price, resting) in sorted(book[1 - side].items(), key=lambda item: (sign * item[1][0], item[0])):
            if not lots or sign * maker_price > sign * price:
                break
            filled = min(lots, resting)
            lots -= filled
            book[1 - side][maker] = (maker_price, resting - filled)
            if filled == resting:
                del book[1 - side][maker]
        if lots:
            book[side][order_id] = (price, lots)
    return np.array(rows, np.int64)


def test_every_installed_peer_makes_the_trades_of_the_reference():
    stream = made_stream()
    wanted = expected(stream.tolist())
    assert wanted.trades > 1000 and set(stream[:, 0]) == {LIMIT, CANCEL, MARKETABLE}
    for peer in PEERS:
        if installed(peer):
            result = measure(peer, stream, 120, wanted)
            assert result["seconds"], result


def test_the_extra_lists_every_peer():
    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]
    listed = {line.split("==")[0] for line in project["optional-dependencies"]["bench-peers"]}
    assert listed == {peer.distribution for peer in PEERS}
    assert len({peer.name for peer in PEERS}) == len(PEERS)


def test_importing_the_bench_imports_no_peer():
    modules = {"limit_order_book", "orderly_chaos", "litebook", "tracebook", "cython_orderbook", "orderbook"}
    modules |= {"pyorderbook", "obook", "manticore_orderbook", "lightmatchingengine"}
    assert not modules & set(sys.modules)
