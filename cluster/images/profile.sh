# A login shell (KubeRay's `bash -lc`, the cluster launcher's `bash --login`) sets PATH anew from /etc/profile, and then reads this.
export PATH="/opt/midb-ray/bin:$PATH"
