"""What is imported or declared once stays so: the cases have processes of their own, few, because
each imports torch."""

import subprocess
import sys
import textwrap


def run_alone(program: str) -> None:
    """Run a program of assertions in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_timm_is_imported_on_demand_and_beside_a_cpu_only_torch() -> None:
    run_alone("""
        import sys
        import torch
        import headstart.networks.pretrained, headstart.networks.modules
        assert not {"timm", "torchvision", "huggingface_hub"} & set(sys.modules)

        from headstart.errors import NetworkError
        from headstart.networks.torchvision_guard import import_timm, make_torchvision_importable
        sys.modules["timm"] = None  # as if it were not installed
        try:
            import_timm()
            raise SystemExit("imported what is not there")
        except NetworkError as error:
            assert "need timm" in str(error), error
            assert "pip install 'headstart[pretrained]'" in str(error), error
        del sys.modules["timm"]

        declared = make_torchvision_importable()
        assert import_timm().__name__ == "timm"
        import torchvision.transforms.v2
        assert hasattr(torch.ops.torchvision, "nms") and hasattr(torch.ops.torchvision, "qnms")
        # Beside a torch that can load torchvision's own library there is nothing to declare.
        assert declared != torchvision.extension._has_ops()
        make_torchvision_importable.cache_clear()
        assert not make_torchvision_importable()
    """)


def test_operators_that_exist_are_not_declared_twice() -> None:
    run_alone("""
        import torch
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        from headstart.networks.torchvision_guard import import_timm, make_torchvision_importable
        assert make_torchvision_importable()  # qnms alone
        make_torchvision_importable.cache_clear()
        assert not make_torchvision_importable()
        assert import_timm().__name__ == "timm"
    """)


def test_a_torch_with_cuda_and_a_library_that_loads_are_left_alone() -> None:
    run_alone("""
        import torch
        from headstart.networks.torchvision_guard import make_torchvision_importable

        cuda, torch.version.cuda = torch.version.cuda, "13.0"
        assert not make_torchvision_importable()
        assert not hasattr(torch.ops.torchvision, "nms")

        torch.version.cuda = None
        make_torchvision_importable.cache_clear()
        libraries = []
        def load_library(path):  # what loading torchvision's compiled library does
            libraries.append(torch.library.Library("torchvision", "DEF"))
            for name in ("nms", "qnms"):
                libraries[-1].define(name + "(Tensor a, Tensor b, float c) -> Tensor")
        torch.ops.load_library = load_library
        assert not make_torchvision_importable()
        assert len(libraries) == 1 and hasattr(torch.ops.torchvision, "qnms")
    """)
