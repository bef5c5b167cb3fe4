# Two commands are all a newcomer needs: `make run` and `make test`. Both install what they need first.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/requirements-installed
STREAMLIT_FLAGS ?=

.PHONY: run test check clean

run: $(READY)
	$(BIN)/streamlit run viz_app/main.py $(STREAMLIT_FLAGS)

test: $(READY)
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv

# The stamp is written last: an installation that was interrupted is taken up again.
$(READY): requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --progress-bar on -r requirements.txt
	touch $@
