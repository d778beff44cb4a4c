"""Put data/ into the wheel as qwen35_lab/data.

In the repository data/ sits beside the package, where people look for it. An install from an archive or a git
address has no repository beside it, so the wheel carries the data inside the package. An editable install reads
the repository's own data/ and must not leave a second copy behind: hence a hook, and not `force-include`.
"""

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BundleData(BuildHookInterface):
    def initialize(self, version, build_data):
        if version == "standard":
            build_data["force_include"]["data"] = "qwen35_lab/data"
            build_data["force_include"]["constraints.txt"] = "qwen35_lab/data/constraints.txt"  # for the doctor
