# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: all that a device needs to go on bit for bit, in one safetensors file that cannot be taken for another.

>>> checkpoint.save(device, "run.safetensors")                 # doctest: +SKIP
... checkpoint.load(other_device, "run.safetensors")           # the same tensors made in the same order

In the file: the words of every tensor (of the weight group those of the current slot alone), exponents with their histories, outside
memory, settings, seed, operation numbers and the version; as JSON in its metadata what is no array, and a SHA-256 of all content.
Not in it: older versions of the weights, programs, counters and statistics.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse
from safetensors.numpy import save as serialize

from pymodels.csr_map import REGISTERS

from .allocator import ABSOLUTE_EXPONENTS, LOGICAL_EXPONENTS
from .device import Device
from .errors import CheckpointError
from .tensor import Tensor

FORMAT = "lathe checkpoint 1"
#: Registers that the driver writes whenever it needs them; all others that can be read and written are settings.
_DRIVEN = ("START_PC", "REQUEST_PC", "IRQ_ENABLE", "GROUP_", "GRANT", "FAULT_")
_SETTINGS = [name for name, register in REGISTERS.items() if register.access == "rw" and not name.startswith(_DRIVEN)]
_SLOTS = 4


class Content(NamedTuple):
    """What a checkpoint holds: arrays by name, and JSON values: `chip` of the device, `state` of the caller."""

    arrays: dict[str, np.ndarray]
    chip: dict[str, Any]
    state: dict[str, Any]


def save(device: Device, path: str | os.PathLike, state: Mapping[str, Any] | None = None) -> None:
    """Write a checkpoint; the device goes on as if it had not been saved.

    It holds the current weights, so save behind a commit: what programs have written for the next version (parts that a later
    ``commit(partial=True)`` counts on) is not in it.

    Parameters
    ----------
    device : Device
        No program may run.
    path : path
        It is replaced when the new file is complete on disk, so that at any time there is a whole one.
    state : mapping, optional
        More to keep: nested dicts with names as keys, lists, numbers, texts, None and numpy arrays of real numbers.

    Raises
    ------
    CheckpointError
        `state` holds something else, `path` names no file, or the file cannot be written; what was there is whole.
    ProgramError
        A program runs.
    """
    arrays: dict[str, np.ndarray] = {}
    chip = _chip_state(device, arrays)
    write(path, arrays, {"format": FORMAT, "chip": json.dumps(chip), "state": json.dumps(_take_apart(state or {}, "state", arrays))})


def load(device: Device, path: str | os.PathLike) -> dict[str, Any]:
    """Bring a device to a checkpoint's state; returns the `state` that was given to `save`, tuples as lists.

    Other versions of the weights are gone, and so are snapshots.

    Raises
    ------
    CheckpointError
        The file is damaged or none of this device's; nothing has been changed then.
    """
    content = read(path)
    check(device, content, path)
    apply(device, content)
    return content.state


def read(path: str | os.PathLike) -> Content:
    """Read a checkpoint and check that it is whole; CheckpointError if it is not."""
    arrays, metadata = read_file(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"'{path}' is no checkpoint of this version of lathe: its format is {metadata.get('format')!r}, not "
                              f"'{FORMAT}'; weights alone are read by lathe.weights.load")
    _verify(path, arrays, metadata)
    try:
        chip, state = json.loads(metadata["chip"]), json.loads(metadata["state"])
        return Content(arrays, chip, _put_together(state, arrays))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"'{path}' lacks a part of a checkpoint: {type(error).__name__}: {error}") from None


