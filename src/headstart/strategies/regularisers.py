"""Regularisers: what keeps a body near its source while it learns.

Here are their settings; what they do is in `headstart.training.regularisers`.
"""

from typing import Annotated, Literal

from pydantic import Field

from headstart.settings import Count, Number, Positive, Settings

Strength = Annotated[Number, Field(ge=0)]
Chance = Annotated[Number, Field(gt=0, lt=1)]


class L2SP(Settings):
    """α/2 · ‖w − w₀‖² over the body and β/2 · ‖w‖² over what started fresh, in place of decay.

    Li, Grandvalet & Davoine 2018, *Explicit inductive bias for transfer learning with convolutional
    networks*.

    Attributes:
        name: ``"l2_sp"``.
        alpha: Pull toward the source's weights w₀.
        beta: Pull of the head, and of groups that started fresh, toward 0.
    """

    name: Literal["l2_sp"] = "l2_sp"
    alpha: Positive = 0.01
    beta: Strength = 0.01


class Delta(Settings):
    """How far the layer groups' outputs have moved from those of the source, channel by channel.

    Li, Xiong, Wang, Rao, Liu, Chen & Huan 2019, *DELTA: deep learning transfer using feature map
    with attention*.

    Attributes:
        name: ``"delta"``.
        strength: Weight of the distance.
        beta: β/2 · ‖w‖² over the head and what else started fresh, in place of decay.
    """

    name: Literal["delta"] = "delta"
    strength: Positive = 0.01
    beta: Strength = 0.01


class BSS(Settings):
    """η · the sum of the k smallest squared singular values of a batch's features.

    Chen, Wang, Fu, Long & Wang 2019, *Catastrophic forgetting meets negative transfer: batch
    spectral shrinkage for safe transfer learning*.

    Attributes:
        name: ``"bss"``.
        eta: Weight η.
        k: How many singular values.
    """

    name: Literal["bss"] = "bss"
    eta: Positive = 0.001
    k: Count = 1


class StochNorm(Settings):
    """Each channel of a BatchNorm takes the batch's or the running statistics, by chance.

    Kou, You, Long & Wang 2020, *Stochastic normalization*. Needs ``batch_norm = "live"``.

    Attributes:
        name: ``"stoch_norm"``.
        p: The chance of the batch's statistics.
    """

    name: Literal["stoch_norm"] = "stoch_norm"
    p: Chance = 0.5


class CoTuning(Settings):
    """λ · cross-entropy of the source's own head against p(source class | class).

    You, Kou, Long & Wang 2020, *Co-tuning for transfer learning*. The source's head goes on
    learning beside the new one, at the highest rate of the body, and is dropped afterwards. The
    relationship p(y_s | y_t) is the paper's "direct" one: the mean over the training pictures of
    class y_t of what the untouched source says of them, softmax(logits / temperature).

    Attributes:
        name: ``"co_tuning"``.
        strength: Weight λ.
        temperature: Calibrates the source's head. It would be fitted on the source's own held-out
            pictures, which nobody has here; 1 leaves it as it is.
    """

    name: Literal["co_tuning"] = "co_tuning"
    strength: Positive = 2.3
    temperature: Positive = 1.0


Regulariser = Annotated[L2SP | Delta | BSS | StochNorm | CoTuning, Field(discriminator="name")]
