"""Measurements that `ostiary bench` makes on the box it runs on. Imported by nothing else."""
