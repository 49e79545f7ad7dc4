#!/usr/bin/env bash
# Bring an image into service: revisions without traffic, a smoke test on the job, then traffic; jobs last.
#   deploy.sh PROJECT REGION NAME IMAGE
# When the smoke test fails nothing has changed for callers: the services keep the revisions that they had.
set -euo pipefail
project=$1 region=$2 name=$3 image=$4
where=(--project="$project" --region="$region")
case $image in *@sha256:*) ;; *) echo "name the image by digest, not $image" >&2; exit 64 ;; esac

before=$(gcloud run services describe "$name-run" "${where[@]}" --format='value(status.traffic[0].revisionName)')
before_image=$(gcloud run jobs describe "$name-job" "${where[@]}" --format='value(spec.template.spec.template.spec.containers[0].image)')
echo "now serving: $before; back again: ops/runbooks/rollback.md"

for service in run ops; do
  gcloud run services update "$name-$service" "${where[@]}" --image="$image" --no-traffic --quiet
done
gcloud run jobs update "$name-job" "${where[@]}" --image="$image" --quiet
if ! gcloud run jobs execute "$name-job" "${where[@]}" --args=ingestor,check --wait --quiet; then
  gcloud run jobs update "$name-job" "${where[@]}" --image="$before_image" --quiet
  echo "the smoke test failed: $before still serves, the job has its old image again" >&2
  exit 1
fi
for service in run ops; do
  gcloud run services update-traffic "$name-$service" "${where[@]}" --to-latest --quiet
done
gcloud run jobs update "$name-reconcile" "${where[@]}" --image="$image" --quiet
echo "delivered $image"
