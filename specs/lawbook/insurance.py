"""The insurance delta of a slice: what its fills brought less the bankruptcy value of the lots that they closed; L9, L23."""

from __future__ import annotations

from typing import NamedTuple

from specs import units
from specs.lawbook import Breaches
from specs.model.margin import Evaluation
from specs.scene import Case, Outcome, Scene
from specs.tape import Flow, OutcomeKind, Stage


class Begun(NamedTuple):
    """An account as it was before a slice of its position."""

    order: int
    account: int
    market: int
    held: int
    cash: int
    value: Evaluation


class Slices:
    """Follow the slices of a book stage: `see` each outcome; `delta` is that of the latest slice, by the fills so far."""

    def __init__(self, case: Case) -> None:
        self.row = getattr(case.book.stages.get(Stage.BOOK), "insurance", None)
        self.begun: Begun | None = None
        self.delta, self.brought, self._filled = 0, 0, False

    def see(self, scene: Scene, o: Outcome) -> None:
        """Look at an outcome with the scene just before it."""
        if self._filled:
            self.brought = scene.cash(self.begun.account) - self.begun.cash
            lots = scene.qty[self.begun.account, self.begun.market] - self.begun.held
            begun = self.begun
            self.delta = self.brought - scene.closing_value(begun.account, begun.market, begun.held, lots, begun.value)
        self._filled = o.kind == OutcomeKind.FILL and o.stage == Stage.BOOK
        if self._filled and (self.begun is None or self.begun.order != o.ref_id):
            now = scene.qty[o.account, o.market], scene.cash(o.account), scene.evaluate(o.account)
            self.begun = Begun(o.ref_id, o.account, o.market, *now)

    @property
    def fee(self) -> int:
        """Return what the fund gets of the slice: of the surplus, at most so much of what the slice brought."""
        return min(self.delta, units.div_ceil(abs(self.brought) * self.row.max_fee_ppm, units.PPM))


class Settled:
    """Whether the fund got, or paid, or said that it could not pay, the delta of each slice of an insured stage."""

    def __init__(self, case: Case) -> None:
        self.slices, self.order, self.paid = Slices(case), None, 0

    def see(self, scene: Scene, o: Outcome, may_pay: int) -> Breaches:
        """may_pay: what the fund may pay at this moment."""
        if self.slices.row is None:
            return
        before, filled = self.slices.begun, o.kind == OutcomeKind.FILL and o.stage == Stage.BOOK
        self.slices.see(scene, o)
        if before is not None and self.order == before.order and (o.stage != Stage.BOOK or (filled and o.ref_id != self.order)):
            yield from self._left(before)
        if filled:
            self.order, self.paid = o.ref_id, 0
        elif o.stage == Stage.BOOK and o.kind == OutcomeKind.FLOW and o.flow == Flow.FUND_PAYMENT:
            due = min(-self.slices.delta, may_pay)
            if o.money != due or o.other != self.slices.begun.account:
                yield f"the fund pays {o.money} to account {o.other} for a slice, due are {due}"
            self.paid = o.money
        elif o.stage == Stage.BOOK and o.kind == OutcomeKind.FUND_SHORT:
            if o.money != -self.slices.delta - self.paid:
                yield f"the fund is short of {o.money} for a slice that lacks {-self.slices.delta}, of which it paid {self.paid}"
            self.order = None
        elif o.stage == Stage.BOOK and o.kind == OutcomeKind.FLOW and o.flow == Flow.LIQUIDATION_FEE:
            self.order = None  # how much it is: L23

    def end(self, scene: Scene) -> Breaches:
        """The last outcome is told; `scene` is behind it."""
        if self.slices.row is not None and self.order is not None:
            self.slices.see(scene, NOTHING)
            yield from self._left(self.slices.begun)

    def _left(self, begun: Begun) -> Breaches:
        """A slice ends: nothing of its delta is left to be paid."""
        self.order = None
        if self.slices.delta + self.paid < 0 or self.slices.fee > 0:
            yield f"a slice of account {begun.account} differs by {self.slices.delta} from its bankruptcy value, nobody paid it"


class _Nothing(NamedTuple):
    kind: int = 0
    stage: int = 0


NOTHING = _Nothing()
