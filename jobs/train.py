"""Train a booster as a Ray job: `ray job submit -- python jobs/train.py --config configs/train/… --revisions … --output …`."""

import sys

from midb_ray import cli

if __name__ == "__main__":
    sys.exit(cli.train(sys.argv[1:]))
