import json
import platform
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

from sampt.errors import OutputError
from sampt.runs.manifest import config_digest, read_manifest, versions, write_manifest


def test_config_digest_is_sha256_of_canonical_json():
    shell = subprocess.run(["sha256sum"], input=b'{"a":[1,null],"b":"\\u00e4"}', capture_output=True, check=True).stdout
    assert config_digest({"b": "ä", "a": [1, None]}) == shell.split()[0].decode()
    assert config_digest({"a": 1, "b": 2}) == config_digest({"b": 2, "a": 1})
    assert config_digest({"a": 1}) != config_digest({"a": 1.5})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32(1), object()])
def test_config_without_one_json_form_is_refused(value):
    with pytest.raises(OutputError, match="cannot be recorded"):
        config_digest({"a": value})


def test_manifest_round_trip_and_absence(tmp_path):
    path = tmp_path / "run.json"
    assert read_manifest(path) is None
    write_manifest(path, {"digest": "é", "frames": 3, "none": None})
    assert read_manifest(path) == {"digest": "é", "frames": 3, "none": None}
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_failed_write_keeps_the_manifest_that_was_there(tmp_path, kit):
    path = tmp_path / "run.json"
    write_manifest(path, {"digest": "old"})
    with pytest.raises(OutputError, match="cannot be written"):
        write_manifest(path, {"seconds": float("nan")})
    kit.block(path)
    with pytest.raises(OutputError, match="No space left"):
        write_manifest(path, {"digest": "new"})
    assert read_manifest(path) == {"digest": "old"}


@pytest.mark.parametrize("text", ["", "{torn", "[1]"])
def test_broken_manifest_is_one_line(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(OutputError, match=r"run\.json .*expected") as info:
        read_manifest(tmp_path / "run.json")
    assert "\n" not in str(info.value)


def test_versions_are_those_in_use():
    found = versions()
    assert set(found) >= {"sampt", "python", "numpy", "cv2", "av", "platform", "onnxruntime"}
    assert (found["numpy"], found["python"]) == (np.__version__, platform.python_version())


def test_versions_tell_the_installed_libraries_whatever_is_imported():
    """The identity of a run has them: it may not depend on what else its process has done, nor load PyTorch to find out."""
    code = (
        "import json, sys; from sampt.runs.manifest import versions; found = versions(); "
        "print(json.dumps([found, sorted({'torch', 'onnxruntime', 'openvino', 'transformers', 'kornia'} & set(sys.modules))]))"
    )
    found, imported = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert imported == []
    import onnxruntime

    assert found == versions()
    assert found["onnxruntime"] == onnxruntime.__version__
    here = {item.name.lower() for item in metadata.distributions()}
    for library in ("torch", "openvino", "transformers", "kornia"):
        assert (library in found) == (library in here)


def test_a_library_is_known_by_its_installation(tmp_path, monkeypatch):
    for name, version in (("torch", "99.1"), ("onnxruntime-gpu", "98.2")):
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = versions()
    assert (found["torch"], found["onnxruntime-gpu"]) == ("99.1", "98.2")
