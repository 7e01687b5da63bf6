# SPDX-License-Identifier: Apache-2.0
"""Device on the golden back end: transport of tensors, decoded errors, time-outs, and a chip that stays usable."""

import numpy as np
import pytest

from lathe import (
    BackendError,
    CapacityError,
    Device,
    DeviceError,
    DeviceTimeout,
    LatheError,
    Layout,
    Program,
    ProgramError,
    SettingsError,
    TensorError,
    WeightGroup,
)
from lathe.backends import BACKENDS
from lathe.backends.golden import GoldenBackend
from lathe.backends.verilator import VerilatorBackend
from lathe.optimizers import SGD
from lathe.tensor import dequantize, fitting_exponent, quantize


@pytest.fixture(params=[4, 8, 16])
def device(request):
    with Device("golden", lanes=request.param, seed=5) as device:
        yield device


def test_quantize_rounds_half_to_even_and_saturates():
    assert quantize([0.5, 1.5, 2.5, -0.5, -1.5, -2.5], 0).tolist() == [0, 2, 2, 0, -2, -2]
    assert quantize([32767.4, 32767.6, 1e9, -32768.4, -1e9], 0).tolist() == [32767, 32767, 32767, -32768, -32768]
    with pytest.raises(ValueError, match="NaN"):
        quantize([np.nan], 0)


@pytest.mark.parametrize("value", [1.0, 0.99999, 32767.0, 32767.4, 32767.6, 32768.0, 1e-9, 5.5, 2.0**-30])
def test_fitting_exponent_is_the_smallest(value):
    exponent = fitting_exponent([value, -value / 2])
    assert abs(np.rint(np.ldexp(value, -exponent))) <= 32767
    assert exponent == -64 or abs(np.rint(np.ldexp(value, 1 - exponent))) > 32767
    assert fitting_exponent(np.zeros(3)) == -64


def test_the_lowest_mantissa_counts_as_fitting():
    assert fitting_exponent([-1.0, 0.5]) == -15 and fitting_exponent([1.0, -1.0]) == -14 and fitting_exponent([-1.0, 0.99999]) == -14
    with Device() as device:
        x = device.layout.tensor("x", 2, 3)
        device.load(x, [[-1.0, 3 * 2.0**-15, 0.25], [2.0**-15, 0, 0]])
        for _ in range(2):
            device.load(x, device.store(x))
        device.load(x.view(rows=slice(1, 2)), [[5 * 2.0**-15, 0, 0]])
        assert np.array_equal(device.store(x), [[-1.0, 3 * 2.0**-15, 0.25], [5 * 2.0**-15, 0, 0]])


@pytest.mark.parametrize("backend", ["golden", pytest.param("verilator", marks=pytest.mark.xdist_group("verilated"))])
def test_what_is_loaded_first_of_all_is_there(backend):
    """The chip zeroes its scratchpad for a thousand cycles after power-on; whatever comes then waits for that."""
    with Device(backend) as device:
        x = device.layout.tensor("x", 1, 3)
        device.load(x, [[1, 2, 3]])
        assert np.array_equal(device.store(x), [[1, 2, 3]])
    with Device(backend) as device:
        x, y = device.layout.tensor("x", 1, 1), device.layout.tensor("y", 1, 1)
        program = Program("square", device.layout)
        program.matmul(x, x, y)
        device.load(x, [[1.5]])
        device.run(program)
        assert abs(device.store(y)[0, 0] - 2.25) < 1e-3


def test_load_and_store(device):
    rng = np.random.default_rng(1)
    x, fixed = device.layout.tensor("x", 5, 11), device.layout.tensor("fixed", 3, 4, -12, static=True)
    values = rng.normal(size=(5, 11)) * 100
    device.load(x, values)
    device.load(fixed, np.full((3, 4), 32767 * 2.0**-12))
    exponent = fitting_exponent(values)
    assert np.array_equal(device.store(x), dequantize(quantize(values, exponent), exponent))
    assert np.array_equal(device.store(fixed), np.full((3, 4), 32767 * 2.0**-12))
    raw = device.layout.records("records", 6)
    content = rng.integers(-32768, 32768, raw.shape).astype(np.int16)
    device.load(raw, content)
    assert np.array_equal(device.store(raw), content)
    with pytest.raises(ValueError, match=r"'x' 5 x 11 was given an array of shape \(5, 10\)"):
        device.load(x, values[:, :10])


