# SPDX-License-Identifier: Apache-2.0
"""A network's weights under the names, shapes and files that PyTorch users know; torch itself is not needed.

>>> state = net.state_dict(device)                             # doctest: +SKIP
... torch_net.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
... net.load_state_dict(device, torch_net.state_dict())
... weights.save(net, device, "weights.safetensors")

The names are those of ``nn.Sequential(Linear, activation, Linear, ...)``: ``0.weight`` (outputs, inputs), ``0.bias``, ``2.weight``, ...
The last layer's outputs are the logits and, behind them, the value.
"""

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checkpoint
from .device import Device
from .errors import TensorError
from .tensor import Tensor, fitting_exponent, mantissa_range

if TYPE_CHECKING:
    from .networks import MLP


def state_dict(net: "MLP", device: Device) -> dict[str, np.ndarray]:
    """Return the current weights and biases as float32, which holds them exactly: weights (outputs, inputs), biases (outputs,)."""
    state = {}
    for index, layer in enumerate(net.layers):
        state[f"{2 * index}.weight"] = np.ascontiguousarray(device.store(layer.weight).T, np.float32)
        state[f"{2 * index}.bias"] = device.store(layer.bias)[0].astype(np.float32)
    return state


def load_state_dict(net: "MLP", device: Device, state: Mapping[str, Any]) -> None:
    """Load weights and biases, rounded to the network's exponent, into the current version; moments and `Optimizer.t` begin anew.

    Parameters
    ----------
    state : mapping
        ``<layer>.weight`` (outputs, inputs) and ``<layer>.bias`` (outputs,) for every layer, in the order of the numbers in their
        names if these are all that they differ by, else in the order of the mapping (a module's is that in which its layers
        were made; a file may have sorted them): numpy arrays, PyTorch tensors, or what else has ``numpy()``.

    Raises
    ------
    TensorError
        Names, shapes or values do not fit the network; nothing has been changed then.
    """
    fitted, initial = _fitted(net, state), net.initial_values(np.random.default_rng(0))
    loaded = {id(initial[tensor]): value for tensor, value in fitted.items()}
    for tensor, value in initial.items():  # what begins as a copy of a weight follows it
        device.load(tensor, loaded.get(id(value), value))
    net.optimizer.t = 0


def save(net: "MLP", device: Device, path: str | os.PathLike) -> None:
    """Write `state_dict` as a safetensors file; CheckpointError if that fails."""
    checkpoint.write(path, state_dict(net, device), {"format": "pt"})


def load(net: "MLP", device: Device, path: str | os.PathLike) -> None:
    """Load a safetensors file of weights, as of `load_state_dict`.

    Raises
    ------
    CheckpointError
        It is no whole safetensors file, or does not have the checksum in its metadata, if there is one.
    TensorError
        It does not fit.
    """
    load_state_dict(net, device, checkpoint.read_arrays(path))


def _fitted(net: "MLP", state: Mapping[str, Any]) -> dict[Tensor, np.ndarray]:
    """Return what is to be loaded into the weights' tensors."""
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise TensorError(f"a mapping of names to arrays is expected, not {type(state).__name__!r} with other keys or items; give "
                          "state_dict() of a module, or a dict of numpy arrays")
    arrays = {name: _array(name, value) for name, value in state.items()}
    layers: dict[str, dict[str, str]] = {}  # in front of weight and bias -> which -> whole name
    for name in arrays:
        layer, _, kind = name.rpartition(".")
        if kind not in ("weight", "bias"):
            raise TensorError(f"'{name}' is neither weight nor bias of a Linear layer; this network has only these, take it out")
        layers.setdefault(layer, {})[kind] = name
    names = list(layers)
    if len({re.sub(r"\d+", "0", name) for name in names}) == 1:
        names.sort(key=_natural)
    if len(names) != len(net.layers):
        raise TensorError(f"there are {len(names)} Linear layers ({', '.join(names)}), but the network "
                          f"{'-'.join(map(str, net.sizes))} has {len(net.layers)}; make it with other hidden widths, or give one trunk "
                          "whose last layer makes logits and value")
    fitted, wide = {}, []  # wide: (exponent that it would need, name, tensor) of what does not fit
    for layer, target in zip(names, net.layers, strict=True):
        for kind, tensor in (("weight", target.weight), ("bias", target.bias)):
            if kind not in layers[layer]:
                raise TensorError(f"'{layer}.{kind}' is missing; give zeros of shape {_shape(tensor, kind)} if the layer has none")
            name = layers[layer][kind]
            fitted[tensor] = _checked(name, arrays[name], tensor, kind, target is net.layers[-1])
            low, high = mantissa_range(tensor.bits)
            mantissas = np.rint(np.ldexp(fitted[tensor], -tensor.initial))
            if tensor.static and (mantissas.min() < low or mantissas.max() > high):
                wide.append((fitting_exponent(fitted[tensor], tensor.bits), name, tensor))
    if wide:
        exponent, name, tensor = max(wide, key=lambda item: item[0])
        low, high = (bound * 2.0**tensor.initial for bound in mantissa_range(tensor.bits))
        raise TensorError(f"'{name}' has values up to {np.abs(fitted[tensor]).max():g} and does not fit the weights' exponent "
                          f"{tensor.initial}, at which they hold {low:g} to {high:g}; make the network with weight_exponent={exponent} "
                          "(lathe train --weight-exponent), or clip the values")
    return fitted


def _checked(name: str, array: np.ndarray, tensor: Tensor, kind: str, last: bool) -> np.ndarray:
    """Return an array as its tensor's (rows, columns)."""
    if array.shape != _shape(tensor, kind):
        hint = "; Linear stores weights as (outputs, inputs): transpose it" if array.shape == tensor.shape and kind == "weight" else \
            f"; the last layer makes {tensor.columns - 1} logits and the value" if last else ""
        raise TensorError(f"'{name}' has shape {array.shape} and must have {_shape(tensor, kind)}{hint}")
    if not np.isfinite(array).all():
        raise TensorError(f"'{name}' holds values that are not finite; check where it comes from")
    return array.T if kind == "weight" else array[None]


def _shape(tensor: Tensor, kind: str) -> tuple[int, ...]:
    return (tensor.columns, tensor.rows) if kind == "weight" else (tensor.columns,)


def _array(name: str, value: Any) -> np.ndarray:
    try:
        for step in ("detach", "cpu", "numpy"):
            value = getattr(value, step)() if hasattr(value, step) else value
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"its type is {array.dtype}")
    except (TypeError, ValueError, RuntimeError) as error:
        raise TensorError(f"'{name}' is no array of real numbers ({error}); give numpy arrays or float32 tensors") from None
    return array.astype(np.float64)


def _natural(name: str) -> list[int]:
    """Key by which '10.weight' comes after '2.weight'."""
    return [int(number) for number in re.findall(r"\d+", name)]
