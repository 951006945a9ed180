import json

import pytest
import timm
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from patchcore_core import InputError
from patchcore_core.backbones import feature_maps, load_backbone
from patchcore_suite.parts.command import main
from patchcore_suite.parts.foreign_weights import convert

VIT = "test_vit"  # 6 blocks, patches of 16 pixels


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(3)
    network = timm.create_model(VIT)
    return {key: value + 0.1 * torch.randn(value.shape) for key, value in network.state_dict().items()}


@pytest.fixture
def theirs(state):
    """The same as the authors of DINOv2 name them: two layers are called otherwise, one token is used in training."""
    named = {key.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3"): value for key, value in state.items()}
    return {key: value for key, value in named.items() if not key.startswith("head.")} | {
        "mask_token": torch.zeros(1, 64)
    }


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize("saved", ["plain.pth", "nested.pth", "plain.safetensors"])
def test_converted_weights_are_those_of_the_file(saved, state, theirs, tmp_path):
    file, folder = tmp_path / saved, tmp_path / "weights"
    if saved == "plain.safetensors":
        save_file(theirs, file)
    else:
        torch.save({"model": theirs} if saved == "nested.pth" else theirs, file)
    assert convert(file, VIT, folder) == folder / f"{VIT}.safetensors"
    found = load_file(folder / f"{VIT}.safetensors")
    assert {*found} == {key for key in state if not key.startswith("head.")}
    assert all(torch.equal(found[key], state[key]) for key in found)
    assert [path.name for path in folder.iterdir()] == [f"{VIT}.safetensors"]
    save_file(state, tmp_path / f"{VIT}.safetensors")
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    ours, own = (feature_maps(load_backbone(VIT, (1, 105), weights=str(of)), images) for of in (folder, tmp_path))
    assert all(torch.equal(a, b) for a, b in zip(ours, own, strict=True))


class Code:
    def __reduce__(self):
        return print, ("it ran",)


@pytest.mark.parametrize(
    ("change", "network", "said"),
    [
        (lambda theirs: {**theirs, "blocks.9.norm1.bias": torch.ones(64)}, VIT, "blocks.9.norm1.bias is none of the"),
        (lambda theirs: {key: theirs[key] for key in theirs if key != "norm.bias"}, VIT, "norm.bias is missing"),
        (lambda theirs: theirs | {"norm.bias": torch.full((64,), torch.nan)}, VIT, "norm.bias holds NaN"),
        (
            lambda theirs: theirs | {"register_tokens": torch.zeros(1, 4, 64)},
            VIT,
            "that timm's rules for 'test_vit' know",
        ),
        (lambda theirs: theirs | {"epoch": 3}, VIT, "epoch is a int"),
        (lambda theirs: [*theirs.values()], VIT, "hold no tensors by name"),
        (lambda theirs: {"model": Code()}, VIT, "cannot be read"),
        (lambda theirs: theirs, "test_resnet", "timm has no rules that bring other names"),
        (lambda theirs: theirs, "resnet18", "none of timm's"),
        (lambda theirs: theirs, f"untrained/{VIT}", "none of timm's"),
    ],
)
def test_other_files_are_refused_and_nothing_is_written(change, network, said, theirs, tmp_path, capsys):
    torch.save(change(theirs), tmp_path / "file.pth")
    with pytest.raises(InputError, match="Remedy: ") as caught:
        convert(tmp_path / "file.pth", network, tmp_path / "weights")
    assert said in str(caught.value)
    assert "ran" not in capsys.readouterr().out
    assert list((tmp_path).rglob("*.safetensors")) == []


def test_a_file_that_is_there_is_not_replaced(theirs, tmp_path):
    (tmp_path / f"{VIT}.safetensors").write_bytes(b"mine")
    torch.save(theirs, tmp_path / "file.pth")
    with pytest.raises(InputError, match="is there already"):
        convert(tmp_path / "file.pth", VIT, tmp_path)
    assert (tmp_path / f"{VIT}.safetensors").read_bytes() == b"mine"
    with pytest.raises(InputError, match="there is no file"):
        convert(tmp_path / "other.pth", VIT, tmp_path / "weights")


def test_what_a_transformer_cannot_do_is_refused_by_the_command_line(folder, tmp_path):
    to = ("fit", folder, "--to", tmp_path / "other", "--coreset", 0.5)
    refused = run(*to, "--size", 60, 64, "--backbone", f"untrained/{VIT}", code=1)
    assert "Remedy: choose 48 x 64 or 64 x 64, the nearest sizes that fit" in refused
    refused = run(*to, "--size", 64, 64, "--backbone", VIT, "--hierarchy", 6, code=1)
    assert f"hierarchies=[6]: backbone '{VIT}' has 0, 1, 2, 3, 4, 5, 100" in refused
    assert not (tmp_path / "other").exists()


@pytest.mark.long
def test_a_transformer_is_fitted_and_judges_from_the_command_line(folder, theirs, tmp_path):
    torch.save(theirs, tmp_path / "theirs.pth")
    assert f"{VIT}.safetensors" in run("convert", tmp_path / "theirs.pth", VIT, "--to", tmp_path / "weights")
    given = ("--backbone", VIT, "--weights", tmp_path / "weights", "--coreset", 0.5)
    blocks = ("--hierarchy", 2, "--hierarchy", 105)
    run("fit", folder, "--to", tmp_path / "model", "--size", 64, 64, *given, *blocks)
    config = json.loads((tmp_path / "model/model.json").read_text())["config"]
    assert (config["backbone"], config["hierarchies"]) == (VIT, [2, 105])
    said = run("predict", tmp_path / "model", folder / "test", "--weights", tmp_path / "weights")
    assert len([line for line in said.splitlines() if ".png" in line]) == len([*(folder / "test").rglob("*.png")])