@pytest.mark.parametrize("name,value,message", [
    ("x", np.nan, r"'x' 2 x 2: the value nan in row 1, column 0 is not finite"), ("x", -np.inf, "the value -inf .* is not finite"),
    ("x", 1e30, "does not fit its largest exponent 63, .*scale the values down"), ("x", 1j, "type complex128; it holds real numbers"),
    ("x", "one", "it holds real numbers"), ("x", None, "it holds real numbers"), ("x", [1, 2], "what is no array"),
    ("s", 9.5, r"value 9.5 in row 1.* static exponent -12, at which it holds -8 to 7.99976; make the tensor with exponent=-11"),
    ("s", -8.001, "make the tensor with exponent=-11"), ("r", 0.5, "0.5 .* is no integer from -32768 to 32767"),
    ("r", 40000, "40000 .* is no integer from"), ("r", np.nan, "nan .* is no integer from"),
])
def test_values_that_a_tensor_cannot_hold(name, value, message):
    with Device("golden", lanes=4) as device:
        layout = device.layout
        tensor = {"x": layout.tensor("x", 2, 2), "s": layout.tensor("s", 2, 2, -12, static=True),
                  "r": layout.tensor("r", 2, 2, raw=True)}[name]
        with pytest.raises(TensorError, match=message):
            device.load(tensor, [[0, 0], [value, 0]])
        device.load(tensor, [[1, -2], [3, 0]])
        assert device.store(tensor).tolist() == [[1, -2], [3, 0]]


def test_a_program_computes(device):
    rng = np.random.default_rng(2)
    layout = device.layout
    a, b, c = layout.tensor("a", 6, 9), layout.tensor("b", 9, 7), layout.tensor("c", 6, 7, 4)
    device.load(a, rng.normal(size=a.shape))
    device.load(b, rng.normal(size=b.shape))
    program = Program("product", layout)
    program.matmul(a, b, c)
    for _ in range(2):  # the second time delayed scaling has found the exponent
        device.run(program)
    exact = device.store(a) @ device.store(b)
    assert np.max(np.abs(device.store(c) - exact)) <= np.max(np.abs(exact)) * 2.0**-14
    with pytest.raises(ProgramError, match="already on the chip"):
        program.commit()


def weights_of(device):
    group = WeightGroup(device.layout, 3)
    w = group.tensor("w", 4, 4, -13, static=True)
    m = group.tensor("m", 4, 4, -13)
    group.place()
    g = device.layout.tensor("g", 4, 4)
    device.load(w, np.arange(16).reshape(4, 4) / 16)
    device.load(m, np.zeros((4, 4)))
    device.load(g, np.ones((4, 4)))
    device.set_optimizer(1 / 8)
    step = Program("step", device.layout)
    step.sgd(w, g, m, stochastic=False)
    step.commit()
    back = Program("back", device.layout)
    back.rollback()
    return w, step, back


def test_commit_and_rollback(device):
    w, step, back = weights_of(device)
    start = device.store(w)
    device.run(step)
    assert device.version == 1 and np.array_equal(device.store(w), start - 0.125)
    device.run(back)
    assert device.version == 0 and np.array_equal(device.store(w), start)
    with pytest.raises(DeviceError, match="descriptor 0 'rollback': no_version: no older version is kept") as caught:
        device.run(back)
    assert (caught.value.code, caught.value.index) == ("no_version", 0)


def test_optimizer_settings():
    with Device("golden") as device:
        for rate, momentum, encoded in ((0.125, 0.5, (32768, -18)), (1 - 2**-20, 0.0, (32768, -15)), (65536, 0.9, (32768, 1)),
                                        (0, 65535 / 65536, (0, -128)), (1e-300, 0, (0, -128))):
            device.set_optimizer(rate, momentum)
            register = device.registers.read("LEARNING_RATE")
            assert (register["mant"], register["exp"]) == encoded
            assert device.registers.value("MOMENTUM") == round(momentum * 65536)
        for rate, momentum in ((-1, 0), (np.nan, 0), (np.inf, 0), (1e6, 0), ("1", 0), (1, 1.0), (1, -0.1), (1, np.nan)):
            with pytest.raises(SettingsError, match="must be a number between 0 and"):
                device.set_optimizer(rate, momentum)


