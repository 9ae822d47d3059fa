# Two commands for a newcomer: `make demo` and `make test`. Nothing outside this folder is touched.
PYTHON ?= python3
BIN := .venv/bin
DEMO := .demo
SAY := @printf '\n\033[1m$$ %s\033[0m\n'

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
	@printf '%s\n' '' 'What next, in $(DEMO)/team (export PATH=$(CURDIR)/$(BIN):$$PATH):' \
	  '  runbookopt pulls show 2                        read the pull request as its reviewer would' \
	  '  git config runbookopt.login maria-okafor       be one of the reviewers that its policy names' \
	  '  runbookopt pulls approve 2 && runbookopt pulls merge 2' \
	  '  optimize-runbook --all                         again, from the improved runbook' \
	  '  runbookopt check                               lint runbooks, rubrics, policies and trajectories'

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
