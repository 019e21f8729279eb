"""PyTorch's compiler is not loaded where nothing is compiled, and works as ever when it is."""

import subprocess
import sys

import pytest

ALONE = """
import sys, torch
from headstart.networks.compiler import without_compiler

def is_loaded():
    return hasattr(sys.modules.get("torch._dynamo"), "__file__")
"""

STEPS = {
    "importing timm and planning a body": """
from headstart.networks.bodies import Architecture, plan_body
from headstart.networks.model_names import recipe_of
recipe = recipe_of("resnet18")
plan = plan_body(recipe, Architecture(name="resnet18", picture_size=(64, 64)))
assert plan.features == 512, plan
assert not is_loaded()
""",
    "what is kept from being compiled stays so": """
with without_compiler():
    @torch.compiler.disable
    def plain(x):
        return x + torch.compiler.is_compiling()
    assert plain(torch.zeros(1)).item() == 0
assert not is_loaded() and "torch._dynamo" not in sys.modules
def compiled(x):
    return plain(x) + 10 * torch.compiler.is_compiling()
assert torch.compile(compiled, backend="eager")(torch.zeros(1)).item() == 10
assert is_loaded()
""",
    "a class is handed to the compiler itself": """
with without_compiler():
    @torch.compiler.disable
    class Plain(torch.nn.Module):
        def forward(self, x):
            return x + torch.compiler.is_compiling()
assert is_loaded() and isinstance(Plain, type)
""",
    "whoever needs more gets it": """
with without_compiler():
    import torch._dynamo.config
    from torch._dynamo.utils import counters
    assert is_loaded()
    torch._dynamo.config.recompile_limit
import torch._dynamo.eval_frame, torch._dynamo.utils
assert counters is torch._dynamo.utils.counters
assert torch._dynamo.config is sys.modules["torch._dynamo.config"]
assert torch._dynamo.config is torch._dynamo.eval_frame.config  # nothing is there twice
""",
    "torchvision's detectors may ask": """
from headstart.networks.torchvision_guard import import_timm
import_timm()
assert not is_loaded()
supported = sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu")
from torch._dynamo.utils import is_compile_supported
assert supported == is_compile_supported("cpu")
""",
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_the_compiler_is_loaded_only_when_it_is_needed(steps: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE + steps], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
