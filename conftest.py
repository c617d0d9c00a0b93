"""No test leaves a record beside it unless it asks for one."""

import os

os.environ["WINDCAST_TRACKING"] = "none"
