"""A network part to an ONNX file that is known to compute the same."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper

OPSET = 17


def write_onnx(
    module: torch.nn.Module,
    inputs: tuple[torch.Tensor, ...],
    path: Path,
    names: list[str],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
    *,
    half: bool = False,
) -> None:
    """Export ``module`` to ``path``, complete or not at all; what ONNX Runtime computes is compared with PyTorch first.

    Args:
        module: folded, in evaluation mode; every parameter keeps its name in the file.
        inputs: an example.
        path: the file.
        names, outputs: of the graph.
        axes: names of the axes whose length is free, by input and output.
        half: weights are stored at half precision; ``module`` has to hold values that this leaves as they are.

    Raises:
        SystemExit: a parameter would lose its name, or the two differ by more than 1e-3.
    """
    partial = path.with_name(path.name + ".partial")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, inputs, str(partial), input_names=names, output_names=outputs, dynamic_axes=axes, opset_version=OPSET,
            dynamo=False, do_constant_folding=False,
        )  # fmt: skip
    if half:
        _store_half(partial)
    held = {t.name for t in onnx.load(str(partial)).graph.initializer}
    missing = {name for name, _ in module.named_parameters()} - held
    if missing:
        raise SystemExit(f"The exporter renamed {sorted(missing)}; PyTorch could not load them.")
    session = onnxruntime.InferenceSession(str(partial), providers=["CPUExecutionProvider"])
    got = session.run(None, {n: x.numpy() for n, x in zip(names, inputs, strict=True)})
    with torch.no_grad():
        expected = module(*inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for name, a, b in zip(outputs, got, expected, strict=True):
        difference = float(np.abs(a - b.numpy()).max())
        print(f"{path.name} {name}: largest difference between ONNX Runtime and PyTorch {difference:.2e}")
        if difference > 1e-3:
            raise SystemExit(f"{path.name} differs from PyTorch by {difference:.2e} in {name!r}; expected at most 1e-3.")
    os.replace(partial, path)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def _store_half(path: Path) -> None:
    """Keep the weights of a file at half precision, under their names; the graph computes with them in single precision."""
    model = onnx.load(str(path))
    casts = []
    names: dict[str, str] = {}
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.dims:
            half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name)
            tensor.CopyFrom(half)
            names[tensor.name] = f"{tensor.name}/float32"
            casts.append(helper.make_node("Cast", [tensor.name], [names[tensor.name]], to=onnx.TensorProto.FLOAT))
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
