#!/usr/bin/env bash
# A run on this machine, on whatever device JAX finds: launch/local.sh --config=configs/kd.py [--config.KEY=VALUE ...]
set -euo pipefail
cd "$(dirname "$0")/.."
exec python -m hsjax.launch "$@"
