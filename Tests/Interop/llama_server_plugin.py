"""For llama.cpp's tests of its server: models are not downloaded before, as all tests have one."""

import utils

utils.ServerPreset.load_all = staticmethod(lambda: None)
