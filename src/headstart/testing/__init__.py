"""What to hold your own parts to: the suites that headstart's parts pass too."""

from headstart.testing.contract import CLAUSES, ContractError, strategy_contract

__all__ = ["CLAUSES", "ContractError", "strategy_contract"]
