"""Make a training set as a Ray job: `ray job submit -- python jobs/revisions.py --revisions … --output …`."""

import sys

from midb_ray import cli

if __name__ == "__main__":
    sys.exit(cli.revisions(sys.argv[1:]))