def check(device: Device, content: Content, path: str | os.PathLike) -> None:
    """Raise CheckpointError, naming the first difference, if a checkpoint was saved from another chip or other tensors."""
    theirs, ours = content.chip, _form(device)
    for what in ("lanes", "banks", "memory", "group", "registers"):
        if theirs.get(what) != ours[what]:
            raise CheckpointError(f"'{path}' was saved from another chip or layout: {_FORM[what]} {theirs.get(what)} there and "
                                  f"{ours[what]} here")
    for there, here in zip(theirs.get("tensors", []), ours["tensors"], strict=False):
        if there != here:
            raise CheckpointError(f"'{path}' was saved from another network or other tensors: {_described(there)} there, "
                                  f"{_described(here)} here")
    counts = len(theirs.get("tensors", [])), len(ours["tensors"])
    if counts[0] != counts[1]:
        raise CheckpointError(f"'{path}' was saved from other tensors: {counts[0]} there, {counts[1]} here")
    for there, here in zip(theirs.get("matrices", []), ours["matrices"], strict=False):
        if there != here:
            raise CheckpointError(f"'{path}' was saved with other matrices in outside memory (name, rows, columns, packed, exponent, "
                                  f"address): {there} there, {here} here")
    expected = {_name(index, tensor): (np.int16, (tensor.stored[0], tensor.row_words * tensor.lanes))
                for index, tensor in enumerate(device.layout.tensors)}
    expected |= {"memory": (np.uint8, (ours["memory"],)), "exponents": (np.int8, (ABSOLUTE_EXPONENTS + LOGICAL_EXPONENTS, 3)),
                 "histories": (np.uint32, (ABSOLUTE_EXPONENTS + LOGICAL_EXPONENTS, 4))}
    for name, (dtype, shape) in expected.items():
        array = content.arrays.get(name)
        if array is None or array.dtype != dtype or array.shape != shape:
            raise CheckpointError(f"'{path}' lacks '{name}' as {np.dtype(dtype)} of shape {shape}")
    try:
        if not 0 <= theirs["version"] < 1 << 32:
            raise ValueError(f"version {theirs['version']}")
        for name in _SETTINGS:
            REGISTERS[name].pack(**theirs["settings"][name])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"'{path}' lacks the weights' version or a register of the settings: {error}") from None


def apply(device: Device, content: Content) -> None:
    """Bring a device to the state of a checkpoint that `check` has accepted."""
    device.check_idle("no checkpoint can be loaded")
    arrays, chip, registers = content.arrays, content.chip, device.registers
    if chip["group"]:
        device.set_version(chip["version"])
    for index, tensor in enumerate(device.layout.tensors):
        device.write_words(tensor, arrays[_name(index, tensor)])
    device.memory[:chip["memory"]] = arrays["memory"]
    for logical, ((exponent, following, static), history) in enumerate(zip(arrays["exponents"].tolist(), arrays["histories"].tolist(),
                                                                           strict=True)):
        copies = [logical] if logical < ABSOLUTE_EXPONENTS else [logical + LOGICAL_EXPONENTS * slot for slot in range(_SLOTS)]
        for index in copies:
            registers.write_exponent(index, exponent, bool(static), following)
        registers.write_history(logical, history)
    for (exponent, _), index in device.layout.static_exponents.items():  # of products recorded here, whatever was recorded there
        registers.write_exponent(index, exponent, True)
    for name in _SETTINGS:  # behind the tensors, whose transfers count as operations
        registers.write(name, **chip["settings"][name])
    device.set_request_number(registers.value("REQUEST_OPNUM"))
    device.forget_rates()


