"""What settings say to the processes of the product: one place for the all-in-one and for the parts apart."""

from pathlib import Path

from deploy.parts import PartConfig
from deploy.settings import Settings


def part_config(settings: Settings, run_dir: Path, kind: str, *, name: str = "") -> PartConfig:
    """Give what a process of a kind is told; `run_dir` is where its sockets and counts lie."""
    return PartConfig(
        kind=kind,
        name=name,
        data_dir=str(settings.data_dir),
        run_dir=str(run_dir),
        store_url=settings.store_url,
        registry_url=settings.registry_url,
        metrics_public=settings.metrics_public,
        metrics_token=settings.metrics_token,
        rate_limits=settings.rate_limits,
        log_url=settings.log_url,
        log_keep=settings.log_keep,
        log_archive_dir=str(settings.log_archive_dir),
        log_segment_bytes=settings.log_segment_bytes,
        spool_dir="" if settings.spool_dir is None else str(settings.spool_dir),
        spool_bytes_max=settings.spool_bytes_max,
        accept_poison=settings.accept_poison,
        traces=settings.traces,
        rollups=settings.rollups,
        loaders=settings.loaders,
    )
