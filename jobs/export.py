"""Export a finished run as a Ray job: `ray job submit -- python jobs/export.py --input RUN --output … --form messages`."""

import sys

from midb_ray import cli

if __name__ == "__main__":
    sys.exit(cli.export(sys.argv[1:]))
