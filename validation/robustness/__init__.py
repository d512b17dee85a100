"""Commands and runs in an environment that fails them: bad disks and folders, killed processes."""
