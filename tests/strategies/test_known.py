"""Strategies of other packages and from Python: found, named, refused, told."""

import importlib
import pickle
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from pydantic import ValidationError

from headstart.errors import StudyError
from headstart.strategies import (
    STRATEGIES,
    Frozen,
    Plan,
    Strategy,
    Training,
    find_strategy,
    known,
    register,
    strategy_names,
)
from headstart.strategies.functions import strategy_from
from headstart.strategies.known import list_strategies
from headstart.study.spec import parse_study
from headstart.testing import strategy_contract

MODULE = '''
from typing import ClassVar, Literal
from headstart.networks.groups import HEAD
from headstart.strategies import Plan, Strategy

class Bottom(Strategy):
    kind: Literal["bottom_groups"] = "bottom_groups"
    summary: ClassVar[str] = "the first groups and the head learn"
    paper: ClassVar[str] = "Nobody 2026"
    bottom: int = 1

    def plan(self, groups):
        learning = {*groups[: self.bottom], HEAD}
        rates = {group: self.lr if group in learning else None for group in groups}
        return Plan("source", (self.phase("bottom", rates),))

def every_second(groups, training, *, offset: int = 0) -> Plan:
    """Every second layer group learns.

    Paper: Nobody 2027
    """
    rates = {g: training.lr if (n + offset) % 2 == 0 else None for n, g in enumerate(groups)}
    return Plan("source", (training.phase("some", {**rates, HEAD: training.lr}),))

number = 3
'''
POINTS = """
[headstart.strategies]
bottom_groups = somebodys.strategies:Bottom
every_second = somebodys.strategies:every_second
lost = somebodys.nowhere:Lost
misnamed = somebodys.strategies:Bottom
number = somebodys.strategies:number
frozen = somebodys.strategies:Bottom
"""
STUDY = """
[source]
[network]
kind = "mlp"
hidden = [5, 4]
[training]
epochs = 1
[strategy.scratch]
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package with strategies, good and bad."""
    (tmp_path / "somebodys").mkdir()
    (tmp_path / "somebodys" / "__init__.py").write_text("")
    (tmp_path / "somebodys" / "strategies.py").write_text(MODULE)
    about = tmp_path / "somebodys-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "somebodys"]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def _nothing_stays_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_given", {})


def refusal(name: str) -> str:
    with pytest.raises(StudyError) as caught:
        find_strategy(name)
    return str(caught.value)


def test_strategies_of_packages_are_found_by_their_entry_points(package: Path) -> None:
    assert strategy_names()[: len(STRATEGIES)] == tuple(STRATEGIES)
    assert {"bottom_groups", "every_second", "lost"} <= set(strategy_names())
    study = parse_study(
        f"{STUDY}[strategy.bottom_groups]\nlr = 0.5\n"
        '[strategy.second]\nkind = "every_second"\noffset = 1'
    )
    bottom, second = study.strategy["bottom_groups"], study.strategy["second"]
    groups = ("dense_1", "dense_2", "head")
    assert bottom.plan(groups).phases[0].rates == {"dense_1": 0.5, "dense_2": None, "head": 0.5}
    assert second.plan(groups).phases[0].rates == {
        "dense_1": None, "dense_2": 0.001, "head": 0.001
    }  # fmt: skip
    assert second.plan(groups).phases[0].epochs == 1
    strategy_contract(bottom)


def test_settings_of_a_packages_strategy_are_checked_like_ours(package: Path) -> None:
    with pytest.raises(StudyError) as caught:
        parse_study(
            f"{STUDY}[strategy.bottom_groups]\nbotom = 2\n[strategy.bottom_group]\n"
            "[strategy.every_second]\noffset = 'x'\n[strategy.lost]",
            "study.toml",
        )
    told = caught.value.problems
    assert told[0] == (
        "study.toml:10: strategy.bottom_groups.botom: unknown key; did you mean 'bottom'? Known: "
        + told[0].partition("Known: ")[2]
    )
    assert told[1].startswith(
        "study.toml:11: strategy.bottom_group: there is no strategy 'bottom_group'; did you mean "
        "'bottom_groups'? Known: "
    )
    assert "strategy.every_second.offset: input should be" in told[2]
    assert "cannot be loaded from somebodys.nowhere:Lost" in told[3]


def test_what_a_package_offers_wrongly_is_told(package: Path) -> None:
    assert refusal("lost") == (
        "strategy 'lost' of somebodys cannot be loaded from somebodys.nowhere:Lost: "
        "ModuleNotFoundError: No module named 'somebodys.nowhere'"
    )
    assert refusal("misnamed") == (
        "somebodys offers the strategy 'misnamed', but somebodys.strategies:Bottom calls itself "
        "'bottom_groups': the two names must agree"
    )
    assert refusal("number") == (
        "somebodys, somebodys.strategies:number: 3 is no strategy: give a subclass of "
        "headstart.strategies.Strategy, or a function that makes a plan"
    )
    assert find_strategy("frozen") is Frozen  # nobody takes our names
    assert find_strategy("nothing") is None


