"""A wheel carries configs/ and tools/ where mmengine looks for those of a package (``rotated_atss::dota/...``).

An editable install carries no copies, which would grow stale: there scripts/bootstrap.py lays links.
"""

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHIPPED = ("configs", "tools", "model-index.yml")


class ShipConfigs(BuildHookInterface):
    def initialize(self, version, build_data):
        if version != "editable":
            build_data["force_include"].update({name: f"rotated_atss/.mim/{name}" for name in SHIPPED})
