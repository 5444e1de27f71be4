PYTHON ?= python3
PROFILE ?= $(or $(LABKIT_PROFILE),cpu)
JOBS ?= 2
ARGS ?=
WORKERS ?= 3
DEVICE ?= cpu
# As it was typed, blanks and ~ included: Python makes a path of it.
ifdef DATA
export LABKIT_DATA := $(value DATA)
endif

# The stamp's name holds what .venv is made of and where it lies, and no date: one in the future would never be old.
READY := .venv/.ready-$(shell (pwd; cat pyproject.toml constraints.txt) | cksum | cut -d' ' -f1)
KIT := .venv/bin/python
# $(call install,EXTRAS): by uv where it is and works, else by pip. Both say what they download, and how large it is.
# pip keeps gigabytes in the temporary folder, which may be memory alone, and in a cache: here they are on this disk, until it ends.
install = { command -v uv >/dev/null && uv pip install --python $(KIT) -c constraints.txt -e '.[$(1)]'; } || \
  { rm -rf .venv/tmp; mkdir -p .venv/tmp; TMPDIR="$$PWD/.venv/tmp" $(KIT) -m pip install --disable-pip-version-check --no-cache-dir \
    -c constraints.txt -e '.[$(1)]' && rm -rf .venv/tmp; }
EXTRAS := test,celeba,sweep,grade
VERSION = $(shell $(KIT) -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')

.DEFAULT_GOAL := help
.PHONY: help run study demo test site lab doctor bench gpu mutants release

help: ## what can be typed here
	@echo 'Begin with "make demo", then "make lab" to work on the labs, or "make run" to have them all executed.'
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 16
	@echo 'PROFILE=smoke|cpu|study|gpu  DATA=folder of real data  JOBS=labs at a time  PYTHON=interpreter  ARGS="further options of labkit run or lab"'

run: $(READY) ## execute every lab and write runs/PROFILE/index.html
	@$(KIT) -m labkit run --profile $(PROFILE) --jobs $(JOBS) $(ARGS)

study: $(READY) ## overnight: every lab at the sizes that decide its claims, and data/reference from it
	@$(KIT) -m labkit run --profile study --jobs $(JOBS) $(ARGS) && $(KIT) -m labkit reference build

demo: $(READY) ## in a minute: faces, a failed check with its hint, a verdict
	@$(KIT) -m labkit demo

test: $(READY) ## the tests, each notebook included
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(KIT) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m 'not bench and not kinds'

mutants: $(READY) ## every mutant of every exercise's solution against its check
	@LABKIT_MUTANTS=all OMP_NUM_THREADS=1 $(KIT) -m pytest -q tests/labs/test_mutation.py tests/labs/test_answers.py tests/course/grade/test_mutants.py

bench: $(READY) ## timings, into tests/benchmarks/results/; DEVICE=cuda on a GPU
	@$(KIT) -c 'import pytorch_lightning' 2>/dev/null || $(call install,bench)
	@LABKIT_BENCH_DEVICE=$(DEVICE) $(KIT) -m pytest tests/benchmarks -m bench -s -q

gpu: ## every lab in the profile gpu, then the timings, on a GPU
	@$(MAKE) --no-print-directory run PROFILE=gpu; labs=$$?; $(MAKE) --no-print-directory bench DEVICE=cuda && exit $$labs

lab: $(READY) ## open JupyterLab on the notebooks
	@$(KIT) -m labkit lab $(ARGS)

site: $(READY) ## the newest run, or else the reference, as a static site in site/
	@$(KIT) -c 'import sphinx_book_theme, myst_nb' 2>/dev/null || $(call install,site)
	@$(KIT) -m labkit site $(ARGS)

doctor: $(READY) ## what this machine has
	@$(KIT) -m labkit doctor

release: $(READY) ## of what is committed: wheel, source and site in dist/, and the version's tag
	@test -z "$$(git status --porcelain)" || { echo 'a release is made of what is committed: commit first, or put it aside' >&2; exit 2; }
	@! git rev-parse -q --verify refs/tags/v$(VERSION) >/dev/null || \
	  { echo 'v$(VERSION) is there already: give pyproject.toml, CITATION.cff and CHANGELOG.md the next version' >&2; exit 2; }
	@$(KIT) -m pytest -q tests/test_packaging.py
	@rm -rf build dist
	@$(KIT) -c 'from setuptools import build_meta as b; b.build_sdist("dist"); b.build_wheel("dist")' >build.log || \
	  { cat build.log >&2; exit 1; }
	@rm -rf build build.log
	@$(MAKE) --no-print-directory site ARGS='--out dist/site $(ARGS)'
	@git tag v$(VERSION) && ls dist && echo 'tagged v$(VERSION); now: git push origin v$(VERSION)'

$(READY):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11, 5) <= sys.version_info < (3, 15))' 2>/dev/null || \
	  { echo 'labkit needs Python 3.11.5 to 3.14 as $(PYTHON): install it, or name another with PYTHON=...' >&2; exit 2; }
	@$(PYTHON) -c 'import platform as p, sys; sys.exit((p.system(), p.machine()) == ("Darwin", "x86_64"))' || \
	  { echo 'PyTorch is no longer made for Intel Macs: use another computer, or on an Apple chip a Python built for arm64' >&2; exit 2; }
	@$(PYTHON) -c 'import os, shutil, sys; gpu = sys.platform == "linux" and not os.path.exists(".venv"); \
	  sys.exit(shutil.disk_usage(".").free < (9e9 if gpu else 3e9))' || \
	  { echo 'set-up needs 9 GB of free disk here on Linux, else 3 GB: make room, or move this folder to another disk' >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo '$(PYTHON) has no venv module: install it (on Debian and Ubuntu the package python3-venv)' >&2; exit 2; }
	@echo 'Setting up .venv, once: some minutes. On Linux it downloads 3 GB, or 0.4 GB where .venv holds torch for the CPU; else 0.5 GB.'
	@rm -f .venv/.ready-*
	@$(PYTHON) -m venv .venv
	@$(call install,$(EXTRAS))
	@touch $@