def test_a_step_without_a_learning_rate_is_refused():
    with Device("golden") as device:
        group = WeightGroup(device.layout)
        w, m = group.tensor("w", 4, 4, -13), group.tensor("m", 4, 4, -13)
        group.place()
        program = Program("step", device.layout)
        program.sgd(w, device.layout.tensor("g", 4, 4), m)
        program.commit()
        with pytest.raises(ProgramError, match=r"'step' would change no weight .* never set; call Device.set_optimizer"):
            device.run(program)
        device.set_optimizer(0.0)  # on purpose
        device.run(program)
        assert device.version == 1


def test_first_exponent_of_a_tensor():
    with Device("golden") as device:
        make = device.layout.tensor
        assert [make("a", 1, 1).initial, make("b", 1, 1, static=True).initial, make("c", 1, 1, 3).initial] == [-10, 0, 3]


BAD = {
    "bad_unit": dict(unit=7),
    "bad_op": dict(unit="dma", op=9),
    "bad_field": dict(unit="dma", op="load", t2_addr=0, t2_stride=1, m=1, n=1, k=3),
    "bad_shape": dict(unit="dma", op="load", t2_stride=1, m=0, n=1),
    "out_of_scratchpad": dict(unit="dma", op="load", t2_addr=8190, t2_stride=1, m=4, n=1),
    "misaligned": dict(unit="dma", op="load", t2_stride=1, m=1, n=1, mem_addr=2),
    "protected": dict(unit="dma", op="load", t2_addr=0, t2_stride=1, m=1, n=1),  # the weight group
    "memory": dict(unit="dma", op="load", t2_addr=8000, t2_stride=1, m=1, n=1, mem_addr=1 << 30),
    "deadlock": dict(unit="dma", op="load", t2_addr=8000, t2_stride=1, m=1, n=1, wait_mask=1 << 5),
}


@pytest.mark.parametrize("code", BAD)
def test_errors_are_decoded_and_leave_the_chip_usable(device, code):
    w, step, _ = weights_of(device)
    start = device.store(w)
    bad = Program("faulty", device.layout)
    g = next(t for t in device.layout.tensors if t.name == "g")
    bad.store(g, device.layout.block_for(g))
    bad.raw("the planted fault", **BAD[code])
    with pytest.raises(DeviceError, match=f"program 'faulty', descriptor 1 'the planted fault': {code}: ") as caught:
        device.run(bad)
    assert (caught.value.code, caught.value.index, caught.value.label) == (code, 1, "the planted fault")
    assert device.version == 0 and np.array_equal(device.store(w), start)
    device.run(step)
    assert device.version == 1 and np.array_equal(device.store(w), start - 0.125)


def test_error_of_a_tensor_names_it_and_the_limit():
    with Device("golden") as device:
        x = device.layout.tensor("x", 4, 8)
        program = Program("p", device.layout)
        program.load(x, device.layout.block_for(x))
        program.operations[0].fields["t2_addr"] = 8190
        with pytest.raises(DeviceError, match=r"out_of_scratchpad: the scratchpad has 8192 words.*t2_addr=8190.*'x' 4 x 8"):
            device.run(program)


def test_tensors_and_programs_of_another_device():
    with Device("golden") as device, Device("golden") as other:
        x = other.layout.tensor("x", 1, 1)
        for use in (lambda: device.load(x, [[1]]), lambda: device.store(x), lambda: device.exponent_index(x)):
            with pytest.raises(ProgramError, match="'x' 1 x 1 belongs to the layout of another device"):
                use()
        with pytest.raises(ProgramError, match="'Device' in place of a layout; pass device.layout, not the device"):
            Program("p", device)


class Stuck(GoldenBackend):
    """A chip that never ends a program."""

    def run(self, max_cycles=None):
        raise TimeoutError("no interrupt")


def test_timeout_dumps_the_status():
    with Device(Stuck) as device:
        program = Program("endless", device.layout)
        program.commit()
        with pytest.raises(DeviceTimeout, match=r"program 'endless' did not end within \d+ cycles(.|\n)*'busy': 1(.|\n)*policy: busy"):
            device.run(program)


class Foreign(GoldenBackend):
    def csr_read(self, address):
        return super().csr_read(address) ^ (1 if address == 0 else 0)


def test_wrong_identity():
    with pytest.raises(BackendError, match="expected 0x4c415448"):
        Device(Foreign)


def test_bad_parameters():
    with pytest.raises(BackendError, match="unknown back end 'gold'; choose one of: golden, verilator"):
        Device("gold")
    with pytest.raises(CapacityError, match="4, 8 or 16 lanes, not 5"):
        Device(lanes=5)
    with pytest.raises(CapacityError, match="power of two"):
        Device(banks=6)
    with pytest.raises(CapacityError, match="memory_bytes is 1024"):
        Device(memory_bytes=1024)


