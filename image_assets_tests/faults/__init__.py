"""Attacks: runs killed at every write, full disks, sources that change under the reader, two runs at once."""
