"""What all strategies share: the settings of training, and the promise to make a plan."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from headstart.networks.groups import HEAD
from headstart.settings import Count, Number, Positive
from headstart.strategies.plan import Optimizer, Phase, Plan, Schedule
from headstart.strategies.recipe import Recipe
from headstart.strategies.search_space import Space, rates_and_strengths


class Training(Recipe):
    """How a phase trains; a study's ``[training]`` table sets the defaults of its strategies.

    Beside what is listed here, everything of a `Recipe` can be set.

    Attributes:
        optimizer: A name, or a table with a name and options.
        lr: The learning rate.
        epochs: Passes over the training pictures.
        steps: Optimiser steps instead of epochs.
        batch_size: Pictures a step.
        schedule: A name, or a table with a name and options.
        batch_norm: ``"live"`` or ``"frozen"`` statistics in the groups that train.
        batch_norm_momentum: By what share live statistics move toward a batch's, a step; what the
            network has when left out (0.1 in most, 0.01 in most that Keras saved).
        patience: Early stopping on the validation loss, in epochs; the best weights are restored.
    """

    optimizer: Optimizer = Optimizer()
    lr: Positive = 0.001
    epochs: Count | None = None
    steps: Count | None = None
    batch_size: Count = 32
    schedule: Schedule = Schedule()
    batch_norm: Literal["live", "frozen"] = "live"
    batch_norm_momentum: Annotated[Number, Field(gt=0, le=1)] | None = None
    patience: Count | None = None

    @model_validator(mode="before")
    @classmethod
    def _names_to_tables(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {
            key: {"name": value}
            if key in ("optimizer", "schedule") and isinstance(value, str)
            else value
            for key, value in values.items()
        }

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("epochs and steps contradict each other: give one of them")
        return self

    @model_validator(mode="after")
    def _moves_statistics(self) -> Self:
        if self.batch_norm_momentum is not None and self.batch_norm == "frozen":
            raise ValueError(
                'batch_norm_momentum has no effect with batch_norm = "frozen": use "live", or '
                "leave it out"
            )
        return self

    @property
    def duration(self) -> tuple[int | None, int | None]:
        """Epochs and steps, one of which is None; five epochs when neither was given."""
        return (self.epochs or 5, None) if self.steps is None else (None, self.steps)

    def phase(
        self,
        name: str,
        rates: Mapping[str, float | None],
        *,
        epochs: int | None = None,
    ) -> Phase:
        """A phase with these settings.

        Args:
            name: The phase's name.
            rates: Layer group → learning rate, `None` for frozen.
            epochs: Instead of the settings' own duration.
        """
        own_epochs, own_steps = self.duration
        return Phase(
            name=name,
            rates=dict(rates),
            epochs=epochs if epochs is not None else own_epochs,
            steps=None if epochs is not None else own_steps,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            schedule=self.schedule,
            batch_norm=self.batch_norm,
            patience=self.patience,
            recipe=self.recipe,
            batch_norm_momentum=self.batch_norm_momentum,
        )


class Strategy(Training):
    """A way to get from a source to a network for the task.

    A strategy is a settings record that makes a plan; it never touches a network. A class of your
    own names itself by the only value that its `kind` takes, tells in `summary` what it does, and
    in `paper` who proposed it. One that trains nothing step by step says so in `takes_training`, so
    that a study's ``[training]`` is not handed down to it.

    Attributes:
        kind: The strategy's name, as in ``[strategy.NAME]``; may be left out where the table's
            name is the kind.
    """

    kind: str
    summary: ClassVar[str]
    paper: ClassVar[str] = ""
    needs_source: ClassVar[bool] = True
    takes_training: ClassVar[bool] = True

    @abstractmethod
    def plan(self, groups: Sequence[str]) -> Plan:
        """The plan for a network with these layer groups, stem first, ``"head"`` last.

        Raises:
            StudyError: If the network cannot take this strategy.
        """

    def search_space(self) -> Space:
        """What is worth searching, by the path of the setting; empty where nothing is."""
        return rates_and_strengths(self) if self.takes_training else {}


def body_groups(groups: Sequence[str]) -> tuple[str, ...]:
    """All layer groups but the head."""
    return tuple(group for group in groups if group != HEAD)


def frozen_body(groups: Sequence[str], head_lr: float) -> dict[str, float | None]:
    """Rates with which only the head learns."""
    return {group: head_lr if group == HEAD else None for group in groups}
