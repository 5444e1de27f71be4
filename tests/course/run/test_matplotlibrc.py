"""A user's own settings of matplotlib neither fail a lab nor change its figures."""

import matplotlib.pyplot as plt

from labkit.run import start_lab


def test_a_lab_begins_with_matplotlibs_own_settings(tmp_path):
    with plt.rc_context({"text.usetex": True, "font.size": 40}):
        start_lab("00", profile="smoke", out=str(tmp_path))
        assert not plt.rcParams["text.usetex"] and plt.rcParams["font.size"] == plt.rcParamsDefault["font.size"]
