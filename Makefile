# Two commands for a newcomer: `make demo` and `make test`. Nothing outside this folder is touched.
PYTHON ?= python3
BIN := .venv/bin
DEMO := .demo
SAY := @printf '\n$$ %s\n'

.PHONY: demo test clean

demo: .venv/tool.stamp  ## the main job on the sample runbooks, in a scratch clone with a bare origin of its own
	@rm -rf $(DEMO) && mkdir $(DEMO)
	@git init --quiet --bare --initial-branch=main $(DEMO)/origin.git
	@git -C $(DEMO)/origin.git config receive.shallowUpdate true
	@git push --quiet --no-verify $(DEMO)/origin.git HEAD:refs/heads/main
	@git clone --quiet $(DEMO)/origin.git $(DEMO)/team
	$(SAY) 'optimize-runbook --all'
	@cd $(DEMO)/team && ../../$(BIN)/optimize-runbook --all
	$(SAY) 'runbookopt pulls merge --auto'
	@cd $(DEMO)/team && ../../$(BIN)/runbookopt pulls merge --auto
	$(SAY) 'runbookopt pulls list'
	@cd $(DEMO)/team && ../../$(BIN)/runbookopt pulls list
	@printf '%s\n' '' 'What next (the scratch clone is $(DEMO)/team):' \
	  '  export PATH="$(CURDIR)/$(BIN):$$PATH" && cd $(DEMO)/team' \
	  '  runbookopt pulls show 1                  read the one that waits, as its reviewer would' \
	  '  git clone -q ../origin.git ../maria && cd ../maria      a reviewer has a clone of her own' \
	  '  git config user.email maria@fernhill.example && git config runbookopt.login maria-okafor' \
	  '  runbookopt pulls approve 1 && runbookopt pulls merge 1' \
	  '  git pull -q && optimize-runbook --all    again, from the improved runbooks' \
	  '  runbookopt check                         lint runbooks, rubrics, policies and trajectories'

test: .venv/test.stamp  ## lint, types, tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest -n auto --cov --cov-report=term

clean:
	rm -rf .venv $(DEMO) .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache

.venv/tool.stamp: pyproject.toml .ci/constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable .
	@touch $@

.venv/test.stamp: pyproject.toml .ci/constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable '.[dev]'
	@touch $@ .venv/tool.stamp
