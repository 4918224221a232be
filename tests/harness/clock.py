"""clock.py: the wall clock of the server under test, by libfaketime: deadlines and timers go on by the
monotonic clock, which stays as it is.

    clock = Clock(place)
    server = serve(env=clock.env)
    clock.set("+31m")       # from now on, for all its processes"""

import os
from pathlib import Path


def library():
    found = sorted(Path("/usr/lib").glob("**/faketime/libfaketime.so.1"))
    assert found, "libfaketime is not installed (etc/packages test)"
    return str(found[0])


class Clock:
    def __init__(self, place):
        self.file = Path(place) / "clock"
        self.set("+0")

    @property
    def env(self):
        # the sanitizer wants to be the first library, but bears this one before it
        asan = os.environ.get("ASAN_OPTIONS", "detect_leaks=1:exitcode=86")
        return {"LD_PRELOAD": library(), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "ASAN_OPTIONS": f"{asan}:verify_asan_link_order=0", "TZ": "UTC"}

    def set(self, time):
        """"+31m": so much later than it is; "@2024-01-01 12:00:00": then, and it goes on from when the
        server started."""
        new = self.file.with_suffix(".new")
        new.write_text(time + "\n")
        os.rename(new, self.file)
