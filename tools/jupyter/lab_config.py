"""How this project starts JupyterLab: `jupyter lab --config tools/jupyter/lab_config.py`.

The settings lie in settings/overrides.json beside this file. They are read from here, so they hold for this
session only and change nothing in the environment or in your own JupyterLab preferences.
"""

from pathlib import Path

HERE = Path(__file__).resolve().parent

c = get_config()  # noqa: F821  (JupyterLab puts it here)

c.ServerApp.root_dir = str(HERE.parents[1])
c.LabApp.default_url = "/lab/tree/notebooks/index.md"
c.LabApp.app_settings_dir = str(HERE / "settings")
c.LabApp.extension_manager = "readonly"  # the other kind asks the internet for extensions
