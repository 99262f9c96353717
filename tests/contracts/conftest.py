from servers.plugin import (  # noqa: F401
    aws,
    minio,
    pytest_report_header,
    pytest_terminal_summary,
    seaweed,
)
