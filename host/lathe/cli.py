# SPDX-License-Identifier: Apache-2.0
"""The command `lathe`: train, info, verify, trace, board-sim, experiment. A mistake of the user's ends with one line and exit code 2."""

import argparse
import os
import sys
import tempfile
import time
import types
import typing
from dataclasses import MISSING, fields
from pathlib import Path

from . import checkpoint, resume
from .algorithms import make_trainer
from .backends import BACKENDS, backend_class
from .boards import BOARDS, Board, board
from .display import Display
from .errors import LatheError, MismatchError, SettingsError
from .experiment import CORRECTIONS, LAGS, RECIPE, Run, collect, differences, load, plan, read
from .resume import CHANGEABLE
from .settings import Settings

#: Settings that `lathe verify` starts from: the demonstration's programs, but short rollouts, so that updates come soon.
VERIFY_DEFAULTS = {"rollout": 16}

#: Settings that `lathe trace` starts from: a short rollout and one update before it, so that no exponent is a guess.
TRACE_DEFAULTS = {"backend": "verilator", "rollout": 16}


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    arguments.argv = argv
    try:
        return arguments.command(arguments)
    except MismatchError as error:
        print(f"lathe: mismatch {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read what is printed has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (LatheError, OSError) as error:
        print(f"lathe: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lathe: interrupted", file=sys.stderr)
        return 130


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Defaults after the help, but for None, whose meaning the help itself says."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def _parser(defaults: bool = True) -> argparse.ArgumentParser:
    """Return the parser; without `defaults`, settings of training that were not given are missing in what it returns."""
    parser = argparse.ArgumentParser(prog="lathe", description="An accelerator that keeps learning while it runs.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a policy on the chip",
                                formatter_class=_HelpFormatter)
    _add_settings(train, defaults=None if defaults else dict.fromkeys((f.name for f in fields(Settings)), argparse.SUPPRESS))
    train.add_argument("--save", type=Path, metavar="FILE", help="write a checkpoint of the run at its end (safetensors)")
    train.add_argument("--save-every", type=int, default=0, metavar="N", help="and after every N iterations (a rollout and its updates)")
    train.add_argument("--resume", type=Path, metavar="FILE", help="go on where a checkpoint was saved, with its settings; of these only "
                                                                   + ", ".join(CHANGEABLE) + " may be given anew")
    train.add_argument("--out", type=Path, default=Path("build/train"), help="folder of result.json and learning_curve.png")
    train.set_defaults(command=_train)

    info = commands.add_parser("info", help="show the chip, and with --programs what training would run on it; or what a file holds",
                               formatter_class=_HelpFormatter)
    info.add_argument("checkpoint", type=Path, nargs="?", help="list what this checkpoint holds instead")
    _add_settings(info)
    info.add_argument("--programs", action="store_true", help="list the programs recorded for --env")
    info.set_defaults(command=_info)

    verify = commands.add_parser("verify", help="run back ends side by side and compare every bit",
                                 formatter_class=_HelpFormatter)
    _add_settings(verify, without=("backend", "steps", "target"), defaults=VERIFY_DEFAULTS)
    verify.add_argument("--backends", default="golden,verilator", help="back ends to compare, separated by commas")
    verify.add_argument("--updates", type=int, default=20, help="minibatch updates to run")
    verify.set_defaults(command=_verify)

    trace = commands.add_parser("trace", help="show what every unit does in every cycle of training's programs",
                                formatter_class=_HelpFormatter)
    _add_settings(trace, without=("steps", "target"), defaults=TRACE_DEFAULTS)
    trace.add_argument("--program", choices=("rollout", "update", "all"), default="all",
                       help="one rollout step, one minibatch update, or both")
    trace.add_argument("--out", type=Path, default=Path("build/trace/trace.json"),
                       help="timeline for ui.perfetto.dev; the picture gets the same name with .png")
    trace.set_defaults(command=_trace)

    board_sim = commands.add_parser("board-sim", help="simulate a board, with its serial port on a pseudo-terminal, until Ctrl-C",
                                    formatter_class=_HelpFormatter)
    board_sim.add_argument("board", metavar="BOARD", help="one of: " + ", ".join(BOARDS))
    board_sim.add_argument("--clocks-per-bit", type=int, help="clock cycles of a bit, 4 or more, in place of the board's baud rate; fewer "
                                                              "are simulated faster")
    board_sim.set_defaults(command=_board_sim)

    experiment = commands.add_parser("experiment", help="train many times and compare",
                                     formatter_class=_HelpFormatter)
    experiment.add_argument("name", choices=("mismatch",), help="mismatch: an int8 sampler with delayed weights beside an int16 learner, "
                                                                "with and without correction (docs/mismatch.md)")
    experiment.add_argument("--seeds", type=int, default=10, help="seeds 1 to this of every row")
    experiment.add_argument("--lags", type=_numbers, default=",".join(map(str, LAGS)),
                            help="publication lags in iterations, separated by commas")
    experiment.add_argument("--corrections", type=_names, default=",".join(CORRECTIONS), help="corrections, separated by commas")
    experiment.add_argument("--steps", type=int, default=RECIPE["steps"], help="environment steps of a run")
    experiment.add_argument("--sampler-observations", default=RECIPE["sampler_observations"],
                            help="operands of the sampler's first layer: int16 or int8")
    experiment.add_argument("--backend", default="golden", help="what executes the programs: golden or verilator")
    experiment.add_argument("--jobs", type=int, default=1, help="runs at a time, each in a process")
    experiment.add_argument("--out", type=Path, default=Path("build/experiment/mismatch"), help="folder of a JSON file a run; what is "
                                                                                                  "there is not run again")
    experiment.add_argument("--same-as", type=Path, help="folder of runs that have to be the same, from another back end for example")
    experiment.add_argument("--report", action="store_true", help="train nothing: write table and pictures of the runs that are there")
    experiment.add_argument("--docs", type=Path, default=Path("docs"), help="folder that --report writes mismatch.md and pictures into")
    experiment.set_defaults(command=_experiment)
    return parser


def _add_settings(parser: argparse.ArgumentParser, without: tuple[str, ...] = (), defaults: dict | None = None) -> None:
    for setting in fields(Settings):
        if setting.name in without:
            continue
        assert setting.default is not MISSING
        default, kind = (defaults or {}).get(setting.name, setting.default), setting.type
        option = f"--{setting.name.replace('_', '-')}"
        text = setting.metadata["help"].replace("%", "%%")
        if kind is bool:
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=default, help=text)
        elif setting.name == "hidden":
            text_default = ",".join(map(str, default)) if isinstance(default, tuple) else default  # as it is typed
            parser.add_argument(option, type=_widths, default=text_default, help=text)
        else:
            if isinstance(kind, types.UnionType):
                kind = next(t for t in typing.get_args(kind) if t is not type(None))
            parser.add_argument(option, type=kind, default=default, help=text)


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of widths such as 32,32") from None


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of numbers such as 0,8") from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _settings(arguments: argparse.Namespace) -> Settings:
    given = vars(arguments)
    settings = Settings(**{f.name: given[f.name] for f in fields(Settings) if f.name in given})
    backend_class(settings.backend)
    settings.check()
    return settings


