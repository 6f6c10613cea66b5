# Everything this repository can do, one target each. `make` or `make help` explains them.
#
# Variables:  PYTHON=python3.12         the interpreter for .venv (3.11 or newer)
#             PIP_ARGS="…"              more arguments for pip; without a GPU this saves some gigabytes:
#                                       PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
#             STATE_DIR=/some/where     databases, images and logs of demo and serve (default: .state)
#             DATABASE__URL, REDIS__URL use these servers in demo and serve instead of those from wheels
#             ARGS="…"                  arguments for what a target runs: make test ARGS="-k rank -x"

PYTHON ?= python3
PY := .venv/bin/python
INSTALL := $(PYTHON) devstack/install.py
export PIP_ARGS STATE_DIR

.DEFAULT_GOAL := help
.PHONY: help demo demo-remote serve test coverage lint types imports check zoo zoo-probe zoo-speed zoo-eval bench-fanout bench-budget bench-cache bench-racing bench-overhead bench-api bench-throughput bench-answer evaluate-bank simulate bench-simulate fuzz fuzz-http chaos noisy check-chart check-wheels lock clean \
        evaluate evaluate-small evaluate-publish evaluate-dataset evaluate-dataset-small evaluate-accuracy evaluate-calibrate evaluate-variants \
        evaluate-captions bench-distance bench-embed bench-embed-onnx installed-demo installed-all

help: ## Explain every target
	@sed -n '/^$$/q; s/^# \{0,1\}//p' Makefile; echo
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-24s %s\n", $$1, $$2}' Makefile

demo: installed-demo ## Start everything here, send a sample image through it, print its ranking, stop (ARGS=image.png: another image)
	@$(PY) -m devstack demo $(ARGS)

demo-remote: installed-demo ## The same with stub vendors (no vendor is called) and uploaded reference images, in one job
	@$(PY) -m devstack demo-remote $(ARGS)

serve: installed-demo ## Start everything here and run it until Ctrl-C
	@$(PY) -m devstack serve

test: installed-all ## Run all tests, two files at a time, each against a real Postgres and Valkey of its own (ARGS: for pytest)
	@$(PY) -m pytest -n 2 --dist loadfile $(ARGS)

coverage: installed-all ## Run all tests and print which lines of the code none of them runs, also in other processes (ARGS: for pytest)
	@COVERAGE_CORE=sysmon $(PY) -m pytest -n 2 --dist loadfile --cov --cov-report=term $(ARGS)

lint: installed-all ## Check style and formatting
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: installed-all ## Check types, strictly; of tests, too
	@$(PY) -m mypy

imports: installed-all ## Check the import contracts
	@$(PY) -c 'from importlinter.cli import lint_imports_command as run; run()'

check: lint types imports test ## All of the four above

zoo: installed-all ## Train the demo models, from scratch or where it was interrupted (two hours on two cores; needs node and npm)
	@$(PY) -m zoo.train $(ARGS)

zoo-probe: installed-all ## Measure whether the demo models follow captions: colors of background, hair and skin (needs node and npm)
	@$(PY) -m zoo.probe $(ARGS)

zoo-speed: installed-all ## Measure seconds per image of the demo models, one after another, with all cores (a minute)
	@$(PY) -m zoo.speed $(ARGS)

zoo-eval: installed-all ## Measure how often images of the demo models are attributed rightly (six minutes; needs node and npm)
	@$(PY) -m zoo.freeze --check
	@$(PY) -m zoo.evaluate $(ARGS)

evaluate: installed-all ## Everything that the papers measure, with the demo models, as far as it is not done yet, and the report (ARGS: for all)
	@$(PY) -m evaluation all $(ARGS)

evaluate-small: installed-all ## The same with ten characters, four sources and few steps (under three minutes)
	@$(PY) -m evaluation all --size small $(ARGS)

evaluate-publish: installed-all ## Update docs/benchmark/ and docs/variants.md from the measured results and those published before
	@mkdir -p evaluation/.work/results
	@$(PY) -m evaluation report evaluation/.work/results docs/benchmark/results --out docs/benchmark
	@$(PY) docs/generate_variants.py

evaluate-dataset: installed-all ## Of this only the dataset: 100 characters, all demo models, γ = 1; continues where it was killed
	@$(PY) -m evaluation all --steps dataset $(ARGS)

evaluate-dataset-small: installed-all ## The small dataset only
	@$(PY) -m evaluation all --size small --steps dataset $(ARGS)

evaluate-accuracy: installed-all ## Measure accuracy with ten, twelve and fourteen sources; fails unless better than chance and below 95 %
	@$(PY) -m evaluation all --steps 'zoo-evaluate-*' $(ARGS)

evaluate-calibrate: installed-all ## Measure the thresholds of the enabled demo models on captions of their own (ARGS: for calibrate)
	@$(PY) -m evaluation dataset make evaluation/.work/calibration --split calibration --images-per-source 4 --seed 11 --characters 60
	@$(PY) -m evaluation calibrate evaluation/.work/calibration --images-per-source 1,2,4 --out zoo/models/calibration.json $(ARGS)

