#!/usr/bin/env bash
# Make .venv beside this repository and install mmfss with pinned packages.
#   bash tools/setup_env.sh [EXTRAS]     EXTRAS of setup.cfg, default: onedl
# Does nothing when that was done already. PYTHON names another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
extras=${1:-onedl}
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "mmfss' pinned environment needs Python 3.11 or newer; $python is" \
        "$("$python" --version 2>&1). Name another one: PYTHON=python3.11 bash $0" >&2
    exit 1
}
wanted="$extras $(cat setup.cfg pyproject.toml tools/constraints.txt | cksum) $PWD"
stamp=.venv/mmfss-installed
# the extras that are there stay good when the tests' are asked for, and back
[ -f "$stamp" ] && grep -qxF "$wanted" "$stamp" && exit 0

[ -x .venv/bin/python ] || {
    echo "== Making .venv"
    "$python" -m venv .venv
}
echo "== Installing mmfss[$extras] into .venv (about 1.5 GB, a minute or more)"
.venv/bin/python -m pip install --disable-pip-version-check \
    --constraint tools/constraints.txt --editable ".[$extras]"
echo "$wanted" >>"$stamp"
