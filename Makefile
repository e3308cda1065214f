# `make help` lists the targets. Each first makes .venv where it is not there yet.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

ENGINE := CMakeLists.txt $(wildcard engine/CMakeLists.txt engine/src/* engine/include/wavewright/* bindings/*)

.PHONY: help setup demo web wasm check test engine-test arm sanitize fuzz fuzz-recordings kill kill-studio scale lint pictures bench latency team parity soak overfit transcriber gpu gpu-pack lock clean

help:
	@echo "make demo      train a small model on a piano clip and hear it (3 minutes)"
	@echo "make setup     make the virtual environment that all targets share"
	@echo "make web       check, test and build the studio's page, and check a model's, with Node 20 (1 minute)"
	@echo "make wasm      build the engine for browsers, with clang 19 (2 minutes)"
	@echo "make check     lint, types and the quick tests (2 minutes)"
	@echo "make test      lint, types, the engine's own tests and the whole test suite"
	@echo "make lint      ruff, mypy and the order of imports"
	@echo "make sanitize  run the engine's own tests under ASan, UBSan and TSan"
	@echo "make arm       run the engine's own tests on an emulated ARM processor (5 minutes)"
	@echo "make fuzz      try hostile model files for FUZZ_SECONDS (300)"
	@echo "make fuzz-recordings   try FUZZ_FILES (100000) damaged recordings (5 minutes)"
	@echo "make scale     kill processes of trainings in two processes, and lose and gain a machine (10 minutes)"
	@echo "make kill      kill trainings KILLS (200) times, resume them and compare their bits"
	@echo "make kill-studio   kill the studio's server KILLS (200) times under uploads and answers, and check that none is lost"
	@echo "make pictures  draw the studio's pictures for the manual anew, on free cores (6 minutes)"
	@echo "make bench     measure training and playing beside plain torch and the machine's limit (10 minutes)"
	@echo "make latency   measure the time from a key to its sound (3 minutes); LATENCY_MODEL is a trained model's file"
	@echo "make parity    compare the engine at the thesis's sizes with float64 over 100,000 samples"
	@echo "make team      measure what a second thread brings, on free cores and beside busy programs (10 minutes)"
	@echo "make soak      play all models for an hour beside other programs, and check memory and samples"
	@echo "make overfit   train the thesis's models, at its sizes, on one second of piano (hours, can be resumed)"
	@echo "make transcriber   install what wavewright evaluate --transcribe needs (90 MB)"
	@echo "make gpu       test, measure and train on a CUDA machine for GPU_MINUTES (8), into GPU_OUT (gpu-out)"
	@echo "make gpu-pack  collect wheels and a corpus in .gpu/ for a CUDA machine without a network"
	@echo "make lock      write the installed versions to requirements.lock"
	@echo "make clean     remove all that the targets made"

setup: $(VENV)/ready

$(VENV)/ready: requirements.lock pyproject.toml $(ENGINE)
	@echo "setting up $(VENV): torch and the rest of requirements.lock, then wavewright itself (a minute or a few)"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v in ((3, 11), (3, 12)) else f"Python {v[0]}.{v[1]} is not supported: make PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
	@echo "$(VENV) is ready"

demo: setup
	$(BIN)/wavewright demo

# The built page is committed, so that an installation needs no Node.
web:
	cd web/studio && npm ci --no-audit --no-fund --loglevel=error && npm run -s check && npm run -s test && npm run -s build

# The built module is committed, since clang and libc++ for WebAssembly are seldom there.
wasm:
	@$(MAKE) --no-print-directory -f engine/wasm/Makefile

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache > /dev/null || $(BIN)/lint-imports --no-cache

check: lint
	$(BIN)/pytest --numprocesses 2 --dist worksteal -m 'not slow'

test: lint engine-test
	$(BIN)/pytest --numprocesses 2 --dist worksteal

ENGINE_TESTS := kernels engine real_time
TEST_BUILD := $(BIN)/cmake -S . -DWAVEWRIGHT_TESTS=ON -DCMAKE_BUILD_TYPE=Release
engine-test: setup
	@$(TEST_BUILD) -B build/tests > /dev/null
	@$(BIN)/cmake --build build/tests --parallel 2 > /dev/null
	set -e; for test in $(ENGINE_TESTS); do build/tests/engine/test_$$test; done

# With Debian's g++-aarch64-linux-gnu and qemu-user.
ARM := aarch64-linux-gnu
arm: setup
	$(TEST_BUILD) -B build/arm -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=$(ARM)-g++
	$(BIN)/cmake --build build/arm --parallel 2
	set -e; for test in $(ENGINE_TESTS); do qemu-aarch64 -L /usr/$(ARM) build/arm/engine/test_$$test; done

sanitize: setup
	$(TEST_BUILD) -B build/asan -DCMAKE_CXX_FLAGS="-g -fsanitize=address,undefined -fno-sanitize-recover=all"
	$(BIN)/cmake --build build/asan --parallel 2
	set -e; for test in $(ENGINE_TESTS); do build/asan/engine/test_$$test; done
	$(TEST_BUILD) -B build/tsan -DCMAKE_CXX_FLAGS="-g -fsanitize=thread"
	$(BIN)/cmake --build build/tsan --parallel 2
	set -e; for test in $(ENGINE_TESTS); do build/tsan/engine/test_$$test; done

# Coverage-guided, on Python 3.11: atheris has no wheel for 3.12. What it finds lies in .fuzz/ as crash-*.
FUZZ_SECONDS ?= 300
fuzz: setup
	@$(BIN)/pip install --quiet --disable-pip-version-check atheris==3.0.0
	@mkdir -p .fuzz/corpus
	$(BIN)/python tests/fuzz_model_file.py .fuzz/corpus -artifact_prefix=.fuzz/ -max_total_time=$(FUZZ_SECONDS)

FUZZ_FILES ?= 100000
FUZZ_SEED ?= 1
fuzz-recordings: setup
	$(BIN)/python tests/fuzz_recordings.py $(FUZZ_FILES) $(FUZZ_SEED)

scale: setup
	$(BIN)/python tests/kill_processes.py

# A quarter of the kills falls around roll-backs.
KILLS ?= 200
kill: setup
	$(BIN)/python tests/kill_runs.py --kills $(KILLS) --around-rollbacks $$(($(KILLS) / 4))

kill-studio: setup
	$(BIN)/python tests/kill_studio.py --kills $(KILLS)

WAVEWRIGHT_DATA ?= ../shared/data
pictures: setup
	$(BIN)/python tests/picture_studio.py $(WAVEWRIGHT_DATA)/permissive build/evening-studio

bench: setup
	THP_MEM_ALLOC_ENABLE=1 $(BIN)/python benchmarks/training_speed.py
	$(BIN)/python benchmarks/engine_speed.py

LATENCY_MODEL ?=
latency: setup
	$(BIN)/python benchmarks/latency.py $(LATENCY_MODEL)

team: setup
	$(BIN)/python benchmarks/team.py

parity: setup
	$(BIN)/python benchmarks/engine_parity.py

soak: setup
	$(BIN)/python benchmarks/engine_soak.py

overfit: setup
	$(BIN)/wavewright experiment overfit --scale full

# transkun asks for packages that it does not need to hear notes, and for torchaudio, which is not there for every torch.
transcriber: setup
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps transkun==2.0.1 moduleconf==0.1.4 \
		ncls==0.0.71 pretty_midi==0.2.11.post0 pydub==0.25.1 six==1.17.0 torch-optimizer==0.3.0 importlib_resources==7.1.0

# What docs/training.md tells of. GPU_PYTHON is any Python with torch and the packages of `make gpu-pack`. GPU_MODEL is
# wavenet, sample-rnn or naive-rnn. GPU_RESUME is the GPU_OUT of an earlier drill, whose run goes on.
GPU_PYTHON ?= $(BIN)/python
GPU_OUT ?= gpu-out
GPU_MINUTES ?= 8
GPU_MODEL ?= wavenet
GPU_PACK_MB ?= 44
gpu: $(if $(filter $(BIN)/python,$(GPU_PYTHON)),setup)
	$(GPU_PYTHON) benchmarks/gpu_drill.py --out $(GPU_OUT) --minutes $(GPU_MINUTES) --model $(GPU_MODEL) \
		$(if $(GPU_RESUME),--resume $(GPU_RESUME))

gpu-pack: setup
	$(BIN)/python benchmarks/gpu_pack.py --megabytes $(GPU_PACK_MB)

# On a machine where the newest versions that pyproject.toml admits have been installed and found good.
lock: setup
	@echo "# Exact versions of everything that \`make setup\` installs; made by \`make lock\`." > requirements.lock
	@$(BIN)/pip freeze --exclude-editable --exclude atheris | sed 's/+cpu$$//' >> requirements.lock

clean:
	rm -rf $(VENV) .fuzz build demo .mypy_cache .pytest_cache .ruff_cache
