#!/bin/sh
# All experiments and their report: scripts/reproduce.sh size=default [output=DIR] [only=NAME,NAME] [keep=true] [KEY=VALUE ...]
# Started again, it goes on with what is missing.
set -e
root=$(cd "$(dirname "$0")/.." && pwd)
python="$root/.venv/bin/python"
[ -x "$python" ] || python=python3
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$python" -m experiments "$@"
