"""Funding: what longs pay shorts, at whole multiples of the interval.

Per market one cumulative index F, in 10^-9 money per lot. An interval adds rate * |value| to it, and a position of q lots pays
R(q * F_now) - R(q * F_then), R rounding up to whole money: while q stays, payments telescope, so that no rounding adds up over
the intervals. All of it goes through the funding residue, which keeps the remainders.

What many intervals come to has no bound of its own: lots change hands, rates change sign, and a backstop, or a user whose
liquidation is suspended, goes on paying what it does not have. So no interval is paid while the balances of the settlement asset,
their sizes summed over all accounts, are above FUNDING_BALANCES_MAX.
"""

from __future__ import annotations

from specs import rules, units
from specs.tape import Action, Chart, Flow, Grade, OutcomeKind, Permit, Reason, Seam


class Funding:
    """One market's funding row and what it remembers: the index and the premium samples of the interval."""

    def __init__(self, number: int, row: rules.Funding) -> None:
        self.number, self.row = number, row
        self.index = 0  # F
        self.premium, self.samples = 0, 0  # the sum of the interval's samples, ppb, and how many they are

    def next_due(self, now: int) -> int:
        """Return the first whole multiple of the interval after `now`."""
        return (now // self.row.every_ns + 1) * self.row.every_ns

    def sample(self, exchange) -> None:
        """Take a premium sample: (mid - index) / index in ppb, rounded down; none without a mid or a VALID index."""
        index = exchange.indices[exchange.marks[self.number].index].published
        mid = exchange.books[self.number].mid()
        if index.grade == Grade.VALID and mid is not None:
            self.premium += (mid - index.price) * units.PPB // index.price
            self.samples += 1

    def settle(self, exchange) -> None:
        """Run one interval: every position pays or receives; where grade, state or limit refuse it the interval is skipped."""
        rate = self._rate()
        self.premium = self.samples = 0
        reason = Reason.NONE
        there, seen = exchange.seams.price(Seam.FUNDING_RATE, self.number, exchange.now, True, rate)
        if (
            not there
            or abs(seen) > units.FUNDING_RATE_MAX_PPB
            or exchange.grade_permit(self.number, Action.FUNDING) >= Permit.DEFER
        ):
            reason = Reason.GRADE_REFUSED
        elif exchange.state_permit(self.number, Action.FUNDING) >= Permit.DEFER:
            reason = Reason.MARKET_STATE
        elif exchange.ledger.size(exchange.numeraire) > units.FUNDING_BALANCES_MAX:
            reason = Reason.FUNDING_LIMIT
        before = self.index
        if not reason:
            self.index += seen * abs(exchange.value[self.number])
        exchange.emit(OutcomeKind.FUNDING, market=self.number, price=0 if reason else seen, money=self.index, reason=reason)
        for number in sorted(exchange.ledger.accounts):
            qty = exchange.ledger.accounts[number].qty[self.number]
            paid = units.div_ceil(qty * self.index, units.PPB) - units.div_ceil(qty * before, units.PPB)
            if paid > 0:
                exchange.flow(Flow.FUNDING_PAID, number, Chart.FUNDING_RESIDUE, exchange.numeraire, paid)
            elif paid < 0:
                exchange.flow(Flow.FUNDING_RECEIVED, Chart.FUNDING_RESIDUE, number, exchange.numeraire, -paid)

    def _rate(self) -> int:
        """Return clamp(P + clamp(interest - P, -damp, damp), -cap, cap), ppb."""
        row = self.row
        premium = self.premium // self.samples if self.samples else 0
        damped = max(-row.damp_ppb, min(row.damp_ppb, row.interest_ppb - premium))
        return max(-row.cap_ppb, min(row.cap_ppb, premium + damped))
