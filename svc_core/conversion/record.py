"""Record of a conversion in a workspace."""

from svc_core import manifest
from svc_core.conversion.convert import CONVERSION_VERSION, Conversion
from svc_core.conversion.options import ConvertOptions
from svc_core.manifest import FileRecord


class Converted(manifest.Record):
    """One file of `converted/<voice>/`. `source` is relative to its own folder, the others to the workspace.

    `release` is the list of hashes of the model that made it.
    """

    version: int = CONVERSION_VERSION
    source: FileRecord
    release: FileRecord
    output: FileRecord
    options: ConvertOptions
    conversion: Conversion
