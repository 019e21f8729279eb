"""Counted operations, against PyTorch's own counter and a count by hand."""

import subprocess
import sys

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from headstart.engine.flops import CountedFlops
from headstart.networks.torchvision_guard import import_timm


def test_a_count_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 9, 5))
    with torch.no_grad(), CountedFlops() as counted:
        network(torch.rand(2, 3, 5, 5))
    assert counted.total == 2 * (2 * 9 * 8 * 27 + 2 * 72 * 5)


def test_networks_have_pytorchs_count() -> None:
    for name in ("tf_efficientnet_lite0", "vit_tiny_patch16_224", "resnet18"):
        network = import_timm().create_model(name).eval()
        pictures = torch.rand(1, 3, 224, 224)
        with torch.no_grad(), CountedFlops() as counted:
            network(pictures)
        with torch.no_grad(), FlopCounterMode(display=False) as expected:
            network(pictures)
        assert counted.total == expected.get_total_flops() > 0


def test_counting_leaves_the_compiler_alone() -> None:
    code = (
        "import sys, torch\n"
        "from headstart.engine.flops import CountedFlops\n"
        "with torch.no_grad(), CountedFlops() as counted:\n"
        "    torch.nn.Linear(3, 2)(torch.rand(4, 3))\n"
        "assert counted.total == 48, counted.total\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
