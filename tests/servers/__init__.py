"""Real S3 servers as processes on loopback, and a proxy that breaks what passes through it."""
