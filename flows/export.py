"""``tad export``: a distilled model of a finished run as a folder, and to the hub where that is asked for."""

from __future__ import annotations

from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from flows.terminal import plain_console
from tad_core.artifacts import Store
from tad_core.config import TADConfig
from tad_core.errors import ConfigError
from tad_core.stages.export import export


def run_export(
    config: TADConfig,
    mode: str,
    out: Path,
    adapter_only: bool = False,
    dtype: str | None = None,
    push_to_hub: str | None = None,
    public: bool = False,
    form: str = "safetensors",
    quantize: str = "none",
) -> None:
    """Export, then push; whatever the push needs is looked at before the work.

    Raises:
        TADError: one clear message; ``out`` is then as it was.
    """
    if public and push_to_hub is None:
        raise ConfigError(
            "--public: nothing is uploaded without --push-to-hub; add it, or leave --public out"
        )
    if push_to_hub is not None:
        from tad_core.models.export import check_push

        check_push(push_to_hub)
    store = Store(config.store)
    console = plain_console(stderr=True)
    columns = (TextColumn("merging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("merging", total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        folder = export(config, mode, out, store, adapter_only, dtype, tell, form, quantize)
    plain_console().print(f"{mode}: {folder}", soft_wrap=True)
    if push_to_hub is not None:
        from tad_core.models.export import push

        url = push(folder, push_to_hub, private=not public)
        plain_console().print(f"hub: {url}", soft_wrap=True)
