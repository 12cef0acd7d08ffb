"""Score a corpus as a Ray job: `ray job submit -- python jobs/score.py --input … --output …`."""

import sys

from midb_ray import cli

if __name__ == "__main__":
    sys.exit(cli.score(sys.argv[1:]))
