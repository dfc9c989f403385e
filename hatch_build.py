"""Puts the library and the program into the wheel of mglu: `scripts/library` builds them."""

import os
import subprocess
import sysconfig

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Hook(BuildHookInterface):
    """Builds for this system; MGLU_BUILT names a folder where library and program lie already."""

    PLUGIN_NAME = "custom"

    def initialize(self, version, build_data):
        if self.target_name != "wheel":
            return
        folder = os.environ.get("MGLU_BUILT")
        if not folder:
            folder = os.path.join(self.root, ".build", "libmglu")
            command = [os.path.join(self.root, "scripts", "library"), "--program", folder]
            if subprocess.run(command, cwd=self.root).returncode:
                raise SystemExit("the library of mglu was not built: see the line above")
        files = [os.path.join(folder, name) for name in ("libmglu.so", "mglu")]
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        build_data["force_include"][files[0]] = "mglu/libmglu.so"
        build_data["force_include"][
            os.path.join(self.root, "Sources/CMGLUInterface/include/mglu.h")] = "mglu/mglu.h"
        build_data["shared_scripts"][files[1]] = "mglu"
