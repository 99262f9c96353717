"""Where a workspace's objects lie: a folder, a bucket, a dictionary; and how many of them move at once."""
