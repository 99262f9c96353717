#!/bin/sh
# Makes /opt/svc: an environment with what the list $1 wants, in the lock's versions, and its SBOM.
# One RUN, so that nothing of the tools stays in a layer.
set -eu
tool() { grep "^$1==" requirements.lock; }
python3 -m pip install --no-cache-dir --quiet --disable-pip-version-check --root-user-action=ignore \
  --target /tmp/uv "$(tool uv)"
export UV_NO_CACHE=1
/tmp/uv/bin/uv venv --quiet --no-python-downloads /opt/svc
/tmp/uv/bin/uv pip install --quiet --compile-bytecode --python /opt/svc/bin/python -c requirements.lock -r "$1"
/tmp/uv/bin/uv venv --quiet --no-python-downloads /tmp/bom
/tmp/uv/bin/uv pip install --quiet --python /tmp/bom/bin/python -c requirements.lock "$(tool cyclonedx-bom)"
/tmp/bom/bin/cyclonedx-py environment --output-reproducible --output-format JSON --output-file /opt/svc/sbom.cdx.json \
  /opt/svc/bin/python
rm -rf /tmp/uv /tmp/bom
