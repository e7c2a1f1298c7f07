# make demo: set-up and the main job on the built-in phantom; make test: set-up and all fast tests.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-slow test-jax test-torch lint clean

demo: .venv/installed
	$(BIN)/python -m experiments.grid --net segnet --variant released --only 4 --epochs 6 --size 128 \
	    --data phantom --out demo
	@echo "pictures: demo/grid/released-binary-segnet/segmentations.png and training.png"

test: .venv/installed-dev
	$(PYTEST)

test-slow: .venv/installed-dev
	$(PYTEST) -m slow

BACKEND_TESTS := tests/test_devices.py tests/layers/test_layers.py tests/models/test_models.py \
    $(addprefix tests/models/test_networks.py::Test,ReleasedSegNet ReleasedUNet) \
    $(addprefix tests/training/test_,class_weighted.py losses.py optimizers.py) -k "not damaged and not ahead and not learns"

test-jax: .venv/installed-jax
	KERAS_BACKEND=jax $(PYTEST) $(BACKEND_TESTS)
	$(PYTEST) -m slow tests/models/test_pyramids.py -k jax

test-torch: .venv/installed-torch
	KERAS_BACKEND=torch $(PYTEST) $(BACKEND_TESTS)
	$(PYTEST) -m "slow or not slow" tests/models/encoders/test_blocks.py tests/training/test_optimizers.py \
	    tests/models/test_pyramids.py -k torch

lint: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.13")'
	$(PYTHON) -m venv .venv

.venv/installed: requirements.txt pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -e .
	touch $@

.venv/installed-dev: requirements-dev.txt requirements-export.txt requirements-hub.txt requirements-tensorboard.txt \
  .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

.venv/installed-jax: requirements-jax.txt .venv/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-jax.txt
	touch $@

.venv/installed-torch: requirements-torch.txt .venv/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-torch.txt
	touch $@

clean:
	rm -rf .venv demo unet_segnet.egg-info
