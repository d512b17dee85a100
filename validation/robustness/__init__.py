"""What the commands do when the environment fails them: bad disks and folders, killed processes."""
