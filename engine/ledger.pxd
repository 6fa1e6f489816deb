"""Balances and positions: cash-flow accounting over the closed chart. See ledger.pyx."""
from libc.stdint cimport int64_t, uint32_t

from engine.money cimport money_t
from engine.state cimport State

cdef void ledger_move(State* s, uint32_t source, uint32_t target, int asset, money_t money) noexcept nogil  # money >= 0
cdef void ledger_flow(State* s, int kind, uint32_t source, uint32_t target, int asset, money_t money) noexcept nogil  # with its FLOW
cdef void ledger_swap(State* s, uint32_t buyer, uint32_t seller, int market, int64_t lots, money_t cash) noexcept nogil  # a spot trade
cdef void ledger_exchange(State* s, uint32_t buyer, uint32_t seller, int market, int64_t lots, money_t cash) noexcept nogil
