# Training with DeepSpeed on NVIDIA GPUs. CUDA comes with torch's wheels; the driver from the machine.
# x86-64 only. From the root of the working tree:
#   docker build -f cluster/images/train.Dockerfile -t REGISTRY/midb-ray-train:VERSION .

FROM python:3.11.14-slim-bookworm AS packages
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/midb-ray
ENV PATH=/opt/midb-ray/bin:$PATH
COPY cluster/images/train.constraints.txt /constraints.txt
RUN grep -v '^deepspeed==' /constraints.txt > /others.txt \
    && pip install --no-cache-dir --no-deps -r /others.txt
# Of DeepSpeed's ops just the one that training here uses: Adam on CPUs, for zero.offload_optimizer (AdamW on GPUs is torch's own).
# It is C++ alone, so no CUDA toolkit is needed, not even here; all of them (DS_BUILD_OPS=1) would need one, for ops that nothing
# calls. Without DS_ACCELERATOR a builder without a GPU notes the op down as one for machines without, and each worker compiles it
# anew. The last line loads it where there is no compiler, as a worker will.
COPY cluster/images/portable-g++ /usr/local/bin/
RUN DS_ACCELERATOR=cuda DS_BUILD_OPS=0 DS_BUILD_CPU_ADAM=1 CC=portable-g++ CXX=portable-g++ \
    pip install --no-cache-dir --no-deps --no-build-isolation "$(grep '^deepspeed==' /constraints.txt)" \
    && DS_ACCELERATOR=cuda PATH=/opt/midb-ray/bin:/nowhere python -c \
    "from deepspeed.git_version_info import installed_ops; assert installed_ops['cpu_adam']; \
    from deepspeed.ops.op_builder import CPUAdamBuilder; CPUAdamBuilder().load()"

FROM packages AS product
WORKDIR /source
COPY LICENSE README.md pyproject.toml ./
COPY midb_ray midb_ray
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.11.14-slim-bookworm
# rsync: the cluster launcher copies into the container with it. openssh-client: where this is the head, it sets up workers
# with it. wget: KubeRay's probes.
# Not pinned: Debian keeps only a package's newest security fix, so a pin breaks the build at the next one; the base's tag is exact.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends openssh-client rsync wget \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 1000 ray \
    && useradd --uid 1000 --gid ray --create-home --shell /bin/bash ray \
    && install -d -o ray -g ray /home/ray/.ray
COPY --from=packages /opt/midb-ray /opt/midb-ray
COPY cluster/images/profile.sh /etc/profile.d/midb-ray.sh
# The launcher reads HOME from here. NVIDIA's container runtime reads the last two.
ENV HOME=/home/ray \
    LANG=C.UTF-8 \
    PATH=/opt/midb-ray/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# The product last and by itself: a change of it moves a layer of a few megabytes, not the gigabytes below.
RUN --mount=type=bind,from=product,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-deps --no-index /wheels/*.whl \
    && pip check
WORKDIR /home/ray/midb-ray
COPY jobs jobs
COPY configs configs
USER 1000:1000
# Every node's agent answers here once `ray start` has run, the head's and the workers'. Kubernetes has its own probes.
HEALTHCHECK --interval=30s --timeout=10s --start-period=300s \
    CMD ["wget", "-q", "-T", "8", "-O", "/dev/null", "http://127.0.0.1:52365/api/local_raylet_healthz"]
# No entry point: the cluster launcher starts bash and KubeRay `bash -lc`, and both run `ray start` inside.
CMD ["bash"]
