"""What pyproject.toml cannot say: the wheel takes along what a checkout has beside its packages."""

from pathlib import Path
from shutil import copytree, ignore_patterns

from setuptools import setup
from setuptools.command.build_py import build_py

#: Folders that ``tad_core.shipped`` finds in a checkout as well as in a wheel.
SHIPPED = ("assets", "configs", "deployments")


class BuildWithFiles(build_py):
    """Also copies configurations, the small model and the deployment files."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if self.editable_mode:
            return
        for name in SHIPPED:
            copytree(
                Path(name), Path(self.build_lib, "tad_core", "shipped_files", name),
                dirs_exist_ok=True, ignore=ignore_patterns("__pycache__"),
            )  # fmt: skip


setup(cmdclass={"build_py": BuildWithFiles})
