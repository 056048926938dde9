"""The dashboard: shows what a workspace holds. It reads the catalog and nothing else."""
