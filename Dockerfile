# syntax=docker/dockerfile:1
# One target per stage. A release pins PYTHON_IMAGE by digest; the tag is for building at home.
# Layers: base image, packages, code. A change of code moves the last one alone.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS code
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY jobs jobs
COPY svc_core svc_core
RUN python3 -m pip install --no-cache-dir --quiet --disable-pip-version-check --root-user-action=ignore \
      --no-deps --target /opt/app .

FROM ${PYTHON_IMAGE} AS runtime
# Everything that a process may write lies on volumes: the root file system can be read-only.
ENV PATH=/opt/svc/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/opt/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOME=/scratch/home XDG_CACHE_HOME=/scratch/cache HF_HOME=/scratch/cache/huggingface \
    MPLCONFIGDIR=/scratch/cache/matplotlib NUMBA_CACHE_DIR=/scratch/cache/numba SVC_SCRATCH=/scratch
WORKDIR /scratch
ENTRYPOINT ["python", "-m", "jobs"]

FROM ${PYTHON_IMAGE} AS wanted
WORKDIR /wanted
RUN --mount=type=bind,source=pyproject.toml,target=/src/pyproject.toml \
    --mount=type=bind,source=docker/wanted.py,target=/src/wanted.py \
    python3 /src/wanted.py /src/pyproject.toml .

# Packages are installed where they stay: a copy from another stage would hold the gigabytes of torch twice.
FROM runtime AS packages-slice
COPY --from=wanted /wanted/slice.txt /opt/wanted.txt
WORKDIR /src
RUN --mount=type=bind,source=requirements.lock,target=/src/requirements.lock \
    --mount=type=bind,source=docker/packages.sh,target=/src/packages.sh \
    sh packages.sh /opt/wanted.txt
WORKDIR /scratch

FROM runtime AS packages-torch
COPY --from=wanted /wanted/torch.txt /opt/wanted.txt
WORKDIR /src
RUN --mount=type=bind,source=requirements.lock,target=/src/requirements.lock \
    --mount=type=bind,source=docker/packages.sh,target=/src/packages.sh \
    sh packages.sh /opt/wanted.txt
WORKDIR /scratch

# Labels come after the packages, so that a new revision leaves their layer alone.
FROM packages-slice AS slice
COPY --from=code /opt/app /opt/app
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="svc-jobs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 10001:10001

FROM packages-torch AS torch
COPY --from=code /opt/app /opt/app
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="svc-jobs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 10001:10001

FROM torch AS features
FROM torch AS train
FROM torch AS evaluate
FROM torch AS convert
FROM torch AS publish
