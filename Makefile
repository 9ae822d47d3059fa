# Two commands for a newcomer: `make demo` and `make test`. Nothing outside this folder is touched.
PYTHON ?= python3
BIN := .venv/bin
DEMO := .demo
LOG := $(DEMO)/log.txt
SAY := printf '\n$$ %s\n'
INSTALLS := 'First use: installing into .venv takes half a minute to a minute. No key is used.'
# Of what optimize-runbook prints: the result, one line of the diff, the score, and the conditions that do not hold.
DIGEST := /^diff --git/ { in_diff = 1; shown = 0 } \
  /^  decision:/ { in_diff = 0 } \
  in_diff { if (/^[+]- / && !shown++) print; next } \
  /^$$/ || /^[^ ].*: / || /^  held-out / || /^  score / || /^  decision: / || /^    no  / || /^  pull request /

.PHONY: demo demo-model pictures test nightly lock clean

demo: .venv/tool.stamp  ## the main job on the sample runbooks, in a scratch clone with a bare origin of its own
	@rm -rf $(DEMO) && mkdir $(DEMO)
	@git init --quiet --bare --initial-branch=main $(DEMO)/origin.git
	@git -C $(DEMO)/origin.git config receive.shallowUpdate true
	@git push --quiet --no-verify $(DEMO)/origin.git HEAD:refs/heads/main
	@git clone --quiet $(DEMO)/origin.git $(DEMO)/team
	@$(SAY) 'optimize-runbook --all'
	@cd $(DEMO)/team && ../../$(BIN)/optimize-runbook --all > ../../$(LOG) || { cat ../../$(LOG); exit 1; }
	@awk '$(DIGEST)' $(LOG)
	@echo "(in short: all $$(grep -c '' $(LOG)) lines, with diffs and reasons, are in $(LOG))"
	@$(SAY) 'runbookopt pulls merge --auto'
	@cd $(DEMO)/team && ../../$(BIN)/runbookopt pulls merge --auto
	@$(SAY) 'runbookopt pulls list'
	@cd $(DEMO)/team && ../../$(BIN)/runbookopt pulls list
	@printf '%s\n' '' 'Next, in the scratch clone:  export PATH="$(CURDIR)/$(BIN):$$PATH"; cd $(DEMO)/team' \
	  '  runbookopt pulls show 1       read the one that waits, as its reviewer would' \
	  '  git config runbookopt.login maria-okafor; git config user.email maria@fernhill.example' \
	  '  runbookopt pulls approve 1 && runbookopt pulls merge 1     be its reviewer, and merge it' \
	  '  git pull -q && optimize-runbook --all     again, from the improved runbooks'

demo-model: .venv/tool.stamp  ## a recorded run with a language model, replayed by the same commands: no key, nobody is asked
	@rm -rf $(DEMO) && mkdir $(DEMO)
	@git init --quiet --bare --initial-branch=main $(DEMO)/origin.git
	@git init --quiet --initial-branch=main $(DEMO)/team
	@cp -R docs/demo-model/. $(DEMO)/team
	@mv $(DEMO)/team/settings.yaml $(DEMO)/team/runbookopt.yaml
	@git -C $(DEMO)/team remote add origin $(CURDIR)/$(DEMO)/origin.git
	@git -C $(DEMO)/team add --all
	@git -C $(DEMO)/team -c user.name=Demo -c user.email=demo@larkspur.example commit --quiet -m 'Runbooks'
	@git -C $(DEMO)/team push --quiet --no-verify origin HEAD:refs/heads/main
	@$(SAY) 'runbookopt journal import journal.jsonl'
	@cd $(DEMO)/team && ../../$(BIN)/runbookopt journal import journal.jsonl
	@$(SAY) 'optimize-runbook changelog-entry'
	@cd $(DEMO)/team && ../../$(BIN)/optimize-runbook changelog-entry
	@printf '%s\n' '' 'Next, in the scratch clone:  export PATH="$(CURDIR)/$(BIN):$$PATH"; cd $(DEMO)/team' \
	  '  runbookopt pulls show 1       read it as its reviewer would; journal.jsonl holds what was asked and answered'

pictures: .venv/tool.stamp  ## the pictures in README.md, made anew from a real run
	@$(BIN)/python docs/pictures/make.py

test: .venv/test.stamp  ## lint, types, tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest -n auto --dist loadfile

nightly: .venv/nightly.stamp  ## every test, the exhaustive ones too, with many examples of each property, and coverage
	$(BIN)/pytest -n auto --dist loadfile -m '' --timeout=1800 --hypothesis-profile=nightly --cov --cov-report=term

lock: .venv/tool.stamp  ## the hashed lock of all dependencies that `runbookopt init` writes, after a new constraint
	$(BIN)/python .ci/lock.py

clean:
	rm -rf .venv $(DEMO) .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache

.venv/tool.stamp: pyproject.toml .ci/constraints.txt
	@test -x $(BIN)/runbookopt || echo $(INSTALLS)
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable .
	@touch $@

.venv/test.stamp: pyproject.toml .ci/constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable '.[dev]'
	@touch $@ .venv/tool.stamp

.venv/nightly.stamp: .venv/test.stamp
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable '.[oracles]'
	@touch $@