def _train(arguments: argparse.Namespace) -> int:
    from . import report

    start = time.perf_counter()
    if arguments.save_every and not arguments.save:
        raise SettingsError("save_every says when to save, but not where; give --save, too")
    settings = _resumed(arguments) if arguments.resume else _settings(arguments)
    with make_trainer(settings) as trainer:
        if arguments.resume:
            resume.load(trainer, arguments.resume)
            taken_up = len(trainer.history)
        saver = resume.Saver(trainer, arguments.save, arguments.save_every) if arguments.save else None
        for folder in [arguments.out, *([arguments.save.parent] if saver else [])]:
            _check_folder(folder)
        try:
            with Display(settings) as display:
                trainer.train(lambda progress: (display.show(progress), saver and saver.step()))
            if saver:
                saver.finish()
        finally:
            figures = report.write(trainer, time.perf_counter() - start, arguments.out)
    episodes = min(100, figures["episodes"])
    outcome = f"mean return {figures['mean_return_100']} over the last {_count(episodes)}" if episodes else "no episode ended"
    print(f"{settings.env} on {figures['backend']}, seed {settings.seed}: {outcome} after {figures['env_steps']:,} steps, "
          f"{figures['train_wall_s']:.1f} s")
    print(f"wrote {arguments.out / 'result.json'} and {arguments.out / 'learning_curve.png'}")
    if arguments.resume and len(trainer.history) == taken_up:
        print(f"lathe: nothing was left to train: the run in '{arguments.resume}' is at {figures['env_steps']:,} steps; "
              "--steps and --target say how far to go on", file=sys.stderr)
    if settings.target is not None and not trainer.solved:
        print(f"lathe: the target of {settings.target:g} was not reached within {settings.steps:,} steps; it counts over "
              f"100 episodes, and {_count(figures['episodes'])} ended", file=sys.stderr)
        return 1
    return 0


