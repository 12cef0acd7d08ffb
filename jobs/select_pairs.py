"""Select from scored runs as a Ray job: `ray job submit -- python jobs/select.py --input … --output …`."""

import sys

from midb_ray import cli

if __name__ == "__main__":
    sys.exit(cli.select(sys.argv[1:]))
