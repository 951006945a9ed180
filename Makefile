# Each target builds .venv/ first; that costs nothing when it is fresh.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.docs-installed
NOTEBOOKS := $(wildcard notebooks/*.ipynb)
STRIP := $(BIN)/nbstripout --extra-keys metadata.language_info
# DVC runs `python`, and its stages must find the one of the environment.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# What libraries are told; what the environment says already stands.
SURROUNDINGS := patchcore_suite/run/surroundings.py
$(foreach one,$(if $(wildcard $(SURROUNDINGS)),$(shell $(PYTHON) -I $(SURROUNDINGS))),$(eval export $(one)))
# Each stage is a process or more, and half a second of each would go into compiling this project's modules again.
unexport PYTHONDONTWRITEBYTECODE
# What `make paper` and `make results` are told: where the images lie, which of MTD's are trained with, and on which
# device to compute.
# Each reaches the shell as it was typed, whatever is in it.
quoted = '$(subst ','\'',$(value $(1)))'
option = $(if $(value $(1)),$(2) $(quoted))
SOURCES = $(call option,MVTEC,--mvtec) $(call option,MTD,--mtd) $(call option,TRAIN_LIST,--train-list) $(call option,MSTC,--mstc) $(call option,DEVICE,--device)
# The pipeline's targets are those of this command (patchcore_suite/run/targets.py), for those without make.
BENCH := $(BIN)/python -m patchcore_suite.parts.command bench

.DEFAULT_GOAL := help
PEERS := .venv-peers

.PHONY: help setup repro preflight paper results compare publish scale bench soak bench-peers test test-all test-fast torture prove record lab lint format schema picture verify clean engines docs

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## build the environment in .venv/ (about 2 minutes, once)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"ERROR: $(PYTHON) is Python {v[0]}.{v[1]}; 3.11 or later is needed. Remedy: make PYTHON=python3.12 ..." if v < (3, 11) else 0)'
	@echo "setup: installing into $(VENV)/, about 2 minutes"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lab,dev]'
	@touch $@

repro: setup ## run the whole pipeline (about 7 minutes on 2 cores with the default, synthetic images)
	@$(BENCH) repro

preflight: setup ## what the run of params.yaml takes, and all that would fail
	@$(BENCH) preflight

paper: setup ## what the paper's grid takes; GO=1 MVTEC=path MTD=path MSTC=path [DEVICE=cuda] runs it
	@$(BENCH) paper $(SOURCES) $(if $(GO),--go)

results: setup ## measure real images for measured/ and docs/results.md: MTD=path [TRAIN_LIST=file] MVTEC=path HAZELNUT=path [FINISHED=1] (some hours on 2 cores)
	@$(BENCH) results $(SOURCES) $(call option,HAZELNUT,--hazelnut) $(if $(FINISHED),--finished)

compare: setup ## set other code's results beside ours in the report: WITH=file.csv [DATASET=name] [VARIANT=ours] [THEIRS=name]
	@$(BENCH) compare $(call quoted,WITH) $(call option,DATASET,--dataset) $(call option,VARIANT,--variant) $(call option,THEIRS,--theirs)

publish: setup ## write all results as one tidy table, CSV and parquet, with what made each: [TO=folder]
	@$(BENCH) publish $(call option,TO,--to)

scale: setup ## measure cheaper selections, and a bank that grows, on real tiles: MTD=path (some minutes)
	@$(BENCH) scale $(call option,MTD,--mtd)

bench: setup ## time the method, and write reports/benchmarks.md: [MTD=path] [DEVICE=cuda] [QUICK=1] (about 25 minutes)
	@$(BENCH) times $(call option,MTD,--mtd) $(call option,DEVICE,--device) $(if $(QUICK),--quick)

soak: setup ## memory of 20,000 small images, from files to metrics, beside what is predicted (about 10 minutes)
	@$(BENCH) soak

bench-peers: ## build an environment with anomalib and other selections in .venv-peers/, for `make bench` to compare with
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check 'anomalib>=2.7,<3'
	@for peer in 'k-center>=0.1' 'skmatter>=0.4.1' 'torch-quickfps>=2.1'; do \
		$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check "$$peer" \
			|| echo "note: $$peer cannot be installed here, and is left out"; \
	done

test: setup ## run the tests (about 5 minutes)
	@echo "test: about 5 minutes; 'make test-all' runs the long ones too, 'make test-fast' leaves out all that are slow"
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -q -m 'not long and not torture'

test-all: setup ## run the long tests too, but kills and faults (about 8 minutes; `make torture` has those)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -q -m 'not torture'

test-fast: setup ## run the tests that take less than a second or two each
	@$(BIN)/python -m pytest -n 2 -q -m 'not slow and not torture'

torture: setup ## kill the pipeline 100 times ([KILLS=n]), inject every fault and try every broken input once, print counts (half an hour)
	@PYTHONPATH=tests:. $(BIN)/python -m faults.broken
	@PYTHONPATH=tests:. $(BIN)/python -m faults.injected
	@PYTHONPATH=tests:. $(BIN)/python -m faults.kills $(if $(value KILLS),--kills $(call quoted,KILLS))

prove: setup ## show that threads, batch sizes and processes change no byte of a raw result (two minutes); exit code 1 if one does
	@$(BENCH) prove

record: setup ## compute a small fixed set of cells beside the records of other machines (a minute): [DEVICE=cuda] [WRITE=1]
	@$(BENCH) record $(call option,DEVICE,--device) $(if $(WRITE),--write)

engines: setup ## compare the bytes that each engine gives, with kills ([WHOLE=1]: of the grid of params.yaml; 10 minutes, or hours)
	@PYTHONPATH=tests:. $(BIN)/python -m faults.engines $(if $(WHOLE),--whole)

docs: $(DOCS_STAMP) ## build the documentation as a site, reports/site/index.html, and check its links (half a minute)
	@$(BIN)/python -m website

$(DOCS_STAMP): $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

lab: setup ## open JupyterLab at notebooks/welcome.ipynb
	@$(BIN)/python -m ipykernel install --sys-prefix --name python3 --display-name "PatchCore Bench" >/dev/null
	@$(BIN)/jupyter lab --config=lab/jupyter_server_config.py

lint: setup ## check code, its types and imports, and notebooks
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/basedpyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(STRIP) --verify $(NOTEBOOKS)

schema: setup ## renew params.schema.json, by which editors check params.yaml while one types
	@$(BIN)/python -m patchcore_suite.settings.schema

picture: setup ## renew the picture of the README from reports/figures
	@$(BIN)/python -c "from PIL import Image; i = Image.open('reports/figures/anomaly_maps_mvtec.png').convert('RGB'); i.resize((900, round(900 * i.height / i.width)), Image.LANCZOS).quantize(200).save('docs/anomaly_maps.png', optimize=True)"

format: setup ## format code and strip notebooks
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .
	@$(STRIP) $(NOTEBOOKS)

verify: setup ## check every file that carries a checksum: reports, both stores, images; exit code 1 if one is not as written
	@$(BENCH) verify

# Of data/ goes what the suite made: manifests, and drawn or downloaded images with the record beside them, unless
# something in there is newer than the record. Links are not followed.
clean: ## delete the environment, caches, reports, and of data/ drawn and downloaded images and manifests, nothing else
	rm -rf $(VENV) $(PEERS) .pytest_cache .ruff_cache patchcore_bench.egg-info
	rm -rf .cache/cells .cache/features .cache/failed .cache/results
	rm -rf reports/scores reports/figures reports/sections reports/executed reports/timings reports/screenshots reports/site reports/index.html reports/leaderboard.html
	@rmdir .cache 2>/dev/null || true
	@for home in data/*; do \
		if [ -L "$$home" ] || [ ! -d "$$home" ]; then continue; fi; \
		for made in "$$home/synthetic" "$$home/download"; do \
			if [ -L "$$made" ] || [ ! -d "$$made" ]; then continue; fi; \
			if [ -n "$$(find "$$made" ! -type d -print | head -n 1)" ]; then \
				if ! grep -qs '"layout"' "$$made.json"; then echo "clean: $$made is kept: nothing says that it was made here"; continue; fi; \
				own=$$(find "$$made" ! -type d -cnewer "$$made.json" -print | head -n 3); \
				if [ -n "$$own" ]; then echo "clean: $$made is kept: it holds what is newer than its record:"; echo "$$own"; continue; fi; \
			fi; \
			echo "rm -rf $$made $$made.json"; rm -rf "$$made" "$$made.json"; \
		done; \
		rm -rf "$$home"/.synthetic-???????? "$$home"/.download-????????; \
		if grep -qs '"image_sha256"' "$$home/manifest.json"; then echo "rm $$home/manifest.json"; rm -f "$$home/manifest.json"; fi; \
		rmdir "$$home" 2>/dev/null || true; \
	done
