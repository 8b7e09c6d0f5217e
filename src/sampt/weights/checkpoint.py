"""Reading a checkpoint: names and tensors, and nothing of it is run.

PyTorch's own files are pickles, which :mod:`sampt.weights.pickled` reads; those in the cache are then kept as safetensors, too,
so that they are unpickled once.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard, TypeVar

from sampt.errors import BackendError
from sampt.files.limits import parse_json
from sampt.weights.cache import compute_digest, locked, make_partial_path, weights_folder, write_json
from sampt.weights.numpy_pickled import read_arrays
from sampt.weights.pickled import Foreign, NotReadableError, StoredTensor, opened

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["load_checkpoint", "without_wrappers"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
_PICKLES = (".pth", ".pt", ".ckpt", ".bin")
_NESTED = ("model", "state_dict", "model_state_dict", "state_dict_ema")
"""Where official files keep the weights when they keep other things, too; the first that is there counts."""
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.")
"""What names begin with when a network was saved inside of another module: one for several GPUs, a compiled one, and the
attributes by which modules of PyTorch Lightning mostly hold it. No official network of ours has names that all begin so."""


def load_checkpoint(path: Path | str) -> dict[str, Tensor]:
    """Name -> tensor on the CPU, as they stand in the file, but for what a module around the network put before every name.

    Args:
        path: .safetensors, .npz of NumPy, .npy of nested dictionaries (:mod:`sampt.weights.numpy_pickled`), or a file of
            PyTorch with any other suffix; a table of weights under "model", "state_dict", "model_state_dict" or
            "state_dict_ema" is taken out.

    Raises:
        BackendError: it is not there, no checkpoint, incomplete, or holds something else; or a package is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise BackendError(f"No file of weights is at {path}; expected a checkpoint (.pth, .pt, .safetensors, .npz).")
    is_cached = path.suffix in _PICKLES and path.absolute().parent == weights_folder()
    if is_cached and (state := _load_cached(path)) is not None:
        return without_wrappers(state)
    state = _read(path)
    if is_cached:
        _keep(path, state)
    return without_wrappers(state)


def without_wrappers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors; a wrapper's name goes where all names begin with it, and then that of a wrapper inside of it."""
    while wrapper := next((prefix for prefix in _WRAPPERS if all(name.startswith(prefix) for name in state)), None):
        state = {name.removeprefix(wrapper): value for name, value in state.items()}
    return state


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return _READERS.get(path.suffix, _read_pickle)(path)
    except ImportError as error:
        package = "safetensors" if path.suffix == ".safetensors" else "sampt[torch]"
        raise BackendError(f"{path} needs a package that is not here ({error}). Run: pip install '{package}'.") from error
    except BackendError:
        raise
    except Exception as error:  # for a file that is no checkpoint the packages raise nearly anything
        reason = _resembles(path) or _describe(error)
        raise BackendError(
            f"{path} cannot be read as weights ({reason}); expected an official checkpoint: fetch it again."
        ) from error


def _describe(error: Exception) -> str:
    text = " ".join(str(error).split())[:120]
    return text if isinstance(error, NotReadableError) else f"{type(error).__name__}: {text}"


def _read_pickle(path: Path) -> dict[str, Tensor]:
    importlib.import_module("torch")  # its absence has its own error
    with opened(path) as file:
        return {name: file.tensor(stored) for name, stored in _table(file.tree, StoredTensor, path).items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    tensor = importlib.import_module("torch").Tensor
    return _table(importlib.import_module("safetensors.torch").load_file(path), tensor, path)


def _read_npz(path: Path) -> dict[str, Tensor]:
    import numpy as np
    import torch

    with np.load(path, allow_pickle=False) as arrays:
        return _table({name: torch.from_numpy(np.array(arrays[name])) for name in arrays.files}, torch.Tensor, path)


def _read_npy(path: Path) -> dict[str, Tensor]:
    import torch

    return _table({name: torch.from_numpy(array) for name, array in read_arrays(path).items()}, torch.Tensor, path)


_READERS = {".safetensors": _read_safetensors, ".npz": _read_npz, ".npy": _read_npy}


def _table(found: object, kind: type[T], path: Path) -> dict[str, T]:
    """The table of weights, which are of this kind, in what a file holds."""
    for name in ("", *_NESTED):
        table = found.get(name) if name and isinstance(found, dict) else found
        if _is_table(table, kind):
            return dict(table)
    if isinstance(found, dict):
        keys = ", ".join(map(repr, list(found)[:5]))
        holds = f"the keys {keys}" if keys else "nothing"
    else:
        holds = f"an object of {found.description!r}" if isinstance(found, Foreign) else f"a {type(found).__name__}"
    raise BackendError(f"{path} holds {holds}, expected names with tensors; give an official checkpoint.")


def _is_table(value: object, kind: type[T]) -> TypeGuard[dict[str, T]]:
    return isinstance(value, dict) and bool(value) and all(isinstance(k, str) and isinstance(v, kind) for k, v in value.items())


def _resembles(path: Path) -> str:
    """What a file that cannot be read seems to be."""
    with path.open("rb") as file:
        start = file.read(64).lstrip().lower()
    if not start:
        return "it is empty"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page"
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, not the file"
    return "it is incomplete" if start.startswith(b"pk\x03\x04") and not zipfile.is_zipfile(path) else ""


def _cached_path(path: Path) -> Path:
    return path.with_name(path.name + ".safetensors")


def _note_path(path: Path) -> Path:
    """Of what the kept copy was made from; written last, so that a copy without it does not count."""
    return path.with_name(path.name + ".safetensors.json")


def _load_cached(path: Path) -> dict[str, Tensor] | None:
    """The kept copy, if it was made from the file as it is now."""
    if not _is_cached(path) or importlib.util.find_spec("safetensors") is None:
        return None
    try:
        return _read(_cached_path(path))
    except BackendError as error:
        logger.warning("%s is made again: %s", _cached_path(path), error)
        with contextlib.suppress(OSError):  # in a cache that may only be read
            _note_path(path).unlink(missing_ok=True)
        return None


def _is_cached(path: Path) -> bool:
    try:
        note, stat = parse_json(_note_path(path).read_text(encoding="utf-8")), path.stat()
        return _cached_path(path).is_file() and (note["size"], note["mtime_ns"]) == (stat.st_size, stat.st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _keep(path: Path, state: dict[str, Tensor]) -> None:
    """Write the copy. The weights are read by then, so a failure is reported and stops nothing."""
    if importlib.util.find_spec("safetensors") is None:
        return
    partial = make_partial_path(_cached_path(path))
    try:
        with locked(_cached_path(path).name):
            if _is_cached(path):
                return  # by another process, meanwhile
            _note_path(path).unlink(missing_ok=True)
            stat = path.stat()
            importlib.import_module("safetensors.torch").save_file(_apart(state), partial)
            partial.replace(_cached_path(path))
            made_from = {"original": path.name, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
            write_json(_note_path(path), made_from | {"sha256": compute_digest(path, "sha256")})
    except Exception as error:  # safetensors has exceptions of its own for a full disk
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        logger.warning("%s is not kept as safetensors: %s", path, " ".join(str(error).split()))


def _apart(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same values with memory of their own: safetensors refuses tensors that share it."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in state.items():
        location = tensor.untyped_storage().data_ptr()
        is_whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        apart[name] = tensor.contiguous() if location not in seen and is_whole else tensor.clone().contiguous()
        seen.add(location)
    return apart
