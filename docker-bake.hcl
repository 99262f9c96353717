# docker buildx bake: every image, with SBOM and provenance.
variable "REGISTRY" { default = "svc-jobs" }
variable "VERSION" { default = "0.1.0" }
variable "REVISION" { default = "unknown" }
variable "PYTHON_IMAGE" { default = "docker.io/library/python:3.11-slim-bookworm" }

group "default" { targets = ["stage"] }

target "stage" {
  name     = stage
  matrix   = { stage = ["slice", "features", "train", "evaluate", "convert", "publish"] }
  target   = stage
  tags     = ["${REGISTRY}/${stage}:${VERSION}"]
  args     = { VERSION = VERSION, REVISION = REVISION, PYTHON_IMAGE = PYTHON_IMAGE }
  attest   = ["type=sbom", "type=provenance,mode=max"]
}
