# SPDX-License-Identifier: Apache-2.0
# Each target does its own set-up; 'make' alone prints this list.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready
TOOL   := $(PY) scripts/toolchain.py
SEED   ?= 1
SEEDS  ?= 10
LANES  ?= 8
WAVES  ?= 0
PROGRAMS ?= 100
DEMO   := build/demo

.DEFAULT_GOAL := help
.PHONY: help setup demo test sim regress lint synth fmax netlist-sim bitstream program bench results generate clean

help:  ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@$(PY) -c "import pathlib, sysconfig; root = pathlib.Path('.').resolve(); pathlib.Path(sysconfig.get_path('purelib'), 'lathe.pth').write_text(f'{root}/host\n{root}\n')"
	@touch $@

setup: $(READY)  ## make the virtual environment .venv (every target does it when needed)
	@$(TOOL) --check

demo: setup  ## train CartPole on the simulated chip (SEED=n); result and learning curve in build/demo
	$(VENV)/bin/lathe train --env CartPole-v1 --backend verilator --seed $(SEED) --steps 150000 --target 475 --out $(DEMO)

test: setup  ## everything that must hold, within 15 minutes on two cores
	$(TOOL) $(PY) -m pytest -n 2 --dist loadgroup --durations 10

sim: setup  ## one bench: DUT=<folder of tb> (SEED=n, WAVES=1 for a VCD)
	@test -n "$(DUT)" -a -f "tb/$(DUT)/bench.py" || { echo "say which bench: make sim DUT=<one of: $$(cd tb && ls */bench.py | xargs -n 1 dirname | tr '\n' ' ')>"; exit 2; }
	@case "$(SEED)" in ''|*[!0-9]*) echo "SEED is a whole number from 0, not '$(SEED)'"; exit 2;; esac
	@case "$(WAVES)" in 0|1) ;; *) echo "WAVES is 0 or 1, not '$(WAVES)'"; exit 2;; esac
	SEED=$(SEED) WAVES=$(WAVES) $(TOOL) $(PY) -m pytest tb/$(DUT)
	@test "$(WAVES)" = 0 || ls -t build/tb/*/run/*/*.vcd | head -n 8

regress: setup  ## every bench and long test with SEEDS=n seeds, and the back ends side by side
	$(TOOL) $(PY) scripts/regress.py --seeds $(SEEDS)

lint: setup  ## Verilator -Wall, slang, ruff, and freshness of what is generated
	$(TOOL) $(PY) scripts/lint.py

synth: setup  ## map the chip for ECP5 (LANES=n), print resources per unit
	$(TOOL) $(PY) scripts/synth.py --lanes $(LANES)

fmax: setup  ## place and route the chip for ECP5 (LANES=n, SEED=n), or one unit (UNIT=gemm); names the critical path
	$(TOOL) $(PY) scripts/fmax.py --lanes $(LANES) --seed $(SEED) $(if $(UNIT),--unit $(UNIT))

netlist-sim: setup  ## random programs on the netlist of ECP5 cells against the golden model (PROGRAMS=n, SEED=n, LANES=n; default 4)
	$(TOOL) $(PY) scripts/netlist_sim.py --programs $(PROGRAMS) --seed $(SEED) $(if $(filter command,$(firstword $(origin LANES))),--lanes $(LANES))

bitstream: setup  ## make the bitstream of a board (BOARD=ulx3s-85f-lanes4, SEED=n); it and its report go to build/fpga
	$(TOOL) $(PY) scripts/bitstream.py "$(BOARD)" --seed $(SEED)

program: setup  ## send that bitstream to the board (BOARD=..., needs openFPGALoader)
	$(TOOL) $(PY) scripts/bitstream.py "$(BOARD)" --program

bench: setup  ## cycle counts and simulation speed, into build/bench/*.json (AGAINST=commit: training time too, compared with that commit's)
	$(TOOL) $(PY) scripts/bench.py $(if $(AGAINST),--against $(AGAINST))

results: setup  ## fill the README's table from the last demo, bench and synth
	$(PY) scripts/results.py

generate: setup  ## write everything that is generated from one source
	$(PY) scripts/generate.py

clean:  ## remove build products (the virtual environment stays)
	rm -rf build
