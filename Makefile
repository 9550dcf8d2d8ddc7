# make demo, make test: each makes its own environment first. PyTorch's CPU build is enough for both.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# on Linux: TORCH_INDEX=https://download.pytorch.org/whl/cpu takes the small CPU build instead of the CUDA one
TORCH_INDEX ?=
DEMO := demo

.PHONY: install demo test lint clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt -e ".[test]"
	touch $@

demo: install
	$(BIN)/python -m tools sample-data --out $(DEMO)/data --overwrite True --patients 16,5,8 --slices 4 --pictures 48,16,24
	$(BIN)/python -m tools stages brain_tumor_multitask_unet --dataset_dir $(DEMO)/data --output_dir $(DEMO)/runs --quick_test True --image_size 64 --infer True

lint: install
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

# two processes, each with whole files of tests (see tests/conftest.py); one thread each, or on two cores they get in each other's way
test: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder

clean:
	rm -rf $(VENV) $(DEMO)
