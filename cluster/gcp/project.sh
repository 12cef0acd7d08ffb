#!/usr/bin/env bash
# What cluster/gcp.yaml needs of a project, once: a network of its own, and an account each for the head and the workers with the least rights.
#   PROJECT=… REGION=… SSH_CIDR=203.0.113.7/32 BUCKET=… bash cluster/gcp/project.sh
# Run by somebody who may administrate the project's network and accounts. Safe to run again after a failure: what is there already is left alone.
set -euo pipefail
: "${PROJECT:?the project}" "${REGION:?such as europe-west4}" "${BUCKET:?the bucket with models, corpora and runs}"
: "${SSH_CIDR:?the addresses that may reach the machines by SSH, such as 203.0.113.7/32}"
if [[ ! $SSH_CIDR =~ ^([0-9]{1,3}\.){3}[0-9]{1,3}/(1[6-9]|2[0-9]|3[0-2])$ ]]; then
  echo "SSH_CIDR is '$SSH_CIDR'; expected a range such as 203.0.113.7/32, nothing wider than /16." >&2
  exit 2
fi
cloud() { gcloud --project "$PROJECT" --quiet "$@"; }
there() { cloud "$@" >/dev/null 2>&1; }

cloud services enable compute.googleapis.com iam.googleapis.com
there compute networks describe midb-ray || cloud compute networks create midb-ray --subnet-mode custom
there compute networks subnets describe midb-ray --region "$REGION" ||
  cloud compute networks subnets create midb-ray --network midb-ray --region "$REGION" --range 10.77.0.0/20 --enable-private-ip-google-access
there compute firewall-rules describe midb-ray-nodes ||
  cloud compute firewall-rules create midb-ray-nodes --network midb-ray --allow tcp,udp,icmp --source-tags midb-ray --target-tags midb-ray
there compute firewall-rules describe midb-ray-ssh ||
  cloud compute firewall-rules create midb-ray-ssh --network midb-ray --allow tcp:22 --source-ranges "$SSH_CIDR" --target-tags midb-ray

# What the head does through Ray: start, label, look at and delete machines and their disks.
there iam roles describe midbRayLauncher ||
  cloud iam roles create midbRayLauncher --title "midb-ray launcher" --permissions "$(paste -sd, <<'PERMISSIONS'
compute.disks.create
compute.images.useReadOnly
compute.instances.create
compute.instances.delete
compute.instances.get
compute.instances.list
compute.instances.setLabels
compute.instances.setMetadata
compute.instances.setServiceAccount
compute.instances.setTags
compute.subnetworks.use
compute.subnetworks.useExternalIp
compute.zoneOperations.get
PERMISSIONS
)"

for kind in head worker; do
  account="midb-ray-$kind@$PROJECT.iam.gserviceaccount.com"
  there iam service-accounts describe "$account" || cloud iam service-accounts create "midb-ray-$kind"
  cloud storage buckets add-iam-policy-binding "gs://$BUCKET" --member "serviceAccount:$account" --role roles/storage.objectUser
  cloud projects add-iam-policy-binding "$PROJECT" --member "serviceAccount:$account" --role roles/artifactregistry.reader --condition None
done
head="serviceAccount:midb-ray-head@$PROJECT.iam.gserviceaccount.com"
cloud projects add-iam-policy-binding "$PROJECT" --member "$head" --role "projects/$PROJECT/roles/midbRayLauncher" --condition None
# The head may start machines as the worker's account, and as no other.
cloud iam service-accounts add-iam-policy-binding "midb-ray-worker@$PROJECT.iam.gserviceaccount.com" \
  --member "$head" --role roles/iam.serviceAccountUser