def _chip_state(device: Device, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Fill `arrays` with the tensors, memory and exponents of a device; returns the rest."""
    device.check_idle("no checkpoint can be written")
    registers, layout = device.registers, device.layout
    settings = {name: registers.read(name) for name in _SETTINGS}
    for index, tensor in enumerate(layout.tensors):
        arrays[_name(index, tensor)] = device.read_words(tensor)
    registers.write("OPNUM", **settings["OPNUM"])  # as if there had been no transfers
    form = _form(device)
    arrays["memory"] = device.memory[:form["memory"]].copy()
    current = registers.read("SLOT")["slot"]
    exponents, histories = [], []
    for logical in range(ABSOLUTE_EXPONENTS + LOGICAL_EXPONENTS):
        exponents.append(registers.read_exponent(logical if logical < ABSOLUTE_EXPONENTS else logical + LOGICAL_EXPONENTS * current))
        histories.append(registers.read_history(logical))
    arrays["exponents"], arrays["histories"] = np.array(exponents, np.int8), np.array(histories, np.uint32)
    return {**form, "version": device.version, "settings": settings}


_FORM = {"lanes": "lanes", "banks": "banks", "memory": "bytes of outside memory in use", "group": "slots and words of the weight group",
         "registers": "version of the register map"}


def _form(device: Device) -> dict[str, Any]:
    """What must be the same in the device that takes up a checkpoint."""
    layout = device.layout
    group = layout.group
    return {"lanes": layout.lanes, "banks": layout.banks, "memory": layout.bytes_used,
            "group": [group.slots, group.size] if group and group.placed else None,
            "registers": REGISTERS["BUILD"].fields["version"].reset,
            "tensors": [[t.name, t.rows, t.columns, t.packed, t.space, t.address, t.stride, t.exponent, t.static]
                        for t in layout.tensors],
            "matrices": [[m.name, *m.shape, m.packed, m.form.initial, m.block.address] for m in layout.matrices]}


def _described(form: list) -> str:
    try:
        name, rows, columns, packed, space, address = form[:6]
        return f"'{name}' {rows} x {columns} {'int8' if packed else 'int16'} ({space} {address})"
    except (TypeError, ValueError):
        return repr(form)


def _name(index: int, tensor: Tensor) -> str:
    return f"tensor {index}: {tensor.name}"


def _take_apart(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return `value` as JSON; arrays in it go into `arrays` and leave their name. A dict of theirs that looks so keeps a list."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
            raise CheckpointError(f"'{name}' is an array of type {value.dtype}, which a checkpoint does not take; give real numbers of at "
                                  "most 64 bits")
        while name in arrays:  # of keys with dots in them
            name += "'"
        arrays[name] = np.ascontiguousarray(value, value.dtype.newbyteorder("=")).reshape(value.shape)
        return {"array": name}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise CheckpointError(f"'{name}' has keys that are no texts, which JSON does not keep; convert them with str()")
        if value.keys() == {"array"}:
            return {"array": [_take_apart(value["array"], f"{name}.array", arrays)]}
        return {key: _take_apart(item, f"{name}.{key}", arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_take_apart(item, f"{name}.{index}", arrays) for index, item in enumerate(value)]
    value = value.item() if isinstance(value, np.generic) else value
    if value is not None and not isinstance(value, str | int | float):
        raise CheckpointError(f"'{name}' is of type {type(value).__name__}, which a checkpoint does not take; give dicts, lists, numbers, "
                              "texts, None or numpy arrays")
    return value


def _put_together(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The reverse of `_take_apart`."""
    if isinstance(value, dict):
        if value.keys() == {"array"}:
            inner = value["array"]
            return {"array": _put_together(inner[0], arrays)} if isinstance(inner, list) else arrays[inner]
        return {key: _put_together(item, arrays) for key, item in value.items()}
    return [_put_together(item, arrays) for item in value] if isinstance(value, list) else value


# ---- files

def write(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file with a checksum, by way of a temporary file in the same folder; CheckpointError if it cannot be."""
    path = check_file(path).resolve()  # a link stays one
    data = serialize(dict(arrays), {**metadata, "checksum": _checksum(arrays, metadata)})
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise CheckpointError(f"'{path}' cannot be written: {error.strerror or error}; if there was a file before, it is whole") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name is on disk, too
    finally:
        os.close(folder)


def check_file(path: str | os.PathLike) -> Path:
    """Return `path`; CheckpointError if it can be no file's."""
    path = Path(path)
    if not path.name or path.is_dir():
        raise CheckpointError(f"'{path}' is a folder; name a file in it to save to")
    if path.exists() and not path.is_file():
        raise CheckpointError(f"'{path}' is a device or a pipe, which a checkpoint would take the place of; name a file to save to")
    return path


def read_file(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays and the metadata of a safetensors file; CheckpointError if it is none."""
    try:
        data = Path(path).read_bytes()
        arrays = parse(data)
        header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
    except OSError as error:
        raise CheckpointError(f"'{path}' cannot be read: {error.strerror or error}") from None
    except KeyError as error:  # numpy's table of types lacks one
        raise CheckpointError(f"'{path}' has tensors of type {error.args[0]}, which numpy lacks; convert them to float32 first") from None
    except (SafetensorError, ValueError, TypeError) as error:
        raise CheckpointError(f"'{path}' is no whole safetensors file ({' '.join(str(error).split())}); it was cut off, damaged or "
                              "made by something else") from None
    return arrays, header.get("__metadata__") or {}


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Return the arrays of any safetensors file, verified if it has a checksum of ours."""
    arrays, metadata = read_file(path)
    if "checksum" in metadata:
        _verify(path, arrays, metadata)
    return arrays


def _verify(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    if metadata.get("checksum") != _checksum(arrays, metadata):
        raise CheckpointError(f"'{path}' is damaged: its content does not have the checksum that it was saved with; use an older one")


def _checksum(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """SHA-256 of names, types, shapes and bytes of all arrays and of the metadata but for the checksum itself."""
    rest = {name: text for name, text in metadata.items() if name != "checksum"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return "sha256:" + digest.hexdigest()
