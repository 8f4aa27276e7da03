"""Ship configs/, tools/ and the split presets inside the wheel.

Their folder in the wheel is ``rotated_atss/.mim``, where MMEngine looks for the configs of a package
(``rotated_atss::dota/...``). In an editable install, copies would become outdated: scripts/bootstrap.py creates links.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHIPPED = ("configs", "tools", "model-index.yml", "data_prep/presets")


class ShipConfigs(BuildHookInterface):
    """Add the files of ``SHIPPED`` to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Extend the files that the wheel includes, except for an editable install."""
        if version != "editable":
            build_data["force_include"].update({name: f"rotated_atss/.mim/{name}" for name in SHIPPED})
