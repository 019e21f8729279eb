"""From pixels to probabilities as one module: what is exported, and what predicts."""

import torch
from torch import Tensor, nn

from headstart.data.scaling import Scaling
from headstart.networks.groups import Network
from headstart.networks.heads import probabilities


class Pipeline(nn.Module):
    """Scaling, network, and the sigmoid or softmax on top.

    It takes pixels as they come out of `Preprocessing.apply`, so that nobody who uses an exported
    file can scale them wrongly.
    """

    shift: Tensor
    factor: Tensor

    def __init__(self, network: Network, scaling: Scaling) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("shift", torch.from_numpy(scaling.shift).clone())
        self.register_buffer("factor", torch.from_numpy(1 / scaling.divisor))

    def forward(self, pixels: Tensor) -> Tensor:
        """Class probabilities (N, classes) of pixels (N, height, width, channels), uint8."""
        values = (pixels.to(torch.float32) - self.shift) * self.factor
        return probabilities(self.network(values.permute(0, 3, 1, 2)))