class Unbuildable:
    def __init__(self, *_):
        raise RuntimeError("g++ is missing: install a C++20 compiler")


def test_a_back_end_that_cannot_be_built(monkeypatch):
    import lathe.backends.golden as golden

    monkeypatch.setattr(golden, "GoldenBackend", Unbuildable)
    with pytest.raises(BackendError, match=r"back end 'golden' cannot be used: g\+\+ is missing: install"):
        Device("golden")
    assert set(BACKENDS) == {"golden", "verilator", "serial"}


def test_a_compilation_is_announced(monkeypatch, tmp_path, capsys):
    from lathe.backends import build

    class Tools:
        BUILD, ToolMissing = tmp_path, RuntimeError
        require, environment = staticmethod(lambda *_: None), staticmethod(dict)
        compiler, compiler_version = staticmethod(lambda: ["g++"]), staticmethod(str)

    def fail(*_):
        raise build.BuildError("far enough")

    monkeypatch.setattr(build, "_scripts", lambda: ([], Tools))
    monkeypatch.setattr(build, "_run", fail)
    with pytest.raises(build.BuildError, match="far enough"):
        build.build(4, 2)
    assert capsys.readouterr().err == ("lathe: compiling the simulator for 4 lanes and 2 banks, once, about a minute or two; log "
                                       f"{tmp_path / 'sim/lanes4_banks2/build.log'}\n")


def test_a_missing_compiler_is_named(monkeypatch):
    from lathe.backends import build

    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(build.BuildError, match=r"the one that CXX names: 'no-such-compiler' is not on this machine.*--backend golden"):
        build.build(4, 2)


def test_closed_device():
    device = Device("golden")
    program = Program("late", device.layout)
    program.rollback()
    device.close()
    device.close()
    with pytest.raises(LatheError, match="closed"):
        device.run(program)


@pytest.mark.parametrize("use", [
    lambda d: d.version, lambda d: d.cycles, lambda d: d.saturations, lambda d: d.status(), lambda d: d.statistics(),
    lambda d: d.clear_statistics(), lambda d: d.load(d.layout.tensors[0], [[1]]), lambda d: d.store(d.layout.tensors[0]),
    lambda d: d.install(Program("p", d.layout)), lambda d: d.registers.value("ID"), lambda d: d.backend.csr_read(0),
])
def test_everything_after_close_is_an_error(use):
    with Device("golden") as device:
        device.layout.tensor("x", 1, 1)
    with pytest.raises(BackendError, match="the device is closed"):
        use(device)


def test_a_closed_verilated_chip_is_an_error_and_no_crash(monkeypatch):
    from lathe.backends import verilator

    class Library:
        """In place of the compiled chip: any function, which answers 0."""

        def __getattr__(self, name):
            function = type("Function", (), {"__call__": lambda *_: int(name == "lathe_sim_new")})()
            setattr(self, name, function)
            return function

    monkeypatch.setattr(verilator.VerilatorBackend, "library", staticmethod(lambda *_: "library"))
    monkeypatch.setattr(verilator.ctypes, "CDLL", lambda _: Library())
    chip = verilator.VerilatorBackend(4, 1, np.zeros(16, np.uint8))
    assert chip.csr_read(0) == chip.cycles == 0
    chip.close()
    chip.close()
    for use in (lambda: chip.cycles, lambda: chip.csr_read(0), lambda: chip.csr_write(0, 1), lambda: chip.run(1),
                lambda: chip.advance(1), chip.reset):
        with pytest.raises(BackendError, match="the device is closed"):
            use()


@pytest.mark.parametrize("options", [{}, {"raw": True}, {"exponent": -8, "static": True}, {"dtype": "int8"},
                                     {"dtype": "int8", "packed": "columns"}])
def test_loading_a_part_keeps_the_rest(device, options):
    x = device.layout.tensor("x", 6, 40, **options)
    values = np.arange(240).reshape(6, 40) % 50
    device.load(x, values)
    part = x.view(slice(2, 5), slice(32, 37))
    device.load(part, np.full((3, 5), 100))
    values[2:5, 32:37] = 100
    assert np.array_equal(device.store(x), values)