evaluate-bank: installed-all ## Make the bank that ships with the demo models, from calibration characters (half an hour)
	@$(PY) -m evaluation dataset make evaluation/.work/bank --split calibration --characters 50 --images-per-source 4 --seed 17 --sources zoo-dit,zoo-lcm,zoo-mmdit,zoo-unet
	@$(PY) -m evaluation bank evaluation/.work/bank --out zoo/models/bank.npz $(ARGS)

evaluate-variants: installed-all ## Compare distances, γ, aggregates and external scores
	@$(PY) -m evaluation all --steps zoo-distances,zoo-images-per-source,zoo-external-scores $(ARGS)

evaluate-captions: installed-all ## Compare captioners on the test characters, and relate their similarity to the truth to accuracy
	@$(PY) -m evaluation all --steps zoo-captions $(ARGS)

bench-answer: installed-all ## Accuracy, verdicts and sets of the default method (half an hour the first time, then minutes)
	@$(PY) -m evaluation answer $(ARGS)

bench-distance: installed-all ## The distances of a whole dataset beside a loop over SciPy's
	@$(PY) -m perf.distance $(ARGS)

bench-embed: installed-all ## Images a second in batches beside one at a time, as a share of the host's matrix products
	@$(PY) -m perf.embed $(ARGS)

bench-embed-onnx: installed-all ## Images a second of ONNX Runtime beside torch, in float32 and int8, and what that changes (five minutes)
	@$(PY) -m perf.embed_onnx $(ARGS)

bench-fanout: installed-all ## Ten sources of a second each, then fourteen vendors and fifty jobs: how long does it take? (four minutes)
	@$(PY) -m perf.fanout $(ARGS)

bench-cache: installed-all ## The same file again, and a recompressed copy, beside the first upload (four minutes)
	@$(PY) -m perf.cache $(ARGS)

bench-racing: installed-all ## Demo models that race, through the service, beside the same queries with a fixed budget (three minutes)
	@$(PY) -m perf.racing $(ARGS)

bench-budget: installed-all ## Two hundred jobs at failing vendors, workers killed: billed ≤ recorded ≤ budget (six minutes)
	@$(PY) -m perf.budget $(ARGS)

bench-overhead: installed-all ## The cost of a job beside the broker's own round trips
	@$(PY) -m perf.overhead $(ARGS)

bench-api: installed-all ## The HTTP interface beside a bare FastAPI, from a thousand jobs to a million, and overloaded (twelve minutes)
	@$(PY) -m perf.api $(ARGS)

bench-throughput: installed-all ## Resyntheses a second of the saturated service, beside a bare loop on the same cores (four minutes)
	@$(PY) -m perf.throughput $(ARGS)

fuzz: installed-all ## schemathesis over the whole OpenAPI; every documented status must be reached (ten minutes)
	@$(PY) -m perf.fuzz $(ARGS)

noisy: installed-all ## What one tenant's trouble costs another one, for each resource that they share (ten minutes)
	@$(PY) -m perf.noisy $(ARGS)

fuzz-http: installed-all ## Hostile bytes below HTTP: the API stays below 150 MB, and /livez answers within a second (three minutes)
	@$(PY) -m perf.fuzz_http $(ARGS)

chaos: installed-all ## Kill and freeze processes, fill Redis and disk, fail the store while jobs run; then check what happened
	@$(PY) -m perf.chaos $(ARGS)
	@$(PY) -m perf.faults

simulate: installed-all ## How many workers and GPUs for 1, 100 and 10,000 images an hour: a simulation of the queues (ten seconds)
	@$(PY) -m perf.simulate $(ARGS)

bench-simulate: installed-all ## The simulation beside a real run with fakes and stub vendors, within 10 % (four minutes)
	@$(PY) -m perf.fleet_check $(ARGS)

check-chart: installed-all ## Check the Helm chart: lint, schemas, and against the code (needs helm; HELM=/path/to/helm)
	@$(INSTALL) deploy
	@$(PY) -m pytest tests/deploy/test_chart.py $(ARGS)

check-wheels: ## Check that every extra installs without a compiler; name the packages without a wheel (two minutes; needs the network)
	@$(PYTHON) devstack/check_wheels.py $(ARGS)

lock: installed-all ## Write the installed versions to constraints.txt (without PyTorch's GPU companions)
	@$(PY) -m pip freeze --exclude-editable --disable-pip-version-check \
	  | sed -E '/^(nvidia-|cuda-|triton)/d; /^-e /d; / @ /d; s/\+[a-z0-9.]+$$//' > constraints.txt.new
	@mv constraints.txt.new constraints.txt
	@echo "$$(wc -l < constraints.txt) versions in constraints.txt"

clean: ## Remove state (databases, images, logs) and caches; .venv stays
	@if [ -x $(PY) ]; then $(PY) -m devstack clean; fi
	@rm -rf .coverage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build
	@find . -name __pycache__ -not -path './.venv/*' -not -path '*/node_modules/*' -prune -exec rm -rf {} +

installed-demo:
	@$(INSTALL) ml devstack

installed-all:
	@$(INSTALL) ml onnx onnx-export otel devstack zoo evaluation dev
