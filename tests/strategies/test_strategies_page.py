"""The page about strategies: it names them all, and its example works."""

import re
from pathlib import Path
from typing import Any

import pytest

from headstart.strategies import STRATEGIES, known
from headstart.testing import strategy_contract

PAGE = (Path(__file__).parents[2] / "docs" / "strategies.md").read_text(encoding="utf-8")


def test_every_strategy_is_in_the_table_with_its_own_parameters() -> None:
    from headstart.strategies import Strategy, Transfer

    rows = {row.split("`")[1]: row for row in PAGE.splitlines() if row.startswith("| `")}
    for name, strategy in STRATEGIES.items():
        own = set(strategy.model_fields) - set(Transfer.model_fields) - set(Strategy.model_fields)
        assert own <= set(re.findall(r"`(\w+)`", rows[name])), name


def test_the_pages_own_strategy_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_given", {})
    example, test = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[:2]
    names: dict[str, Any] = {}
    exec(example, names)
    rates = names["every_second"](offset=1).plan(("a", "b", "c", "head")).phases[0].rates
    assert rates == {"a": None, "b": 0.001, "c": None, "head": 0.001}
    exec(test, names)
    names["test_every_second_keeps_the_contract"]()
    strategy_contract(names["every_second"](epochs=1, lr=0.1, offset=1))
