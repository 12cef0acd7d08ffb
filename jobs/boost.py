"""Boost a corpus as a Ray job: `ray job submit -- python jobs/boost.py --config configs/boost.yaml --input … --output …`."""

import sys

from midb_ray import cli

if __name__ == "__main__":
    sys.exit(cli.boost(sys.argv[1:]))
