#!/usr/bin/env bash
# Install what the tests need into .venv, then lint and test.
#   bash tools/run_tests.sh [PYTEST ARGUMENTS]
# MMFSS_TEST_DATA may name a VOC2012 subset with lists (VOCdevkit/VOC2012 and
# splits/pascal in it); tests on real VOC photos are skipped without it.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tools/setup_env.sh onedl,tests
echo "== Lint"
.venv/bin/ruff check .
echo "== Tests"
# Processes with one thread each; several threads in several processes would wait
# for one another. Files stay whole for what is set up once in them.
export OMP_NUM_THREADS=1
exec .venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile "$@"