class Interrupted(VerilatorBackend):
    """Ctrl-C comes `after` cycles into the next wait."""

    after = None

    def run(self, max_cycles):
        if self.after is not None:
            after, self.after = self.after, None
            self.advance(after)
            raise KeyboardInterrupt
        super().run(max_cycles)


@pytest.mark.xdist_group("verilated")
@pytest.mark.parametrize("after", [0, 50, 100_000])
def test_what_an_interrupt_left_running_ends_before_anything_else(after):
    with Device(Interrupted, seed=5) as device:
        x, w, y, z = (device.layout.tensor(name, 64, 64) for name in "xwyz")
        long, copy, many = (Program(name, device.layout) for name in ("long", "copy", "many"))
        for _ in range(5):
            long.matmul(x, w, y)
        for _ in range(300):
            many.matmul(z, w, y)
        copy.copy(x, z)
        for tensor in (x, w):
            device.load(tensor, np.eye(64))
        device.run(long)
        for interrupted in (lambda: device.run(long), lambda: device.run(many), lambda: device.load(y, np.ones((64, 64)))):
            device.load(z, np.zeros((64, 64)))
            device.backend.after = after
            with pytest.raises(KeyboardInterrupt):
                interrupted()
            device.run(copy)
            assert np.array_equal(device.store(z), np.eye(64))
        device.start(long)
        device.backend.after = after
        with pytest.raises(KeyboardInterrupt):
            device.finish()
        with pytest.raises(ProgramError, match="'long' was started; call Device.finish first"):
            device.run(copy)
        device.finish()
        device.run(copy)


@pytest.mark.xdist_group("verilated")
def test_adapt_restores_after_an_interrupt():
    with Device(Interrupted, seed=5) as device:
        group = WeightGroup(device.layout, 3)
        w, g = group.tensor("w", 8, 8, -10), device.layout.tensor("g", 8, 8)
        group.place()
        program = Program("step", device.layout)
        program.sgd(w, g, stochastic=False)
        program.commit()
        device.load(w, np.zeros((8, 8)))
        device.load(g, np.ones((8, 8)))
        device.set_optimizer(0.5)
        with pytest.raises(KeyboardInterrupt), device.adapt():
            device.run(program)
            device.backend.after = 20
            device.run(program)
        assert device.version == 0 and not device.store(w).any()
        assert [version.pinned for version in device.versions()] == [False] * len(device.versions())


@pytest.mark.parametrize("padding", [10, 100, 300])
def test_a_norm_is_not_parted_from_the_steps_that_it_clips(padding):
    with Device("golden") as device:
        group = WeightGroup(device.layout, 3)
        w = group.tensor("w", 8, 8, -13, static=True)
        group.place()
        a, g, t = (device.layout.tensor(name, 8, 8) for name in "agt")
        optimizer, program = SGD(lr=0.1, max_grad_norm=1.0), Program("p", device.layout)
        for _ in range(3):
            for _ in range(70):
                program.matmul(a, a, t)
            program.matmul(a, a, g, norm=True)
            for _ in range(padding):
                program.matmul(a, a, t)
            optimizer.record(program, w, g, None, False)
            program.commit()
        device.load(w, np.zeros((8, 8)))
        device.load(a, np.ones((8, 8)))
        optimizer.apply(device)
        if padding == 300:
            with pytest.raises(ProgramError, match=r"in pieces of at most 127, but '.*' is clipped by a norm of which '.*', 301 before"):
                device.run(program)
        else:
            device.run(program)
            assert np.abs(device.store(w) + 3 * 0.1 / 8).max() < 2.0**-11


def test_numbers_that_are_no_integers():
    with Device("golden") as device:
        layout = device.layout
        for make in (lambda: layout.tensor("x", 2, 2, np.floor(-9.5)), lambda: layout.tensor("x", 2.0, 3), lambda: layout.records("x", 2.5),
                     lambda: layout.block("x", "3"), lambda: layout.matrix("x", 3, 3, -5.0)):
            with pytest.raises(CapacityError, match="is no whole number"):
                make()
        for make in (lambda: layout.block("x", -3), lambda: layout.block("x", 3, 0), lambda: layout.matrix("x", 0, 3, -5)):
            with pytest.raises(CapacityError, match="must be"):
                make()
        x = layout.tensor("x", np.uint8(200), np.int64(3), np.int8(-4))
        assert [type(value) for value in (x.rows, x.columns, x.initial)] == [int, int, int]
        device.load(x, np.ones((200, 3)))
        assert device.store(x).all()