def test_two_packages_with_one_name_are_told_apart(package: Path, tmp_path: Path) -> None:
    about = tmp_path / "another-2.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: another\nVersion: 2.0\n")
    (about / "entry_points.txt").write_text(
        "[headstart.strategies]\nbottom_groups = somebodys.strategies:Bottom\n"
    )
    importlib.invalidate_caches()
    assert sorted(refusal("bottom_groups").partition(" both ")[0].split(" and ")) == [
        "another", "somebodys"
    ]  # fmt: skip
    assert refusal("bottom_groups").endswith("both have a strategy 'bottom_groups': uninstall one")


def test_the_list_names_origin_paper_parameters_and_what_is_broken(package: Path) -> None:
    listed = {each.name: each for each in list_strategies()}
    assert listed["every_second"].summary == "Every second layer group learns"
    assert listed["every_second"].paper == "Nobody 2027"
    assert listed["every_second"].parameters == {"offset": 0}
    assert listed["every_second"].origin == "somebodys"
    assert listed["gradual"].origin == "headstart"
    assert listed["gradual"].parameters["ratio"] == 2.6
    assert listed["gradual"].parameters["schedule"]["name"] == "slanted_triangle"
    assert listed["lost"].problem == refusal("lost")
    assert list(STRATEGIES) == list(listed)[: len(STRATEGIES)]


class Own(Strategy):
    """Given from Python."""

    kind: Literal["own"] = "own"
    summary: ClassVar[str] = "everything learns"

    def plan(self, groups: Sequence[str]) -> Plan:
        return Plan("source", (self.phase("all", dict.fromkeys(groups, self.lr)),))


def wide(groups: Sequence[str], training: Training, *, factor: float = 2.0) -> Plan:
    """Everything learns, the head faster."""
    rates: dict[str, float | None] = dict.fromkeys(groups, training.lr)
    return Plan("source", (training.phase("all", rates | {"head": factor * training.lr}),))


def test_strategies_can_be_given_from_python() -> None:
    assert register(Own) is Own
    register(wide)
    study = parse_study(f"{STUDY}[strategy.own]\n[strategy.wide]\nfactor = 3.0")
    assert isinstance(study.strategy["own"], Own)
    assert study.strategy["wide"].plan(("a", "head")).phases[0].rates == {"a": 0.001, "head": 0.003}
    listed = {each.name: each.origin for each in list_strategies()}
    assert listed["own"] == listed["wide"] == "given"


def test_a_name_that_is_ours_cannot_be_taken() -> None:
    class Other(Own):
        kind: Literal["frozen"] = "frozen"  # type: ignore[assignment]

    class Nameless(Own):
        kind: str  # type: ignore[assignment]

    for offered, message in (
        (Other, "headstart has a strategy 'frozen' already: give yours another kind"),
        (Nameless, 'Nameless does not name itself: give it kind: Literal["nameless"] = "nameless"'),
        (3, "register: 3 is no strategy: give a subclass of headstart.strategies.Strategy, or a "
            "function that makes a plan"),
    ):  # fmt: skip
        with pytest.raises(StudyError) as caught:
            register(offered)  # type: ignore[arg-type]
        assert str(caught.value) == message
    assert register(Frozen) is Frozen


def test_a_functions_strategy_goes_to_other_processes_and_checks_its_settings() -> None:
    made = strategy_from(wide)
    strategy = made.model_validate({"factor": 4.0, "lr": 0.5})
    again = pickle.loads(pickle.dumps(strategy))  # noqa: S301
    assert again == strategy
    assert type(again) is made
    with pytest.raises(ValidationError, match="factor"):
        made.model_validate({"factor": "much"})
    strategy_contract(strategy)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda groups: None, "must take two parameters, groups and training, and named ones"),
        (lambda groups, training, *, top=1: None, "top needs a type and a default"),
        (lambda groups, training: None, "needs a docstring whose first line says what it does"),
    ],
)
def test_a_function_that_makes_no_strategy_is_told_why(function: Any, message: str) -> None:
    with pytest.raises(StudyError) as caught:
        strategy_from(function)
    assert message in str(caught.value)


def test_a_functions_settings_must_be_its_own() -> None:
    def mine(groups: Sequence[str], training: Training, *, lr: float = 1.0) -> Plan:
        """Take lr."""
        raise AssertionError

    with pytest.raises(StudyError, match="mine: lr is a setting of all strategies: rename it"):
        strategy_from(mine)
