"""The settings of `midb-ray submit`."""

from __future__ import annotations

import pydantic

from midb_ray.config import Settings


class SubmitSettings(Settings):
    """Run a job on a cluster and follow it. The job stands behind `--`: midb-ray submit [SETTINGS] -- boost --input … --output …"""

    address: str | None = None
    """The cluster's dashboard, such as http://HEAD:8265; none: RAY_API_SERVER_ADDRESS or RAY_ADDRESS."""
    working_dir: str | None = "."
    """The folder that the job runs in a copy of, or the URI of a zip file; `none`: nothing is uploaded."""
    exclude: tuple[str, ...] = ()
    """What of it not to upload, in the form of .gitignore, besides what .gitignore, .rayignore and Ray leave out."""
    secrets: tuple[str, ...] = ()
    """Names of environment variables that the cluster must have already; the job does not begin where one is missing."""
    retries: int = pydantic.Field(2, ge=0)
    """How often a job that was lost is submitted again, which goes on from where it was."""
    patience: float = pydantic.Field(600, gt=0)
    """Seconds to wait for a cluster that has stopped to answer."""
    detach: bool = False
    """Do not follow the job."""
    python: str = pydantic.Field("python", min_length=1)
    """Python on the cluster's head."""
    without_token: bool = False
    """Submit to a cluster that asks for no token, which must be at a loopback address."""