def _check_folder(folder: Path) -> None:
    """Make the folder; SettingsError unless files can be written there, before time is spent on what goes into them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SettingsError(f"nothing can be written to the folder '{folder}': {error.strerror or error}") from None


def _resumed(arguments: argparse.Namespace) -> Settings:
    """Return the settings of the run in the checkpoint, with what was given anew."""
    path = arguments.resume
    given = vars(_parser(defaults=False).parse_args(arguments.argv))
    given = {f.name: given[f.name] for f in fields(Settings) if f.name in given}
    content = checkpoint.read(path)
    changes = {name: given[name] for name in CHANGEABLE if name in given}
    if given.get("backend", (saved := resume.read_settings(content, path)).backend) != saved.backend:
        changes = {"port": None, "baud": None, **changes}  # they belong to the board on which the run was saved
    settings = resume.read_settings(content, path, **changes)
    backend_class(settings.backend)
    for name, value in given.items():
        if value != getattr(settings, name):
            raise SettingsError(f"{name} is {value}, but the run in '{path}' has {getattr(settings, name)}; leave it out, or begin a new "
                                "run without --resume")
    return settings


def _count(episodes: int) -> str:
    return f"{episodes:,} episode{'' if episodes == 1 else 's'}"


def _info(arguments: argparse.Namespace) -> int:
    from .device import Device

    if arguments.checkpoint:
        print(resume.summary(checkpoint.read(arguments.checkpoint)))
        return 0
    settings = _settings(arguments)
    print(f"back ends: {', '.join(BACKENDS)}")
    if not arguments.programs:
        with Device(settings.backend, settings.lanes, settings.banks, settings.memory_bytes, settings.seed,
                    **settings.backend_options) as device:
            _print_chip(device)
        return 0
    with make_trainer(settings) as trainer:
        layout = trainer.device.layout
        _print_chip(trainer.device)
        print(f"network {'-'.join(map(str, trainer.net.sizes))} ({settings.activation}); {layout.words_free} of "
              f"{layout.scratchpad_words} scratchpad words free; weight group of {trainer.net.group.slots} slots of "
              f"{trainer.net.group.size} words at {trainer.net.group.base}")
        for program in trainer.programs:
            print(f"\n{program.listing()}")
    return 0


def _experiment(arguments: argparse.Namespace) -> int:
    from . import mismatch

    runs = plan(arguments.seeds, arguments.lags, arguments.corrections)
    changes = {"steps": arguments.steps, "backend": arguments.backend, "sampler_observations": arguments.sampler_observations}
    backend_class(arguments.backend)
    if arguments.backend == "serial":
        raise SettingsError("an experiment needs a chip for each run: --backend is golden or verilator")
    if arguments.report:
        results = [figures for run in runs if (figures := load(arguments.out / f"{run.name}.json", run, changes)) is not None]
    else:
        results = collect(runs, changes, arguments.out, arguments.jobs, lambda line: print(line, flush=True))
    if not results:
        raise LatheError(f"no run of these is in {arguments.out}; run the command without --report first")
    if arguments.same_as:
        _compare_runs(runs, results, arguments.same_as)
    print("\n".join(mismatch.table(results)))
    if arguments.report:
        for path in mismatch.write(results, arguments.docs, arguments.sampler_observations):
            print(f"wrote {path}")
    return 0


def _compare_runs(runs: list[Run], results: list[dict], folder: Path) -> None:
    """Print how many runs are in `folder` with the same figures; MismatchError if one differs."""
    same = 0
    by_name = {Run(figures["lag"], figures["correction"], figures["seed"]).name: figures for figures in results}
    for run in runs:
        path = folder / f"{run.name}.json"
        if run.name in by_name and path.exists():
            if different := differences(by_name[run.name], read(path)):
                raise MismatchError(f"{run.name}: {', '.join(different)} differ from those in {folder}")
            same += 1
    if not same:
        raise LatheError(f"--same-as '{folder}' has none of these runs, so that nothing was compared")
    print(f"{same} runs are the same in {folder}")


def _print_chip(device) -> None:
    build = device.registers.read("BUILD")
    print(f"chip: {build['lanes']} lanes, {1 << build['log2_banks']} banks, {device.layout.scratchpad_words} scratchpad words of "
          f"{2 * build['lanes']} bytes, register map {build['version']}, back end {device.name}")
    print(device.status())


def _verify(arguments: argparse.Namespace) -> int:
    from .verify import verify

    names = [name.strip() for name in arguments.backends.split(",") if name.strip()]
    for name in names:
        backend_class(name)
    if len(names) < 2:
        raise LatheError(f"--backends '{arguments.backends}' names fewer than two; choose from: {', '.join(BACKENDS)}")
    if len(set(names)) < len(names):
        raise LatheError(f"--backends '{arguments.backends}' names a back end twice; every one is compared with the first")
    if arguments.updates < 1:
        raise LatheError(f"--updates is {arguments.updates} and must be at least 1")
    if (arguments.port or arguments.baud) and "serial" not in names:
        raise LatheError(f"--port and --baud are the back end serial's, which --backends '{arguments.backends}' does not name")
    settings = Settings(**{f.name: getattr(arguments, f.name) for f in fields(Settings) if f.name in vars(arguments)})
    done = verify(names, arguments.updates, settings)
    print(f"{' and '.join(names)} agree in every bit, seed {settings.seed}: {done.updates} updates, {done.programs} programs, "
          f"{done.words:,} scratchpad words, weight version {done.version}")
    return 0


def _fitting(chosen: Board) -> str:
    """Return the options with which training fits a board; the smallest needs a smaller network than the default one."""
    options = f"--lanes {chosen.lanes} --banks {chosen.banks}"
    if chosen.slots < Settings().slots:
        options += f" --slots {chosen.slots}"
    return f"{options} --hidden 16 --minibatch 32" if chosen.banks < 4 else options


def _board_sim(arguments: argparse.Namespace) -> int:
    from .backends.board import SimulatedBoard, serve

    chosen = board(arguments.board)
    simulated = SimulatedBoard(chosen, arguments.clocks_per_bit)

    def ready(port: str) -> None:
        print(port, flush=True)
        print(f"lathe: {chosen.name} is simulated at this port, {simulated.baud} baud, until Ctrl-C; for example: lathe train --backend "
              f"serial --port {port} {_fitting(chosen)}", file=sys.stderr, flush=True)

    try:
        serve(simulated, ready)
    finally:
        simulated.close()


def _trace(arguments: argparse.Namespace) -> int:
    from .trace import capture

    if not arguments.out.name or arguments.out.is_dir():
        raise SettingsError(f"--out is '{arguments.out}', a folder; name a file in it")
    if arguments.out.suffix == ".png":
        raise SettingsError("--out names the timeline, and its picture gets the same name with .png; take "
                            f"{arguments.out.with_suffix('.json')}")
    with make_trainer(_settings(arguments)) as trainer:
        capture(trainer.device, [])  # refuses a back end without a clock before it has trained
        trainer.iteration(max_updates=1)
        programs = {"rollout": trainer.actor.program, "update": trainer.learner.update}
        timeline = capture(trainer.device, [programs[name] for name in programs if arguments.program in (name, "all")])
    picture = arguments.out.with_suffix(".png")
    timeline.write(arguments.out)
    timeline.draw(picture)
    print(timeline.summary())
    print(f"wrote {arguments.out} (open it in ui.perfetto.dev) and {picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
