"""What becomes of commands and runs when the environment fails them: bad disks and folders, killed processes."""
