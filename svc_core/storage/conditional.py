"""Whether a store honours conditions on writes; some take the request and ignore the condition."""

from svc_core import files
from svc_core.errors import Conflict
from svc_core.storage.store import ABSENT, Store


def conditional_writes(store: Store, key: str) -> bool:
    """Whether the store refuses a second write that says "only where absent".

    Writes `key`, which must be free, and removes it. Raises what the store raises.
    """
    try:
        for content in (b"first", b"second"):
            store.write(key, content, files.sha256_bytes(content), only_if=ABSENT)
    except Conflict:
        return True
    finally:
        store.delete([key])
    return False
