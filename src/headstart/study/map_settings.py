"""The ``[map]`` table: how much of a network's map of layer transfer is drawn."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from headstart.settings import Count, ManyProblemsError, Positive, Settings

Arm = Literal["AnB", "AnB+", "BnB", "BnB+"]
ARMS: tuple[Arm, ...] = ("AnB", "AnB+", "BnB", "BnB+")


class MapSettings(Settings):
    """What a map draws; `headstart.study.depth_map` makes studies of it.

    Attributes:
        cuts: Numbers of groups to copy; ``"all"`` for 1 to all of the body.
        arms: ``"AnB"`` copies from the source and freezes, ``"AnB+"`` lets what was copied learn,
            too; ``"BnB"`` and ``"BnB+"`` copy from the target's own source.
        class_splits: So many times the classes are split at random into halves A and B: the source
            learns A, the task is B. Each class split has seeds of its own. Left out, source and
            task are the study's.
        copied_lr: The rate of copied groups that learn; that of the others when left out.
    """

    cuts: Literal["all"] | Annotated[tuple[Count, ...], Field(min_length=1)] = "all"
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)] = ARMS
    class_splits: Count | None = None
    copied_lr: Positive | None = None

    @model_validator(mode="after")
    def _are_distinct(self) -> Self:
        problems: list[tuple[tuple[str, ...], str]] = [
            ((key,), f"names one value twice: {list(values)}")
            for key, values in (("cuts", self.cuts), ("arms", self.arms))
            if values != "all" and len(set(values)) != len(values)
        ]
        if self.copied_lr is not None and not {"AnB+", "BnB+"} & set(self.arms):
            problems.append((("copied_lr",), "it has no effect without AnB+ or BnB+: leave it out"))
        if problems:
            raise ManyProblemsError(problems)
        return self