@pytest.mark.parametrize("settings", [{"banks": "8"}, {"banks": 8.0}, {"lanes": None}, {"seed": 1.5}, {"memory_bytes": 65536.0}])
def test_sizes_are_whole_numbers(settings):
    [name] = settings
    with pytest.raises(CapacityError, match=f"{name} .* is no whole number; convert it with int"):
        Device(**settings)
    with Device(banks=np.int64(8), lanes=np.int32(8), seed=np.int16(3), memory_bytes=np.int64(65536)) as device:
        assert device.memory.nbytes == 65536


def test_parts_of_a_block_count_from_either_end():
    layout = Layout(8, 8, np.zeros(1 << 16, np.uint8))
    layout.block("before", 4)
    block = layout.block("block", 4, 2)
    last = block.part("last", slice(-1, None), slice(None), 8)
    assert (last.address, last.data.shape) == (block.address + 3 * 32, (1, 16))


def test_what_is_refused_takes_no_room():
    with Device() as device:
        layout = device.layout
        x, out = layout.tensor("x", 3, 70), layout.tensor("out", 3, 60)
        free, program = layout.words_free, Program("p", layout)
        for record in (lambda: program.copy(x, out), lambda: program.copy(x, x),
                       lambda: program.quantize(x, layout.tensor("x8", 3, 70, dtype="int8"), transpose=True)):
            before = layout.words_free
            with pytest.raises(ProgramError):
                record()
            assert layout.words_free >= before - 15
        for number in range(70):
            try:
                layout.tensor(str(number), 1, 8)
            except CapacityError as error:
                assert "no exponent register is left" in str(error)
                break
        used = layout.words_free
        for _ in range(3):
            with pytest.raises(CapacityError):
                layout.tensor("more", 100, 8)
        assert layout.words_free == used and used > free - 100
        assert not program.operations


def test_a_long_program_that_must_be_refused_is_not_begun():
    with Device() as device:
        group = WeightGroup(device.layout, 2)
        w = group.tensor("w", 8, 8, -12)
        group.place()
        gradient, x, y = (device.layout.tensor(name, 8, 8) for name in ("gradient", "x", "y"))
        device.set_optimizer(0.1)
        for tensor in (w, gradient, x):
            device.load(tensor, np.ones((8, 8)))
        program = Program("long", device.layout)
        program.sgd(w, gradient)
        program.commit()
        for _ in range(260):
            program.copy(x, y)
        program.sgd(w, gradient, clip=True)
        program.commit()
        with pytest.raises(ProgramError, match="is to be clipped, but no gradient before it"):
            device.run(program)
        assert device.version == 0 and np.array_equal(device.store(w), np.ones((8, 8)))
        program.copy(x, y)  # nor is it on the chip


@pytest.mark.parametrize(("between", "commit"), [(3, False), (300, False), (300, True)])
def test_the_norm_of_a_program_in_pieces(between, commit):
    with Device() as device:
        layout = device.layout
        group = WeightGroup(layout, 2)
        group.tensor("w", 8, 8, -12)
        group.place()
        a, b, c, x, y = (layout.tensor(name, 8, 8) for name in "abcxy")
        device.load(a, np.eye(8))
        device.load(b, np.ones((8, 8)))
        program = Program("norms", layout)
        program.matmul(a, b, c, norm=True)
        for _ in range(between):
            program.copy(x, y)
        if commit:
            program.commit(partial=True)
        program.matmul(a, b, c, norm=True)
        for _ in range(2):
            device.run(program)
        if between < 10 or commit:
            assert abs(device.gradient_norm - np.sqrt(64 if commit else 128)) < 0.01
            return
        for _ in range(2):
            with pytest.raises(ProgramError, match="program 'norms' ran in pieces, and gradients of its norm lie in several of them"):
                assert device.gradient_norm
            device.store(y)  # adds nothing to the norm
        short = Program("short", layout)
        short.matmul(a, b, c, norm=True)
        device.run(short)
        assert abs(device.gradient_norm - 8) < 0.01


def test_a_group_that_does_not_fit_leaves_room_for_another():
    with Device("golden") as device:
        group = WeightGroup(device.layout, 4)
        group.tensor("w", 256, 256, -13)
        with pytest.raises(CapacityError, match="the weight group"):
            group.place()
        smaller = WeightGroup(device.layout, 4)
        smaller.tensor("w", 8, 8, -13)
        smaller.place()
        assert device.layout.group is smaller
